//! What is asked of an embedding model and what it answers, with the limits of one request.
//!
//! Nothing here waits.

use std::sync::Arc;

use domain::{FieldError, KeepAlive, ModelName};

/// Texts in one request. As many as the OpenAI API takes.
pub const MOST_TEXTS: usize = 2048;
/// Bytes of one text. A model reads a kilobyte or two of it; who sends this much has forgotten to cut it up.
pub const MOST_TEXT_BYTES: usize = 64 * 1024;
/// Bytes of all texts of a request: what waits is held in memory until its turn comes.
pub const MOST_BYTES: usize = 4 << 20;

/// A request for vectors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbedRequest {
    /// Which embedding model; it is loaded if it is not resident.
    pub model: ModelName,
    /// 1 to [`MOST_TEXTS`] texts, which may be empty. Of a long one only the beginning is read, as many tokens as the model
    /// takes.
    pub texts: Vec<String>,
    /// How long the model stays in memory after this; `None` for the configured time.
    pub keep_alive: Option<KeepAlive>,
}

/// The vectors of a request's texts.
#[derive(Clone, Debug, PartialEq)]
pub struct Embeddings {
    /// The model asked for.
    pub model: ModelName,
    /// Numbers in each vector.
    pub dimensions: u32,
    /// One for each text, in their order; each of length 1, so that the product of two is the cosine between them. Those of
    /// another model are no match for them.
    pub vectors: Vec<Arc<[f32]>>,
    /// Tokens of all texts, those that were kept from earlier requests included.
    pub tokens: u64,
}

impl EmbedRequest {
    /// Refuses what is beyond the limits.
    ///
    /// # Errors
    /// Names `texts` or `texts[]`.
    pub fn check(&self) -> Result<(), FieldError> {
        let (count, longest) = (self.texts.len(), self.texts.iter().map(String::len).max());
        if count == 0 || count > MOST_TEXTS {
            return Err(FieldError::new("texts", count, "1 to 2048 texts"));
        }
        if let Some(longest) = longest.filter(|bytes| *bytes > MOST_TEXT_BYTES) {
            let allowed = "texts of at most 65536 bytes; cut them into passages";
            return Err(FieldError::new("texts[]", longest, allowed));
        }
        let all = self
            .texts
            .iter()
            .map(String::len)
            .fold(0, usize::saturating_add);
        if all > MOST_BYTES {
            let allowed = "texts of at most 4 MiB together; send them in several requests";
            return Err(FieldError::new("texts", all, allowed));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beyond_the_limits_is_refused_by_field() {
        let of = |texts: Vec<String>| EmbedRequest {
            model: ModelName::new("m"),
            texts,
            keep_alive: None,
        };
        let text = |bytes: usize| "x".repeat(bytes);
        let all = MOST_BYTES / MOST_TEXT_BYTES;
        for (texts, refused) in [
            (vec![], Some(("texts", "0"))),
            (vec![text(0)], None),
            (vec![text(1); MOST_TEXTS], None),
            (vec![text(1); MOST_TEXTS + 1], Some(("texts", "2049"))),
            (vec![text(MOST_TEXT_BYTES)], None),
            (vec![text(MOST_TEXT_BYTES + 1)], Some(("texts[]", "65537"))),
            (vec![text(MOST_TEXT_BYTES); all], None),
            (
                vec![text(MOST_TEXT_BYTES); all + 1],
                Some(("texts", "4259840")),
            ),
        ] {
            let error = of(texts).check().err();
            let seen = error.as_ref().map(|e| (e.field, e.value.as_str()));
            assert_eq!(seen, refused);
        }
    }
}
