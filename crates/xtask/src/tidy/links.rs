//! Why: a link that leads nowhere tells the reader that nobody reads this (rule 14). Links within the tree are checked;
//! what other hosts serve is not ours to promise, and a check that needs the network is no check.

use super::breach::Breach;
use super::source::Source;

/// Breaches of rule 14 in one Markdown file. `exists` answers for a path relative to the workspace.
pub(crate) fn check(source: &Source, exists: impl Fn(&str) -> bool) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let mut fenced = false;
    for (line, text) in (1..).zip(source.text.lines()) {
        if text.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        for target in targets(text).filter(|target| is_relative(target)) {
            let file = target.split('#').next().unwrap_or_default();
            if !resolve(&source.path, file).is_some_and(|path| path.is_empty() || exists(&path)) {
                let what = format!("the link `{target}` leads nowhere in this tree");
                breaches.push(Breach::new(
                    source,
                    line,
                    14,
                    what,
                    "correct it, or write what it should lead to",
                ));
            }
        }
    }
    breaches
}

/// What stands in `](…)` and after `[name]: `, code spans left out.
fn targets(text: &str) -> impl Iterator<Item = &str> {
    let prose = text.split('`').step_by(2);
    let inline = prose
        .flat_map(|part| part.split("](").skip(1))
        .filter_map(|rest| rest.split([')', ' ']).next());
    let reference = text
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("]: "))
        .map(|(_, target)| target.trim());
    inline.chain(reference)
}

fn is_relative(target: &str) -> bool {
    !target.is_empty()
        && !target.starts_with('#')
        && !target.contains("://")
        && !target.starts_with("mailto:")
}

/// The path of `target`, seen from the file `from`; nothing if it leaves the tree.
fn resolve(from: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::source::made_up;

    #[test]
    fn a_link_that_leads_nowhere_is_found() {
        for (text, found) in [
            ("see [a](adr/0001.md)", false),
            ("see [a](adr/0001.md#why) and [b](../README.md)", false),
            ("see [a](adr/0002.md)", true),
            ("see [a](adr/0001.md) and ![b](no.png)", true),
            ("see [a](../../outside.md)", true),
            ("[a]: adr/0002.md", true),
            ("[a]: adr/0001.md", false),
            (
                "[a](https://example.org/x) [b](#here) [c](mailto:a@example.org)",
                false,
            ),
            ("`[a](no.md)`", false),
            ("[`a`](no.md)", true),
            ("```\n[a](no.md)\n```", false),
            ("```\n```\n[a](no.md)", true),
        ] {
            let exists = |path: &str| ["docs/adr/0001.md", "README.md"].contains(&path);
            let breaches = check(&made_up("docs/page.md", text), exists);
            assert_eq!(breaches.len(), usize::from(found), "{text}");
            assert!(breaches.iter().all(|breach| breach.place().1 == 14));
        }
    }
}
