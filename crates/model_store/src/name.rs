//! What a model's name may mean, so that a name never becomes a path by accident.

use std::fmt;
use std::path::PathBuf;

use domain::{FieldError, ModelName};

use crate::pull::sibling;

/// Longest name or path taken: what Linux accepts as a path.
const LONGEST: usize = 4096;

/// What someone who names a model wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A name of the catalogue or of the store.
    Name(String),
    /// A GGUF file on this machine, as it is.
    Path(PathBuf),
    /// `hf:OWNER/REPO/FILE`.
    HuggingFace(HubFile),
}

/// One file of one Hugging Face repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubFile {
    /// `OWNER/REPO`.
    pub repo: String,
    /// The file's path in the repository; what a user names ends with `.gguf`.
    pub file: String,
}

impl HubFile {
    /// The file's name without its folders: its name in the store.
    pub fn file_name(&self) -> &str {
        self.file.rsplit('/').next().unwrap_or(&self.file)
    }
}

impl HubFile {
    /// Another file in the same folder of the same repository.
    pub(crate) fn beside(&self, name: &str) -> Self {
        Self {
            repo: self.repo.clone(),
            file: sibling(&self.file, name),
        }
    }
}

impl fmt::Display for HubFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hf:{}/{}", self.repo, self.file)
    }
}

impl Wanted {
    /// Reads a name: `hf:…`, a path (it has a `/` or ends with `.gguf`), else a name.
    ///
    /// # Errors
    /// Names `model`, the text and what would be accepted.
    pub fn parse(name: &ModelName) -> Result<Self, FieldError> {
        let text = name.as_str();
        if text.is_empty() || text.len() > LONGEST || text.chars().any(char::is_control) {
            return Err(refuse(text));
        }
        if let Some(rest) = text.strip_prefix("hf:") {
            return HubFile::parse(rest, text).map(Self::HuggingFace);
        }
        if text.contains(['/', '\\']) || is_gguf(text) {
            return Ok(Self::Path(PathBuf::from(text)));
        }
        if is_plain(text) && text.len() <= 128 {
            return Ok(Self::Name(text.to_owned()));
        }
        Err(refuse(text))
    }
}

impl HubFile {
    fn parse(rest: &str, whole: &str) -> Result<Self, FieldError> {
        let mut parts = rest.splitn(3, '/');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(owner), Some(repo), Some(file))
                if is_plain(owner)
                    && is_plain(repo)
                    && file.split('/').all(is_plain)
                    && is_gguf(file) =>
            {
                Ok(Self {
                    repo: format!("{owner}/{repo}"),
                    file: file.to_owned(),
                })
            }
            _ => Err(FieldError::new(
                "model",
                whole,
                "hf:OWNER/REPO/FILE.gguf, with letters, digits, '.', '_', '-' and '+'",
            )),
        }
    }
}

fn refuse(text: &str) -> FieldError {
    FieldError::new(
        "model",
        text,
        "a name from `paraphym model list`, the path of a .gguf file, or hf:OWNER/REPO/FILE.gguf",
    )
}

/// Safe as one component of a path or URL: no separator, no leading dot (so no `..` and no hidden file).
fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('.')
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+'))
}

fn is_gguf(text: &str) -> bool {
    std::path::Path::new(text)
        .extension()
        .is_some_and(|e| e.eq_ignore_ascii_case("gguf"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Wanted, FieldError> {
        Wanted::parse(&ModelName::new(text))
    }

    #[test]
    fn names_paths_and_hub_files_are_told_apart() {
        let hub = |repo: &str, file: &str| {
            Wanted::HuggingFace(HubFile {
                repo: repo.into(),
                file: file.into(),
            })
        };
        for (text, expected) in [
            ("smollm2", Wanted::Name("smollm2".into())),
            ("a.b_c-d+e", Wanted::Name("a.b_c-d+e".into())),
            ("x.gguf", Wanted::Path("x.gguf".into())),
            ("x.GGUF", Wanted::Path("x.GGUF".into())),
            ("./weights", Wanted::Path("./weights".into())),
            ("/a b/ü.gguf", Wanted::Path("/a b/ü.gguf".into())),
            ("hf:o/r/f.gguf", hub("o/r", "f.gguf")),
            ("hf:o/r/sub/f.gguf", hub("o/r", "sub/f.gguf")),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn bad_names_are_refused_by_field() {
        for text in [
            "",
            "..",
            ".hidden",
            "two words",
            "a\nb",
            "a\0.gguf",
            "name;rm",
            "hf:",
            "hf:o/r",
            "hf:o/r/",
            "hf:o/r/f.bin",
            "hf:o/r/../f.gguf",
            "hf:../r/f.gguf",
            "hf:o//f.gguf",
            "hf:o/r/a//f.gguf",
            "hf:o/r/.gguf",
            "hf:o/r/f.gguf?x=1",
            "hf:o/r/%2e%2e/f.gguf",
            &"x".repeat(129),
            &format!("/{}", "x".repeat(LONGEST)),
        ] {
            assert_eq!(parse(text).map_err(|e| e.field), Err("model"), "{text:?}");
        }
    }

    proptest! {
        /// Whatever is typed, a hub file never climbs out of its repository and a name never has a separator.
        #[test]
        fn nothing_climbs(text in "(hf:)?[a./\\\\%g-]{0,24}(\\.gguf)?") {
            match parse(&text) {
                Ok(Wanted::HuggingFace(file)) => {
                    prop_assert!(!file.file.split('/').any(|p| p.is_empty() || p.starts_with('.')));
                    prop_assert!(!file.file_name().contains('/'));
                }
                Ok(Wanted::Name(name)) => prop_assert!(!name.contains(['/', '\\']) && !name.starts_with('.')),
                Ok(Wanted::Path(_)) | Err(_) => {}
            }
        }
    }
}
