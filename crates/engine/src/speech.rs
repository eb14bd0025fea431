//! From token bytes to text a client may see: whole characters only, and nothing of a stop text.
//!
//! Bytes wait here while they may still be part of an unfinished character or the beginning of a stop text. What
//! leaves is final: it is never taken back.

/// What became sayable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Text that is final; may be empty while bytes wait.
    Text(String),
    /// A stop text was reached; this is the last text before it.
    Stopped(String),
}

/// The text side of one sequence.
#[derive(Clone, Debug)]
pub struct Speech {
    stops: Vec<String>,
    bytes: Vec<u8>,
    text: String,
}

impl Speech {
    /// Speech that ends before any of `stops` (empty ones are ignored).
    pub fn new(stops: &[String]) -> Self {
        Self {
            stops: stops.iter().filter(|s| !s.is_empty()).cloned().collect(),
            bytes: Vec::new(),
            text: String::new(),
        }
    }

    /// Takes the bytes of the next token.
    pub fn push(&mut self, bytes: &[u8]) -> Said {
        self.bytes.extend_from_slice(bytes);
        self.take_characters();
        if let Some(at) = self.first_stop() {
            let mut said = std::mem::take(&mut self.text);
            said.truncate(at);
            self.bytes.clear();
            return Said::Stopped(said);
        }
        let kept = self.held_back();
        let keep_from = self.text.len() - kept;
        let waiting = self.text.split_off(keep_from);
        Said::Text(std::mem::replace(&mut self.text, waiting))
    }

    /// The end without a stop text: what waited is text after all; an unfinished character becomes U+FFFD.
    pub fn finish(&mut self) -> String {
        let rest = std::mem::take(&mut self.bytes);
        self.text.push_str(&String::from_utf8_lossy(&rest));
        std::mem::take(&mut self.text)
    }

    /// Moves whole characters from `bytes` to `text`; bytes that can never be one become U+FFFD.
    fn take_characters(&mut self) {
        loop {
            match std::str::from_utf8(&self.bytes) {
                Ok(whole) => {
                    self.text.push_str(whole);
                    self.bytes.clear();
                    return;
                }
                Err(error) => {
                    let good: Vec<u8> = self.bytes.drain(..error.valid_up_to()).collect();
                    self.text.push_str(&String::from_utf8_lossy(&good));
                    let Some(bad) = error.error_len() else { return };
                    self.bytes.drain(..bad);
                    self.text.push(char::REPLACEMENT_CHARACTER);
                }
            }
        }
    }

    fn first_stop(&self) -> Option<usize> {
        self.stops
            .iter()
            .filter_map(|stop| self.text.find(stop.as_str()))
            .min()
    }

    /// Bytes at the end of `text` that may be the beginning of a stop text.
    fn held_back(&self) -> usize {
        self.stops
            .iter()
            .map(|stop| {
                (1..stop.len())
                    .rev()
                    .find(|&n| stop.is_char_boundary(n) && self.text.ends_with(&stop[..n]))
                    .unwrap_or(0)
            })
            .max()
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn speak(pieces: &[&[u8]], stops: &[&str]) -> (Vec<String>, bool) {
        let stops: Vec<String> = stops.iter().map(ToString::to_string).collect();
        let mut speech = Speech::new(&stops);
        let mut said = Vec::new();
        for piece in pieces {
            match speech.push(piece) {
                Said::Text(text) => said.push(text),
                Said::Stopped(text) => {
                    said.push(text);
                    return (said, true);
                }
            }
        }
        said.push(speech.finish());
        (said, false)
    }

    #[test]
    fn characters_are_never_split() {
        let snowman = "☃".as_bytes();
        let (said, stopped) = speak(&[&snowman[..1], &snowman[1..2], &snowman[2..], b"!"], &[]);
        assert_eq!(said, ["", "", "☃", "!", ""]);
        assert!(!stopped);
    }

    #[test]
    fn impossible_bytes_become_replacement_characters() {
        let (said, _) = speak(&[b"a\xffb", b"\xe2\x98"], &[]);
        assert_eq!(said.concat(), "a\u{fffd}b\u{fffd}");
    }

    #[test]
    fn stop_texts_span_tokens() {
        let (said, stopped) = speak(&[b"one\nUs", b"er", b": two"], &["\nUser:"]);
        assert_eq!(said, ["one", "", ""]);
        assert!(stopped);
    }

    #[test]
    fn what_only_looked_like_a_stop_is_said() {
        let (said, stopped) = speak(&[b"one\nUs", b"ual"], &["\nUser:"]);
        assert_eq!(said, ["one", "\nUsual", ""]);
        assert!(!stopped);
    }

    #[test]
    fn the_earliest_of_several_stops_wins() {
        let (said, stopped) = speak(&[b"abcdef"], &["ef", "cd"]);
        assert_eq!(said, ["ab"]);
        assert!(stopped);
    }

    proptest! {
        /// However the bytes are cut into tokens, the text is the same, and no stop text is ever said.
        #[test]
        fn cutting_does_not_matter(text in "[ab☃é]{0,40}", cuts in prop::collection::vec(0usize..120, 0..12), stop in "[ab☃]{1,3}") {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(bytes.len())).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts {
                pieces.push(&bytes[from..cut]);
                from = cut;
            }
            pieces.push(&bytes[from..]);
            let (said, stopped) = speak(&pieces, &[&stop]);
            let expected = text.find(&stop).map_or(text.as_str(), |at| &text[..at]);
            prop_assert_eq!(said.concat(), expected);
            prop_assert_eq!(stopped, text.contains(&stop));
        }
    }
}
