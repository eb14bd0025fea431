//! The text side of a model: conversations and texts to tokens, tokens to bytes.
//!
//! What people write can never become a special token. Where a message holds the text of one, an unused private
//! character is put inside it before the template runs, and taken out again from the plain parts of what the template
//! made, after special tokens were recognised. The template's own special tokens stay whole.

use std::sync::Arc;

use domain::{Constraint, Message, Role, Tools};
use engine::{LoadError, Pieces, TextCodec, TextError, TokenId, ToolSyntax};
use serde_json::Value;

use crate::bpe::BytePairs;
use crate::constraint::Grammars;
use crate::file::GgufFile;
use crate::sentencepiece::SentencePieces;
use crate::specials::{Part, Specials, unused_guard};
use crate::template::ChatTemplate;
use crate::texts::Texts;
use crate::tool_prompt;
use crate::vocabulary::{Kind, Spelling, Vocabulary};

/// What a token takes beside its text: where that ends in the header, its kind there and here, where its bytes end, and up to
/// four places of 8 bytes in the table that finds it. Its text is in the header, and once more as bytes.
const TOKEN_BYTES: u64 = 48;
const TOKEN_COPIES: u64 = 2;
/// A score, in the header and here.
const SCORE_BYTES: u64 = 8;
/// What a special token takes besides in a table that may have it, its text not counted, where no other begins with the same
/// character: a list with room for four of 32 bytes, its place in the map of these, and what the allocator adds to both and to
/// the text. There are two such tables where there are scores, one else.
const SPECIAL_BYTES: u64 = 240;
/// A merge is a text in the header and up to 40 bytes in the table of merges. The sums are held against real measurements
/// (`tests/footprint.rs`).
const MERGE_BYTES: u64 = 48;
const MERGE_COPIES: u64 = 1;

/// Tokenizer and chat template of one model; immutable.
pub struct Codec {
    vocabulary: Arc<Vocabulary>,
    grammars: Arc<Grammars>,
    words: Words,
    specials: Specials,
    template: ChatTemplate,
    adds_begin: bool,
    adds_end: bool,
}

enum Words {
    Bytes(Box<BytePairs>),
    Sentence(Box<SentencePieces>),
}

impl Codec {
    /// Whether a codec can be built, at the cost of reading the header only.
    ///
    /// # Errors
    /// `Malformed` or `Unsupported`.
    pub fn check(file: &GgufFile, vocabulary: &Vocabulary) -> Result<(), LoadError> {
        match vocabulary.spelling() {
            Spelling::ByteLevel => BytePairs::check(file),
            Spelling::Sentence => SentencePieces::check(file, vocabulary),
        }
    }

    /// Builds tokenizer and template.
    ///
    /// # Errors
    /// `Malformed` or `Unsupported`.
    pub fn build(file: &GgufFile, vocabulary: Vocabulary) -> Result<Self, LoadError> {
        let words = match vocabulary.spelling() {
            Spelling::ByteLevel => Words::Bytes(Box::new(BytePairs::build(file, &vocabulary)?)),
            Spelling::Sentence => {
                Words::Sentence(Box::new(SentencePieces::build(file, &vocabulary)?))
            }
        };
        let begins = match &words {
            Words::Bytes(words) => words.begins_by_default(),
            Words::Sentence(_) => true,
        };
        let text_of = |token: Option<TokenId>| {
            token
                .and_then(|token| vocabulary.text(token))
                .unwrap_or_default()
        };
        let template = ChatTemplate::new(
            file.optional_text("tokenizer.chat_template")?,
            text_of(vocabulary.begin()),
            text_of(vocabulary.end()),
        )
        .map_err(|reason| file.unsupported("its chat template", reason))?;
        let vocabulary = Arc::new(vocabulary);
        let flag = |name| file.optional_bool(name);
        Ok(Self {
            words,
            specials: Specials::of(&vocabulary),
            template,
            adds_begin: flag("tokenizer.ggml.add_bos_token")?.unwrap_or(begins),
            adds_end: flag("tokenizer.ggml.add_eos_token")?.unwrap_or(false),
            grammars: Arc::new(Grammars::new(Arc::clone(&vocabulary))),
            vocabulary,
        })
    }

    /// The forms that this vocabulary can be held to.
    pub fn grammars(&self) -> Arc<Grammars> {
        Arc::clone(&self.grammars)
    }

    /// Memory of tokenizer and vocabulary: a sum over the tokens and merges of the file.
    ///
    /// # Errors
    /// `Malformed` where they are not lists of texts.
    pub fn bytes_needed(file: &GgufFile) -> Result<u64, LoadError> {
        let tokens = file.texts("tokenizer.ggml.tokens")?;
        let of = |texts: &Texts, each: u64, copies: u64| {
            let text = copies.saturating_mul(texts.bytes() as u64);
            each.saturating_mul(texts.len() as u64).saturating_add(text)
        };
        let merges = match file.field("tokenizer.ggml.merges") {
            None => 0,
            Some(_) => of(
                file.texts("tokenizer.ggml.merges")?,
                MERGE_BYTES,
                MERGE_COPIES,
            ),
        };
        let kinds = file.optional_ints("tokenizer.ggml.token_type")?;
        let is_special = |code: i32| Kind::of(code).is_some_and(Kind::is_special);
        let specials = tokens.iter().zip(kinds.unwrap_or_default());
        let specials = specials.filter(|(_, code)| is_special(**code));
        let specials = specials.map(|(text, _)| SPECIAL_BYTES.saturating_add(text.len() as u64));
        let specials = specials.fold(0, u64::saturating_add);
        let scores = file.optional_floats("tokenizer.ggml.scores")?;
        let tables = if scores.is_some() { 2 } else { 1 };
        let all = [
            of(tokens, TOKEN_BYTES, TOKEN_COPIES),
            merges,
            specials.saturating_mul(tables),
            SCORE_BYTES.saturating_mul(scores.unwrap_or_default().len() as u64),
        ];
        Ok(all.into_iter().fold(0, u64::saturating_add))
    }

    fn encode_words(&self, text: &str, tokens: &mut Vec<TokenId>) -> Result<(), TextError> {
        match &self.words {
            Words::Bytes(words) => words.encode(text, tokens),
            Words::Sentence(words) => words.encode(text, tokens),
        }
    }

    /// Tokens of what the template made: special tokens where their texts stand, words between them without the guard.
    fn encode_rendered(
        &self,
        rendered: &str,
        guard: char,
        known: &mut dyn Pieces,
    ) -> Result<Vec<TokenId>, TextError> {
        let mut tokens = Vec::new();
        for part in self.specials.parts(rendered, guard) {
            match part {
                Part::Special(token) => tokens.push(token),
                Part::Words(words) => self.encode_piece(&words, known, &mut tokens)?,
            }
        }
        Ok(tokens)
    }

    fn encode_piece(
        &self,
        words: &str,
        known: &mut dyn Pieces,
        tokens: &mut Vec<TokenId>,
    ) -> Result<(), TextError> {
        if known.look(words, tokens) {
            return Ok(());
        }
        let from = tokens.len();
        self.encode_words(words, tokens)?;
        known.keep(words, tokens.get(from..).unwrap_or_default());
        Ok(())
    }
}

impl TextCodec for Codec {
    fn encode_chat_with(
        &self,
        messages: &[Message],
        tools: &Tools,
        known: &mut dyn Pieces,
    ) -> Result<Vec<TokenId>, TextError> {
        let shown = if tools.is_usable() {
            &*tools.specs
        } else {
            &[]
        };
        let mut tools: Vec<Value> = shown.iter().map(tool_prompt::spec).collect();
        let mut messages: Vec<Value> = messages.iter().map(tool_prompt::message).collect();
        let guard = unused_guard(messages.iter().chain(&tools))?;
        for value in messages.iter_mut().chain(&mut tools) {
            self.specials.guard_all(value, guard);
        }
        if self.template.calls().is_none() {
            messages = tool_prompt::in_words(messages, &tools);
            tools.clear();
        }
        let system = Role::System.as_str();
        let is_system = |value: &Value| value.get("role").and_then(Value::as_str) == Some(system);
        if messages.iter().any(is_system) && self.template.refuses_system() {
            messages = tool_prompt::without_system(messages);
        }
        let rendered = self.template.render(&messages, &tools)?;
        let mut tokens = self.encode_rendered(&rendered, guard, known)?;
        if let Some(begin) = self.vocabulary.begin().filter(|_| self.adds_begin)
            && tokens.first() != Some(&begin)
        {
            tokens.insert(0, begin);
        }
        Ok(tokens)
    }

    fn encode_text(&self, text: &str) -> Result<Vec<TokenId>, TextError> {
        let mut tokens = Vec::new();
        tokens.extend(self.vocabulary.begin().filter(|_| self.adds_begin));
        self.encode_words(text, &mut tokens)?;
        tokens.extend(self.vocabulary.end().filter(|_| self.adds_end));
        Ok(tokens)
    }

    fn bytes_of(&self, token: TokenId) -> &[u8] {
        self.vocabulary.bytes_of(token)
    }

    fn ends_turn(&self, token: TokenId) -> bool {
        self.vocabulary.ends_turn(token)
    }

    fn tool_syntax(&self) -> ToolSyntax {
        self.template.calls().unwrap_or(ToolSyntax::TaggedList)
    }

    fn check(&self, constraint: &Constraint) -> Result<(), TextError> {
        let begun = self.grammars.begin(constraint);
        begun.map(drop).map_err(TextError::Constraint)
    }
}
