//! A text as WebSocket frames of a bounded size (RFC 6455, 5.4). The protocol's library keeps a buffer as large as the
//! largest frame it ever wrote; one page of a long conversation would cost each of ten thousand idle clients its own.
//!
//! Invariant: the pieces, put together, are the text; the last of them, and no other, says that it is.

use std::sync::Arc;

use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

/// The most bytes of one frame. 4 KiB: all of most frames, and what a socket's buffer holds eight times.
pub(crate) const PIECE_BYTES: usize = 4 << 10;

/// What is left to send of a text.
#[derive(Debug)]
pub(crate) struct Pieces {
    text: Arc<str>,
    /// Nothing when all of it was given.
    at: Option<usize>,
}

impl Pieces {
    pub(crate) fn of(text: Arc<str>) -> Self {
        Self { text, at: Some(0) }
    }

    /// The next frame. A text of nothing is one, too.
    pub(crate) fn next(&mut self) -> Option<Message> {
        let at = self.at?;
        let rest = self.text.as_bytes().get(at..).unwrap_or_default();
        let (piece, is_last) = match rest.get(..PIECE_BYTES) {
            Some(piece) if rest.len() > PIECE_BYTES => (piece, false),
            _ => (rest, true),
        };
        self.at = (!is_last).then_some(at + PIECE_BYTES);
        let kind = if at == 0 { Data::Text } else { Data::Continue };
        let frame = Frame::message(piece.to_vec(), OpCode::Data(kind), is_last);
        Some(Message::Frame(frame))
    }

    /// Whether there is no more.
    pub(crate) fn are_over(&self) -> bool {
        self.at.is_none()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Opcode, whether it is the last, payload.
    fn all(text: &str) -> Vec<(Data, bool, Vec<u8>)> {
        let mut pieces = Pieces::of(text.into());
        let frames = std::iter::from_fn(|| pieces.next()).map(|message| {
            let Message::Frame(frame) = message else {
                unreachable!("pieces are frames");
            };
            let header = frame.header();
            let OpCode::Data(data) = header.opcode else {
                unreachable!("text is data");
            };
            (data, header.is_final, frame.payload().to_vec())
        });
        frames.collect()
    }

    proptest! {
        #[test]
        fn the_pieces_put_together_are_the_text(
            unit in "[a-z☃é]{0,3}",
            times in prop_oneof![Just(0usize), Just(1), Just(4096), Just(4097), 0usize..6000],
        ) {
            let text = unit.repeat(times);
            let all = all(&text);
            let whole: Vec<u8> = all.iter().flat_map(|(.., piece)| piece.clone()).collect();
            prop_assert_eq!(whole, text.as_bytes());
            prop_assert_eq!(all.len(), text.len().div_ceil(PIECE_BYTES).max(1));
            for (number, (kind, is_last, piece)) in all.iter().enumerate() {
                prop_assert_eq!(*kind, if number == 0 { Data::Text } else { Data::Continue });
                prop_assert_eq!(*is_last, number + 1 == all.len());
                prop_assert!(piece.len() <= PIECE_BYTES);
            }
        }
    }
}
