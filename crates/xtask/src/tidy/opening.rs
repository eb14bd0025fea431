//! Why: a reader who opens a file at random wants to know why it exists before what it does (rule 10).

use super::breach::Breach;
use super::source::Source;

/// Fewer words are a title.
const WORDS_MIN: usize = 5;

/// A breach of rule 10, if the file does not open with a sentence.
pub(crate) fn check(source: &Source) -> Option<Breach> {
    let first: Vec<&str> = source
        .text
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .take_while(|line| !line.trim().is_empty())
        .collect();
    let what = match first.join(" ").trim() {
        "" => "the file does not open with `//!`",
        prose
            if prose.split_whitespace().count() < WORDS_MIN || !prose.contains(['.', ':', '?']) =>
        {
            "the file opens with a title, not a sentence"
        }
        _ => return None,
    };
    Some(Breach::new(
        source,
        1,
        10,
        what,
        "say in a sentence why it exists, and what never happens in it",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::source::made_up;

    #[test]
    fn a_file_without_a_reason_is_found() {
        for text in [
            "",
            "use a;",
            "// Why: a comment nobody documents.",
            "//! Ledger.",
            "//! the ledger of all the bytes",
            "//!\n//! Later, in a sentence of its own.",
        ] {
            assert_eq!(
                check(&made_up("a.rs", text)).map(|breach| breach.place()),
                Some((1, 10)),
                "{text}"
            );
        }
    }

    #[test]
    fn a_sentence_over_two_lines_is_a_reason() {
        assert_eq!(
            check(&made_up(
                "a.rs",
                "//! Bytes are counted\n//! once, here.\n\nuse a;"
            )),
            None
        );
    }
}
