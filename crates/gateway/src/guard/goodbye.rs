//! What a connection hears for which there is no seat: a whole answer that says when to come back, and its end. Shorter than
//! to hang up without a word, which clients take for a fault of the network.
//!
//! Invariant: a goodbye takes two [`PATIENCE`] at most, and keeps [`RUBBISH`] bytes of nobody.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::error::ApiError;
use crate::guard::seats::NoSeat;

/// How long it may take to begin to ask, and then to read the answer. 500 ms: a round trip
/// to the other end of the world, and more.
const PATIENCE: Duration = Duration::from_millis(500);
/// Bytes of a request that are read and thrown away: a socket that is closed with unread bytes is reset, and the answer with
/// it. 64 KiB: any head.
const RUBBISH: u64 = 64 << 10;

/// Says it.
pub(crate) async fn goodbye<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, why: NoSeat) {
    // A client that has not asked yet does not expect an answer.
    let _ = timeout(PATIENCE, stream.read(&mut [0; 1024])).await;
    let leaving = async {
        stream.write_all(answer(why).as_bytes()).await?;
        stream.shutdown().await?;
        let mut rest = stream.take(RUBBISH);
        tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
    };
    // Who does not read it does not hear it.
    let _ = timeout(PATIENCE, leaving).await;
}

fn answer(why: NoSeat) -> String {
    let error = ApiError::no_seat(why);
    let (body, status) = (error.json(), error.status);
    let (length, later) = (body.len(), error.retry_after_s.unwrap_or(1));
    format!(
        "HTTP/1.1 {status} Service Unavailable\r\ncontent-type: application/json\r\nretry-after: {later}\r\n\
         connection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;
    use tokio::time::Instant;

    use super::*;

    #[test]
    fn the_answer_is_exact() {
        for (why, code, part) in [
            (NoSeat::Full(3), "too_many_connections", "3 connections"),
            (NoSeat::Silent(2), "too_many_silent_connections", "2 "),
        ] {
            let answer = answer(why);
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("HTTP/1.1 503 Service Unavailable\r\n"));
            assert!(head.contains("\r\nretry-after: 1\r\n"), "{head}");
            assert!(head.ends_with(&format!("content-length: {}", body.len())));
            let error: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(error["error"]["code"], code);
            let message = error["error"]["message"].as_str().unwrap();
            assert!(message.contains(part), "{message}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_said_once_to_who_asks_and_to_who_says_nothing() {
        for asks in [true, false] {
            let (near, mut far) = duplex(1 << 20);
            let begun = Instant::now();
            let client = async {
                if asks {
                    far.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
                }
                let mut heard = String::new();
                far.read_to_string(&mut heard).await.unwrap();
                drop(far);
                heard
            };
            let ((), heard) = tokio::join!(goodbye(near, NoSeat::Full(1)), client);
            assert!(heard.ends_with('}'), "{heard}");
            assert_eq!(begun.elapsed() < PATIENCE, asks);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_nothing_or_never_ends_is_not_waited_for() {
        for room in [8, 1 << 20] {
            let (near, mut far) = duplex(room);
            let endless = async {
                loop {
                    if far.write_all(&[b'x'; 1024]).await.is_err() {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            let begun = Instant::now();
            let ((), ()) = tokio::join!(goodbye(near, NoSeat::Full(1)), endless);
            assert!(begun.elapsed() < 3 * PATIENCE, "{room}");
        }
    }
}
