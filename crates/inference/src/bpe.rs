//! Byte-level BPE, rebuilt from the file's tokens and merges.
//!
//! How text is cut into words before merging differs between models and changes their tokens, so the file's
//! `tokenizer.ggml.pre` must be one that is known: an unknown one is an error, not a guess.

use std::sync::Arc;

use engine::{LoadError, TextError, TokenId};
use tokenizers::normalizers::NFC;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{
    NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
    PreTokenizerWrapper, SplitDelimiterBehavior,
};

use crate::file::GgufFile;
use crate::merges::{Merges, Merging, WrongMerge};
use crate::texts::{Index, Texts};
use crate::vocabulary::Vocabulary;

/// Llama 3's words: up to three digits at a time.
const LLAMA3_WORDS: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Qwen 2's words: the same with single digits.
const QWEN2_WORDS: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// GPT-4o's words, for Phi 4 mini: where small letters are followed by large ones a word ends, and ends like `'s` stay with it.
const GPT4O_WORDS: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// How a text is cut into words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Words {
    /// GPT-2's own rule, which is the default of files that name none.
    Gpt2,
    /// Every digit alone, then GPT-2's rule.
    SmolLm,
    Llama3,
    /// Llama 3's words, of which each is merged, also one that is a token.
    Dbrx,
    Gpt4o,
    Qwen2,
}

impl Words {
    const ALL: [(&str, Self); 13] = [
        ("default", Self::Gpt2),
        ("gpt-2", Self::Gpt2),
        ("gpt2", Self::Gpt2),
        ("smollm", Self::SmolLm),
        ("llama-bpe", Self::Llama3),
        ("llama3", Self::Llama3),
        ("llama-v3", Self::Llama3),
        // Granite 3, Phi 4, and what was made of Llama 3.
        ("refact", Self::SmolLm),
        ("dbrx", Self::Dbrx),
        ("smaug-bpe", Self::Dbrx),
        ("gpt-4o", Self::Gpt4o),
        ("qwen2", Self::Qwen2),
        ("deepseek-r1-qwen", Self::Qwen2),
    ];

    fn read(file: &GgufFile) -> Result<Self, LoadError> {
        let name = file
            .optional_text("tokenizer.ggml.pre")?
            .unwrap_or("default");
        Self::ALL
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, words)| *words)
            .ok_or_else(|| {
                let known: Vec<&str> = Self::ALL.iter().map(|(n, _)| *n).collect();
                file.unsupported(
                    format!("the pre-tokenizer `{name}` (tokenizer.ggml.pre)"),
                    format!("{} are", known.join(", ")),
                )
            })
    }

    fn build(self) -> tokenizers::Result<PreTokenizerWrapper> {
        let byte_level = |cut| PreTokenizerWrapper::ByteLevel(ByteLevel::new(false, true, cut));
        let first = match self {
            Self::Gpt2 => return Ok(byte_level(true)),
            Self::SmolLm => PreTokenizerWrapper::Digits(Digits::new(true)),
            Self::Llama3 | Self::Dbrx => split(LLAMA3_WORDS)?,
            Self::Gpt4o => split(GPT4O_WORDS)?,
            Self::Qwen2 => split(QWEN2_WORDS)?,
        };
        let second = byte_level(self == Self::SmolLm);
        Ok(PreTokenizerWrapper::Sequence(Sequence::new(vec![
            first, second,
        ])))
    }
}

fn split(pattern: &str) -> tokenizers::Result<PreTokenizerWrapper> {
    let pattern = SplitPattern::Regex(pattern.to_owned());
    let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false)?;
    Ok(PreTokenizerWrapper::Split(split))
}

/// One more than the last of the characters that GPT-2 writes bytes as.
const CHARACTERS: usize = 0x144;

/// A byte-level BPE tokenizer that knows no special tokens: text is only ever text.
pub struct BytePairs {
    words: Words,
    cut: PreTokenizerWrapper,
    merges: Merges,
    /// The token of each character that a byte is written as.
    characters: Vec<Option<TokenId>>,
    /// All tokens, where a word that is one is taken as it is.
    whole: Option<(Arc<Texts>, Index)>,
}

impl BytePairs {
    /// Whether the file's rules are known, without building anything.
    ///
    /// # Errors
    /// `Malformed` or `Unsupported`.
    pub fn check(file: &GgufFile) -> Result<(), LoadError> {
        file.texts("tokenizer.ggml.merges")?;
        Words::read(file).map(|_| ())
    }

    /// Builds it.
    ///
    /// # Errors
    /// `Malformed` or `Unsupported`.
    pub fn build(file: &GgufFile, vocabulary: &Vocabulary) -> Result<Self, LoadError> {
        let words = Words::read(file)?;
        let merges = file.texts("tokenizer.ggml.merges")?;
        let built = Self::of(words, vocabulary.texts(), merges);
        built.map_err(|error| file.malformed(error))
    }

    fn of(words: Words, tokens: &Arc<Texts>, merges: &Texts) -> Result<Self, String> {
        let mut index = Index::for_many(tokens.len());
        let mut all_differ = true;
        for (token, _) in (0..).zip(tokens.iter()) {
            all_differ &= index.replace(tokens, token).is_none();
        }
        let merges =
            Merges::read(merges, (tokens, &index), all_differ).map_err(|wrong| match wrong {
                WrongMerge::NoPair(merge) => {
                    format!("`tokenizer.ggml.merges` holds {merge:?}, which is no pair")
                }
                WrongMerge::NoToken(text) => {
                    format!("its tokenizer: Token `{text}` out of vocabulary")
                }
            })?;
        let token_of = |code: u32| {
            let character = char::from_u32(code)?;
            index.find(tokens, character.encode_utf8(&mut [0; 4]))
        };
        let characters = (0..CHARACTERS as u32).map(token_of).collect();
        let cut = words.build();
        Ok(Self {
            words,
            cut: cut.map_err(|error| format!("its tokenizer: {error}"))?,
            merges,
            characters,
            // Llama 3 takes a word that is a token as it is, without merging.
            whole: (words == Words::Llama3).then(|| (Arc::clone(tokens), index)),
        })
    }

    /// Whether texts begin with the begin token where the file does not say.
    pub fn begins_by_default(&self) -> bool {
        self.words == Words::Llama3
    }

    /// The tokens of a text.
    ///
    /// # Errors
    /// `Tokenizer`.
    pub fn encode(&self, text: &str, tokens: &mut Vec<TokenId>) -> Result<(), TextError> {
        let pieces = self.pieces(text);
        let pieces = pieces.map_err(|error| TextError::Tokenizer(error.to_string()))?;
        let mut merging = Merging::default();
        for (word, ..) in pieces.get_splits(OffsetReferential::Normalized, OffsetType::None) {
            let whole = self.whole.as_ref();
            if let Some(token) = whole.and_then(|(texts, index)| index.find(texts, word)) {
                tokens.push(token);
                continue;
            }
            // What has no token is left out.
            let characters = word.chars().filter_map(|character| {
                let token = self.characters.get(character as usize);
                token.copied().flatten()
            });
            self.merges.merge(characters, &mut merging, tokens);
        }
        Ok(())
    }

    /// A text in words, each byte written as a character.
    fn pieces(&self, text: &str) -> tokenizers::Result<PreTokenizedString> {
        let mut text = NormalizedString::from(text);
        if self.words == Words::Qwen2 {
            NFC.normalize(&mut text)?;
        }
        let mut pieces = PreTokenizedString::from(text);
        self.cut.pre_tokenize(&mut pieces)?;
        Ok(pieces)
    }
}

#[cfg(test)]
#[path = "bpe_tests.rs"]
mod tests;
