//! Why: the tests of a real answer need a real model, and those of what texts mean another. Each is fetched once by the product's own `model pull`, into the
//! folder a user's models lie in, and reused while its checksum is right. Which model that is, where it lies and what
//! its checksum should be, only the product knows: it is asked. Nothing here speaks to the network.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::stages::run;

/// Where tests look for the path of the model.
pub(crate) const VARIABLE: &str = "PARAPHYM_TEST_MODEL";

/// Where tests look for the path of the embedding model.
pub(crate) const EMBEDDER_VARIABLE: &str = "PARAPHYM_TEST_EMBEDDER";
/// What the product calls that one.
const EMBEDDER: &str = "all-minilm-l6-v2";

/// The paths of the models that tests need.
#[derive(Clone, Debug)]
pub(crate) struct TestModels {
    /// The one that answers.
    pub(crate) chat: PathBuf,
    /// The one that embeds.
    pub(crate) embedder: PathBuf,
}

/// Both models, each pulled by `paraphym` if need be.
pub(crate) fn fetch(paraphym: &Path) -> Result<TestModels, String> {
    Ok(TestModels {
        chat: one(paraphym, VARIABLE, &[])?,
        embedder: one(paraphym, EMBEDDER_VARIABLE, &[EMBEDDER])?,
    })
}

/// The path of a model: the one `variable` names, or the one of that name, pulled if need be.
fn one(paraphym: &Path, variable: &str, name: &[&str]) -> Result<PathBuf, String> {
    if let Some(path) = env::var_os(variable).map(PathBuf::from) {
        let found = path.is_file();
        return if found {
            Ok(path)
        } else {
            Err(format!(
                "{variable} names {}, which is no file",
                path.display()
            ))
        };
    }
    // Twice: with progress for whoever waits, then, when it is here, for the name.
    run(Command::new(paraphym).args(["model", "pull"]).args(name))?;
    let pulled = last_line(paraphym, &[&["model", "pull", "--json"], name].concat())?;
    let name = text(&pulled, "/name")?;
    let shown = last_line(paraphym, &["model", "show", "--json", name])?;
    let path = sound(&shown)?;
    println!("{} is here", path.display());
    Ok(path)
}

/// The path of what `model show` showed, if that is what it should be.
fn sound(shown: &Value) -> Result<PathBuf, String> {
    let path = text(shown, "/installed/path")?;
    match text(shown, "/state")? {
        "sound" => Ok(path.into()),
        state => Err(format!(
            "{path} is {state}, not what the catalogue says: `paraphym model rm` it, then run this again"
        )),
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> Result<&'a str, String> {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .ok_or_else(|| format!("paraphym said nothing about {pointer} in {value}"))
}

/// The last line a program writes, which is JSON.
fn last_line(program: &Path, arguments: &[&str]) -> Result<Value, String> {
    let line = format!("`{} {}`", program.display(), arguments.join(" "));
    let output = Command::new(program)
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("{line} could not be started: {error}"))?;
    if !output.status.success() {
        return Err(format!("{line} ended with {}", output.status));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().last().unwrap_or_default();
    serde_json::from_str(last).map_err(|error| format!("{line} said {last:?}: {error}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_model_that_is_as_it_should_be_is_taken() {
        let shown = |state| json!({"state": state, "installed": {"path": "/m/a.gguf"}});
        assert_eq!(sound(&shown("sound")), Ok("/m/a.gguf".into()));
        let error = sound(&shown("damaged")).unwrap_err();
        assert!(error.contains("/m/a.gguf is damaged"), "{error}");
        let absent = json!({"state": "absent", "installed": null});
        assert!(sound(&absent).unwrap_err().contains("/installed/path"));
    }

    #[test]
    fn a_program_is_heard_by_its_last_line() {
        let echo = Path::new("echo");
        let heard = last_line(echo, &["{\"a\":1}\n{\"a\":2}"]);
        assert_eq!(heard, Ok(json!({"a": 2})));
        assert!(last_line(echo, &["hello"]).unwrap_err().contains("hello"));
        assert!(
            last_line(Path::new("false"), &[])
                .unwrap_err()
                .contains("ended with")
        );
    }
}
