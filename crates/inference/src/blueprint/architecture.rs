//! The families of models that are run, by the names that files have for them, and what each of them always does otherwise
//! than Llama. What a file says for itself is in [`super::Manner`].

/// A family of models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// Llama, and what says it is: Mistral, `SmolLM`.
    Llama,
    /// Llama with biases on q, k and v.
    Qwen2,
    /// Llama with norms on each head of q and k.
    Qwen3,
    /// Llama, of which each fourth layer does not rotate.
    SmolLm3,
    /// Llama with what passes through it made larger and smaller.
    Granite,
    /// Llama with q, k and v in one tensor, and gate and up in another.
    Phi3,
    /// Llama with GELU, and a larger embedding.
    Gemma,
    /// Gemma with norms behind each part, bounded scores and logits, and each second layer looking only so far.
    Gemma2,
    /// Gemma with norms behind each part and on each head, and five of six layers looking only so far.
    Gemma3,
}

/// What the gate of the feed-forward part does to a number before it lets another through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// `x / (1 + e^-x)` (arXiv:1702.03118).
    Silu,
    /// `x * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3))) / 2` (arXiv:1606.08415).
    Gelu,
}

impl Architecture {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Llama,
        Self::Qwen2,
        Self::Qwen3,
        Self::SmolLm3,
        Self::Granite,
        Self::Phi3,
        Self::Gemma,
        Self::Gemma2,
        Self::Gemma3,
    ];

    /// The name in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::SmolLm3 => "smollm3",
            Self::Granite => "granite",
            Self::Phi3 => "phi3",
            Self::Gemma => "gemma",
            Self::Gemma2 => "gemma2",
            Self::Gemma3 => "gemma3",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }

    /// Whether rope rotates element `i` with `i + n/2` (`NeoX`) and not `2i` with `2i + 1`.
    pub const fn rotates_halves(self) -> bool {
        !matches!(self, Self::Llama | Self::SmolLm3 | Self::Granite)
    }

    /// Whether q, k and v must have biases; those of others may.
    pub const fn has_biases(self) -> bool {
        matches!(self, Self::Qwen2)
    }

    /// Whether each head of q and k is normed.
    pub const fn has_head_norms(self) -> bool {
        matches!(self, Self::Qwen3 | Self::Gemma3)
    }

    /// Whether what attention and the feed-forward part add is normed before it is added.
    pub const fn has_norms_behind(self) -> bool {
        matches!(self, Self::Gemma2 | Self::Gemma3)
    }

    /// Whether q, k and v are one tensor, and gate and up another.
    pub const fn is_fused(self) -> bool {
        matches!(self, Self::Phi3)
    }

    /// What the gate does.
    pub const fn gate(self) -> Gate {
        match self {
            Self::Gemma | Self::Gemma2 | Self::Gemma3 => Gate::Gelu,
            _ => Gate::Silu,
        }
    }
}
