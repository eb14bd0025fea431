//! Texts as directions: what a model of meaning implements, one batch at a time.
//!
//! ```text
//!  ModelLoader::load_embedder ──> LoadedEmbedder { card, embedder }
//!                                                        └── Box<dyn Embedder>: travels by value to a blocking thread,
//!                                                            embeds ONE batch, and comes home
//! ```
//!
//! Invariant: an embedder keeps nothing of one batch for the next. So a batch whose step crashed may be given to another
//! embedder of the same model.

use std::sync::Arc;

use domain::Bytes;

use crate::StepError;

/// What an embedding model is and needs, known from its headers alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbedderCard {
    /// Its folder's or file's name.
    pub name: String,
    /// `bert`.
    pub architecture: String,
    /// Numbers in each vector.
    pub dimensions: u32,
    /// Tokens of a text that are read, those it puts around it included; the rest of a longer one is cut off.
    pub max_tokens: u32,
    /// The most tokens in one batch, by [`EmbedderCard::most_tokens`]; at least `max_tokens`.
    pub step_tokens: u32,
    /// Memory the weights take once loaded.
    pub weights_bytes: Bytes,
    /// Memory it takes beside its weights: its vocabulary, and what the largest batch works in.
    pub work_bytes: Bytes,
    /// The most memory it takes while it is loaded, the weights and all else together.
    pub load_bytes: Bytes,
}

impl EmbedderCard {
    /// Memory it takes once loaded.
    pub fn resident_bytes(&self) -> Bytes {
        self.weights_bytes.saturating_add(self.work_bytes)
    }

    /// The most memory it takes, be it while it is loaded or afterwards.
    pub fn most_bytes(&self) -> Bytes {
        self.load_bytes.max(self.resident_bytes())
    }

    /// No fewer tokens than are read of that text: a token stands for a byte at least, and two are put around it.
    pub fn most_tokens(&self, text: &str) -> u32 {
        let bytes = u32::try_from(text.len()).unwrap_or(u32::MAX);
        bytes.saturating_add(2).min(self.max_tokens)
    }
}

/// An embedding model in memory.
pub struct LoadedEmbedder {
    /// What it is.
    pub card: EmbedderCard,
    /// What computes.
    pub embedder: Box<dyn Embedder>,
}

/// What a text means.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedded {
    /// `dimensions` finite numbers; its length is 1, so that the product of two is the cosine between them.
    pub vector: Arc<[f32]>,
    /// Tokens that were read of the text.
    pub tokens: u32,
}

/// A model of meaning. It is moved to a blocking thread for each batch and moved back.
///
/// # Contract
/// A text's vector depends on that text alone: what else is in the batch changes nothing beyond the rounding of sums. An
/// empty text has a vector, too.
pub trait Embedder: Send + 'static {
    /// The vectors of these texts, in their order.
    ///
    /// # Errors
    /// `Compute`; the embedder is then dropped and loaded again.
    fn embed(&mut self, texts: &[Arc<str>]) -> Result<Vec<Embedded>, StepError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_texts_tokens_are_bounded_by_its_bytes_and_by_the_model() {
        let card = EmbedderCard {
            name: "m".to_owned(),
            architecture: "bert".to_owned(),
            dimensions: 3,
            max_tokens: 8,
            step_tokens: 16,
            weights_bytes: Bytes(10),
            work_bytes: Bytes(5),
            load_bytes: Bytes(12),
        };
        for (text, tokens) in [("", 2), ("abc", 5), ("ü", 4), ("abcdefg", 8)] {
            assert_eq!(card.most_tokens(text), tokens, "{text}");
        }
        assert_eq!(
            (card.resident_bytes(), card.most_bytes()),
            (Bytes(15), Bytes(15))
        );
    }
}
