//! Why: pages name the tests that hold what they say (rules 16 and 17), so a test that is named must be there.

use std::collections::BTreeSet;

use super::source::Source;

/// The names of all tests of the tree.
pub(crate) struct NamedTests<'a>(BTreeSet<&'a str>);

impl<'a> NamedTests<'a> {
    /// A test is a function that is marked as one. In a `proptest!` it is marked once more by the macro.
    pub(crate) fn of(sources: &'a [Source]) -> Self {
        let code = sources.iter().filter(|source| source.has_extension("rs"));
        Self(code.flat_map(|source| tests_in(&source.text)).collect())
    }

    /// Whether there is a test of that name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains(name)
    }
}

/// The functions right below a line of attributes that says `test`.
fn tests_in(code: &str) -> Vec<&str> {
    let mut marked = false;
    let mut found = Vec::new();
    for line in code.lines().map(str::trim_start) {
        if line.starts_with("#[") {
            marked |= line.contains("test");
            continue;
        }
        if marked && let Some(name) = function_in(line) {
            found.push(name);
        }
        marked = false;
    }
    found
}

fn function_in(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("fn ")?;
    let (name, _) = rest.split_once('(')?;
    Some(name.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_marked_functions_are_tests() {
        let code = "#[test]\nfn one() {}\n\n#[tokio::test(start_paused = true)]\n#[ignore]\nasync fn two() {}\n\n\
                    fn helper() {}\n    #[test]\n    fn three(n in 0..3u8) {}\n#[must_use]\nfn other() {}\n";
        assert_eq!(tests_in(code), ["one", "two", "three"]);
    }
}
