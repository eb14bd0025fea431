//! Shell: how a transport becomes a connection: its first words are heard, it is let in or not, and its session is begun or
//! gone on with.

use std::fmt;
use std::sync::{Arc, Mutex};

use domain::UserId;
use futures_util::{SinkExt, StreamExt};
use supervision::{
    ChildSpec, Handle, Instances, Policy, Restart, Shutdown, StartChildError, SupervisorSpec,
};
use tokio::time::{Duration, Instant, timeout, timeout_at};

use crate::actor::{Connection, LookAgain, Seed, Who};
use crate::deps::Deps;
use crate::handshake::{Handshake, Step, Wish};
use crate::messages::{Close, ConnectionStatus, Status, TakeOver};
use crate::meters;
use crate::pass::Pass;
use crate::register::{Register, Seats};
use crate::transport::{Incoming, Outgoing, Transport};
use crate::wire::{CloseCode, Numbered, ServerFrame, decode};

/// The supervisor of connections, by its name in the tree.
pub const SUPERVISOR: &str = "connection_supervisor";
/// Messages of others that wait for one connection: it is told of things, and nothing here takes long.
const INBOX: usize = 16;
/// How long one frame of the first words may take to be written.
const WRITE: Duration = Duration::from_secs(10);
/// How long a connection may take to answer: it never waits for anything.
const ANSWER: Duration = Duration::from_secs(5);
/// How long a connection may take to say its last word when the tree stops.
const LAST: Duration = Duration::from_secs(6);

/// The specs for the root, and the way by which connections are started.
pub fn children() -> (ChildSpec, Instances<Connection, Seed>) {
    let policy = Policy {
        restart: Restart::Temporary,
        shutdown: Shutdown::Timeout(LAST),
        ..Policy::worker()
    };
    let (spec, connections) = SupervisorSpec::simple_one_for_one(SUPERVISOR, INBOX, policy);
    (ChildSpec::supervisor(spec), connections)
}

/// Nobody is let in with that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused(
    /// Why, and the way out.
    pub String,
);

/// Somebody who is let in.
#[derive(Clone)]
pub struct Admitted {
    /// Who it is.
    pub user: UserId,
    /// Whether a token says so. Then a session is gone on with by its owner alone; without, by whoever knows its name.
    pub proven: bool,
    /// How long they may stay, and how much they may ask.
    pub pass: Arc<dyn Pass>,
}

impl fmt::Debug for Admitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admitted")
            .field("user", &self.user)
            .field("proven", &self.proven)
            .finish_non_exhaustive()
    }
}

/// Who somebody is, by their token and the name they would have.
pub type Admission = dyn Fn(Option<&str>, Option<&str>) -> Result<Admitted, Refused> + Send + Sync;

/// All connections of a tree. Cloning gives another handle to the same ones; make one per tree.
#[derive(Clone)]
pub struct Connections {
    instances: Instances<Connection, Seed>,
    register: Register,
    deps: Deps,
    seats: Seats,
    epoch: Arc<str>,
    /// Names that nobody can guess.
    ids: Arc<dyn Fn() -> String + Send + Sync>,
    /// The most bytes of one frame of a client; whoever made the transport keeps to it.
    frame_bytes: usize,
}

impl Connections {
    /// Connections under the supervisor of [`children`]. `ids` makes names of sessions that nobody can guess.
    pub fn new(
        instances: Instances<Connection, Seed>,
        deps: Deps,
        seats: Seats,
        ids: Arc<dyn Fn() -> String + Send + Sync>,
        frame_bytes: usize,
    ) -> Self {
        Self {
            instances,
            register: Register::default(),
            deps,
            seats,
            epoch: ids().into(),
            ids,
            frame_bytes,
        }
    }

    /// Hears the first words of a transport, and gives it to its connection, new or old. Returns when that is done, or the
    /// transport was closed.
    pub async fn greet(&self, mut transport: Transport, admission: &Admission) {
        let identify = self.deps.limits.identify;
        let mut handshake = Handshake::new(Instant::now(), identify);
        let heartbeat = self.deps.limits.rhythm.heartbeat();
        let hello = Handshake::hello(heartbeat, identify, self.frame_bytes);
        if !write(&mut transport, hello).await {
            return;
        }
        loop {
            let heard = timeout_at(handshake.deadline(), transport.incoming.next()).await;
            let step = match heard {
                Err(_) => Step::Close(None, CloseCode::NotIdentified),
                Ok(None | Some(Incoming::Left)) => return hang_up(transport).await,
                Ok(Some(Incoming::Kicked)) => Step::Close(None, CloseCode::Kicked),
                Ok(Some(Incoming::Binary)) => Step::Close(None, CloseCode::Unsupported),
                Ok(Some(Incoming::NotUtf8)) => Step::Close(None, CloseCode::NotUtf8),
                Ok(Some(Incoming::TooLarge)) => Step::Close(None, CloseCode::TooLarge),
                Ok(Some(Incoming::Text(text))) => handshake.heard(decode(&text)),
                Ok(Some(Incoming::Ping)) => match handshake.pinged() {
                    Some(code) => Step::Close(None, code),
                    None => continue,
                },
            };
            match step {
                Step::Wish(wish) => match self.admit(transport, wish, admission).await {
                    // It may try again over the same transport, and has the same deadline for it.
                    Some(back) => {
                        transport = back;
                        if let Some(code) = handshake.in_vain() {
                            return close(transport, None, code).await;
                        }
                    }
                    None => return,
                },
                Step::Say(frame) => {
                    if !write(&mut transport, frame).await {
                        return;
                    }
                }
                Step::Close(frame, code) => return close(transport, frame, code).await,
            }
        }
    }

    /// Lets it in, or not; the transport comes back where it may try again.
    async fn admit(
        &self,
        transport: Transport,
        wish: Wish,
        admission: &Admission,
    ) -> Option<Transport> {
        let (token, user) = match &wish {
            Wish::New { user, token } => (token.as_deref(), user.as_deref()),
            Wish::Old { token, .. } => (token.as_deref(), None),
        };
        let admitted = admission(token, user);
        match (wish, admitted) {
            (_, Err(Refused(why))) => {
                let frame = crate::refused("unauthorised", "identify", why);
                close(transport, Some(frame), CloseCode::Unauthorised).await;
                None
            }
            (Wish::New { .. }, Ok(admitted)) => {
                self.begin(transport, admitted).await;
                None
            }
            (
                Wish::Old {
                    session,
                    epoch,
                    seq,
                    ..
                },
                Ok(admitted),
            ) => {
                let of = (&*session, &*epoch);
                self.resume(transport, of, seq, admitted).await
            }
        }
    }

    async fn begin(&self, transport: Transport, admitted: Admitted) {
        let Admitted { user, pass, .. } = admitted;
        let session: Arc<str> = (self.ids)().into();
        let entered = self
            .register
            .enter(session.clone(), user.clone(), pass, self.seats);
        let (place, connection) = match entered {
            Ok(entered) => entered,
            Err(error) => {
                let frame = crate::refused("too_many", "identify", error.to_string());
                return close(transport, Some(frame), CloseCode::TooMany).await;
            }
        };
        let slot = Arc::new(Mutex::new(Some(transport)));
        let seed = Seed {
            who: Who {
                connection: connection.clone(),
                session: session.clone(),
                user,
            },
            epoch: self.epoch.clone(),
            deps: self.deps.clone(),
            place: Arc::new(place),
            transport: slot.clone(),
        };
        match self.start(&connection, seed).await {
            Ok(handle) => {
                self.register.started(&session, handle.clone());
                // From now on it is found by whoever looks for them; what was over before that was not.
                look_again(&handle).await;
            }
            Err(error) => {
                tracing::warn!(%error, "a connection was not started");
                let left = slot
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner)
                    .take();
                if let Some(transport) = left {
                    close(transport, None, CloseCode::GoingAway).await;
                }
            }
        }
    }

    async fn start(
        &self,
        connection: &domain::ConnectionId,
        seed: Seed,
    ) -> Result<Handle<Connection>, StartChildError> {
        self.instances
            .start(format!("connection-{connection}"), seed)
            .await
    }

    /// Goes on with a session, by its name and the process it was in. Whoever has a token has to be whose it is.
    async fn resume(
        &self,
        transport: Transport,
        (session, epoch): (&str, &str),
        seq: u64,
        admitted: Admitted,
    ) -> Option<Transport> {
        let Admitted { user, proven, pass } = admitted;
        let of = proven.then_some(user);
        let found = (epoch == &*self.epoch)
            .then(|| self.register.find(session))
            .flatten();
        let found = found.filter(|(user, _)| of.is_none_or(|of| of == *user));
        let Some((_, handle)) = found else {
            meters::not_resumable();
            let reason = "there is no such session here any more".to_owned();
            return invalid(transport, reason).await;
        };
        // Before it is gone on with: what was shown before counts no more.
        self.register.shows(session, pass);
        let asked = handle.ask(TakeOver { transport, seq }, ANSWER).await;
        match asked {
            Ok(()) => {
                look_again(&handle).await;
                None
            }
            Err(supervision::AskError::Handler(lost)) => invalid(lost.transport, lost.reason).await,
            // It ended at this moment, and the transport with it: its client comes again, and finds no session.
            Err(error) => {
                tracing::debug!(%error, "a session ended while its client came back");
                None
            }
        }
    }

    /// How each connection is, of those that answer.
    pub async fn status(&self) -> Vec<ConnectionStatus> {
        let asked = self.register.all().into_iter();
        let asked = asked.map(|handle| async move { handle.ask(Status, ANSWER).await.ok() });
        let answers = futures_util::future::join_all(asked).await;
        answers.into_iter().flatten().collect()
    }

    /// Ends the sessions of those who may be here no more, as [`Pass::is_valid`] has it. Whoever takes a pass away calls it.
    pub async fn look_again(&self) {
        let over = self.register.over();
        futures_util::future::join_all(over.iter().map(look_again)).await;
    }

    /// The most bytes of one frame of a client.
    pub fn frame_bytes(&self) -> usize {
        self.frame_bytes
    }

    /// Sessions there are, with those that may be resumed.
    pub fn count(&self) -> usize {
        self.register.count()
    }

    /// Closes all connections with an invitation to come again: so many at once, and so long between them, so that they do
    /// not all come again together.
    pub async fn drain(&self, at_once: usize, between: Duration) {
        let all = self.register.all();
        for (batch, handles) in all.chunks(at_once.max(1)).enumerate() {
            if batch > 0 {
                tokio::time::sleep(between).await;
            }
            for handle in handles {
                // One that is gone needs no telling.
                let _ = handle.tell(Close(CloseCode::GoingAway)).await;
            }
        }
    }
}

/// Has it look whether its client may still be here.
async fn look_again(handle: &Handle<Connection>) {
    // One that is gone needs no telling; one that cannot be told in time looks before it asks for anything.
    let _ = timeout(ANSWER, handle.tell(LookAgain)).await;
}

/// It cannot be gone on with; it may begin anew over the same transport.
async fn invalid(mut transport: Transport, reason: String) -> Option<Transport> {
    let frame = ServerFrame::InvalidSession {
        resumable: false,
        reason,
    };
    write(&mut transport, frame).await.then_some(transport)
}

async fn write(transport: &mut Transport, frame: ServerFrame) -> bool {
    let text = serde_json::to_string(&Numbered { seq: None, frame }).unwrap_or_default();
    let written = transport.outgoing.send(Outgoing::Text(text.into()));
    matches!(timeout(WRITE, written).await, Ok(Ok(())))
}

async fn close(mut transport: Transport, frame: Option<ServerFrame>, code: CloseCode) {
    meters::closed(code);
    if let Some(frame) = frame
        && !write(&mut transport, frame).await
    {
        return;
    }
    // It may be gone already, or not read.
    let _ = timeout(WRITE, transport.outgoing.send(Outgoing::Close(code))).await;
    hang_up(transport).await;
}

/// What its protocol says last is said, if somebody is there.
async fn hang_up(mut transport: Transport) {
    let _ = timeout(WRITE, transport.outgoing.close()).await;
}
