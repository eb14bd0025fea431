//! Lines out of bytes: whatever comes, in whatever pieces, each line is one thing to answer, and one that is too long or no
//! text is skipped without losing the next.

use tokio_util::bytes::BytesMut;
use tokio_util::codec::{Decoder, LinesCodec, LinesCodecError};

/// The longest line, without its end: a settings file several times over. 1 MiB.
pub const LINE: usize = 1 << 20;

/// What a line was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Text, without its end.
    Line(String),
    /// It is longer than [`LINE`] and is skipped.
    TooLong,
    /// It is not UTF-8.
    NotText,
    /// The stream ended within it.
    Half,
}

/// Cuts lines. Half a line at the end of the stream is told as such, and what it said is dropped.
#[derive(Clone, Debug)]
pub struct Lines {
    lines: LinesCodec,
}

impl Default for Lines {
    fn default() -> Self {
        Self::up_to(LINE)
    }
}

impl Lines {
    fn up_to(bytes: usize) -> Self {
        Self {
            lines: LinesCodec::new_with_max_length(bytes),
        }
    }
}

impl Decoder for Lines {
    type Item = Heard;
    type Error = std::io::Error;

    fn decode(&mut self, bytes: &mut BytesMut) -> Result<Option<Heard>, Self::Error> {
        loop {
            return match self.lines.decode(bytes) {
                // A blank line is how a person finds out whether somebody is there.
                Ok(Some(line)) if line.trim().is_empty() => continue,
                Ok(line) => Ok(line.map(Heard::Line)),
                Err(LinesCodecError::MaxLineLengthExceeded) => Ok(Some(Heard::TooLong)),
                // The only one it makes itself; those of the stream never come here.
                Err(LinesCodecError::Io(_)) => Ok(Some(Heard::NotText)),
            };
        }
    }

    fn decode_eof(&mut self, bytes: &mut BytesMut) -> Result<Option<Heard>, Self::Error> {
        if let Some(heard) = self.decode(bytes)? {
            return Ok(Some(heard));
        }
        let half = !bytes.trim_ascii().is_empty();
        bytes.clear();
        // It knows how far it had looked, and must not look there again.
        *self = Self::up_to(self.lines.max_length());
        Ok(half.then_some(Heard::Half))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is heard of these pieces by one who takes so many bytes a line, up to the end of the stream.
    fn heard<'a>(most: usize, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Heard> {
        let mut lines = Lines::up_to(most);
        let (mut bytes, mut heard) = (BytesMut::new(), Vec::new());
        for piece in pieces {
            bytes.extend_from_slice(piece);
            while let Some(one) = lines.decode(&mut bytes).unwrap() {
                heard.push(one);
            }
        }
        while let Some(one) = lines.decode_eof(&mut bytes).unwrap() {
            heard.push(one);
        }
        assert!(bytes.is_empty());
        heard
    }

    fn line(text: &str) -> Heard {
        Heard::Line(text.to_owned())
    }

    #[test]
    fn each_line_is_one_thing() {
        for (bytes, expected) in [
            (&b""[..], vec![]),
            (b"a\n", vec![line("a")]),
            (b"a\r\nb\n", vec![line("a"), line("b")]),
            (b"\n \n\t\r\na\n", vec![line("a")]),
            (b"a\nhalf", vec![line("a"), Heard::Half]),
            (b"half", vec![Heard::Half]),
            (b"\xff", vec![Heard::Half]),
            (b"a\n \t", vec![line("a")]),
            (b"\xff\xfe\na\n", vec![Heard::NotText, line("a")]),
            (b"12345678\na\n", vec![line("12345678"), line("a")]),
            (b"123456789\na\n", vec![Heard::TooLong, line("a")]),
            (b"123456789 and never an end", vec![Heard::TooLong]),
        ] {
            assert_eq!(heard(8, [bytes]), expected, "{bytes:?}");
        }
    }

    #[test]
    fn ten_mebibytes_without_an_end_are_one_line_and_are_not_kept() {
        let (mut lines, mut bytes) = (Lines::default(), BytesMut::new());
        let (piece, mut heard, mut most) = (vec![b'x'; 64 << 10], Vec::new(), 0);
        for _ in 0..160 {
            bytes.extend_from_slice(&piece);
            most = most.max(bytes.len());
            while let Some(one) = lines.decode(&mut bytes).unwrap() {
                heard.push(one);
            }
        }
        bytes.extend_from_slice(b"\nnext\n");
        while let Some(one) = lines.decode(&mut bytes).unwrap() {
            heard.push(one);
        }
        assert_eq!(heard, [Heard::TooLong, line("next")]);
        assert!(most <= LINE + piece.len() + 1, "{most} bytes were kept");
    }

    proptest! {
        /// However the bytes are cut, the same is heard.
        #[test]
        fn any_split_gives_the_same(
            bytes in proptest::collection::vec(prop_oneof![
                4 => Just(b'a'), 2 => Just(b'\n'), 1 => Just(b'\r'), 1 => Just(b' '), 1 => any::<u8>(),
            ], 0..200),
            cuts in proptest::collection::vec(0_usize..200, 0..12),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut <= bytes.len()).collect();
            cuts.sort_unstable();
            cuts.push(bytes.len());
            let mut from = 0;
            let pieces: Vec<&[u8]> = cuts
                .iter()
                .map(|to| {
                    let piece = &bytes[from..*to];
                    from = *to;
                    piece
                })
                .collect();
            prop_assert_eq!(heard(8, pieces), heard(8, [&bytes[..]]));
        }
    }
}
