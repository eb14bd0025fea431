//! One connection: lines in, lines out, and what is under way between them. All of it in one task, so that its end is the end
//! of everything it asked for.
//!
//! A client that does not read stops this loop and nothing else: nothing more is read from it, events wait in the bounded
//! stream of the tree until they are dropped and counted, and after `write_time` it is hung up on.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use serde_json::Value;
use supervision::LifecycleEvent;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio_util::codec::FramedRead;
use tokio_util::sync::CancellationToken;

use crate::codec::{Heard, Lines};
use crate::config::ControlConfig;
use crate::convert;
use crate::desk::{Desk, Who};
use crate::protocol::PROTOCOL;
use crate::protocol::ending::Ending;
use crate::protocol::hello::Greeting;
use crate::protocol::level::Level;
use crate::protocol::rpc::{self, Id, RpcError};
use crate::protocol::table::Call;
use crate::session::{Session, Step};

/// Who is at the other end, as the kernel says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    pub(crate) uid: u32,
    pub(crate) pid: Option<i32>,
}

type UnderWay = BoxFuture<'static, (Id, Result<Value, RpcError>)>;

/// One client.
pub(crate) struct Connection {
    session: Session,
    desk: Arc<Desk>,
    peer: Peer,
    patience: Duration,
    events: Option<Receiver<LifecycleEvent>>,
    ending: watch::Receiver<Option<Ending>>,
    under_way: FuturesUnordered<UnderWay>,
}

impl Connection {
    pub(crate) fn new(
        config: &ControlConfig,
        desk: &Arc<Desk>,
        peer: Peer,
        started_ms: i64,
    ) -> Self {
        let greeting = Greeting {
            protocol: PROTOCOL,
            version: config.version.clone(),
            pid: std::process::id(),
            started_ms,
            level: Level::Admin,
        };
        Self {
            session: Session::new(greeting),
            desk: Arc::clone(desk),
            peer,
            patience: config.limits.write_time,
            events: None,
            ending: desk.deps.ending.clone(),
            under_way: FuturesUnordered::new(),
        }
    }

    /// Until the client leaves, or `closing` and what is under way is answered.
    pub(crate) async fn serve(
        mut self,
        stream: UnixStream,
        closing: CancellationToken,
    ) -> io::Result<()> {
        let (reader, mut writer) = stream.into_split();
        let mut lines = FramedRead::new(reader, Lines::default());
        let greeting = self.session.greeting();
        say(&mut writer, [greeting], self.patience).await?;
        loop {
            if closing.is_cancelled() && self.under_way.is_empty() {
                let last = self.ending.has_changed().unwrap_or(false);
                let last = last.then(|| self.ending()).flatten();
                return say(&mut writer, last, self.patience).await;
            }
            let said: VecDeque<String> = tokio::select! {
                () = closing.cancelled(), if !closing.is_cancelled() => continue,
                Some((id, result)) = self.under_way.next() => {
                    VecDeque::from([self.session.answered(&id, result)])
                }
                heard = lines.next(), if !closing.is_cancelled() => match heard {
                    // They have left, and whatever they asked for is of no use to anybody.
                    None => return Ok(()),
                    Some(heard) => match self.heard(heard?) {
                        Ok(said) => said.into_iter().collect(),
                        Err(last) => return say(&mut writer, [last], self.patience).await,
                    },
                },
                Ok(()) = self.ending.changed() => self.ending().into_iter().collect(),
                happened = next_of(&mut self.events) => self.happened(happened),
            };
            say(&mut writer, said, self.patience).await?;
        }
    }

    /// How far the ending is, if one has begun.
    fn ending(&mut self) -> Option<String> {
        let ending = self.ending.borrow_and_update();
        let ending = ending.as_ref();
        ending.map(|ending| rpc::notification("ending", ending))
    }

    /// What to say to a line; an error is the last thing to say.
    fn heard(&mut self, heard: Heard) -> Result<Option<String>, String> {
        match self.session.heard(heard) {
            Step::Say(line) => {
                self.listen();
                Ok(Some(line))
            }
            Step::SayAndEnd(line) => Err(line),
            Step::Do(id, call) => {
                self.begin(id, call);
                Ok(None)
            }
        }
    }

    fn begin(&mut self, id: Id, call: Call) {
        let (desk, who) = (Arc::clone(&self.desk), self.who());
        let work = async move {
            let result = desk.carry_out(call, &who).await;
            (id, result)
        };
        self.under_way.push(Box::pin(work));
    }

    fn who(&self) -> Who {
        let client = self.session.client().unwrap_or("somebody");
        let uid = self.peer.uid;
        Who(match self.peer.pid {
            Some(pid) => format!("{client} (uid {uid}, pid {pid})"),
            None => format!("{client} (uid {uid})"),
        })
    }

    /// Hears the tree while somebody wants to know, and only then.
    fn listen(&mut self) {
        if !self.session.listens() {
            self.events = None;
        } else if self.events.is_none() {
            self.events = Some(self.desk.deps.events.subscribe());
        }
    }

    fn happened(&mut self, happened: Result<LifecycleEvent, RecvError>) -> VecDeque<String> {
        match happened {
            Ok(event) => {
                let (now, wall) = self.desk.moment();
                let event = convert::event(&event, now, wall);
                self.session.happened(&event).into()
            }
            Err(RecvError::Lagged(lost)) => self.session.lagged(lost).into(),
            Err(RecvError::Closed) => {
                self.events = None;
                VecDeque::new()
            }
        }
    }
}

/// Writes lines, as long as the client takes them.
async fn say(
    writer: &mut OwnedWriteHalf,
    lines: impl IntoIterator<Item = String>,
    patience: Duration,
) -> io::Result<()> {
    for line in lines {
        let line = line + "\n";
        let written = tokio::time::timeout(patience, writer.write_all(line.as_bytes()));
        let Ok(written) = written.await else {
            let what = "the client reads nothing";
            return Err(io::Error::new(io::ErrorKind::TimedOut, what));
        };
        written?;
    }
    Ok(())
}

async fn next_of(
    events: &mut Option<Receiver<LifecycleEvent>>,
) -> Result<LifecycleEvent, RecvError> {
    match events {
        Some(events) => events.recv().await,
        None => std::future::pending().await,
    }
}
