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
use futures_util::future::{BoxFuture, select_all};
use futures_util::stream::FuturesUnordered;
use serde_json::Value;
use supervision::{LifecycleEvent, TURN, Tap, Tapped};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio_util::codec::FramedRead;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

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

type UnderWay = BoxFuture<'static, (Id, Done)>;

/// What came of a request.
enum Done {
    Answer(Result<Value, RpcError>),
    Tap(Result<Tap, RpcError>),
}

/// One client.
pub(crate) struct Connection {
    session: Session,
    desk: Arc<Desk>,
    peer: Peer,
    patience: Duration,
    events: Option<Receiver<LifecycleEvent>>,
    /// Looks at messages, by their numbers.
    taps: Vec<(u64, Tap)>,
    ending: watch::Receiver<Option<Ending>>,
    under_way: FuturesUnordered<UnderWay>,
    /// Entries of the audit log that are being written, and hold nothing up.
    notes: FuturesUnordered<BoxFuture<'static, ()>>,
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
            taps: Vec::new(),
            ending: desk.deps.ending.clone(),
            under_way: FuturesUnordered::new(),
            notes: FuturesUnordered::new(),
        }
    }

    /// Until the client leaves, or `closing` and what is under way is answered. What is to be written down is, however it
    /// ends.
    pub(crate) async fn serve(
        mut self,
        stream: UnixStream,
        closing: CancellationToken,
    ) -> io::Result<()> {
        let ended = self.talk(stream, closing).await;
        while self.notes.next().await.is_some() {}
        ended
    }

    async fn talk(&mut self, stream: UnixStream, closing: CancellationToken) -> io::Result<()> {
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
                Some(()) = self.notes.next() => continue,
                Some((id, done)) = self.under_way.next() => VecDeque::from([self.came(&id, done)]),
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
                (at, tapped) = next_tapped(&mut self.taps) => {
                    self.tapped(at, tapped).into_iter().collect()
                }
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
        let step = self.session.heard(heard);
        let denied = self.session.denied();
        if let Some((action, detail)) = denied.and_then(|denied| self.desk.denied(&denied)) {
            let (desk, who) = (Arc::clone(&self.desk), self.who());
            self.notes.push(Box::pin(async move {
                // Where it is not in this log it is in the server's; nothing was done.
                let _ = desk.write_down(&who, &action, detail).await;
            }));
        }
        match step {
            Step::Say(line) => {
                self.listen();
                self.taps.retain(|(number, _)| self.session.holds(*number));
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
        let turn = self.turn(&id, call.name());
        let work = async move {
            let done = match call {
                Call::Tap(wish) => Done::Tap(desk.tap(&wish, &who).await),
                call => Done::Answer(desk.carry_out(call, &who).await),
            };
            (id, done)
        };
        self.under_way.push(Box::pin(work.instrument(turn)));
    }

    /// All that is done for one call is within it. Its name is the client's number for it behind the client's own, because
    /// every client counts from 1.
    fn turn(&self, id: &Id, method: &'static str) -> Span {
        tracing::error_span!(
            target: TURN,
            "call",
            otel.name = method,
            otel.kind = "server",
            request_id = %format_args!("control-{}-{id}", self.peer.pid.unwrap_or_default()),
            rpc.system = "jsonrpc",
            rpc.method = method,
        )
    }

    /// The line for what was carried out.
    fn came(&mut self, id: &Id, done: Done) -> String {
        let begun = match done {
            Done::Answer(result) => return self.session.answered(id, result),
            Done::Tap(begun) => begun,
        };
        let (line, number) = self
            .session
            .tapped(id, begun.as_ref().map(drop).map_err(Clone::clone));
        self.taps.extend(number.zip(begun.ok()));
        line
    }

    fn tapped(&mut self, at: usize, tapped: Option<Tapped>) -> Option<String> {
        let (number, _) = self.taps.get(at)?;
        let number = *number;
        let Some(one) = tapped else {
            self.taps.remove(at);
            return Some(self.session.tap_over(number));
        };
        let (now, wall) = self.desk.moment();
        let shown = convert::tapped(number, &one, now, wall);
        Some(rpc::notification("tapped", &shown))
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

/// The next message of whoever is looked at: which look, and nothing at its end. Cancel safe.
async fn next_tapped(taps: &mut [(u64, Tap)]) -> (usize, Option<Tapped>) {
    if taps.is_empty() {
        return std::future::pending().await;
    }
    let looks = taps.iter_mut().map(|(_, tap)| Box::pin(tap.next()));
    let (tapped, at, _) = select_all(looks).await;
    (at, tapped)
}
