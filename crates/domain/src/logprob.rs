//! How likely the tokens of an answer were, for those who ask.

/// A token that was chosen, and how likely it was among all of the vocabulary: before penalties, temperature and cuts,
/// as the model itself saw it.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenLogprob {
    /// Its bytes; they need not be whole characters.
    pub bytes: Vec<u8>,
    /// The natural logarithm of its probability; never above 0, never below [`TokenLogprob::LEAST`].
    pub logprob: f32,
    /// The likeliest at its place, the likeliest first, as many as were asked for; it may be one of them.
    pub likeliest: Vec<Likely>,
}

impl TokenLogprob {
    /// What stands for every logarithm below it, that of an impossible token included: JSON has no infinity, and the
    /// OpenAI API writes this one for "very unlikely".
    pub const LEAST: f32 = -9999.0;
}

/// A token that could have been chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Likely {
    /// Its bytes; none if it is a special token, such as the end of the turn.
    pub bytes: Vec<u8>,
    /// The natural logarithm of its probability, within the same bounds.
    pub logprob: f32,
}
