//! `SentencePiece` BPE by scores (arXiv:1808.06226), as Llama 1 and 2 and Mistral use it: the neighbouring pair whose
//! union is the best-scored token is joined, again and again; what has no token falls back to bytes.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use engine::{LoadError, TextError, TokenId};

use crate::file::GgufFile;
use crate::specials::Specials;
use crate::texts::{Index, Texts};
use crate::vocabulary::{Kind, Vocabulary, byte_of};

/// How a space is written inside tokens.
const SPACE: char = '\u{2581}';

/// The tokenizer.
pub struct SentencePieces {
    /// All tokens, with their scores, and where those that may be made from text are found.
    texts: Arc<Texts>,
    scores: Vec<f32>,
    pieces: Index,
    bytes: HashMap<u8, TokenId>,
    unknown: Option<TokenId>,
    /// Gemma has runs of spaces and of line ends so.
    literals: Specials,
    prefix_space: bool,
}

/// A run of the text that is one token so far; runs form a list.
struct Run {
    from: usize,
    to: usize,
    left: Option<usize>,
    right: Option<usize>,
    alive: bool,
}

/// Two neighbours that could be joined.
struct Join {
    score: f32,
    left: usize,
    right: usize,
    /// The union's length when it was found: stale joins have another.
    bytes: usize,
}

impl PartialEq for Join {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Join {}
impl PartialOrd for Join {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Join {
    /// The best score first; the leftmost among equals.
    fn cmp(&self, other: &Self) -> Ordering {
        self.score
            .total_cmp(&other.score)
            .then(other.left.cmp(&self.left))
    }
}

impl SentencePieces {
    /// Whether the file has what is needed, without building anything.
    ///
    /// # Errors
    /// `Malformed`.
    pub fn check(file: &GgufFile, vocabulary: &Vocabulary) -> Result<(), LoadError> {
        Self::scores(file, vocabulary).map(|_| ())
    }

    fn scores<'f>(file: &'f GgufFile, vocabulary: &Vocabulary) -> Result<&'f [f32], LoadError> {
        const NAME: &str = "tokenizer.ggml.scores";
        let scores = file.optional_floats(NAME)?.unwrap_or(&[]);
        if scores.len() == vocabulary.len() {
            Ok(scores)
        } else {
            Err(file.malformed(format!(
                "`{NAME}` has {} entries; there are {} tokens",
                scores.len(),
                vocabulary.len()
            )))
        }
    }

    /// Builds it.
    ///
    /// # Errors
    /// `Malformed`.
    pub fn build(file: &GgufFile, vocabulary: &Vocabulary) -> Result<Self, LoadError> {
        let scores = Self::scores(file, vocabulary)?;
        let texts = vocabulary.texts();
        let mut built = Self {
            texts: Arc::clone(texts),
            scores: scores.to_vec(),
            pieces: Index::for_many(texts.len()),
            bytes: HashMap::new(),
            unknown: None,
            literals: Specials::literals(vocabulary),
            prefix_space: file
                .optional_bool("tokenizer.ggml.add_space_prefix")?
                .unwrap_or(true),
        };
        for (id, text, kind) in vocabulary.iter() {
            match kind {
                Kind::Normal | Kind::User => {
                    // Of the same texts the first stays.
                    let _ = built.pieces.insert(texts, id);
                }
                Kind::Byte => {
                    if let Some(byte) = byte_of(text) {
                        built.bytes.entry(byte).or_insert(id);
                    }
                }
                Kind::Unknown => built.unknown = built.unknown.or(Some(id)),
                Kind::Control | Kind::Unused => {}
            }
        }
        Ok(built)
    }

    /// The tokens of a text.
    ///
    /// # Errors
    /// `Tokenizer` when a byte has no token and there is none for the unknown.
    pub fn encode(&self, text: &str, tokens: &mut Vec<TokenId>) -> Result<(), TextError> {
        let mut rest = text;
        while !rest.is_empty() {
            let is_first = rest.len() == text.len();
            if let Some((literal, token)) = self.literals.at(rest) {
                tokens.push(token);
                rest = rest.get(literal.len()..).unwrap_or_default();
                continue;
            }
            let end = self.literals.find(rest).unwrap_or(rest.len());
            let (words, behind) = rest.split_at(end);
            self.encode_words(words, is_first && self.prefix_space, tokens)?;
            rest = behind;
        }
        Ok(())
    }

    /// The tokens of a text in which no literal stands.
    fn encode_words(
        &self,
        text: &str,
        prefix_space: bool,
        tokens: &mut Vec<TokenId>,
    ) -> Result<(), TextError> {
        let mut spaced = String::with_capacity(text.len() + 3);
        if prefix_space {
            spaced.push(SPACE);
        }
        spaced.extend(text.chars().map(|c| if c == ' ' { SPACE } else { c }));
        for run in self.join(&spaced).iter().filter(|run| run.alive) {
            let piece = spaced.get(run.from..run.to).unwrap_or_default();
            match self.pieces.find(&self.texts, piece) {
                Some(token) => tokens.push(token),
                None => self.fall_back(piece, tokens)?,
            }
        }
        Ok(())
    }

    fn fall_back(&self, piece: &str, tokens: &mut Vec<TokenId>) -> Result<(), TextError> {
        for byte in piece.bytes() {
            let token = self.bytes.get(&byte).copied().or(self.unknown);
            tokens.push(token.ok_or_else(|| {
                TextError::Tokenizer(format!(
                    "{piece:?} has no token, and neither has its byte {byte:#04x}"
                ))
            })?);
        }
        Ok(())
    }

    /// Joins characters to tokens; what is alive afterwards, in order, covers the text.
    fn join(&self, text: &str) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for (index, (from, character)) in text.char_indices().enumerate() {
            runs.push(Run {
                from,
                to: from + character.len_utf8(),
                left: index.checked_sub(1),
                right: Some(index + 1),
                alive: true,
            });
        }
        if let Some(last) = runs.last_mut() {
            last.right = None;
        }
        let mut joins = BinaryHeap::new();
        for left in 0..runs.len().saturating_sub(1) {
            joins.extend(self.offer(text, &runs, left, left + 1));
        }
        while let Some(best) = joins.pop() {
            let (Some(left), Some(right)) = (runs.get(best.left), runs.get(best.right)) else {
                continue;
            };
            let stale = !left.alive || !right.alive || right.to - left.from != best.bytes;
            if stale {
                continue;
            }
            let (to, after, before) = (right.to, right.right, left.left);
            if let Some(right) = runs.get_mut(best.right) {
                right.alive = false;
            }
            if let Some(left) = runs.get_mut(best.left) {
                left.to = to;
                left.right = after;
            }
            if let Some(after) = after.and_then(|index| runs.get_mut(index)) {
                after.left = Some(best.left);
            }
            joins.extend(before.and_then(|before| self.offer(text, &runs, before, best.left)));
            joins.extend(after.and_then(|after| self.offer(text, &runs, best.left, after)));
        }
        runs
    }

    fn offer(&self, text: &str, runs: &[Run], left: usize, right: usize) -> Option<Join> {
        let (from, to) = (runs.get(left)?.from, runs.get(right)?.to);
        let token = self.pieces.find(&self.texts, text.get(from..to)?)?;
        Some(Join {
            score: *self.scores.get(token as usize)?,
            left,
            right,
            bytes: to - from,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(list: &[(&str, f32)], prefix_space: bool) -> SentencePieces {
        let mut texts = Texts::for_many(list.len());
        let mut pieces = Index::for_many(list.len());
        for (token, (text, _)) in (0..).zip(list) {
            assert!(texts.push(text));
            assert_eq!(pieces.insert(&texts, token), None);
        }
        SentencePieces {
            texts: Arc::new(texts),
            scores: list.iter().map(|(_, score)| *score).collect(),
            pieces,
            bytes: (0..=255).map(|b| (b, 1000 + TokenId::from(b))).collect(),
            unknown: None,
            literals: Specials::new([("  ", 70), ("<b>", 71)].into_iter()),
            prefix_space,
        }
    }

    #[test]
    fn a_literal_is_taken_before_anything_is_joined() {
        let list = [
            ("▁", -1.0),
            ("a", -1.0),
            ("▁a", -0.5),
            ("<", -1.0),
            ("b", -1.0),
            (">", -1.0),
        ];
        for (text, prefix_space, expected) in [
            ("a   a", false, &[1, 70, 2][..]),
            ("a    a", false, &[1, 70, 70, 1]),
            ("a  ", true, &[2, 70]),
            ("  a", true, &[70, 1]),
            ("<b>a<b", false, &[71, 1, 3, 4]),
        ] {
            let mut tokens = Vec::new();
            pieces(&list, prefix_space)
                .encode(text, &mut tokens)
                .unwrap();
            assert_eq!(tokens, expected, "{text:?}");
        }
    }

    #[test]
    fn the_best_score_is_joined_first() {
        let list = [
            ("a", -9.0),
            ("b", -9.0),
            ("c", -9.0),
            ("ab", -2.0),
            ("bc", -1.0),
            ("abc", -3.0),
        ];
        let mut tokens = Vec::new();
        pieces(&list, false).encode("abc", &mut tokens).unwrap();
        assert_eq!(tokens, [5], "a + bc = abc");
        tokens.clear();
        pieces(&list[..5], false)
            .encode("abc", &mut tokens)
            .unwrap();
        assert_eq!(tokens, [0, 4]);
        tokens.clear();
        pieces(&list[..5], false)
            .encode("abab", &mut tokens)
            .unwrap();
        assert_eq!(tokens, [3, 3]);
    }

    #[test]
    fn spaces_are_spelled_and_prefixed() {
        let list = [("▁", -1.0), ("a", -1.0), ("▁a", -0.5)];
        let mut tokens = Vec::new();
        pieces(&list, true).encode("a a", &mut tokens).unwrap();
        assert_eq!(tokens, [2, 2]);
        tokens.clear();
        pieces(&list, false).encode("a a", &mut tokens).unwrap();
        assert_eq!(tokens, [1, 2]);
    }

    #[test]
    fn what_has_no_token_becomes_bytes() {
        let mut tokens = Vec::new();
        pieces(&[("a", 0.0)], false)
            .encode("aé", &mut tokens)
            .unwrap();
        assert_eq!(tokens, [0, 1000 + 0xc3, 1000 + 0xa9]);
    }
}
