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
    /// Where in `text` U+FFFD stands for bytes that are no character, and for how many of them.
    replaced: Vec<(usize, usize)>,
    said_bytes: usize,
}

impl Speech {
    /// Speech that ends before any of `stops` (empty ones are ignored).
    pub fn new(stops: &[String]) -> Self {
        Self {
            stops: stops.iter().filter(|s| !s.is_empty()).cloned().collect(),
            bytes: Vec::new(),
            text: String::new(),
            replaced: Vec::new(),
            said_bytes: 0,
        }
    }

    /// How many of the bytes that came in are said, from the first one on: what follows them waits, or was cut off.
    pub const fn said_bytes(&self) -> usize {
        self.said_bytes
    }

    /// Takes the bytes of the next token.
    pub fn push(&mut self, bytes: &[u8]) -> Said {
        self.bytes.extend_from_slice(bytes);
        self.take_characters();
        if let Some(at) = self.first_stop() {
            let said = self.say(at);
            self.text.clear();
            self.replaced.clear();
            self.bytes.clear();
            return Said::Stopped(said);
        }
        let kept = self.held_back();
        Said::Text(self.say(self.text.len() - kept))
    }

    /// The end without a stop text: what waited is text after all; an unfinished character becomes U+FFFD.
    pub fn finish(&mut self) -> String {
        let rest = self.bytes.len();
        self.bytes.clear();
        if rest > 0 {
            self.replace(rest);
        }
        self.say(self.text.len())
    }

    /// The text up to `at` leaves.
    fn say(&mut self, at: usize) -> String {
        let waiting = self.text.split_off(at);
        self.said_bytes += at;
        let leave = self.replaced.partition_point(|(place, _)| *place < at);
        for (_, bytes) in self.replaced.drain(..leave) {
            self.said_bytes += bytes;
            self.said_bytes -= char::REPLACEMENT_CHARACTER.len_utf8();
        }
        for (place, _) in &mut self.replaced {
            *place -= at;
        }
        std::mem::replace(&mut self.text, waiting)
    }

    /// So many bytes were no character.
    fn replace(&mut self, bytes: usize) {
        self.replaced.push((self.text.len(), bytes));
        self.text.push(char::REPLACEMENT_CHARACTER);
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
                    self.replace(bad);
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
        /// Whatever comes in, what is said is what the bytes counted as said are as text, at any time.
        #[test]
        fn what_is_said_is_counted_in_bytes(
            pieces in prop::collection::vec(
                prop_oneof![
                    prop::collection::vec(prop_oneof![Just(b'a'), Just(0xe2), Just(0x98), Just(0x83), any::<u8>()], 0..4),
                    "[ab☃]{0,3}".prop_map(String::into_bytes),
                ],
                0..12,
            ),
            stop in "[ab☃\u{fffd}]{1,3}",
        ) {
            let mut speech = Speech::new(&[stop]);
            let (mut all, mut text) = (Vec::new(), String::new());
            for piece in &pieces {
                all.extend_from_slice(piece);
                let (more, stopped) = match speech.push(piece) {
                    Said::Text(more) => (more, false),
                    Said::Stopped(more) => (more, true),
                };
                text.push_str(&more);
                prop_assert_eq!(&text, &String::from_utf8_lossy(&all[..speech.said_bytes()]));
                if stopped {
                    return Ok(());
                }
            }
            text.push_str(&speech.finish());
            prop_assert_eq!(speech.said_bytes(), all.len());
            prop_assert_eq!(&text, &String::from_utf8_lossy(&all));
        }

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
