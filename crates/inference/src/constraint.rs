//! What keeps an answer in its form: a mask over the vocabulary for each token, by llguidance.
//!
//! [`Grammars`] belongs to a model and is built once, when the first form is asked for: it is the vocabulary as a tree of
//! bytes. [`Matching`] belongs to a sequence. It is a cache: its state is a function of the constraint and of the tokens
//! generated, and it is built anew by reading those again.
//!
//! Invariants: no thread, no clock that anything depends on; what compiling and each step may cost is bounded, and a form
//! beyond that is an error of its own sequence only. A turn ends where the form is complete, and nowhere else.

use std::sync::{Arc, OnceLock};

use domain::Constraint;
use engine::{TokenId, schema};
use llguidance::api::{ParserLimits, TopLevelGrammar};
use llguidance::earley::SlicedBiasComputer;
use llguidance::{Matcher, ParserFactory};
use serde_json::json;
use toktrie::{ApproximateTokEnv, InferenceCapabilities, SimpleVob, TokEnv, TokRxInfo, TokTrie};

use crate::vocabulary::{Kind, Vocabulary};

/// A schema or grammar as text. Larger ones are made by programs, for programs.
const MAX_BYTES: usize = 256 << 10;
/// Bytes of a token that a form can say; the tree holds no path of more than 1024.
const MAX_TOKEN_BYTES: usize = 512;
/// Bytes of all tokens: the tree counts its nodes with 22 bits, and has at most one for each byte.
const MAX_TREE_BYTES: usize = (1 << 22) - 2;

/// What compiling and following one form may cost. The figures of speed are llguidance's own.
fn limits() -> ParserLimits {
    ParserLimits {
        // 10 ms.
        initial_lexer_fuel: 500_000,
        // 14 ms a token.
        step_lexer_fuel: 200_000,
        // 2 ms a token.
        step_max_items: 50_000,
        // 1 to 2 kB each.
        max_lexer_states: 10_000,
        max_grammar_size: 100_000,
        max_items_in_row: 2000,
        precompute_large_lexemes: false,
        verbose_errors: false,
    }
}

/// The forms that one model can be held to.
pub struct Grammars {
    vocabulary: Arc<Vocabulary>,
    factory: OnceLock<Result<ParserFactory, String>>,
}

impl Grammars {
    /// Nothing is built before the first form is asked for.
    pub const fn new(vocabulary: Arc<Vocabulary>) -> Self {
        Self {
            vocabulary,
            factory: OnceLock::new(),
        }
    }

    /// Begins an answer of this form. It has been looked at up to its first token.
    ///
    /// # Errors
    /// In words, why no answer can be held to it.
    pub fn begin(&self, constraint: &Constraint) -> Result<Matching, String> {
        let grammar = grammar(constraint)?;
        let factory = self.factory.get_or_init(|| factory(&self.vocabulary));
        let factory = factory.as_ref().map_err(Clone::clone)?;
        let matcher = Matcher::new(factory.create_parser(grammar));
        if let Some(error) = matcher.get_error() {
            return Err(in_short(&error));
        }
        let mut matching = Matching { matcher, read: 0 };
        matching.mask(&[])?;
        Ok(matching)
    }
}

fn grammar(constraint: &Constraint) -> Result<TopLevelGrammar, String> {
    let bounded = |text: &str| {
        if text.len() > MAX_BYTES {
            return Err(format!(
                "it is {} bytes long; at most {MAX_BYTES} are read",
                text.len()
            ));
        }
        Ok(())
    };
    match constraint {
        Constraint::JsonObject => {
            let mut object = json!({ "type": "object" });
            schema::compact(&mut object);
            Ok(TopLevelGrammar::from_json_schema(object))
        }
        Constraint::JsonSchema(text) => {
            bounded(text)?;
            let mut parsed = serde_json::from_str(text).map_err(|error| error.to_string())?;
            schema::check(&parsed)?;
            if parsed == json!(true) {
                parsed = json!({});
            }
            schema::compact(&mut parsed);
            Ok(TopLevelGrammar::from_json_schema(parsed))
        }
        Constraint::Lark(text) => {
            bounded(text)?;
            Ok(TopLevelGrammar::from_lark(text.to_string()))
        }
    }
}

fn factory(vocabulary: &Vocabulary) -> Result<ParserFactory, String> {
    let ends: Vec<TokenId> = vocabulary
        .iter()
        .map(|(token, ..)| token)
        .filter(|token| vocabulary.ends_turn(*token))
        .collect();
    let Some(&end) = ends.first() else {
        return Err("the model has no token that ends its turn".to_owned());
    };
    let words: Vec<Vec<u8>> = vocabulary
        .iter()
        .map(|(token, text, kind)| spelled(vocabulary, token, text, kind))
        .collect();
    if words.iter().map(Vec::len).sum::<usize>() > MAX_TREE_BYTES {
        return Err("the model's vocabulary is too large".to_owned());
    }
    let info = TokRxInfo::new(words.len() as u32, end);
    let tree = TokTrie::from(&info, &words).with_eos_tokens(&ends);
    // Tokens are not forced: how a text is cut into them is the model's choice.
    let tokens: TokEnv = Arc::new(ApproximateTokEnv::new(tree));
    let slices = SlicedBiasComputer::general_slices();
    let mut factory = ParserFactory::new(&tokens, InferenceCapabilities::default(), &slices)
        .map_err(|error| in_short(&error.to_string()))?;
    factory.quiet();
    *factory.limits_mut() = limits();
    Ok(factory)
}

/// The bytes of a token in the tree; none for those that no form can say. Those that mark structure have names there, which
/// is how a grammar tells them from text.
fn spelled(vocabulary: &Vocabulary, token: TokenId, text: &str, kind: Kind) -> Vec<u8> {
    const MARK: u8 = TokTrie::SPECIAL_TOKEN_MARKER;
    let bytes = vocabulary.bytes_of(token);
    if vocabulary.ends_turn(token) || kind == Kind::Control {
        let name = text.as_bytes();
        return if name.len() > MAX_TOKEN_BYTES {
            Vec::new()
        } else {
            [&[MARK], name].concat()
        };
    }
    // No text begins with the mark: it is no UTF-8.
    if bytes.len() > MAX_TOKEN_BYTES || bytes.first() == Some(&MARK) {
        return Vec::new();
    }
    bytes.to_vec()
}

/// One sequence on its way through its form.
pub struct Matching {
    matcher: Matcher,
    /// Generated tokens it has read.
    read: usize,
}

impl Matching {
    /// Whether it has read more than so many tokens: it can then tell nothing of them, and has to begin anew.
    pub const fn is_beyond(&self, generated: usize) -> bool {
        self.read > generated
    }

    /// Which tokens may follow those generated so far, a bit for each; those that end the turn are among them where the
    /// form is complete, and alone where nothing can follow.
    ///
    /// # Errors
    /// In words, where the form leads nowhere or costs too much. It stays so.
    pub fn mask(&mut self, generated: &[TokenId]) -> Result<SimpleVob, String> {
        let new = generated.get(self.read..).unwrap_or_default();
        self.matcher
            .consume_tokens(new)
            .map_err(|error| in_short(&error.to_string()))?;
        self.read = generated.len();
        let mask = self.matcher.compute_mask_or_eos();
        mask.map_err(|error| in_short(&error.to_string()))
    }
}

/// The first line: what follows is for those who debug llguidance.
fn in_short(error: &str) -> String {
    match error.lines().next().unwrap_or_default().trim() {
        "NoExtensionBias" | "NoExtension" => "nothing can be said in it".to_owned(),
        line => line.to_owned(),
    }
}

#[cfg(test)]
#[path = "constraint_tests.rs"]
mod tests;
