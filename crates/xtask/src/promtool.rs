//! Why: whether Prometheus reads our page and our alert rules as we mean them, only Prometheus can tell. Its `promtool` is
//! taken out of Debian's package into the target folder: to install the package would start a server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::stages::run;

/// Where tests look for the program.
pub(crate) const VARIABLE: &str = "PARAPHYM_TEST_PROMTOOL";
/// Debian's name for the package.
const PACKAGE: &str = "prometheus";

/// The program, fetched if need be.
pub(crate) fn fetch(target: &Path) -> Result<PathBuf, String> {
    let folder = target.join("prometheus");
    let program = folder.join("usr/bin/promtool");
    if works(&program) {
        println!("{} is here", program.display());
        return Ok(program);
    }
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(failed)?;
    }
    fs::create_dir_all(&folder).map_err(failed)?;
    run(Command::new("apt-get")
        .args(["download", "--quiet", PACKAGE])
        .current_dir(&folder))
    .map_err(|error| format!("{error}; if the package is not known, run `apt-get update`"))?;
    let package = downloaded(&folder)?;
    run(Command::new("dpkg").arg("-x").arg(&package).arg(&folder))?;
    fs::remove_file(&package).map_err(failed)?;
    if works(&program) {
        Ok(program)
    } else {
        Err(format!("{} does not run", program.display()))
    }
}

/// The one package in the folder.
fn downloaded(folder: &Path) -> Result<PathBuf, String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths
        .find(|path| path.extension().is_some_and(|end| end == "deb"))
        .ok_or_else(|| format!("{} has no package", folder.display()))
}

fn works(program: &Path) -> bool {
    let mut command = Command::new(program);
    command
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_found_by_its_end_and_a_program_that_is_not_there_does_not_work() {
        let folder = std::env::temp_dir().join(format!("promtool-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("readme"), "").unwrap();
        assert!(downloaded(&folder).is_err());
        let package = folder.join("prometheus_1_amd64.deb");
        fs::write(&package, "").unwrap();
        assert_eq!(downloaded(&folder), Ok(package));
        assert!(!works(&folder.join("promtool")));
        fs::remove_dir_all(&folder).unwrap();
    }
}
