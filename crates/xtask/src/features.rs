//! Why: an app that takes the facade without its edges gets a combination of features that nobody here runs. Each is checked: none,
//! every one by itself, the defaults, and all together.
//!
//! Not every pair is built: parts meet only where `gateway` and `control` do, and those are built alone, together and not at all.
//!
//! It is what `cargo hack check --each-feature` does, without another program, and with the reasons for what is left out. The
//! features are read from the manifest, and each is on the list below: one that is new stops the run until somebody has said
//! whether it is built here.

use std::collections::BTreeMap;

use cargo_metadata::Metadata;

/// The crate an app names.
pub(crate) const FACADE: &str = "paraphym_candle";

/// Whether a feature is built where the tests run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Built {
    Here,
    /// Why not.
    Elsewhere(&'static str),
}

/// Every feature that the facade has.
const FEATURES: [(&str, Built); 9] = [
    ("inference", Built::Here),
    ("gateway", Built::Here),
    ("control", Built::Here),
    ("memory", Built::Here),
    ("mcp", Built::Here),
    ("otel", Built::Here),
    ("console", Built::Here),
    (
        "cuda",
        Built::Elsewhere("its kernels are compiled by nvcc, of NVIDIA's toolkit"),
    ),
    (
        "metal",
        Built::Elsewhere("it links the frameworks of macOS"),
    ),
];

/// What each check is to be built with, and what is left out and why.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Comma-separated; empty for none.
    pub(crate) combinations: Vec<String>,
    /// Features with their reasons.
    pub(crate) left_out: Vec<(String, &'static str)>,
}

/// What is to be checked of the facade.
pub(crate) fn plan(workspace: &Metadata) -> Result<Plan, String> {
    let mut packages = workspace.packages.iter();
    let facade = packages.find(|package| package.name.as_str() == FACADE);
    let facade = facade.ok_or_else(|| format!("there is no package {FACADE}"))?;
    combinations(&facade.features)
}

fn combinations(features: &BTreeMap<String, Vec<String>>) -> Result<Plan, String> {
    let mut here = Vec::new();
    let mut left_out = Vec::new();
    for name in features.keys().filter(|name| *name != "default") {
        match FEATURES.iter().find(|(known, _)| known == name) {
            Some((_, Built::Here)) => here.push(name.clone()),
            Some((_, Built::Elsewhere(why))) => left_out.push((name.clone(), *why)),
            None => {
                return Err(format!(
                    "the feature {name} of {FACADE} is on no list: say in xtask's features.rs whether it is built here"
                ));
            }
        }
    }
    let mut combinations = vec![String::new()];
    combinations.extend(here.iter().cloned());
    combinations.extend(
        features
            .contains_key("default")
            .then(|| "default".to_owned()),
    );
    if here.len() > 1 {
        combinations.push(here.join(","));
    }
    Ok(Plan {
        combinations,
        left_out,
    })
}

/// The words for cargo to check one combination.
pub(crate) fn words(combination: &str) -> Vec<&str> {
    let mut words = vec![
        "check",
        "--locked",
        "--package",
        FACADE,
        "--no-default-features",
    ];
    if !combination.is_empty() {
        words.extend(["--features", combination]);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: &[&str]) -> Result<Plan, String> {
        combinations(
            &names
                .iter()
                .map(|name| ((*name).to_owned(), Vec::new()))
                .collect(),
        )
    }

    #[test]
    fn none_each_the_defaults_and_all_are_checked_and_what_is_not_is_said() {
        let plan = of(&["default", "inference", "mcp", "cuda"]).unwrap();
        assert_eq!(
            plan.combinations,
            ["", "inference", "mcp", "default", "inference,mcp"]
        );
        assert_eq!(plan.left_out.len(), 1);
        assert_eq!(of(&[]).unwrap().combinations, [""]);
        assert_eq!(of(&["otel"]).unwrap().combinations, ["", "otel"]);
    }

    #[test]
    fn a_feature_that_nobody_placed_stops_the_run() {
        let error = of(&["otel", "telepathy"]).unwrap_err();
        assert!(error.starts_with("the feature telepathy of"), "{error}");
    }

    #[test]
    fn a_combination_is_all_that_is_built() {
        assert!(!words("").contains(&"--features"));
        assert_eq!(
            words("otel,console").join(" "),
            "check --locked --package paraphym_candle --no-default-features --features otel,console"
        );
    }
}
