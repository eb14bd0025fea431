//! Why: Cargo forbids circles but not wrong directions. Who may name whom is written here once, as data, and checked
//! (rule 3): you may wait only along these arrows, and each foreign crate is known to as few of ours as can be.
//!
//! Only normal dependencies count. Tests may look anywhere.

use cargo_metadata::{DependencyKind, Metadata};

use super::breach::Breach;

/// Our packages by folder, foundations first. A package may name those on earlier lines, never its neighbours.
const LAYERS: [&[&str]; 17] = [
    &["domain", "metric_names", "rate"],
    &["engine"],
    &["telemetry"],
    &["runtime"],
    &["supervision"],
    &[
        "inference",
        "model_store",
        "toolbox",
        "markup",
        "actix_bridge",
    ],
    &["memory_governor", "chat_config", "mcp_client", "typing"],
    &["cache_janitor", "bearer"],
    &["model_host", "conversation_store"],
    &["retrieval"],
    &["agent_worker"],
    &["room"],
    &["connection"],
    &["gateway", "control"],
    &["root"],
    &["paraphym_candle"],
    &["cli"],
];

/// Tools: they may name every layer, and no layer may name them.
pub(crate) const APART: [&str; 3] = ["testkit", "benches", "xtask"];

/// Packages that may name fewer of ours than their layer allows, and why.
const NARROW: [(&str, &[&str], &str); 18] = [
    (
        "supervision",
        &["metric_names"],
        "whoever takes it takes nothing else of ours but a list of names",
    ),
    (
        "actix_bridge",
        &["supervision"],
        "who has an actix application need not have a model",
    ),
    (
        "engine",
        &["domain"],
        "what a model is must not depend on who runs it",
    ),
    (
        "inference",
        &["domain", "engine"],
        "inference computes and never waits",
    ),
    (
        "memory_governor",
        &["domain", "engine", "telemetry", "runtime", "supervision"],
        ACTORS,
    ),
    (
        "chat_config",
        &["domain", "telemetry", "supervision"],
        "settings are values: who uses them asks here, and this asks nobody",
    ),
    (
        "cache_janitor",
        &[
            "domain",
            "telemetry",
            "runtime",
            "supervision",
            "memory_governor",
        ],
        "it sweeps whatever registers, and knows nobody's entries",
    ),
    (
        "model_host",
        &[
            "domain",
            "engine",
            "telemetry",
            "runtime",
            "supervision",
            "memory_governor",
            "cache_janitor",
        ],
        ACTORS,
    ),
    (
        "room",
        &["domain", "supervision", "agent_worker", "typing"],
        "it carries what an agent says to who looks, and knows no wire",
    ),
    ("rate", &[], "it counts, and knows nothing of what"),
    ("markup", &[], "it turns a text into another one"),
    (
        "typing",
        &["domain", "telemetry", "supervision"],
        "whoever types says so here, and this asks nobody",
    ),
    (
        "bearer",
        &["chat_config"],
        "who may ask must not depend on what is asked; the disk's steps are those of the settings",
    ),
    (
        "toolbox",
        &["domain"],
        "what a tool is must not depend on who calls it",
    ),
    (
        "conversation_store",
        &[
            "domain",
            "telemetry",
            "runtime",
            "supervision",
            "cache_janitor",
        ],
        "what is at rest asks nobody",
    ),
    (
        "mcp_client",
        &["domain", "telemetry", "runtime", "supervision", "toolbox"],
        "it speaks with other programs, and nobody's conversation is known to it",
    ),
    (
        "retrieval",
        &[
            "domain",
            "telemetry",
            "runtime",
            "supervision",
            "toolbox",
            "model_host",
            "conversation_store",
        ],
        "it joins what is stored with what it means, and answers nobody by itself",
    ),
    (
        "agent_worker",
        &[
            "domain",
            "engine",
            "telemetry",
            "runtime",
            "supervision",
            "model_host",
            "memory_governor",
            "cache_janitor",
            "conversation_store",
            "mcp_client",
            "toolbox",
            "retrieval",
        ],
        ACTORS,
    ),
];
const ACTORS: &str = "an actor meets the engine's trait, never a kind of model or store";

/// Foreign crates that only some of ours may name. A `*` at the end stands for any rest.
const FOREIGN: [(&[&str], &[&str]); 25] = [
    (
        &[
            "candle*",
            "tokenizers",
            "minijinja",
            "half",
            "gemm*",
            "llguidance",
            "toktrie*",
        ],
        &["inference"],
    ),
    (
        &["rusqlite", "libsqlite3-sys", "sqlite-vec"],
        &["conversation_store"],
    ),
    (
        &["rmcp", "process-wrap", "sse-stream", "http"],
        &["mcp_client"],
    ),
    (&["text-splitter", "glob"], &["retrieval"]),
    (&["pulldown-cmark", "ammonia"], &["markup"]),
    (
        &["axum*", "hyper*", "tower*", "tokio-tungstenite"],
        &["gateway"],
    ),
    (
        &[
            "metrics-exporter-prometheus",
            "metrics-process",
            "tracing-subscriber",
        ],
        &["telemetry"],
    ),
    (
        &[
            "clap*",
            "indicatif",
            "rustyline",
            "ratatui",
            "terminput",
            "anstream",
            "anstyle",
        ],
        &["cli"],
    ),
    (&["hf-hub", "ureq", "zip"], &["model_store"]),
    // Models are fetched by it, the tools of others reached, and traces sent to a collector where that is built in.
    (&["reqwest"], &["model_store", "mcp_client", "telemetry"]),
    (&["opentelemetry*", "tracing-opentelemetry"], &["telemetry"]),
    (
        &["console-subscriber", "console-api", "tonic"],
        &["telemetry"],
    ),
    (
        &["sha2"],
        &[
            "model_store",
            "model_host",
            "retrieval",
            "bearer",
            "inference",
        ],
    ),
    (&["getrandom"], &["bearer"]),
    (&["sd-notify"], &["paraphym_candle"]),
    // A child's whole process group is killed, a terminal is put back, a folder is watched, the kernel's coarse clocks are
    // read, the own user and a disk are asked for: safely, and nowhere else.
    (
        &["rustix"],
        &[
            "model_store",
            "chat_config",
            "mcp_client",
            "control",
            "cli",
            "runtime",
            "inference",
        ],
    ),
    (&["rayon*"], &["runtime", "inference"]),
    (&["libc", "nix"], &["runtime"]),
    (
        &["kameo*"],
        &[
            "supervision",
            "memory_governor",
            "cache_janitor",
            "chat_config",
            "typing",
            "connection",
            "model_host",
            "conversation_store",
            "mcp_client",
            "agent_worker",
            "root",
        ],
    ),
    (
        &["tokio*"],
        &[
            "rate",
            "runtime",
            "supervision",
            "actix_bridge",
            "telemetry",
            "model_store",
            "memory_governor",
            "cache_janitor",
            "chat_config",
            "typing",
            "room",
            "connection",
            "model_host",
            "conversation_store",
            "mcp_client",
            "toolbox",
            "retrieval",
            "agent_worker",
            "gateway",
            "control",
            "root",
            "paraphym_candle",
            "cli",
        ],
    ),
    (&["figment", "garde", "strsim", "toml*"], &["chat_config"]),
    // Settings and tools of one closure have a schema, and both protocols a page that is made from their types.
    (
        &["schemars"],
        &["chat_config", "connection", "control", "toolbox"],
    ),
    (&["plotters*"], &["benches"]),
    (&["actix*"], &["actix_bridge"]),
    (&["cargo_metadata", "syn", "proc-macro2"], &["xtask"]),
];

/// What the rule needs to know of a package.
#[derive(Clone, Debug)]
pub(crate) struct Package {
    name: String,
    folder: String,
    manifest: String,
    /// Normal dependencies, under the names they are published by.
    dependencies: Vec<String>,
}

/// The workspace's packages.
pub(crate) fn packages(workspace: &Metadata) -> Vec<Package> {
    let package = |package: &cargo_metadata::Package| {
        let manifest = package
            .manifest_path
            .strip_prefix(&workspace.workspace_root)
            .unwrap_or(&package.manifest_path);
        let normal = package
            .dependencies
            .iter()
            .filter(|dependency| dependency.kind == DependencyKind::Normal);
        Package {
            name: package.name.to_string(),
            folder: manifest
                .parent()
                .and_then(|folder| folder.file_name())
                .unwrap_or_default()
                .to_owned(),
            manifest: manifest.to_string(),
            dependencies: normal.map(|dependency| dependency.name.clone()).collect(),
        }
    };
    workspace
        .workspace_packages()
        .into_iter()
        .map(package)
        .collect()
}

/// Breaches of rule 3 among the packages.
pub(crate) fn check(packages: &[Package]) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for package in packages {
        let mut report = |what: String, way_out: &str| {
            breaches.push(Breach::at(&package.manifest, 1, 3, what, way_out));
        };
        let expected = published_name(&package.folder);
        if package.name != expected {
            report(
                format!("the package is named {}", package.name),
                &format!("name it {expected}, after its folder"),
            );
        }
        if layer(&package.folder).is_none() && !APART.contains(&package.folder.as_str()) {
            report(
                format!("{} has no layer", package.folder),
                "give it a line in LAYERS, in tidy's layers.rs",
            );
            continue;
        }
        for dependency in &package.dependencies {
            let ours = packages.iter().find(|other| other.name == *dependency);
            let wrong = match ours {
                Some(other) => own_dependency(&package.folder, &other.folder),
                None => foreign_dependency(&package.folder, dependency),
            };
            if let Some(way_out) = wrong {
                report(
                    format!("{} may not name {dependency}", package.folder),
                    &way_out,
                );
            }
        }
    }
    breaches
}

fn published_name(folder: &str) -> String {
    if folder.starts_with("paraphym_") {
        folder.to_owned()
    } else {
        format!("paraphym_{folder}")
    }
}

fn layer(folder: &str) -> Option<usize> {
    LAYERS.iter().position(|folders| folders.contains(&folder))
}

/// Why `from` may not name `to`, both ours.
fn own_dependency(from: &str, to: &str) -> Option<String> {
    if APART.contains(&to) {
        return (!APART.contains(&from))
            .then(|| "tools are for tests: make it a dev-dependency".to_owned());
    }
    if let Some((_, allowed, why)) = NARROW.iter().find(|(folder, ..)| *folder == from) {
        return (!allowed.contains(&to))
            .then(|| format!("{why}: of ours it may name {}", allowed.join(", ")));
    }
    let down = APART.contains(&from) || layer(to) < layer(from);
    (!down).then(|| "turn the arrow round with a trait, a reply or a stream".to_owned())
}

/// Why `from` may not name the foreign crate `to`. A tool may name any.
fn foreign_dependency(from: &str, to: &str) -> Option<String> {
    let matches = |pattern: &&str| match pattern.strip_suffix('*') {
        Some(start) => to.starts_with(start),
        None => *pattern == to,
    };
    let (_, owners) = FOREIGN
        .iter()
        .find(|(patterns, _)| patterns.iter().any(&matches))?;
    let allowed = owners.contains(&from) || APART.contains(&from);
    (!allowed).then(|| {
        format!(
            "only {} may: ask there for what is missing",
            owners.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(folder: &str, dependencies: &[&str]) -> Package {
        Package {
            name: published_name(folder),
            folder: folder.to_owned(),
            manifest: format!("crates/{folder}/Cargo.toml"),
            dependencies: dependencies.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    fn all_with(folder: &str, dependency: &str) -> Vec<Package> {
        let folders = LAYERS.iter().flat_map(|layer| layer.iter()).chain(&APART);
        folders
            .map(|name| {
                package(
                    name,
                    if *name == folder {
                        std::slice::from_ref(&dependency)
                    } else {
                        &[]
                    },
                )
            })
            .collect()
    }

    #[test]
    fn arrows_point_down() {
        for (from, to, allowed) in [
            ("cli", "paraphym_domain", true),
            ("domain", "paraphym_engine", false),
            ("engine", "paraphym_domain", true),
            ("supervision", "paraphym_metric_names", true),
            ("supervision", "paraphym_telemetry", false),
            ("metric_names", "paraphym_domain", false),
            ("telemetry", "paraphym_supervision", false),
            ("inference", "paraphym_model_store", false),
            ("inference", "paraphym_supervision", false),
            ("actix_bridge", "paraphym_supervision", true),
            ("actix_bridge", "paraphym_runtime", false),
            ("model_host", "paraphym_memory_governor", true),
            ("memory_governor", "paraphym_model_host", false),
            ("model_host", "paraphym_inference", false),
            ("agent_worker", "paraphym_model_host", true),
            ("model_host", "paraphym_agent_worker", false),
            ("gateway", "paraphym_model_host", true),
            ("gateway", "paraphym_connection", true),
            ("connection", "paraphym_gateway", false),
            ("gateway", "paraphym_root", false),
            ("root", "paraphym_gateway", true),
            ("paraphym_candle", "paraphym_inference", true),
            ("paraphym_candle", "paraphym_cli", false),
            ("root", "paraphym_testkit", false),
            ("testkit", "paraphym_supervision", true),
            ("benches", "paraphym_testkit", true),
            ("cli", "paraphym_xtask", false),
        ] {
            let breaches = check(&all_with(from, to));
            assert_eq!(breaches.len(), usize::from(!allowed), "{from} -> {to}");
            assert!(breaches.iter().all(|breach| breach.place() == (1, 3)));
        }
    }

    #[test]
    fn foreign_crates_have_owners() {
        for (from, to, allowed) in [
            ("inference", "candle-core", true),
            ("model_host", "candle-core", false),
            ("gateway", "axum", true),
            ("cli", "axum", false),
            ("gateway", "tower-http", true),
            ("telemetry", "metrics-exporter-prometheus", true),
            ("gateway", "metrics-exporter-prometheus", false),
            ("supervision", "clap", false),
            ("gateway", "reqwest", false),
            ("supervision", "rayon", false),
            ("actix_bridge", "actix-web", true),
            ("paraphym_candle", "actix", false),
            ("inference", "libc", false),
            ("gateway", "kameo", false),
            ("chat_config", "paraphym_memory_governor", false),
            ("chat_config", "toml", true),
            ("gateway", "garde", false),
            ("gateway", "figment", false),
            ("chat_config", "figment", true),
            ("inference", "tokio", false),
            ("engine", "tokio-util", false),
            ("domain", "thiserror", true),
            ("benches", "candle-transformers", true),
        ] {
            assert_eq!(
                check(&all_with(from, to)).len(),
                usize::from(!allowed),
                "{from} -> {to}"
            );
        }
    }

    #[test]
    fn a_package_has_a_layer_and_its_folders_name() {
        assert_eq!(check(&[package("kitchen", &["axum"])]).len(), 1);
        let mut wrong = package("domain", &[]);
        wrong.name = "domain".to_owned();
        assert_eq!(check(&[wrong]).len(), 1);
        assert_eq!(check(&[package("paraphym_candle", &[])]).len(), 0);
    }

    #[test]
    fn the_tables_name_packages_that_have_a_layer() {
        let known = |folder: &&str| layer(folder).is_some() || APART.contains(folder);
        assert!(
            NARROW
                .iter()
                .all(|(folder, allowed, _)| known(folder) && allowed.iter().all(&known))
        );
        assert!(FOREIGN.iter().all(|(_, owners)| owners.iter().all(&known)));
    }
}
