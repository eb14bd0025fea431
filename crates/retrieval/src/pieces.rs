//! A document in pieces that one vector can stand for, each with its place so that it can be cited. Cut where the text
//! itself has joints: between sections, paragraphs, sentences, words, in this order.

use conversation_store::memories::Piece;
use text_splitter::{ChunkConfig, MarkdownSplitter, TextSplitter};

use crate::content::content_hash;

/// Characters of a piece at most. The embedding model reads 256 tokens and ignores the rest; an English token has some four
/// characters, and tables and names have shorter ones.
pub const PIECE_CHARACTERS: usize = 800;
/// Characters that two neighbours share at most, about two sentences: what is said across a cut is whole in one of them.
pub const OVERLAP_CHARACTERS: usize = 120;

/// How a document is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Sections, lists and code of Markdown are kept together.
    Markdown,
    /// Anything else.
    Text,
}

impl Form {
    /// By the end of the file's name.
    pub fn of(path: &str) -> Self {
        let end = path
            .rsplit_once('.')
            .map(|(_, end)| end.to_ascii_lowercase());
        match end.as_deref() {
            Some("md" | "markdown" | "mdx") => Self::Markdown,
            _ => Self::Text,
        }
    }
}

/// Cuts a text. Pieces come in order, none is empty, and nothing but space is in none of them.
pub fn cut(text: &str, form: Form) -> Vec<Piece> {
    let Ok(config) = ChunkConfig::new(PIECE_CHARACTERS).with_overlap(OVERLAP_CHARACTERS) else {
        // The overlap is smaller than the piece; a test holds the two to it.
        return Vec::new();
    };
    let mut lines = Lines::of(text);
    let mut piece = |(start, words): (usize, &str)| {
        let end = start + words.len();
        Piece {
            text: words.to_owned(),
            hash: content_hash(words),
            lines: (lines.of_byte(start), lines.of_byte(end.saturating_sub(1))),
            bytes: start as u64..end as u64,
        }
    };
    match form {
        Form::Markdown => {
            let splitter = MarkdownSplitter::new(config);
            splitter.chunk_indices(text).map(&mut piece).collect()
        }
        Form::Text => {
            let splitter = TextSplitter::new(config);
            splitter.chunk_indices(text).map(&mut piece).collect()
        }
    }
}

/// Where each line begins.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self(
            std::iter::once(0)
                .chain(ends.map(|(end, _)| end + 1))
                .collect(),
        )
    }

    /// The line of a byte, from 1.
    fn of_byte(&mut self, byte: usize) -> u32 {
        self.0.partition_point(|begin| *begin <= byte) as u32
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MARKDOWN: &str = "# Tea\n\nTea grows on hills.\n\n## Milk\n\nMilk comes later.\n";

    fn check(text: &str, pieces: &[Piece]) {
        let mut end = 0;
        for piece in pieces {
            let (from, to) = (piece.bytes.start as usize, piece.bytes.end as usize);
            assert_eq!(&text[from..to], piece.text);
            assert!(!piece.text.trim().is_empty());
            assert!(piece.text.chars().count() <= PIECE_CHARACTERS);
            let line = |byte: usize| {
                text.bytes()
                    .take(byte)
                    .filter(|byte| *byte == b'\n')
                    .count() as u32
                    + 1
            };
            assert_eq!(piece.lines, (line(from), line(to - 1)));
            // What lies between two pieces is space.
            if from > end {
                assert_eq!(text[end..from].trim(), "", "lost between {end} and {from}");
            }
            end = end.max(to);
        }
        assert_eq!(text[end..].trim(), "", "lost after {end}");
    }

    #[test]
    fn a_small_text_is_one_piece_with_its_lines() {
        let pieces = cut(MARKDOWN, Form::Markdown);
        check(MARKDOWN, &pieces);
        assert_eq!(pieces.len(), 1);
        assert_eq!(pieces[0].lines, (1, 7));
        for nothing in ["", " \n\n "] {
            assert!(cut(nothing, Form::Text).is_empty() && cut(nothing, Form::Markdown).is_empty());
        }
    }

    #[test]
    fn markdown_is_cut_between_its_sections() {
        let section = |name: &str| {
            format!(
                "## {name}\n\n{}\n\n",
                format!("A sentence of {name}. ").repeat(30).trim()
            )
        };
        let text = format!(
            "# All\n\n{}{}{}",
            section("tea"),
            section("milk"),
            section("bread")
        );
        let pieces = cut(&text, Form::Markdown);
        check(&text, &pieces);
        for name in ["tea", "milk", "bread"] {
            let begins = pieces
                .iter()
                .filter(|piece| piece.text.contains(&format!("## {name}")))
                .count();
            assert_eq!(begins, 1, "{name}");
        }
        assert!(pieces.iter().any(|piece| piece.text.starts_with("## milk")));
    }

    #[test]
    fn neighbours_share_what_lies_across_the_cut() {
        let text: String = (0..200)
            .map(|number| format!("Sentence number {number} is here."))
            .collect::<Vec<_>>()
            .join(" ");
        let pieces = cut(&text, Form::Text);
        check(&text, &pieces);
        assert!(pieces.len() > 5);
        for pair in pieces.windows(2) {
            assert!(
                pair[1].bytes.start < pair[0].bytes.end,
                "{:?} {:?}",
                pair[0].bytes,
                pair[1].bytes
            );
            assert!(pair[0].bytes.end - pair[1].bytes.start <= OVERLAP_CHARACTERS as u64);
        }
    }

    #[test]
    fn the_form_is_told_by_the_name() {
        for (path, form) in [
            ("a/README.md", Form::Markdown),
            ("A.MD", Form::Markdown),
            ("notes.txt", Form::Text),
            ("md", Form::Text),
            ("a.rs", Form::Text),
        ] {
            assert_eq!(Form::of(path), form, "{path}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn nothing_but_space_is_lost(text in "(\\PC{0,40}[ \n#*`-]{0,3}){0,120}") {
            check(&text, &cut(&text, Form::Text));
            check(&text, &cut(&text, Form::Markdown));
        }
    }
}
