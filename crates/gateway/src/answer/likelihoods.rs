//! How likely tokens were, as `/v1/completions` says it: four arrays side by side, and tokens as texts. Nothing here waits.

use domain::TokenLogprob;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// What is known of the tokens of one piece of an answer.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Likelihoods {
    tokens: Vec<String>,
    token_logprobs: Vec<f32>,
    top_logprobs: Vec<Top>,
    /// Where in the answer's text each begins, in characters.
    text_offset: Vec<usize>,
}

/// The likeliest tokens at one place and the one that was chosen. Two tokens that look alike are one.
#[derive(Clone, Debug)]
struct Top(Vec<(String, f32)>);

impl Serialize for Top {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (token, logprob) in &self.0 {
            map.serialize_entry(token, logprob)?;
        }
        map.end()
    }
}

/// Puts them together along one answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gathered {
    waiting: Likelihoods,
    /// Characters that have begun so far.
    characters: usize,
}

impl Gathered {
    /// Further tokens; the text they are part of follows.
    pub(crate) fn add(&mut self, tokens: &[TokenLogprob]) {
        for token in tokens {
            self.add_one(token);
        }
    }

    fn add_one(&mut self, token: &TokenLogprob) {
        let goes_on = token.bytes.first().copied().is_some_and(goes_on);
        let offset = self.characters.saturating_sub(usize::from(goes_on));
        self.characters += token
            .bytes
            .iter()
            .filter(|byte| !self::goes_on(**byte))
            .count();
        let (text, logprob) = (shown(&token.bytes), token.logprob.max(TokenLogprob::LEAST));
        let mut top: Vec<(String, f32)> = Vec::new();
        let likeliest = token.likeliest.iter();
        let likeliest = likeliest.map(|likely| {
            (
                shown(&likely.bytes),
                likely.logprob.max(TokenLogprob::LEAST),
            )
        });
        for (text, logprob) in likeliest.chain([(text.clone(), logprob)]) {
            if top.iter().all(|(other, _)| *other != text) {
                top.push((text, logprob));
            }
        }
        self.waiting.tokens.push(text);
        self.waiting.token_logprobs.push(logprob);
        self.waiting.top_logprobs.push(Top(top));
        self.waiting.text_offset.push(offset);
    }

    /// What came since it was last asked; `None` if nothing did.
    pub(crate) fn take(&mut self) -> Option<Likelihoods> {
        let waiting = std::mem::take(&mut self.waiting);
        (!waiting.tokens.is_empty()).then_some(waiting)
    }

    /// The same, and what nothing looks like.
    pub(crate) fn all(&mut self) -> Likelihoods {
        self.take().unwrap_or_default()
    }
}

/// Whether a byte is inside a character and not its first.
fn goes_on(byte: u8) -> bool {
    byte & 0b1100_0000 == 0b1000_0000
}

/// A token as text. One that is no whole characters looks as it does in the official API.
fn shown(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    if let Ok(text) = std::str::from_utf8(bytes) {
        return text.to_owned();
    }
    let mut shown = String::from("bytes:");
    for byte in bytes {
        // Writing to a text cannot fail.
        let _ = write!(shown, "\\x{byte:02x}");
    }
    shown
}

#[cfg(test)]
mod tests {
    use domain::Likely;

    use super::*;

    fn token(bytes: &[u8], logprob: f32, likeliest: &[(&[u8], f32)]) -> TokenLogprob {
        TokenLogprob {
            bytes: bytes.to_vec(),
            logprob,
            likeliest: likeliest
                .iter()
                .map(|(bytes, logprob)| Likely {
                    bytes: bytes.to_vec(),
                    logprob: *logprob,
                })
                .collect(),
        }
    }

    #[test]
    fn what_is_said_of_tokens_is_exact() {
        let mut gathered = Gathered::default();
        gathered.add(&[
            token(
                "a☃".as_bytes(),
                -0.5,
                &[(b"b", -0.25), ("a☃".as_bytes(), -0.5)],
            ),
            token(b"\xe2\x98", f32::NEG_INFINITY, &[(b"c", 0.0)]),
            token(b"\x83 d", -1.0, &[]),
        ]);
        gathered.add(&[token(b"e", -2.0, &[(b"e", -2.0), (b"e", -3.0)])]);
        let said = gathered.take().unwrap();
        assert_eq!(
            serde_json::to_string(&said).unwrap(),
            concat!(
                r#"{"tokens":["a☃","bytes:\\xe2\\x98","bytes:\\x83\\x20\\x64","e"],"#,
                r#""token_logprobs":[-0.5,-9999.0,-1.0,-2.0],"#,
                r#""top_logprobs":[{"b":-0.25,"a☃":-0.5},{"c":0.0,"bytes:\\xe2\\x98":-9999.0},"#,
                r#"{"bytes:\\x83\\x20\\x64":-1.0},{"e":-2.0}],"#,
                r#""text_offset":[0,2,2,5]}"#
            )
        );
        assert!(gathered.take().is_none());
        gathered.add(&[token(b"f", -1.0, &[])]);
        assert_eq!(gathered.take().unwrap().text_offset, [6]);
        assert_eq!(
            serde_json::to_string(&gathered.all()).unwrap(),
            r#"{"tokens":[],"token_logprobs":[],"top_logprobs":[],"text_offset":[]}"#
        );
    }
}
