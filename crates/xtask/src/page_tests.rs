//! Why: what the page decides is decided without a browser, and node alone tests it. A stage of its own, because cargo runs no
//! JavaScript.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::Metadata;

use crate::stages::run;

/// The first that reads the page's files as modules by itself.
const LEAST: (u32, u32) = (20, 19);
/// How to get it.
const WAY_OUT: &str =
    "install node 20.19 or later: `apt-get install nodejs` on Debian 13, or https://nodejs.org";

/// Runs all of them.
pub(crate) fn test(workspace: &Metadata) -> Result<(), String> {
    let said = Command::new("node").arg("--version").output();
    let said = said.map_err(|error| format!("`node` could not be started: {error}; {WAY_OUT}"))?;
    recent(String::from_utf8_lossy(&said.stdout).trim())?;
    let tests = all(workspace
        .workspace_root
        .join("crates/gateway/page_tests")
        .as_std_path())?;
    run(Command::new("node").arg("--test").args(tests))
}

/// Whether that is a version that is recent enough, as node says it: `v20.19.2`.
fn recent(said: &str) -> Result<(), String> {
    let mut numbers = said.trim_start_matches('v').split('.').map(str::parse);
    let version = match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor),
        _ => return Err(format!("`node --version` said {said:?}; {WAY_OUT}")),
    };
    if version < LEAST {
        return Err(format!("node is {said}, which is too old; {WAY_OUT}"));
    }
    Ok(())
}

/// Every file of tests there. None would be a stage that cannot fail.
fn all(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.to_string_lossy().ends_with(".test.mjs") {
            found.push(path);
        }
    }
    if found.is_empty() {
        return Err(format!("{} has no tests", folder.display()));
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_node_or_none_is_told_how_to_get_one() {
        for (said, good) in [
            ("v20.19.0", true),
            ("v20.20.2", true),
            ("v24.1.0", true),
            ("v20.18.9", false),
            ("v18.20.4", false),
            ("", false),
            ("v20", false),
            ("bun", false),
        ] {
            let found = recent(said);
            assert_eq!(found.is_ok(), good, "{said}");
            if let Err(error) = found {
                assert!(error.contains("install node 20.19"), "{error}");
            }
        }
    }

    #[test]
    fn the_pages_tests_are_found_and_a_folder_without_any_is_an_error() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../gateway/page_tests");
        assert!(all(&here).unwrap().len() >= 5);
        let error = all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap_err();
        assert!(error.ends_with("has no tests"), "{error}");
    }
}
