//! How likely the tokens of an answer were, for those who ask.

/// A token that was chosen, and how likely it was among all of the vocabulary: before penalties, temperature and cuts,
/// as the model itself saw it.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenLogprob {
    /// Its bytes; they need not be whole characters.
    pub bytes: Vec<u8>,
    /// The natural logarithm of its probability; never above 0.
    pub logprob: f32,
    /// The likeliest at its place, the likeliest first, as many as were asked for; it may be one of them.
    pub likeliest: Vec<Likely>,
}

/// A token that could have been chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Likely {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The natural logarithm of its probability.
    pub logprob: f32,
}
