//! Why: where packages come from is the machine's business, configured there; a host written down here breaks mirrors
//! (rule 13). Where models come from is ours, and known to one crate.

use super::breach::Breach;
use super::source::Source;

/// Hosts of package registries, in two halves so that this file does not name them.
const REGISTRIES: [&str; 6] = [
    concat!("crates", ".io"),
    concat!("pypi", ".org"),
    concat!("files.python", "hosted.org"),
    concat!("registry.npm", "js.org"),
    concat!("deb.debian", ".org"),
    concat!("proxy.golang", ".org"),
];

const MODELS: &str = concat!("hugging", "face.co");

/// Written by cargo, which names its registry, in any workspace.
const GENERATED: &str = "Cargo.lock";

/// Breaches of rule 13 in one text file.
pub(crate) fn check(source: &Source) -> Vec<Breach> {
    if source.path.rsplit('/').next() == Some(GENERATED) {
        return Vec::new();
    }
    let models_allowed = source.is_in("crates/model_store") || source.has_extension("md");
    let mut breaches = Vec::new();
    for (line, text) in (1..).zip(source.text.lines()) {
        for host in REGISTRIES.iter().filter(|host| text.contains(*host)) {
            let way_out = "speak to the registry through its ordinary client";
            breaches.push(Breach::new(
                source,
                line,
                13,
                format!("the registry host {host}"),
                way_out,
            ));
        }
        if text.contains(MODELS) && !models_allowed {
            let way_out = "only crates/model_store knows where models come from";
            breaches.push(Breach::new(
                source,
                line,
                13,
                format!("the model host {MODELS}"),
                way_out,
            ));
        }
    }
    breaches
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::source::made_up;

    #[test]
    fn a_registry_is_found_in_any_text() {
        for host in REGISTRIES {
            let text = format!("# see\nhttps://{host}/a");
            for path in ["README.md", ".ci/run", "crates/model_store/src/pull.rs"] {
                let breaches = check(&made_up(path, &text));
                assert_eq!(
                    breaches.iter().map(Breach::place).collect::<Vec<_>>(),
                    [(2, 13)],
                    "{path} {host}"
                );
            }
            assert_eq!(check(&made_up("Cargo.lock", &text)), []);
        }
    }

    #[test]
    fn the_model_host_is_known_to_one_crate_and_the_docs() {
        for (path, found) in [
            ("crates/model_store/src/pull.rs", 0),
            ("docs/models.md", 0),
            ("crates/cli/src/main.rs", 1),
        ] {
            assert_eq!(check(&made_up(path, MODELS)).len(), found, "{path}");
        }
    }
}
