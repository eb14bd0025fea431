//! Why: whether the API is the one that clients speak, only an official client can tell. It is fetched once by pip into
//! the target folder, at the version that its requirements name, and fetched anew when they change.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::stages::run;

/// Where tests look for the folder of the client.
pub(crate) const VARIABLE: &str = "PARAPHYM_TEST_OPENAI";
/// What it is, for pip.
const REQUIREMENTS: &str = "crates/cli/tests/openai/requirements.txt";
/// The requirements that a folder was made from; written last.
const MADE_FROM: &str = "made_from.txt";

/// The folder with the client, fetched if need be.
pub(crate) fn fetch(workspace: &Path, target: &Path) -> Result<PathBuf, String> {
    let requirements = workspace.join(REQUIREMENTS);
    let wanted = fs::read_to_string(&requirements)
        .map_err(|error| format!("{}: {error}", requirements.display()))?;
    let folder = target.join("openai");
    if is_made_from(&folder, &wanted) {
        println!("{} is here", folder.display());
        return Ok(folder);
    }
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    run(Command::new("python3")
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            // What else this machine's python has is not our concern.
            "--no-warn-conflicts",
            "--root-user-action=ignore",
        ])
        .arg("--target")
        .arg(&folder)
        .arg("--requirement")
        .arg(&requirements))?;
    fs::write(folder.join(MADE_FROM), wanted)
        .map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(folder)
}

fn is_made_from(folder: &Path, wanted: &str) -> bool {
    fs::read_to_string(folder.join(MADE_FROM)).is_ok_and(|made| made == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_counts_only_if_it_was_made_from_the_same_requirements() {
        let folder = std::env::temp_dir().join(format!("official-client-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        assert!(!is_made_from(&folder, "a==1"));
        fs::write(folder.join(MADE_FROM), "a==1").unwrap();
        assert!(is_made_from(&folder, "a==1"));
        assert!(!is_made_from(&folder, "a==2"));
        fs::remove_dir_all(&folder).unwrap();
    }
}
