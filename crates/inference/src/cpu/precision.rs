//! How faithfully activations are kept: what a user chooses between.

use std::fmt;

/// How many bytes an activation is kept in while it is multiplied with packed weights.
///
/// What that does to the answers is measured by `tests/fidelity.rs` and told in `docs/inference.md`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// One byte: what llama.cpp and candle do, too.
    #[default]
    Fast,
    /// Two: a byte, and a byte for what the first leaves. As good as floats, for more work.
    Exact,
}

impl Precision {
    /// As it is written in settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Exact => "exact",
        }
    }

    /// The precision of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Fast, Self::Exact]
            .into_iter()
            .find(|precision| precision.name() == name)
    }

    /// Rows of bytes for a row of activations.
    pub(crate) const fn planes(self) -> usize {
        match self {
            Self::Fast => 1,
            Self::Exact => 2,
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
