//! The shell of typing: it says what time it is, tells viewers what changed, and counts.
//!
//! Invariants: no handler waits; what is over is over before a handler does anything else; nothing of a former life's
//! keystrokes is believed, while a lease that is out is.

use std::collections::BTreeSet;
use std::time::Duration;

use domain::{ConversationId, FieldError};
use kameo::actor::{Actor, ActorRef, WeakActorRef};
use kameo::error::Infallible;
use kameo::message::{Context, Message};
use supervision::{AlarmDue, Birth, ChildSpec, Handle, Inbox};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::board::{Board, TypingLease, TypingSet};
use crate::messages::{
    Left, Lend, SetExpiry, Status, Stopped, Typed, TypingError, TypingStatus, Watch,
};
use crate::meters;
use crate::typists::{Edge, Key, Typists, check};

/// The name in the tree.
pub const CHILD_ID: &str = "typing";
/// Keystrokes waiting at once: thousands of people, who each say it every few seconds, and nothing here takes long.
const MAILBOX: usize = 1024;

/// What outlives the actor's crashes.
#[derive(Clone, Debug)]
pub struct TypingSeed {
    board: Board,
}

/// The one of a tree that knows who types.
pub struct Typing {
    inbox: Inbox<Self>,
    board: Board,
    typists: Typists,
    /// Who hears that leases were given back. It ends with this life.
    _tasks: JoinSet<()>,
}

/// Its place in the tree and its handle. A keystroke counts for `expiry`.
///
/// # Errors
/// `expiry` outside one second to two minutes.
pub fn child(expiry: Duration) -> Result<(ChildSpec, Handle<Typing>), FieldError> {
    let board = Board::new(check(expiry)?);
    Ok(ChildSpec::actor(CHILD_ID, MAILBOX, TypingSeed { board }))
}

impl Actor for Typing {
    type Args = Birth<Self, TypingSeed>;
    type Error = Infallible;

    async fn on_start(birth: Self::Args, me: ActorRef<Self>) -> Result<Self, Infallible> {
        let TypingSeed { board } = birth.seed;
        let mut tasks = JoinSet::new();
        tasks.spawn(hear_returned(board.clone(), me.downgrade()));
        let expiry = board.kept().expiry;
        let mut typing = Self {
            inbox: birth.inbox,
            board,
            typists: Typists::new(expiry),
            _tasks: tasks,
        };
        typing.begin_anew();
        Ok(typing)
    }

    supervision::receive_from!(inbox, alarm);
}

async fn hear_returned(board: Board, typing: WeakActorRef<Typing>) {
    loop {
        board.returned().await;
        let Some(typing) = typing.upgrade() else {
            return;
        };
        if typing.tell(Returned).send().await.is_err() {
            return;
        }
    }
}

impl Typing {
    /// Viewers see those whose leases are out, and nobody else of the life before.
    fn begin_anew(&mut self) {
        let now = Instant::now();
        for (lease, key) in self.board.leases() {
            // Those that are out were taken before, and are fewer than may be.
            let _ = self.typists.lend(key, lease, now);
        }
        meters::typing(self.typists.count());
        let kept = self.board.kept();
        for conversation in kept.watched() {
            kept.show(&conversation, self.typists.typing(&conversation, now));
        }
    }

    /// Ends what is over, does it, and tells what changed.
    fn turn<R>(&mut self, act: impl FnOnce(&mut Typists, Instant) -> (Vec<Edge>, R)) -> R {
        let now = Instant::now();
        let mut edges = self.typists.expire(now);
        let (acted, result) = act(&mut self.typists, now);
        edges.extend(acted);
        self.tell(&edges, now);
        self.inbox.set_alarm(self.typists.deadline());
        result
    }

    fn tell(&self, edges: &[Edge], now: Instant) {
        if edges.is_empty() {
            return;
        }
        let mut kept = self.board.kept();
        for edge in edges {
            kept.count(edge);
            meters::edge(edge);
        }
        meters::typing(self.typists.count());
        let changed: BTreeSet<&ConversationId> =
            edges.iter().map(|edge| &edge.key.conversation).collect();
        for conversation in changed {
            kept.show(conversation, self.typists.typing(conversation, now));
        }
    }

    fn refuse(&self, error: &TypingError) {
        self.board.kept().tally.refused += 1;
        meters::refused();
        tracing::debug!(%error, "not shown");
    }
}

impl Message<Typed> for Typing {
    type Reply = ();

    async fn handle(&mut self, typed: Typed, _: &mut Context<Self, ()>) {
        let Typed {
            conversation,
            user,
            connection,
        } = typed;
        let key = Key {
            conversation: conversation.clone(),
            user: user.clone(),
        };
        let taken = self.turn(|typists, now| match typists.typed(key, connection, now) {
            Ok(edge) => (edge.into_iter().collect(), Ok(())),
            Err(refused) => (Vec::new(), Err(refused)),
        });
        if let Err(refused) = taken {
            self.refuse(&TypingError::new(&refused, conversation, user));
        }
    }
}

impl Message<Stopped> for Typing {
    type Reply = ();

    async fn handle(&mut self, stopped: Stopped, _: &mut Context<Self, ()>) {
        let Stopped {
            conversation,
            user,
            connection,
        } = stopped;
        let key = Key { conversation, user };
        self.turn(|typists, now| {
            let edge = typists.stopped(&key, &connection, now);
            (edge.into_iter().collect(), ())
        });
    }
}

impl Message<Left> for Typing {
    type Reply = ();

    async fn handle(&mut self, Left { connection }: Left, _: &mut Context<Self, ()>) {
        self.turn(|typists, now| (typists.left(&connection, now), ()));
    }
}

impl Message<Lend> for Typing {
    type Reply = Result<TypingLease, TypingError>;

    async fn handle(&mut self, wish: Lend, _: &mut Context<Self, Self::Reply>) -> Self::Reply {
        let Lend { conversation, user } = wish;
        let key = Key {
            conversation: conversation.clone(),
            user: user.clone(),
        };
        let number = self.board.number();
        let wished = key.clone();
        let lent = self.turn(|typists, now| match typists.lend(wished, number, now) {
            Ok(edge) => (edge.into_iter().collect(), Ok(())),
            Err(refused) => (Vec::new(), Err(refused)),
        });
        match lent {
            Ok(()) => Ok(self.board.lend(number, key)),
            Err(refused) => {
                let error = TypingError::new(&refused, conversation, user);
                self.refuse(&error);
                Err(error)
            }
        }
    }
}

/// Leases were given back.
struct Returned;

impl Message<Returned> for Typing {
    type Reply = ();

    async fn handle(&mut self, _: Returned, _: &mut Context<Self, ()>) {
        let over: Vec<u64> = {
            let kept = self.board.kept();
            let lent = self.typists.leases();
            lent.filter(|number| !kept.is_out(*number)).collect()
        };
        self.turn(|typists, now| {
            let edges = over
                .iter()
                .filter_map(|number| typists.returned(*number, now));
            (edges.collect(), ())
        });
    }
}

impl Message<AlarmDue> for Typing {
    type Reply = ();

    async fn handle(&mut self, _: AlarmDue, _: &mut Context<Self, ()>) {
        self.turn(|_, _| (Vec::new(), ()));
    }
}

impl Message<Watch> for Typing {
    type Reply = watch::Receiver<TypingSet>;

    async fn handle(&mut self, wish: Watch, _: &mut Context<Self, Self::Reply>) -> Self::Reply {
        let Watch { conversation } = wish;
        let typing = self.turn(|typists, now| (Vec::new(), typists.typing(&conversation, now)));
        self.board.kept().watch(conversation, typing)
    }
}

impl Message<SetExpiry> for Typing {
    type Reply = Result<(), FieldError>;

    async fn handle(
        &mut self,
        SetExpiry(expiry): SetExpiry,
        _: &mut Context<Self, Self::Reply>,
    ) -> Self::Reply {
        let expiry = check(expiry)?;
        self.board.kept().expiry = expiry;
        self.turn(|typists, now| {
            typists.set_expiry(expiry);
            (typists.expire(now), ())
        });
        Ok(())
    }
}

impl Message<Status> for Typing {
    type Reply = TypingStatus;

    async fn handle(&mut self, _: Status, _: &mut Context<Self, TypingStatus>) -> TypingStatus {
        let typing = self.turn(|typists, _| (Vec::new(), typists.count()));
        let kept = self.board.kept();
        TypingStatus {
            typing,
            watched: kept.watched_now(),
            expiry: kept.expiry,
            tally: kept.tally,
        }
    }
}
