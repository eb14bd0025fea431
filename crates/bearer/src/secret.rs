//! A token's text: what its owner sends, shown once and never kept.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::hex;

/// How every token begins, so that people, and programs that look for secrets in what is published, know one.
pub const PREFIX: &str = "sk-paraphym-";

/// A token. It is shown by [`Secret::reveal`] alone.
pub struct Secret(String);

/// The system gave no random bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random bytes: {0}")]
pub struct NoChance(String);

impl Secret {
    /// A new one: 256 bits of the system's generator.
    ///
    /// # Errors
    /// The system has none to give; no other source would do.
    pub fn fresh() -> Result<Self, NoChance> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|error| NoChance(error.to_string()))?;
        Ok(Self::of(bytes))
    }

    /// The one of these bytes.
    pub fn of(bytes: [u8; 32]) -> Self {
        Self(format!("{PREFIX}{}", hex::print(&bytes)))
    }

    /// Its text, for its owner.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    pub(crate) fn hash(&self) -> [u8; 32] {
        hash(&self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}…")
    }
}

/// What is kept of a token's text.
pub(crate) fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_beginning_and_debug_shows_no_more() {
        let secret = Secret::of([0xab; 32]);
        assert_eq!(secret.reveal(), format!("sk-paraphym-{}", "ab".repeat(32)));
        assert_eq!(format!("{secret:?}"), "sk-paraphym-…");
    }

    #[test]
    fn no_two_are_the_same() {
        let (one, other) = (Secret::fresh().unwrap(), Secret::fresh().unwrap());
        assert_ne!(one.reveal(), other.reveal());
        assert_eq!(one.reveal().len(), PREFIX.len() + 64);
    }

    #[test]
    fn the_hash_is_sha_256() {
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hex::print(&hash("abc")), known);
    }
}
