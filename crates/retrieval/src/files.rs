//! Shell: which files are meant by what was typed, and what is in them. Work on the disk: called on a blocking thread.
//!
//! Invariants: no folder is followed up or down but by the pattern's own words; nothing is read beyond its limit; what is
//! refused is named, and stops none of the others.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use conversation_store::memories::{ContentHash, DOCUMENT_PIECES};

use crate::content::file_digest;

/// Files of one call: a project's documents.
pub const FILES: usize = 1000;
/// Bytes of one file: a long book, and about as many pieces as one document may have.
pub const FILE_BYTES: u64 = 4 << 20;
/// Where a zero byte is looked for: text has none, and what is no text mostly has one early.
const LOOK: usize = 8192;

/// A file that was not taken, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {why}")]
pub struct Refused {
    /// The file, or the pattern, as it was given.
    pub path: String,
    /// Why, and what to do.
    pub why: String,
}

impl Refused {
    pub(crate) fn new(path: impl Into<String>, why: impl Into<String>) -> Self {
        let (path, why) = (path.into(), why.into());
        Self { path, why }
    }
}

/// What is in a file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Content {
    pub(crate) text: String,
    pub(crate) digest: ContentHash,
}

/// The files that names and patterns mean, each once, in order. A name that exists is itself, whatever signs are in it.
pub(crate) fn expand(wanted: &[String]) -> (Vec<PathBuf>, Vec<Refused>) {
    let mut files = BTreeSet::new();
    let mut refused = Vec::new();
    for one in wanted {
        match matches(one) {
            Ok(found) => files.extend(found),
            Err(why) => refused.push(Refused::new(one, why)),
        }
    }
    while files.len() > FILES {
        if let Some(path) = files.pop_last() {
            let why = format!("more than {FILES} files at once: name fewer");
            refused.push(Refused::new(path.to_string_lossy(), why));
        }
    }
    (files.into_iter().collect(), refused)
}

fn matches(wanted: &str) -> Result<Vec<PathBuf>, String> {
    let path = Path::new(wanted);
    if path.is_dir() {
        return Err(format!(
            "is a folder: name its files, such as {wanted}/**/*.md"
        ));
    }
    if path.exists() {
        return absolute(path).map(|path| vec![path]);
    }
    let hidden_stay = glob::MatchOptions {
        require_literal_leading_dot: true,
        ..glob::MatchOptions::default()
    };
    let found =
        glob::glob_with(wanted, hidden_stay).map_err(|error| format!("is no pattern: {error}"))?;
    // What may not be looked into is as if it were not there.
    let files = found.flatten().filter(|path| path.is_file());
    // One more than may be, so that it is told.
    let files: Result<Vec<PathBuf>, String> =
        files.take(FILES + 1).map(|path| absolute(&path)).collect();
    let files = files?;
    if files.is_empty() {
        return Err("no such file".to_owned());
    }
    Ok(files)
}

fn absolute(path: &Path) -> Result<PathBuf, String> {
    path.canonicalize().map_err(|error| error.to_string())
}

/// Reads a text file whole.
pub(crate) fn read(path: &Path) -> Result<Content, String> {
    let metadata = path.metadata().map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("is no file".to_owned());
    }
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    // One more than may be: it can grow while it is read.
    let mut bounded = file.take(FILE_BYTES + 1);
    bounded
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 > FILE_BYTES {
        return Err(format!(
            "is larger than {} MiB: give it in parts",
            FILE_BYTES >> 20
        ));
    }
    if bytes.iter().take(LOOK).any(|byte| *byte == 0) {
        return Err("is no text: it holds zero bytes".to_owned());
    }
    let digest = file_digest(&bytes);
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        format!("is no text in UTF-8 (from byte {at} on): convert it first")
    })?;
    Ok(Content { text, digest })
}

/// Why a file that was cut is not taken.
pub(crate) fn too_many(pieces: usize) -> Option<String> {
    (pieces > DOCUMENT_PIECES).then(|| {
        format!("makes {pieces} pieces, and {DOCUMENT_PIECES} are allowed: give it in parts")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_patterns_mean_files_once_each() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
        std::fs::create_dir_all(at("sub")).unwrap();
        for name in [
            "a.md",
            "b.md",
            "c.txt",
            "sub/d.md",
            ".hidden.md",
            "odd[1].md",
        ] {
            std::fs::write(at(name), name).unwrap();
        }
        let (files, refused) = expand(&[at("*.md"), at("a.md"), at("**/*.md"), at("odd[1].md")]);
        let names: Vec<String> = files
            .iter()
            .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        assert_eq!(names, ["a.md", "b.md", "odd[1].md", "d.md"]);
        assert_eq!(refused, []);
        let (files, refused) = expand(&[at("no.md"), at("no*.md"), at("sub"), at("[")]);
        assert!(files.is_empty());
        let why: Vec<&str> = refused.iter().map(|refused| refused.why.as_str()).collect();
        assert_eq!(why[..2], ["no such file"; 2]);
        assert!(
            why[2].starts_with("is a folder") && why[3].starts_with("is no pattern"),
            "{why:?}"
        );
    }

    #[test]
    fn what_is_no_text_or_too_large_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let write = |name: &str, bytes: &[u8]| std::fs::write(at(name), bytes).unwrap();
        write("ok", "tea, Straße".as_bytes());
        write("empty", b"");
        write("zero", b"a\0b");
        write("latin", b"stra\xdfe");
        write("large", &vec![b'a'; FILE_BYTES as usize + 1]);
        assert_eq!(read(&at("ok")).unwrap().text, "tea, Straße");
        assert_eq!(read(&at("empty")).unwrap().text, "");
        for (name, why) in [
            ("zero", "zero bytes"),
            ("latin", "byte 4 on"),
            ("large", "larger than 4 MiB"),
            ("none", "o such file"),
        ] {
            let refused = read(&at(name)).unwrap_err();
            assert!(refused.contains(why), "{name}: {refused}");
        }
        assert!(read(folder.path()).unwrap_err().contains("no file"));
    }

    #[test]
    fn more_files_than_may_be_are_named() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..=FILES {
            std::fs::write(folder.path().join(format!("{number:04}")), "a").unwrap();
        }
        let (files, refused) = expand(&[folder.path().join("*").to_string_lossy().into_owned()]);
        assert_eq!((files.len(), refused.len()), (FILES, 1));
        assert!(refused[0].path.ends_with("1000"));
    }
}
