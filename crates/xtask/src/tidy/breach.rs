//! Why: every rule speaks alike: where, which rule, what is wrong, and the way out.

use std::fmt;

use super::source::Source;

/// One place that breaks one rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Breach {
    path: String,
    line: usize,
    /// The rule's number in docs/style.md, 1 to 18.
    rule: u8,
    what: String,
    way_out: String,
}

impl Breach {
    /// A breach at a line of a file, the first being 1.
    pub(crate) fn new(
        source: &Source,
        line: usize,
        rule: u8,
        what: impl Into<String>,
        way_out: impl Into<String>,
    ) -> Self {
        Self::at(&source.path, line, rule, what, way_out)
    }

    /// A breach at a path that is not a file that was read.
    pub(crate) fn at(
        path: &str,
        line: usize,
        rule: u8,
        what: impl Into<String>,
        way_out: impl Into<String>,
    ) -> Self {
        Self {
            path: path.to_owned(),
            line,
            rule,
            what: what.into(),
            way_out: way_out.into(),
        }
    }

    /// The line and the rule: what the tests of the rules compare.
    #[cfg(test)]
    pub(crate) fn place(&self) -> (usize, u8) {
        (self.line, self.rule)
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}: rule {}: {}; {}",
            self.path, self.line, self.rule, self.what, self.way_out
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_breach_reads_as_a_compiler_line() {
        let breach = Breach::at("a/b.rs", 3, 9, "too long", "split it");
        assert_eq!(breach.to_string(), "a/b.rs:3: rule 9: too long; split it");
    }
}
