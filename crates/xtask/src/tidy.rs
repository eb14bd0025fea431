//! Why: one place that knows all rules, so that adding one is one line here and one file beside it.
//!
//! Each rule is a function from what was read to breaches. No rule reads a file, so each is tested on made-up sources.

mod attributes;
mod binaries;
mod breach;
mod code;
mod cores;
mod defects;
mod hosts;
mod layers;
mod links;
mod made;
mod manifests;
mod map;
mod named_tests;
mod opening;
mod promises;
mod sizes;
mod source;
mod statics;
mod stops;
mod top_level;
mod words;

use std::path::Path;

use cargo_metadata::Metadata;

pub(crate) use breach::Breach;
use code::Code;
pub(crate) use layers::APART;
use source::Source;

/// Checks every rule on the whole tree, prints each breach, and fails if there was one.
pub(crate) fn tidy(workspace: &Metadata) -> Result<(), String> {
    let root = workspace.workspace_root.as_std_path();
    let sources =
        source::read_tree(root).map_err(|error| format!("the tree could not be read: {error}"))?;
    let mut breaches = layers::check(&layers::packages(workspace));
    breaches.extend(top_level::check(
        &source::top_level(root).map_err(|error| error.to_string())?,
    ));
    breaches.extend(binaries::check(&sources));
    breaches.extend(stops::check(&sources));
    breaches.extend(promises::check(&sources));
    breaches.extend(defects::check(&sources));
    breaches.extend(made::check(&sources));
    breaches.extend(map::check(&sources));
    for source in &sources {
        breaches.extend(check_one(root, source));
    }
    breaches.sort();
    for breach in &breaches {
        println!("{breach}");
    }
    match breaches.len() {
        0 => {
            println!("tidy: {} files keep the rules", sources.len());
            Ok(())
        }
        count => Err(format!(
            "tidy: {count} breaches; docs/style.md explains the rules"
        )),
    }
}

fn check_one(root: &Path, source: &Source) -> Vec<Breach> {
    let mut breaches = hosts::check(source);
    breaches.extend(manifests::check(source));
    if source.has_extension("md") {
        breaches.extend(links::check(source, |path| root.join(path).exists()));
    }
    if source.has_extension("rs") {
        match Code::parse(&source.text) {
            Ok(code) => {
                breaches.extend(opening::check(source));
                breaches.extend(cores::check(source, &code));
                breaches.extend(sizes::check(source, &code));
                breaches.extend(words::check(source, &code));
                breaches.extend(attributes::check(source, &code));
                breaches.extend(statics::check(source, &code));
            }
            Err((line, error)) => {
                breaches.push(Breach::new(
                    source,
                    line,
                    11,
                    format!("this is not Rust: {error}"),
                    "let it compile",
                ));
            }
        }
    }
    breaches
}
