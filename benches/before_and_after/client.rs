//! The other end of a connection, without a socket: two channels, the same for both worlds. What they cost is on both sides.

use connection::{Incoming, Outgoing};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::{Duration, Instant, timeout, timeout_at};

use crate::lane::Failure;

/// Frames on their way to a client that does not read; what is more waits in the world.
const WAITING: usize = 4;
/// Nobody takes a tenth of it.
const PATIENCE: Duration = Duration::from_secs(20);

/// A client.
pub(crate) struct Client {
    to: mpsc::Sender<Incoming>,
    from: mpsc::Receiver<Outgoing>,
}

/// The world's end of it.
pub(crate) struct Line {
    pub(crate) incoming: mpsc::Receiver<Incoming>,
    pub(crate) outgoing: mpsc::Sender<Outgoing>,
}

/// A field of a frame that is a text; an empty one if it is none.
pub(crate) fn text_of<'a>(frame: &'a Value, field: &str) -> &'a str {
    frame.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// Both ends.
pub(crate) fn line() -> (Client, Line) {
    let (to, incoming) = mpsc::channel(WAITING);
    let (outgoing, from) = mpsc::channel(WAITING);
    (Client { to, from }, Line { incoming, outgoing })
}

impl Client {
    pub(crate) async fn say(&self, text: &str) -> Result<(), Failure> {
        let said = self.to.send(Incoming::Text(text.to_owned()));
        Ok(timeout(PATIENCE, said).await??)
    }

    pub(crate) async fn beat(&self) -> Result<(), Failure> {
        self.say(r#"{"op":"heartbeat","seq":0}"#).await
    }

    pub(crate) async fn types(&self, conversation: &str, typing: bool) -> Result<(), Failure> {
        let frame =
            format!(r#"{{"op":"typing","conversation":"{conversation}","typing":{typing}}}"#);
        self.say(&frame).await
    }

    /// The next frame; `None` when it was closed, or nothing came until then.
    pub(crate) async fn next(&mut self, until: Instant) -> Result<Option<Value>, Failure> {
        match timeout_at(until, self.from.recv()).await {
            Ok(Some(Outgoing::Text(text))) => Ok(Some(serde_json::from_str(&text)?)),
            Ok(Some(Outgoing::Close(_)) | None) | Err(_) => Ok(None),
        }
    }

    /// Reads on to a frame of that op.
    pub(crate) async fn expect(&mut self, op: &str) -> Result<Value, Failure> {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.next(until).await? {
                Some(frame) if text_of(&frame, "op") == op => return Ok(frame),
                Some(_) => {}
                None => return Err(format!("closed, or silent, before {op} came").into()),
            }
        }
    }

    /// Reads on until somebody types, or nobody does; whether that came in time.
    pub(crate) async fn sees_typing(
        &mut self,
        somebody: bool,
        until: Instant,
    ) -> Result<bool, Failure> {
        while let Some(frame) = self.next(until).await? {
            let users = frame.get("users").and_then(Value::as_array);
            let is_so = users.is_some_and(|users| users.is_empty() != somebody);
            if text_of(&frame, "op") == "typing" && is_so {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads on to the close; whether it came in time.
    pub(crate) async fn is_closed(&mut self, until: Instant) -> bool {
        loop {
            match timeout_at(until, self.from.recv()).await {
                Ok(Some(Outgoing::Text(_))) => {}
                Ok(Some(Outgoing::Close(_)) | None) => return true,
                Err(_) => return false,
            }
        }
    }

    /// What came is not wanted.
    pub(crate) fn forget(&mut self) {
        while self.from.try_recv().is_ok() {}
    }

    /// Says who it is, and waits until the world knows it.
    pub(crate) async fn identify(&mut self, user: &str) -> Result<(), Failure> {
        self.expect("hello").await?;
        self.say(&format!(r#"{{"op":"identify","user":"{user}"}}"#))
            .await?;
        self.expect("ready").await.map(drop)
    }

    /// Looks at a conversation.
    pub(crate) async fn join(&mut self, conversation: &str) -> Result<(), Failure> {
        self.say(&format!(
            r#"{{"op":"join","conversation":"{conversation}"}}"#
        ))
        .await?;
        self.expect("room").await.map(drop)
    }
}
