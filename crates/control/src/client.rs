//! The asker's side: typed questions, each with a deadline, and events as they come.
//!
//! One question at a time; events that come meanwhile are kept, up to a number, and what is dropped is counted as the
//! server's own losses are.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::time::timeout;
use tokio_util::codec::{Framed, LinesCodec};

use crate::place::own_uid;
use crate::protocol::PROTOCOL;
use crate::protocol::ending::Ending;
use crate::protocol::events::{Happened, Lagged};
use crate::protocol::hello::{Greeting, Hello};
use crate::protocol::level::Level;
use crate::protocol::rpc::{self, Id, RpcError};
use crate::protocol::table::Ask;
use crate::protocol::tap::{TapOver, Tapped};

/// The longest line that a server may say: a whole tree of thousands of actors. 16 MiB.
const LINE: usize = 16 << 20;
/// How long the first words may take.
const GREETING: Duration = Duration::from_secs(5);
/// News that are kept while somebody waits for an answer.
const KEPT: usize = 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error("no server listens at {socket}: {source}")]
    NoServer {
        /// Where.
        socket: String,
        /// The system's words.
        source: io::Error,
    },
    /// Whoever listens there is another user: what they say is not believed, and nothing is told to them.
    #[error(
        "the server at {socket} belongs to the user {uid}, not to you or root: nothing is said to it"
    )]
    Stranger {
        /// Where.
        socket: String,
        /// Whose it is.
        uid: u32,
    },
    /// The server refused; see [`RpcError::kind`].
    #[error(transparent)]
    Refused(#[from] RpcError),
    /// It took too long.
    #[error("no answer to {method} within {within:?}: the server is busy or stuck")]
    Late {
        /// What was asked.
        method: String,
        /// How long it was waited for.
        within: Duration,
    },
    /// The connection ended.
    #[error("the server hung up: {reason}")]
    HungUp {
        /// Why, as far as that is known.
        reason: String,
    },
    /// What came is not of this protocol.
    #[error("the server said something that is not understood: {reason}")]
    NotUnderstood {
        /// What was wrong with it.
        reason: String,
    },
}

/// What comes without having been asked for at that moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// Something happened.
    Happened(Happened),
    /// Something happened and was dropped.
    Lagged(Lagged),
    /// A message was handled by an actor that is looked at.
    Tapped(Tapped),
    /// A look is over.
    TapOver(TapOver),
    /// The server ends, and is so far.
    Ending(Ending),
}

/// A connection.
#[derive(Debug)]
pub struct Client {
    lines: Framed<UnixStream, LinesCodec>,
    greeting: Greeting,
    pid: Option<i32>,
    asked: i64,
    news: VecDeque<News>,
}

/// A line of the server's.
#[derive(Deserialize)]
struct Line {
    id: Option<Id>,
    method: Option<String>,
    #[serde(default)]
    params: Value,
    result: Option<Value>,
    error: Option<RpcError>,
}

impl Client {
    /// Connects, and says hello under a name for the audit log; with a level, it gives up what is above that.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn connect(
        socket: &Path,
        name: &str,
        level: Option<Level>,
    ) -> Result<Self, ClientError> {
        let shown = || socket.display().to_string();
        let no_server = |source| ClientError::NoServer {
            socket: shown(),
            source,
        };
        let connected = timeout(GREETING, UnixStream::connect(socket)).await;
        let stream = connected.map_err(|_| no_server(io::ErrorKind::TimedOut.into()))?;
        let stream = stream.map_err(no_server)?;
        let peer = stream.peer_cred().map_err(no_server)?;
        let uid = peer.uid();
        if uid != own_uid() && uid != 0 {
            let socket = shown();
            return Err(ClientError::Stranger { socket, uid });
        }
        let codec = LinesCodec::new_with_max_length(LINE);
        let mut client = Self {
            lines: Framed::new(stream, codec),
            greeting: Greeting {
                protocol: 0,
                version: String::new(),
                pid: 0,
                started_ms: 0,
                level: Level::Observe,
            },
            pid: peer.pid(),
            asked: 0,
            news: VecDeque::new(),
        };
        let hello = Hello {
            protocol: PROTOCOL,
            level,
            client: Some(name.to_owned()),
        };
        client.greeting = client.ask(&hello, GREETING).await?;
        Ok(client)
    }

    /// Who answers, and what may be asked.
    pub const fn greeting(&self) -> &Greeting {
        &self.greeting
    }

    /// The server's process, as the kernel names it to us.
    pub const fn pid(&self) -> Option<i32> {
        self.pid
    }

    /// Asks one thing.
    ///
    /// # Errors
    /// See [`ClientError`]. After `Late` the connection is of no more use: the answer may still come.
    pub async fn ask<A: Ask>(
        &mut self,
        wish: &A,
        within: Duration,
    ) -> Result<A::Answer, ClientError> {
        let asked = timeout(within, self.exchange(A::METHOD, wish)).await;
        let result = asked.unwrap_or_else(|_| {
            Err(ClientError::Late {
                method: A::METHOD.to_owned(),
                within,
            })
        })?;
        serde_json::from_value(result).map_err(|error| not_understood(&error))
    }

    async fn exchange(
        &mut self,
        method: &str,
        params: &impl serde::Serialize,
    ) -> Result<Value, ClientError> {
        self.asked += 1;
        let id = Id::Number(self.asked);
        let line = rpc::request(&id, method, params);
        let sent = self.lines.send(line).await;
        // A server that has sent us away has said why, and that can still be read.
        let sent = sent.map_err(|error| ClientError::HungUp {
            reason: error.to_string(),
        });
        loop {
            let line = match self.read().await {
                Ok(line) => line,
                Err(ended) => return Err(sent.err().unwrap_or(ended)),
            };
            match line {
                Line { id: Some(of), .. } if of != id => {}
                // Without an id it is a last word: the connection ends.
                Line {
                    error: Some(error), ..
                } => return Err(error.into()),
                Line {
                    id: Some(_),
                    result: Some(result),
                    ..
                } => return Ok(result),
                news => self.keep(news)?,
            }
        }
    }

    /// The next event; cancel safe.
    ///
    /// # Errors
    /// `HungUp`, `NotUnderstood`.
    pub async fn next(&mut self) -> Result<News, ClientError> {
        loop {
            if let Some(news) = self.news.pop_front() {
                return Ok(news);
            }
            let line = self.read().await?;
            self.keep(line)?;
        }
    }

    fn keep(&mut self, line: Line) -> Result<(), ClientError> {
        let understood = |error: serde_json::Error| not_understood(&error);
        let news = match line.method.as_deref() {
            Some("event") => {
                News::Happened(serde_json::from_value(line.params).map_err(understood)?)
            }
            Some("lagged") => {
                News::Lagged(serde_json::from_value(line.params).map_err(understood)?)
            }
            Some("tapped") => {
                News::Tapped(serde_json::from_value(line.params).map_err(understood)?)
            }
            Some("tap_over") => {
                News::TapOver(serde_json::from_value(line.params).map_err(understood)?)
            }
            Some("ending") => {
                News::Ending(serde_json::from_value(line.params).map_err(understood)?)
            }
            // The greeting, and what a later server may say.
            _ => return Ok(()),
        };
        // An end is never dropped: somebody waits for it, and there are few.
        if self.news.len() < KEPT || matches!(news, News::TapOver(_)) {
            self.news.push_back(news);
            return Ok(());
        }
        let News::Happened(Happened { subscription, .. }) = news else {
            return Ok(());
        };
        // The last place tells of what is dropped.
        match self.news.back_mut() {
            Some(News::Lagged(lagged)) => lagged.lost += 1,
            last => {
                // The one that had the last place, and this one.
                let both = Lagged {
                    subscription,
                    lost: 2,
                };
                if let Some(last) = last {
                    *last = News::Lagged(both);
                }
            }
        }
        Ok(())
    }

    async fn read(&mut self) -> Result<Line, ClientError> {
        let hung_up = |reason: String| ClientError::HungUp { reason };
        let line = self.lines.next().await;
        let line = line.ok_or_else(|| hung_up("it has ended, or sent us away".to_owned()))?;
        let line = line.map_err(|error| hung_up(error.to_string()))?;
        serde_json::from_str(&line).map_err(|error| not_understood(&error))
    }
}

fn not_understood(error: &serde_json::Error) -> ClientError {
    ClientError::NotUnderstood {
        reason: error.to_string(),
    }
}
