//! How bad input is refused everywhere: by field, value and way out.

/// A value that is not accepted. The text names the field, the value and what would be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} = {value} is not accepted: use {allowed}")]
pub struct FieldError {
    /// The field as its user knows it, for example `temperature`.
    pub field: &'static str,
    /// The refused value as it was given (cut to 80 characters).
    pub value: String,
    /// What would be accepted, for example `a number from 0 to 2`.
    pub allowed: &'static str,
}

impl FieldError {
    /// Refuses `value` for `field`.
    #[allow(
        clippy::needless_pass_by_value,
        reason = "numbers are passed as they are"
    )]
    pub fn new(field: &'static str, value: impl ToString, allowed: &'static str) -> Self {
        let value = value.to_string().chars().take(80).collect();
        Self {
            field,
            value,
            allowed,
        }
    }
}
