//! Byte-level BPE, rebuilt from the file's tokens and merges.
//!
//! How text is cut into words before merging differs between models and changes their tokens, so the file's
//! `tokenizer.ggml.pre` must be one that is known: an unknown one is an error, not a guess.

use engine::{LoadError, TextError, TokenId};
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::NFC;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{NormalizerWrapper, PreTokenizerWrapper, SplitDelimiterBehavior, Tokenizer};

use crate::file::GgufFile;
use crate::vocabulary::Vocabulary;

/// Llama 3's words: up to three digits at a time.
const LLAMA3_WORDS: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Qwen 2's words: the same with single digits.
const QWEN2_WORDS: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// How a text is cut into words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Words {
    /// GPT-2's own rule, which is the default of files that name none.
    Gpt2,
    /// Every digit alone, then GPT-2's rule.
    SmolLm,
    Llama3,
    Qwen2,
}

impl Words {
    const ALL: [(&str, Self); 9] = [
        ("default", Self::Gpt2),
        ("gpt-2", Self::Gpt2),
        ("gpt2", Self::Gpt2),
        ("smollm", Self::SmolLm),
        ("llama-bpe", Self::Llama3),
        ("llama3", Self::Llama3),
        ("llama-v3", Self::Llama3),
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
            Self::Llama3 => split(LLAMA3_WORDS)?,
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

/// A byte-level BPE tokenizer that knows no special tokens: text is only ever text.
pub struct BytePairs {
    tokenizer: Tokenizer,
    begins: bool,
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
        let merges = file
            .texts("tokenizer.ggml.merges")?
            .iter()
            .map(|merge| {
                merge
                    .split_once(' ')
                    .map(|(left, right)| (left.to_owned(), right.to_owned()))
                    .ok_or_else(|| {
                        file.malformed(format!(
                            "`tokenizer.ggml.merges` holds {merge:?}, which is no pair"
                        ))
                    })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let tokens: Vocab = vocabulary
            .iter()
            .map(|(id, text, _)| (text.to_owned(), id))
            .collect();
        let wrong = |error: tokenizers::Error| file.malformed(format!("its tokenizer: {error}"));
        let bpe = BPE::builder()
            .vocab_and_merges(tokens, merges)
            // Llama 3 takes a word that is a token as it is, without merging.
            .ignore_merges(words == Words::Llama3)
            // Its cache would live on in every thread that ever encoded, beyond the model.
            .cache_capacity(0)
            .build()
            .map_err(wrong)?;
        let mut tokenizer = Tokenizer::new(bpe);
        tokenizer.with_pre_tokenizer(Some(words.build().map_err(wrong)?));
        if words == Words::Qwen2 {
            tokenizer
                .with_normalizer(Some(NormalizerWrapper::NFC(NFC)))
                .map_err(wrong)?;
        }
        Ok(Self {
            tokenizer,
            begins: words == Words::Llama3,
        })
    }

    /// Whether texts begin with the begin token where the file does not say.
    pub const fn begins_by_default(&self) -> bool {
        self.begins
    }

    /// The tokens of a text.
    ///
    /// # Errors
    /// `Tokenizer`.
    pub fn encode(&self, text: &str, tokens: &mut Vec<TokenId>) -> Result<(), TextError> {
        let encoding = self
            .tokenizer
            .encode_fast(text, false)
            .map_err(|error| TextError::Tokenizer(error.to_string()))?;
        tokens.extend_from_slice(encoding.get_ids());
        Ok(())
    }
}
