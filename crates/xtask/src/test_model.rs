//! Why: the tests of a real answer need a real model. It is fetched once by the product's own `model pull`, into the
//! folder a user's models lie in, and reused while its checksum is right. Nothing here speaks to the network.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::stages::run;

/// Where tests look for the path of the model.
pub(crate) const VARIABLE: &str = "PARAPHYM_TEST_MODEL";

/// The catalogue's name for the model.
const NAME: &str = "smollm2-135m-instruct";

/// Its file and checksum, as in the catalogue of `model_store`.
const FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
const SHA256: &str = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";

/// The path of the model: the one `PARAPHYM_TEST_MODEL` names, or the default one, pulled by `paraphym` if need be.
pub(crate) fn fetch(paraphym: &Path) -> Result<PathBuf, String> {
    if let Some(path) = env::var_os(VARIABLE).map(PathBuf::from) {
        let found = path.is_file();
        return if found {
            Ok(path)
        } else {
            Err(format!(
                "{VARIABLE} names {}, which is no file",
                path.display()
            ))
        };
    }
    let path = models_folder(|name| env::var_os(name))
        .ok_or("neither XDG_DATA_HOME nor HOME is an absolute path: set one, models lie below it")?
        .join(FILE);
    if checksum(&path).as_deref() == Ok(SHA256) {
        println!("{} is here already", path.display());
        return Ok(path);
    }
    run(Command::new(paraphym).args(["model", "pull", NAME]))?;
    match checksum(&path) {
        Ok(sum) if sum == SHA256 => Ok(path),
        Ok(sum) => Err(format!(
            "{} has the SHA-256 {sum}, expected {SHA256}",
            path.display()
        )),
        Err(reason) => Err(format!(
            "`model pull {NAME}` did not leave {}: {reason}",
            path.display()
        )),
    }
}

/// The folder `paraphym model pull` writes to.
fn models_folder(env: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let absolute = |name: &str| {
        env(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let data =
        absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")))?;
    Some(data.join("paraphym/models"))
}

/// The file's SHA-256 in lower-case hex, by the system's `sha256sum`.
fn checksum(path: &Path) -> Result<String, String> {
    let output = Command::new("sha256sum")
        .arg("--")
        .arg(path)
        .output()
        .map_err(|error| format!("sha256sum: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    // A name with odd characters makes sha256sum put a backslash in front.
    let sum = text.split_whitespace().next().unwrap_or_default();
    Ok(sum.trim_start_matches('\\').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_the_one_of_the_specification() {
        for (xdg, home, expected) in [
            (Some("/d"), Some("/h"), Some("/d/paraphym/models")),
            (
                Some("relative"),
                Some("/h"),
                Some("/h/.local/share/paraphym/models"),
            ),
            (None, None, None),
        ] {
            let env = |name: &str| {
                if name == "HOME" {
                    home.map(OsString::from)
                } else {
                    xdg.map(OsString::from)
                }
            };
            assert_eq!(models_folder(env), expected.map(PathBuf::from));
        }
    }

    #[test]
    fn a_checksum_is_of_the_contents() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        assert!(checksum(&path).unwrap_err().contains("No such file"));
        std::fs::write(&path, "abc").unwrap();
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(checksum(&path).as_deref(), Ok(expected));
    }
}
