//! What a frame of a WebSocket means to a connection, and what a close says. Pure.

use connection::Incoming;
use connection::wire::CloseCode;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode as Number;
use tokio_tungstenite::tungstenite::{Error, Message};

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// Something for the connection.
    Came(Incoming),
    /// The client closes, which is still to be answered; for good, or not.
    Closes {
        /// It does not come back.
        for_good: bool,
    },
    /// It speaks another language than RFC 6455.
    Broken,
    /// Nothing of interest: what answers itself, and an end that the stream will show.
    Nothing,
}

/// What this is.
pub(crate) fn read(what: Result<Message, Error>) -> Read {
    match what {
        Ok(Message::Text(text)) => Read::Came(Incoming::Text(text.as_str().to_owned())),
        Ok(Message::Binary(_)) => Read::Came(Incoming::Binary),
        Ok(Message::Ping(_)) => Read::Came(Incoming::Ping),
        Ok(Message::Close(close)) => Read::Closes {
            for_good: close.is_some_and(|close| is_farewell(close.code)),
        },
        Err(Error::Utf8(_)) => Read::Came(Incoming::NotUtf8),
        Err(Error::Capacity(_)) => Read::Came(Incoming::TooLarge),
        Err(Error::Protocol(what)) if !is_end(&what) => Read::Broken,
        Ok(Message::Pong(_) | Message::Frame(_)) | Err(_) => Read::Nothing,
    }
}

/// Who closes with one of these does not come back. Any other code, or none, may be a program that found something wrong,
/// and will go on.
fn is_farewell(code: Number) -> bool {
    matches!(code, Number::Normal | Number::Away)
}

fn is_end(what: &tokio_tungstenite::tungstenite::error::ProtocolError) -> bool {
    use tokio_tungstenite::tungstenite::error::ProtocolError as P;
    matches!(
        what,
        P::ResetWithoutClosingHandshake | P::ReceivedAfterClosing | P::SendAfterClosing
    )
}

/// The close with this code, and its word as the reason.
pub(crate) fn close(code: CloseCode) -> Message {
    Message::Close(Some(CloseFrame {
        code: code.number().into(),
        reason: code.label().into(),
    }))
}

/// RFC 6455, 7.4.1: 1002.
pub(crate) fn close_broken() -> Message {
    Message::Close(Some(CloseFrame {
        code: Number::Protocol,
        reason: "protocol_error".into(),
    }))
}

#[cfg(test)]
mod tests {
    use std::io;

    use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};

    use super::*;

    fn closed(code: u16) -> Message {
        Message::Close(Some(CloseFrame {
            code: code.into(),
            reason: "".into(),
        }))
    }

    #[test]
    fn each_frame_is_something_to_the_connection_or_nothing() {
        let too_long = CapacityError::MessageTooLong {
            size: 2,
            max_size: 1,
        };
        for (what, meant) in [
            (
                Ok(Message::text("x")),
                Read::Came(Incoming::Text("x".into())),
            ),
            (Ok(Message::binary(vec![1])), Read::Came(Incoming::Binary)),
            (Ok(Message::Ping(vec![].into())), Read::Came(Incoming::Ping)),
            (Ok(Message::Pong(vec![].into())), Read::Nothing),
            (Ok(closed(1000)), Read::Closes { for_good: true }),
            (Ok(closed(1001)), Read::Closes { for_good: true }),
            (Ok(closed(3001)), Read::Closes { for_good: false }),
            (Ok(closed(1011)), Read::Closes { for_good: false }),
            (Ok(Message::Close(None)), Read::Closes { for_good: false }),
            (Err(Error::Utf8("x".into())), Read::Came(Incoming::NotUtf8)),
            (
                Err(Error::Capacity(too_long)),
                Read::Came(Incoming::TooLarge),
            ),
            (
                Err(Error::Protocol(ProtocolError::UnmaskedFrameFromClient)),
                Read::Broken,
            ),
            (
                Err(Error::Protocol(ProtocolError::NonZeroReservedBits)),
                Read::Broken,
            ),
            (
                Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)),
                Read::Nothing,
            ),
            (Err(Error::ConnectionClosed), Read::Nothing),
            (
                Err(Error::Io(io::ErrorKind::ConnectionReset.into())),
                Read::Nothing,
            ),
        ] {
            let shown = format!("{what:?}");
            assert_eq!(read(what), meant, "{shown}");
        }
    }

    #[test]
    fn every_close_may_be_sent_and_has_its_number() {
        for code in CloseCode::ALL {
            let Message::Close(Some(frame)) = close(code) else {
                unreachable!("a close is one");
            };
            assert_eq!(u16::from(frame.code), code.number());
            assert!(frame.code.is_allowed(), "{code:?}");
            assert_eq!(frame.reason.as_str(), code.label());
        }
    }
}
