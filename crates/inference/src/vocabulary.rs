//! The tokens of a model as the file lists them: their texts, kinds and bytes, and which of them end a turn.

use std::collections::HashSet;
use std::sync::Arc;

use engine::{LoadError, TokenId};

use crate::file::GgufFile;
use crate::texts::Texts;

/// The most tokens read; the largest known vocabularies have 262 144.
const MAX_TOKENS: usize = 1 << 22;

/// Texts of tokens that end a turn in the chat formats in use, where they are control tokens.
const TURN_ENDS: [&str; 7] = [
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "</s>",
    "<|endoftext|>",
    "<|end|>",
    "<end_of_turn>",
];

/// What a token is for (`tokenizer.ggml.token_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Normal,
    /// Stands for text that has no token.
    Unknown,
    /// Marks structure; never text.
    Control,
    /// Text that is always one token, such as `<tool_call>`.
    User,
    /// Never made.
    Unused,
    /// One byte, `<0x0A>`.
    Byte,
}

impl Kind {
    /// The kind of this code.
    pub(crate) const fn of(code: i32) -> Option<Self> {
        Some(match code {
            1 => Self::Normal,
            2 => Self::Unknown,
            3 => Self::Control,
            4 => Self::User,
            5 => Self::Unused,
            6 => Self::Byte,
            _ => return None,
        })
    }

    /// Whether its text is a token wherever a template writes it.
    pub(crate) const fn is_special(self) -> bool {
        matches!(self, Self::Control | Self::User)
    }
}

/// How the texts of normal tokens spell bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// GPT-2's: every byte is a printable character.
    ByteLevel,
    /// `SentencePiece`'s: `▁` is a space, the rest is itself.
    Sentence,
}

/// All tokens of a model.
#[derive(Clone, Debug)]
pub struct Vocabulary {
    /// The file's own list.
    texts: Arc<Texts>,
    kinds: Vec<Kind>,
    spelling: Spelling,
    begin: Option<TokenId>,
    end: Option<TokenId>,
    turn_ends: HashSet<TokenId>,
    /// The bytes of all tokens, one after another, and where each ends.
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Vocabulary {
    /// Reads the tokens.
    ///
    /// # Errors
    /// `Malformed` when the tokenizer is missing or contradicts itself, `Unsupported` for another kind of tokenizer.
    pub fn read(file: &GgufFile) -> Result<Self, LoadError> {
        let spelling = match file.text("tokenizer.ggml.model")? {
            "gpt2" => Spelling::ByteLevel,
            "llama" => Spelling::Sentence,
            other => {
                return Err(file.unsupported(
                    format!("the tokenizer `{other}`"),
                    "gpt2 (byte-level BPE) and llama (SentencePiece) are",
                ));
            }
        };
        let texts = file.texts("tokenizer.ggml.tokens")?;
        if texts.is_empty() || texts.len() > MAX_TOKENS {
            return Err(file.malformed(format!(
                "`tokenizer.ggml.tokens` has {} tokens; 1 to {MAX_TOKENS} are possible",
                texts.len()
            )));
        }
        let kinds = read_kinds(file, texts.len())?;
        let id = |name: &str| match file.optional_size(name, u64::MAX)? {
            Some(id) if id < texts.len() => Ok(Some(id as TokenId)),
            None => Ok(None),
            Some(id) => Err(file.malformed(format!(
                "`{name}` is {id}; there are {} tokens",
                texts.len()
            ))),
        };
        let begin = id("tokenizer.ggml.bos_token_id")?;
        let end = id("tokenizer.ggml.eos_token_id")?;
        let mut turn_ends: HashSet<TokenId> = end.into_iter().collect();
        turn_ends.extend(id("tokenizer.ggml.eot_token_id")?);
        for (token, (text, kind)) in texts.iter().zip(&kinds).enumerate() {
            if *kind == Kind::Control && TURN_ENDS.contains(&text) {
                turn_ends.insert(token as TokenId);
            }
        }
        let mut vocabulary = Self {
            texts: Arc::clone(texts),
            kinds,
            spelling,
            begin,
            end,
            turn_ends,
            // No text becomes longer.
            bytes: Vec::with_capacity(texts.bytes()),
            ends: Vec::with_capacity(texts.len()),
        };
        vocabulary.spell();
        Ok(vocabulary)
    }

    /// Fills `bytes` and `ends`.
    fn spell(&mut self) {
        let texts = Arc::clone(&self.texts);
        for (text, kind) in texts.iter().zip(&self.kinds) {
            match (kind, self.spelling) {
                (Kind::Control | Kind::Unknown | Kind::Unused, _) => {}
                (Kind::User, _) => self.bytes.extend_from_slice(text.as_bytes()),
                (Kind::Byte, _) if byte_of(text).is_some() => self.bytes.extend(byte_of(text)),
                (_, Spelling::ByteLevel) => spell_byte_level(text, &mut self.bytes),
                (_, Spelling::Sentence) => {
                    self.bytes
                        .extend_from_slice(text.replace('\u{2581}', " ").as_bytes());
                }
            }
            // A header is shorter than 32 bits can say.
            self.ends.push(self.bytes.len() as u32);
        }
        self.bytes.shrink_to_fit();
    }

    /// How many tokens there are.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Never true: a vocabulary without tokens is not read.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// How texts spell bytes.
    pub const fn spelling(&self) -> Spelling {
        self.spelling
    }

    /// Every token with its text and kind.
    pub fn iter(&self) -> impl Iterator<Item = (TokenId, &str, Kind)> {
        self.texts
            .iter()
            .zip(&self.kinds)
            .enumerate()
            .map(|(id, (text, kind))| (id as TokenId, text, *kind))
    }

    /// The text of a token as the file spells it.
    pub fn text(&self, token: TokenId) -> Option<&str> {
        self.texts.get(token as usize)
    }

    /// The texts of all tokens.
    pub(crate) const fn texts(&self) -> &Arc<Texts> {
        &self.texts
    }

    /// The token that begins a text.
    pub const fn begin(&self) -> Option<TokenId> {
        self.begin
    }

    /// The token that ends a text.
    pub const fn end(&self) -> Option<TokenId> {
        self.end
    }

    /// The bytes a token stands for; none for control tokens.
    pub fn bytes_of(&self, token: TokenId) -> &[u8] {
        let index = token as usize;
        let from = match index.checked_sub(1) {
            None => 0,
            Some(before) => self.ends.get(before).copied().unwrap_or(u32::MAX),
        };
        let to = self.ends.get(index).copied().unwrap_or(0);
        self.bytes.get(from as usize..to as usize).unwrap_or(&[])
    }

    /// Whether the token ends the model's turn.
    pub fn ends_turn(&self, token: TokenId) -> bool {
        self.turn_ends.contains(&token)
    }
}

fn read_kinds(file: &GgufFile, tokens: usize) -> Result<Vec<Kind>, LoadError> {
    const NAME: &str = "tokenizer.ggml.token_type";
    let Some(codes) = file.optional_ints(NAME)? else {
        return Ok(vec![Kind::Normal; tokens]);
    };
    if codes.len() != tokens {
        return Err(file.malformed(format!(
            "`{NAME}` has {} entries; there are {tokens} tokens",
            codes.len()
        )));
    }
    codes
        .iter()
        .map(|code| {
            let unknown = || file.malformed(format!("`{NAME}` holds the unknown type {code}"));
            Kind::of(*code).ok_or_else(unknown)
        })
        .collect()
}

/// The byte of `<0x0A>`.
pub fn byte_of(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        u8::from_str_radix(digits, 16).ok()
    } else {
        None
    }
}

/// GPT-2 writes each byte as one printable character (`bytes_to_unicode` in its `encoder.py`): printable Latin-1 as
/// itself, the other 68 bytes in order from U+0100.
fn spell_byte_level(text: &str, bytes: &mut Vec<u8>) {
    if text.bytes().all(|byte| byte.is_ascii_graphic()) {
        bytes.extend_from_slice(text.as_bytes());
        return;
    }
    for character in text.chars() {
        match byte_of_character(character) {
            Some(byte) => bytes.push(byte),
            // No byte is written so: the token is plain text.
            None => bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// The byte GPT-2 writes as this character.
pub fn byte_of_character(character: char) -> Option<u8> {
    let code = character as u32;
    match code {
        0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => u8::try_from(code).ok(),
        // 0x00..=0x20 (33), 0x7f..=0xa0 (34), 0xad (1)
        0x100..=0x120 => u8::try_from(code - 0x100).ok(),
        0x121..=0x142 => u8::try_from(code - 0x121 + 0x7f).ok(),
        0x143 => Some(0xad),
        _ => None,
    }
}

/// The character GPT-2 writes this byte as.
pub fn character_of_byte(byte: u8) -> char {
    let code = u32::from(byte);
    let shifted = match code {
        0x00..=0x20 => code + 0x100,
        0x7f..=0xa0 => code - 0x7f + 0x121,
        0xad => 0x143,
        _ => code,
    };
    char::from_u32(shifted).unwrap_or(char::REPLACEMENT_CHARACTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_one_character() {
        let mut seen = HashSet::new();
        for byte in 0..=255u8 {
            let character = character_of_byte(byte);
            assert!(seen.insert(character), "{byte} shares {character}");
            assert_eq!(byte_of_character(character), Some(byte));
        }
        assert_eq!(character_of_byte(b' '), 'Ġ');
        assert_eq!(character_of_byte(b'\n'), 'Ċ');
    }

    #[test]
    fn byte_tokens_are_hexadecimal() {
        for (text, byte) in [
            ("<0x0A>", Some(10)),
            ("<0xff>", Some(255)),
            ("<0x1>", None),
            ("<0x+1>", None),
            ("0x0A", None),
        ] {
            assert_eq!(byte_of(text), byte, "{text}");
        }
    }
}
