//! How likely tokens were, as a chat says it: an object for each token, with its text and its bytes. Nothing here waits.

use domain::TokenLogprob;
use serde::Serialize;

/// What is known of the tokens of an answer, or of a piece of one.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Logprobs {
    content: Vec<Token>,
    refusal: Option<()>,
}

#[derive(Clone, Debug, Serialize)]
struct Token {
    #[serde(flatten)]
    chosen: Chosen,
    top_logprobs: Vec<Chosen>,
}

/// A token as text, which need not be whole characters, and as it is.
#[derive(Clone, Debug, Serialize)]
struct Chosen {
    token: String,
    logprob: f32,
    bytes: Vec<u8>,
}

impl Chosen {
    fn new(bytes: &[u8], logprob: f32) -> Self {
        Self {
            token: String::from_utf8_lossy(bytes).into_owned(),
            logprob: logprob.max(TokenLogprob::LEAST),
            bytes: bytes.to_vec(),
        }
    }
}

impl Logprobs {
    /// Further tokens.
    pub(crate) fn add(&mut self, tokens: &[TokenLogprob]) {
        let token = |token: &TokenLogprob| Token {
            chosen: Chosen::new(&token.bytes, token.logprob),
            top_logprobs: token
                .likeliest
                .iter()
                .map(|likely| Chosen::new(&likely.bytes, likely.logprob))
                .collect(),
        };
        self.content.extend(tokens.iter().map(token));
    }

    /// What came since it was last asked; `None` if nothing did.
    pub(crate) fn take(&mut self) -> Option<Self> {
        let waiting = std::mem::take(self);
        (!waiting.content.is_empty()).then_some(waiting)
    }
}

#[cfg(test)]
mod tests {
    use domain::Likely;

    use super::*;

    #[test]
    fn what_is_said_of_tokens_is_exact() {
        let mut logprobs = Logprobs::default();
        assert!(logprobs.take().is_none());
        logprobs.add(&[
            TokenLogprob {
                bytes: b"a".to_vec(),
                logprob: -0.5,
                likeliest: vec![Likely {
                    bytes: b"b".to_vec(),
                    logprob: -0.25,
                }],
            },
            TokenLogprob {
                bytes: b"\xe2\x98".to_vec(),
                logprob: f32::NEG_INFINITY,
                likeliest: Vec::new(),
            },
        ]);
        let taken = logprobs.take().unwrap();
        assert_eq!(
            serde_json::to_string(&taken).unwrap(),
            "{\"content\":[{\"token\":\"a\",\"logprob\":-0.5,\"bytes\":[97],\"top_logprobs\":[{\"token\":\"b\",\"logprob\":-0.25,\
             \"bytes\":[98]}]},{\"token\":\"\u{fffd}\",\"logprob\":-9999.0,\"bytes\":[226,152],\"top_logprobs\":[]}],\
             \"refusal\":null}"
        );
        assert!(logprobs.take().is_none());
    }
}
