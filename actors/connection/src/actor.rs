//! One client's connection: the shell around its [`Session`]. It reads, writes, looks at rooms and says what time it is.
//!
//! Invariants: no handler waits for a socket, a store or another actor; what an old transport still says is not believed;
//! whoever ends leaves every room it was in, and types no more.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::{ConnectionId, ConversationId, UserId};
use kameo::actor::{Actor, ActorRef, WeakActorRef};
use kameo::error::Infallible;
use kameo::message::{Context, Message};
use supervision::{AlarmDue, Birth, Inbox};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use crate::deps::Deps;
use crate::messages::{Close, ConnectionStatus, NotResumable, Status, TakeOver};
use crate::outlet::{Outlet, Wrote};
use crate::pumps::{self, Heard, Incoming, Looked};
use crate::register::Place;
use crate::session::{Effect, Session, State};
use crate::transport::Transport;
use crate::wire::{CloseCode, ServerFrame, decode};
use crate::{acts, meters, translate};

/// Its client may be here no more, or may: it is to be looked at.
pub(crate) struct LookAgain;

/// Who a connection is. Every event says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// This connection.
    pub connection: ConnectionId,
    /// Its session, which only its client knows.
    pub session: Arc<str>,
    /// Whose.
    pub user: UserId,
}

/// What a connection is born with.
#[derive(Clone)]
pub struct Seed {
    pub(crate) who: Who,
    pub(crate) epoch: Arc<str>,
    pub(crate) deps: Deps,
    pub(crate) place: Arc<Place>,
    /// Taken by the first life, which is the only one.
    pub(crate) transport: Arc<std::sync::Mutex<Option<Transport>>>,
}

/// What carries the session now.
struct Attached {
    number: u64,
    outlet: Outlet,
    reading: AbortHandle,
}

/// One client's connection.
pub struct Connection {
    inbox: Inbox<Self>,
    pub(crate) me: WeakActorRef<Self>,
    pub(crate) who: Who,
    pub(crate) deps: Deps,
    pub(crate) place: Arc<Place>,
    pub(crate) session: Session,
    /// Frames whose joining was counted.
    merged: u64,
    began: Instant,
    attached: Option<Attached>,
    /// As many transports there were.
    transports: u64,
    /// Who looks into each room for it.
    pub(crate) joined: BTreeMap<ConversationId, AbortHandle>,
    pub(crate) watching: Option<AbortHandle>,
    /// Who looks for changes of the list of conversations for it.
    pub(crate) listing: Option<AbortHandle>,
    /// What runs beside the handlers. It ends with this life.
    pub(crate) tasks: JoinSet<()>,
}

impl Actor for Connection {
    type Args = Birth<Self, Seed>;
    type Error = Infallible;

    async fn on_start(birth: Self::Args, me: ActorRef<Self>) -> Result<Self, Infallible> {
        let Seed {
            who,
            epoch,
            deps,
            place,
            transport,
        } = birth.seed;
        let now = Instant::now();
        let ready = ServerFrame::Ready {
            session: who.session.to_string(),
            epoch: epoch.to_string(),
            connection: who.connection.to_string(),
            user: who.user.to_string(),
            resume_ms: crate::ms(deps.limits.replay.time),
        };
        let mut connection = Self {
            inbox: birth.inbox,
            me: me.downgrade(),
            who,
            session: Session::new(deps.limits, ready, now),
            deps,
            place,
            merged: 0,
            began: now,
            attached: None,
            transports: 0,
            joined: BTreeMap::new(),
            watching: None,
            listing: None,
            tasks: JoinSet::new(),
        };
        let first = transport
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .take();
        match first {
            Some(transport) => connection.attach(transport),
            // There is one life, and it was to have one.
            None => connection.inbox.ignore(),
        }
        connection.place.turned(State::Connected);
        connection.flush();
        Ok(connection)
    }

    supervision::receive_from!(inbox, alarm);
}

impl Connection {
    fn attach(&mut self, transport: Transport) {
        self.transports += 1;
        let number = self.transports;
        let Transport { incoming, outgoing } = transport;
        let reading = pumps::read(incoming, number, self.me.clone());
        let reading = self.tasks.spawn(reading);
        let outlet = Outlet::new(outgoing, number, self.me.clone(), &mut self.tasks);
        self.attached = Some(Attached {
            number,
            outlet,
            reading,
        });
    }

    /// Stops reading; what is on its way to the writer is still written, then the transport is gone.
    fn detach(&mut self) {
        if let Some(attached) = self.attached.take() {
            attached.reading.abort();
        }
    }

    /// Whether it is what carries the session now that says so.
    fn is_current(&self, number: u64) -> bool {
        self.attached
            .as_ref()
            .is_some_and(|attached| attached.number == number)
    }

    /// Carries out what the session decided.
    pub(crate) fn follow(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Changed { from, to } => self.turned(from, to),
                Effect::Act(frame) => acts::act(self, frame),
                Effect::Close(code) => self.say_last(code),
                Effect::Gone(over) => {
                    let Who {
                        connection, user, ..
                    } = &self.who;
                    tracing::debug!(%connection, %user, ?over, "a session is over");
                    meters::over(over);
                    self.end();
                }
            }
        }
        self.flush();
    }

    /// Tells the client, or finds that it is too slow.
    pub(crate) fn tell(&mut self, frame: ServerFrame) {
        let effects = self.session.tell(frame);
        self.follow(effects);
    }

    /// Writes what may be written, and is woken when the next is due.
    fn flush(&mut self) {
        let now = Instant::now();
        if let Some(attached) = &self.attached {
            attached.outlet.feed(|| self.session.next(now));
        }
        let merged = self.session.joined();
        meters::merged(merged - self.merged);
        self.merged = merged;
        self.inbox.set_alarm(self.session.deadline());
        // Those that ended; or they would be kept for ever.
        while self.tasks.try_join_next().is_some() {}
    }

    fn turned(&self, from: State, to: State) {
        let Who {
            connection,
            user,
            session: _,
        } = &self.who;
        tracing::debug!(%connection, %user, from = from.label(), to = to.label(), "a session changed");
        self.place.turned(to);
    }

    /// What is left to say, as far as there is room for it, then the close.
    fn say_last(&mut self, code: CloseCode) {
        let Some(attached) = &self.attached else {
            return;
        };
        meters::closed(code);
        let word = self.session.last_word();
        attached.outlet.close(word, code, &mut self.tasks);
        self.detach();
    }

    /// Leaves every room, types no more, and ends when what is on its way is written.
    fn end(&mut self) {
        for (_, looking) in std::mem::take(&mut self.joined) {
            looking.abort();
        }
        for watching in [self.watching.take(), self.listing.take()]
            .into_iter()
            .flatten()
        {
            watching.abort();
        }
        acts::left(self);
        self.detach();
        pumps::last(&mut self.tasks, self.me.clone());
    }
}

impl Message<Incoming> for Connection {
    type Reply = ();

    async fn handle(&mut self, came: Incoming, _: &mut Context<Self, ()>) {
        let Incoming { number, what } = came;
        if !self.is_current(number) {
            return;
        }
        let now = Instant::now();
        let effects = match what {
            Some(crate::transport::Incoming::Text(text)) => self.session.heard(decode(&text), now),
            Some(crate::transport::Incoming::Ping) => self.session.pinged(now),
            Some(crate::transport::Incoming::Binary) => self.session.close(CloseCode::Unsupported),
            Some(crate::transport::Incoming::NotUtf8) => self.session.close(CloseCode::NotUtf8),
            Some(crate::transport::Incoming::TooLarge) => self.session.close(CloseCode::TooLarge),
            Some(crate::transport::Incoming::Left) => self.session.left(),
            Some(crate::transport::Incoming::Kicked) => self.session.close(CloseCode::Kicked),
            None => {
                self.detach();
                self.session.cut(now)
            }
        };
        self.follow(effects);
    }
}

impl Message<Wrote> for Connection {
    type Reply = ();

    async fn handle(&mut self, _: Wrote, _: &mut Context<Self, ()>) {
        self.flush();
    }
}

impl Message<AlarmDue> for Connection {
    type Reply = ();

    async fn handle(&mut self, _: AlarmDue, _: &mut Context<Self, ()>) {
        let effects = self.session.tick(Instant::now());
        self.follow(effects);
    }
}

impl Message<Heard> for Connection {
    type Reply = ();

    async fn handle(&mut self, heard: Heard, _: &mut Context<Self, ()>) {
        if self.joined.contains_key(&heard.conversation) {
            let budget = self.deps.budget();
            self.tell(translate::event(&heard.conversation, &heard.event, budget));
        }
    }
}

impl Message<Looked> for Connection {
    type Reply = ();

    async fn handle(&mut self, looked: Looked, _: &mut Context<Self, ()>) {
        if looked
            .of
            .as_ref()
            .is_none_or(|of| self.joined.contains_key(of))
        {
            self.tell(looked.frame);
        }
    }
}

impl Message<TakeOver> for Connection {
    type Reply = Result<(), NotResumable>;

    async fn handle(&mut self, wish: TakeOver, _: &mut Context<Self, Self::Reply>) -> Self::Reply {
        let TakeOver { transport, seq } = wish;
        match self.session.resume(seq, Instant::now()) {
            Ok(effects) => {
                if let Some(old) = &self.attached {
                    old.outlet.close(None, CloseCode::Replaced, &mut self.tasks);
                }
                self.detach();
                self.attach(transport);
                meters::resumed();
                self.follow(effects);
                Ok(())
            }
            Err((lost, effects)) => {
                self.follow(effects);
                Err(NotResumable {
                    reason: lost.to_string(),
                    transport,
                })
            }
        }
    }
}

impl Message<Close> for Connection {
    type Reply = ();

    async fn handle(&mut self, Close(code): Close, _: &mut Context<Self, ()>) {
        let effects = self.session.close(code);
        self.follow(effects);
    }
}

impl Message<LookAgain> for Connection {
    type Reply = ();

    async fn handle(&mut self, _: LookAgain, _: &mut Context<Self, ()>) {
        if self.place.pass().is_some_and(|pass| !pass.is_valid()) {
            let effects = self.session.close(CloseCode::Unauthorised);
            self.follow(effects);
        }
    }
}

impl Message<Status> for Connection {
    type Reply = ConnectionStatus;

    async fn handle(&mut self, _: Status, _: &mut Context<Self, Self::Reply>) -> ConnectionStatus {
        ConnectionStatus {
            connection: self.who.connection.to_string(),
            session: self.who.session.to_string(),
            user: self.who.user.to_string(),
            state: self.session.state(),
            up: self.began.elapsed(),
            joined: self.joined.len(),
            bytes: self.session.bytes(),
            merged: self.session.joined(),
            tally: self.session.tally(),
        }
    }
}
