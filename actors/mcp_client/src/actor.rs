//! One server's actor: it keeps one connection, and makes the next when that ends.
//!
//! Invariants: no handler waits, except the end, which waits for the server's; a server that fails never fails this actor;
//! and nothing is kept here that a crash could lose: what others see lies on the board, which the seed holds.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use kameo::actor::{Actor, ActorRef, WeakActorRef};
use kameo::error::{ActorStopReason, Infallible};
use kameo::message::{Context, Message};
use supervision::{AlarmDue, Birth, Inbox};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::board::{Board, ServerState};
use crate::course::Course;
use crate::messages::{Doubt, Reconnect};
use crate::meters;
use crate::offer::Offer;
use crate::session::{self, News, Work};

/// News of a connection that wait for this actor, which never takes long.
const NEWS: usize = 4;

/// What outlives the actor's crashes.
#[derive(Clone)]
pub struct Seed(pub(crate) Arc<Board>);

/// The keeper of one server.
pub struct McpServer {
    inbox: Inbox<Self>,
    me: WeakActorRef<Self>,
    board: Arc<Board>,
    course: Course,
    connection: Option<Connection>,
    /// The connection and who hears its news. They end with this life, and the server's processes with them.
    tasks: JoinSet<()>,
}

struct Connection {
    number: u64,
    stop: CancellationToken,
    doubts: mpsc::Sender<()>,
}

impl Actor for McpServer {
    type Args = Birth<Self, Seed>;
    type Error = Infallible;

    async fn on_start(birth: Self::Args, me: ActorRef<Self>) -> Result<Self, Infallible> {
        let mut server = Self {
            inbox: birth.inbox,
            me: me.downgrade(),
            board: birth.seed.0,
            course: Course::default(),
            connection: None,
            tasks: JoinSet::new(),
        };
        server.connect();
        Ok(server)
    }

    async fn on_stop(
        &mut self,
        _: WeakActorRef<Self>,
        reason: ActorStopReason,
    ) -> Result<(), Infallible> {
        let is_crash = matches!(
            reason,
            ActorStopReason::Panicked(_) | ActorStopReason::Killed
        );
        self.board.set(|link| {
            (link.session, link.pid) = (None, None);
            link.state = if is_crash {
                ServerState::Starting
            } else {
                ServerState::Stopped
            };
        });
        if is_crash {
            // What is dropped is killed, without grace.
            self.tasks.shutdown().await;
            return Ok(());
        }
        if let Some(connection) = self.connection.take() {
            connection.stop.cancel();
        }
        // Bounded by the connection's own end, and by the child's shutdown deadline.
        while self.tasks.join_next().await.is_some() {}
        Ok(())
    }

    supervision::receive_from!(inbox, alarm);
}

impl McpServer {
    fn connect(&mut self) {
        while self.tasks.try_join_next().is_some() {}
        let mut number = 0;
        self.board.set(|link| {
            link.starts += 1;
            number = link.starts;
            link.state = ServerState::Starting;
            (link.session, link.pid) = (None, None);
        });
        meters::started(&self.board.config.name);
        let (doubts, received) = mpsc::channel(1);
        let (news, mut told) = mpsc::channel(NEWS);
        let stop = CancellationToken::new();
        let work = Work {
            board: self.board.clone(),
            number,
            stop: stop.clone(),
            doubts: received,
            news,
        };
        let me = self.me.clone();
        self.tasks.spawn(async move {
            let run = AssertUnwindSafe(session::run(work)).catch_unwind();
            let hear = async {
                while let Some(what) = told.recv().await {
                    tell(&me, Heard { number, what }).await;
                }
            };
            // The news end with the connection.
            let (ended, ()) = tokio::join!(run, hear);
            let crashed = || "its connection crashed, which is a bug here".to_owned();
            let ended = ended.unwrap_or_else(|_| crashed().into());
            tell(&me, Ended { number, ended }).await;
        });
        self.connection = Some(Connection {
            number,
            stop,
            doubts,
        });
    }

    fn is_current(&self, number: u64) -> bool {
        let current = self.connection.as_ref();
        current.is_some_and(|connection| connection.number == number)
    }

    fn show(&self, offer: Offer) {
        let server = &self.board.config.name;
        if !offer.skipped.is_empty() && self.board.now().offer.skipped != offer.skipped {
            let skipped = offer.skipped.join("; ");
            tracing::warn!(
                server,
                skipped,
                "some tools of this MCP server cannot be used"
            );
        }
        tracing::info!(
            server,
            tools = offer.tools.len(),
            "an MCP server offers tools"
        );
        self.board.set(|link| link.offer = offer);
    }
}

async fn tell<M: Send + 'static>(server: &WeakActorRef<McpServer>, message: M)
where
    McpServer: Message<M>,
{
    if let Some(server) = server.upgrade() {
        // Fails only when this life ends, and the next one does not wait for it.
        let _ = server.tell(message).send().await;
    }
}

/// Something became known of a connection.
struct Heard {
    number: u64,
    what: News,
}

impl Message<Heard> for McpServer {
    type Reply = ();

    async fn handle(&mut self, heard: Heard, _: &mut Context<Self, ()>) {
        if !self.is_current(heard.number) {
            return;
        }
        match heard.what {
            News::Process(pid) => self.board.set(|link| link.pid = Some(pid)),
            News::Up(session, offer) => {
                self.course.came_up(Instant::now());
                self.show(offer);
                self.board.set(|link| {
                    link.state = ServerState::Up;
                    link.session = Some(session);
                    link.last_error = None;
                });
            }
        }
    }
}

/// A connection has ended, and nothing of it is left.
struct Ended {
    number: u64,
    ended: session::Ended,
}

impl Message<Ended> for McpServer {
    type Reply = ();

    async fn handle(&mut self, Ended { number, ended }: Ended, _: &mut Context<Self, ()>) {
        let session::Ended { why, last_words } = ended;
        if !self.is_current(number) {
            return;
        }
        self.connection = None;
        let now = Instant::now();
        let until = self.course.ended(now);
        let server = &self.board.config.name;
        let rest = until.saturating_duration_since(now);
        tracing::warn!(
            server,
            why,
            ?rest,
            "an MCP server is lost, and started again after a rest"
        );
        tracing::debug!(server, last_words, "what it said last");
        self.board.set(|link| {
            link.state = ServerState::Resting { until };
            (link.session, link.pid) = (None, None);
            link.last_error = Some(why + &last_words);
        });
        self.inbox.set_alarm(Some(until));
    }
}

impl Message<AlarmDue> for McpServer {
    type Reply = ();

    async fn handle(&mut self, _: AlarmDue, _: &mut Context<Self, ()>) {
        if self.connection.is_none() {
            self.connect();
        }
    }
}

impl Message<Doubt> for McpServer {
    type Reply = ();

    async fn handle(&mut self, Doubt(number): Doubt, _: &mut Context<Self, ()>) {
        if let Some(connection) = self.connection.as_ref().filter(|c| c.number == number) {
            // Full: it is being looked at.
            let _ = connection.doubts.try_send(());
        }
    }
}

impl Message<Reconnect> for McpServer {
    type Reply = ();

    async fn handle(&mut self, _: Reconnect, _: &mut Context<Self, ()>) {
        self.course = Course::default();
        match &self.connection {
            Some(connection) => connection.stop.cancel(),
            None => self.inbox.set_alarm(Some(Instant::now())),
        }
    }
}
