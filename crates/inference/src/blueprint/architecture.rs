//! The families of models that are run, by the names that files have for them.

/// The families of models that are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// Llama, and what says it is: Mistral, `SmolLM`. Rotates neighbouring pairs.
    Llama,
    /// Llama with biases on q, k and v. Rotates halves.
    Qwen2,
    /// Llama with norms on each head of q and k. Rotates halves.
    Qwen3,
}

impl Architecture {
    pub(super) const ALL: [(&str, Self); 3] = [
        ("llama", Self::Llama),
        ("qwen2", Self::Qwen2),
        ("qwen3", Self::Qwen3),
    ];

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, architecture)| *architecture)
    }

    /// The name in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
        }
    }

    /// Whether rope rotates element `i` with `i + n/2` (`NeoX`) and not `2i` with `2i + 1`.
    pub const fn rotates_halves(self) -> bool {
        matches!(self, Self::Qwen2 | Self::Qwen3)
    }
}
