//! Text as the model reads it: the tokens of `tokenizer.json`, cut at the most the model takes, without padding.
//!
//! Where the file asks for another cut or for padding, the model's own limit holds instead: sentence-transformers does so,
//! too.

use std::path::Path;

use engine::{LoadError, StepError};
use tokenizers::{Tokenizer, TruncationParams};

use super::{beside, read_beside};

const FILE: &str = "tokenizer.json";
/// Largest file: thirty thousand tokens have one of half a megabyte.
const FILE_BYTES: u64 = 32 << 20;
/// What a tokenizer takes in memory for each byte of its file, while it is read and afterwards: its tables hold each
/// token twice, in strings and maps.
const BYTES_PER_BYTE: u64 = 24;

/// The model's tokenizer.
pub(super) struct TextTokens(Tokenizer);

impl TextTokens {
    /// The file's size.
    pub(super) fn file_bytes(weights: &Path) -> Result<u64, LoadError> {
        let path = beside(weights, FILE);
        match std::fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => Ok(metadata.len()),
            Ok(_) => Err(LoadError::Io {
                path,
                reason: "it is not a file".to_owned(),
            }),
            Err(error) => Err(LoadError::Io {
                path,
                reason: error.to_string(),
            }),
        }
    }

    /// Memory it takes, from the file's size.
    pub(super) fn bytes_needed(file_bytes: u64) -> u64 {
        file_bytes.saturating_mul(BYTES_PER_BYTE)
    }

    /// Reads it.
    pub(super) fn read(weights: &Path, max_tokens: u32) -> Result<Self, LoadError> {
        let bytes = read_beside(weights, FILE, FILE_BYTES)?;
        let malformed = |error: tokenizers::Error| LoadError::Malformed {
            path: beside(weights, FILE),
            reason: error.to_string(),
        };
        let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(malformed)?;
        let cut = TruncationParams {
            max_length: max_tokens as usize,
            ..TruncationParams::default()
        };
        tokenizer.with_truncation(Some(cut)).map_err(malformed)?;
        tokenizer.with_padding(None);
        Ok(Self(tokenizer))
    }

    /// The tokens of a text, those that are put around it included; never empty.
    pub(super) fn of(&self, text: &str) -> Result<Vec<u32>, StepError> {
        let failed = |reason: String| StepError::Compute(format!("the tokenizer failed: {reason}"));
        let encoding = self
            .0
            .encode_fast(text, true)
            .map_err(|e| failed(e.to_string()))?;
        let ids = encoding.get_ids().to_vec();
        if ids.is_empty() {
            return Err(failed("it puts no tokens around a text".to_owned()));
        }
        Ok(ids)
    }
}
