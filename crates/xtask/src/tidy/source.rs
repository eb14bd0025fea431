//! Why: the only file of tidy that touches the disk. The rules get text.

use std::path::Path;
use std::{fs, io};

/// Folders that are not ours: build output and git's own.
const SKIPPED: [&str; 2] = ["target", ".git"];

/// One text file of the tree.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// Relative to the workspace, with `/` between folders.
    pub(crate) path: String,
    /// All of it.
    pub(crate) text: String,
}

impl Source {
    /// Whether the file's name ends in `.extension`.
    pub(crate) fn has_extension(&self, extension: &str) -> bool {
        Path::new(&self.path)
            .extension()
            .is_some_and(|found| found == extension)
    }

    /// The file's name without its extension.
    pub(crate) fn stem(&self) -> &str {
        Path::new(&self.path)
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or_default()
    }

    /// Whether the whole file is tests: it lies in a folder `tests`, or is `tests.rs` or `…_tests.rs`.
    pub(crate) fn is_test(&self) -> bool {
        self.path.split('/').any(|part| part == "tests")
            || self.stem() == "tests"
            || self.stem().ends_with("_tests")
    }

    /// Whether the file lies in this folder, at any depth.
    pub(crate) fn is_in(&self, folder: &str) -> bool {
        self.path
            .strip_prefix(folder)
            .is_some_and(|rest| rest.starts_with('/'))
    }
}

/// Every text file under `root`, in the order of their paths. What is not UTF-8 is not text.
pub(crate) fn read_tree(root: &Path) -> io::Result<Vec<Source>> {
    let mut sources = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if folder.is_empty() {
                name.clone()
            } else {
                format!("{folder}/{name}")
            };
            let kind = entry.file_type()?;
            if kind.is_dir() && !SKIPPED.contains(&name.as_str()) {
                folders.push(path);
            } else if kind.is_file()
                && let Ok(text) = String::from_utf8(fs::read(entry.path())?)
            {
                sources.push(Source { path, text });
            }
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(sources)
}

/// The names directly under `root`.
pub(crate) fn top_level(root: &Path) -> io::Result<Vec<String>> {
    let entries =
        fs::read_dir(root)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names: Vec<String> = entries.collect::<io::Result<_>>()?;
    names.retain(|name| !SKIPPED.contains(&name.as_str()));
    names.sort();
    Ok(names)
}

/// A made-up file for the tests of the rules.
#[cfg(test)]
pub(crate) fn made_up(path: &str, text: &str) -> Source {
    Source {
        path: path.to_owned(),
        text: text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_text_without_build_output() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["target", ".git", "crates/a/src"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
            fs::write(root.path().join(folder).join("lib.rs"), "//! x").unwrap();
        }
        fs::write(root.path().join("crates/picture.png"), [0xff, 0xfe, 0x00]).unwrap();
        fs::write(root.path().join("Cargo.toml"), "").unwrap();
        let paths: Vec<String> = read_tree(root.path())
            .unwrap()
            .into_iter()
            .map(|source| source.path)
            .collect();
        assert_eq!(paths, ["Cargo.toml", "crates/a/src/lib.rs"]);
        assert_eq!(top_level(root.path()).unwrap(), ["Cargo.toml", "crates"]);
    }

    #[test]
    fn what_is_a_test_is_decided_by_its_path() {
        for (path, expected) in [
            ("crates/a/tests/b.rs", true),
            ("crates/a/src/tests.rs", true),
            ("crates/a/src/tests/b.rs", true),
            ("crates/a/src/b_tests.rs", true),
            ("crates/a/src/contests.rs", false),
            ("crates/testkit/src/lib.rs", false),
        ] {
            assert_eq!(made_up(path, "").is_test(), expected, "{path}");
        }
        assert!(made_up("crates/a/b.rs", "").is_in("crates/a"));
        assert!(!made_up("crates/ab/b.rs", "").is_in("crates/a"));
    }
}
