//! How the next token is chosen, with every range stated once.

use crate::{Constraint, FieldError};

/// The choices of one request. `validate` tells whether each lies in its range.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// Flattens (>1) or sharpens (<1) the distribution; 0 is greedy. 0 to 2.
    pub temperature: f32,
    /// Keep the `k` likeliest tokens; 0 keeps all.
    pub top_k: u32,
    /// Keep the likeliest tokens whose probabilities sum to this (nucleus). Above 0, to 1; 1 keeps all.
    pub top_p: f32,
    /// Drop tokens less likely than this share of the likeliest. 0 to 1; 0 keeps all.
    pub min_p: f32,
    /// Divides positive and multiplies negative logits of recent tokens (CTRL, arXiv:1909.05858). 1 is off. 0.5 to 2.
    pub repetition_penalty: f32,
    /// How many tokens back the penalty looks. 0 to 4096.
    pub repetition_window: u32,
    /// Taken off the logit of each token that the answer has already (the OpenAI API's `presence_penalty`). 0 is off. -2 to 2.
    pub presence_penalty: f32,
    /// Taken off a token's logit for each time that the answer has it already. 0 is off. -2 to 2.
    pub frequency_penalty: f32,
    /// Whether each token comes with how likely it was, and with how many of the likeliest at its place. 0 to 20.
    pub logprobs: Option<u32>,
    /// The same seed, prompt and model give the same text.
    pub seed: u64,
    /// At most this many tokens are generated. 1 to 1 048 576.
    pub max_tokens: u32,
    /// Generation ends before any of these texts; they may span tokens. At most 16, none empty.
    pub stop: Vec<String>,
    /// What the answer has to look like; `None` leaves it free.
    pub constraint: Option<Constraint>,
}

impl Default for Sampling {
    /// What small instruct models are told to use (SmolLM2's model card: a temperature of 0.2), with a penalty and bounds
    /// that keep them from going in circles. The seed is fixed, so the same question gets the same answer.
    fn default() -> Self {
        Self {
            temperature: 0.2,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.05,
            repetition_penalty: 1.1,
            repetition_window: 64,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            logprobs: None,
            seed: 0,
            max_tokens: 512,
            stop: Vec::new(),
            constraint: None,
        }
    }
}

impl Sampling {
    /// The likeliest token each time, no penalty: the same answer for the same prompt.
    pub fn greedy() -> Self {
        Self {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            ..Self::default()
        }
    }

    /// The first field out of its range.
    ///
    /// # Errors
    /// Names the field, the value and the range.
    pub fn validate(&self) -> Result<(), FieldError> {
        let within = |field, value: f32, low: f32, high: f32, allowed| {
            if (low..=high).contains(&value) {
                Ok(())
            } else {
                Err(FieldError::new(field, value, allowed))
            }
        };
        within(
            "temperature",
            self.temperature,
            0.0,
            2.0,
            "a number from 0 to 2",
        )?;
        within(
            "top_p",
            self.top_p,
            f32::MIN_POSITIVE,
            1.0,
            "a number above 0, at most 1",
        )?;
        within("min_p", self.min_p, 0.0, 1.0, "a number from 0 to 1")?;
        within(
            "repetition_penalty",
            self.repetition_penalty,
            0.5,
            2.0,
            "a number from 0.5 to 2",
        )?;
        if self.repetition_window > 4096 {
            return Err(FieldError::new(
                "repetition_window",
                self.repetition_window,
                "0 to 4096 tokens",
            ));
        }
        let penalty = |field, value| within(field, value, -2.0, 2.0, "a number from -2 to 2");
        penalty("presence_penalty", self.presence_penalty)?;
        penalty("frequency_penalty", self.frequency_penalty)?;
        if let Some(likeliest) = self.logprobs.filter(|likeliest| *likeliest > 20) {
            return Err(FieldError::new("top_logprobs", likeliest, "0 to 20 tokens"));
        }
        if !(1..=1 << 20).contains(&self.max_tokens) {
            return Err(FieldError::new(
                "max_tokens",
                self.max_tokens,
                "1 to 1048576 tokens",
            ));
        }
        if self.stop.len() > 16 {
            return Err(FieldError::new("stop", self.stop.len(), "at most 16 texts"));
        }
        if self.stop.iter().any(String::is_empty) {
            return Err(FieldError::new("stop", "\"\"", "texts that are not empty"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid() {
        assert_eq!(Sampling::default().validate(), Ok(()));
        assert_eq!(Sampling::greedy().validate(), Ok(()));
    }

    #[test]
    fn each_field_is_refused_by_name() {
        type Spoil = fn(&mut Sampling);
        let cases: [(&str, Spoil); 11] = [
            ("temperature", |s| s.temperature = f32::NAN),
            ("temperature", |s| s.temperature = 2.1),
            ("top_p", |s| s.top_p = 0.0),
            ("min_p", |s| s.min_p = -0.1),
            ("repetition_penalty", |s| s.repetition_penalty = 3.0),
            ("repetition_window", |s| s.repetition_window = 5000),
            ("presence_penalty", |s| s.presence_penalty = -2.1),
            ("frequency_penalty", |s| s.frequency_penalty = f32::NAN),
            ("top_logprobs", |s| s.logprobs = Some(21)),
            ("max_tokens", |s| s.max_tokens = 0),
            ("stop", |s| s.stop = vec![String::new()]),
        ];
        for (field, spoil) in cases {
            let mut sampling = Sampling::default();
            spoil(&mut sampling);
            assert_eq!(sampling.validate().map_err(|e| e.field), Err(field));
        }
    }
}
