//! ractor: its queues have no bound, and what is started again after a panic is a new actor with a new reference, by a
//! supervisor written here in the way its documentation shows.

use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};
use tokio::sync::watch;

use crate::peer::{Address, Crowd, Failure, Ledger, Parent, Peer, bug, hear_all, on_worker, told};

/// How often something is tried again that another actor has to notice first: the end of a child, a new reference. Each
/// try waits for that actor, so the first ones nearly always do.
const TRIES: usize = 100;

pub(crate) enum Say {
    Add,
    Count(RpcReplyPort<u64>),
    Crash,
}

pub(crate) struct Counter;

pub(crate) struct State {
    count: u64,
    ledger: Arc<Ledger>,
}

impl Actor for Counter {
    type Msg = Say;
    type State = State;
    type Arguments = Arc<Ledger>;

    async fn pre_start(
        &self,
        _me: ActorRef<Say>,
        ledger: Arc<Ledger>,
    ) -> Result<State, ActorProcessingErr> {
        ledger.born();
        Ok(State { count: 0, ledger })
    }

    async fn handle(
        &self,
        _me: ActorRef<Say>,
        say: Say,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match say {
            Say::Add => state.count += 1,
            Say::Count(reply) => {
                // An error only means that the asker has gone.
                drop(reply.send(state.count));
            }
            Say::Crash => {
                state.ledger.dies(state.count);
                bug();
            }
        }
        Ok(())
    }
}

#[derive(Clone)]
pub(crate) struct Direct(ActorRef<Say>);

impl Address for Direct {
    async fn add(&self) -> Result<(), Failure> {
        self.0.send_message(Say::Add).map_err(told)?;
        // Like a sender of a bounded channel: gives way when its budget is used up.
        tokio::task::consume_budget().await;
        Ok(())
    }

    async fn count(&self) -> Result<u64, Failure> {
        ractor::call!(self.0, Say::Count).map_err(told)
    }

    async fn crash(&self) -> Result<(), Failure> {
        self.0.send_message(Say::Crash).map_err(told)
    }
}

pub(crate) struct Alone(ActorRef<Say>);

impl Peer for Alone {
    type Address = Direct;

    async fn start(_capacity: usize, ledger: Arc<Ledger>) -> Result<Self, Failure> {
        let (actor, _) = Actor::spawn(None, Counter, ledger).await?;
        Ok(Self(actor))
    }

    fn address(&self) -> Direct {
        Direct(self.0.clone())
    }

    async fn end(self) -> Result<(), Failure> {
        self.0.stop_and_wait(None, None).await.map_err(told)
    }
}

/// A supervisor that starts one actor again and tells everybody its new reference.
struct Respawner;

struct Post {
    ledger: Arc<Ledger>,
    sender: watch::Sender<Option<ActorRef<Say>>>,
}

impl Post {
    async fn fill(&self, me: &ActorRef<()>) -> Result<(), ActorProcessingErr> {
        let ledger = self.ledger.clone();
        let (actor, _) = Actor::spawn_linked(None, Counter, ledger, me.get_cell()).await?;
        self.sender.send_replace(Some(actor));
        Ok(())
    }
}

impl Actor for Respawner {
    type Msg = ();
    type State = Post;
    type Arguments = Post;

    async fn pre_start(&self, me: ActorRef<()>, post: Post) -> Result<Post, ActorProcessingErr> {
        post.fill(&me).await?;
        Ok(post)
    }

    async fn handle_supervisor_evt(
        &self,
        me: ActorRef<()>,
        event: SupervisionEvent,
        post: &mut Post,
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorFailed(..) = event {
            post.fill(&me).await?;
        }
        Ok(())
    }
}

/// Whoever is the actor now.
#[derive(Clone)]
pub(crate) struct Newest(watch::Receiver<Option<ActorRef<Say>>>);

impl Newest {
    /// A message that is refused is tried again with the next actor; one that was taken may be lost with it.
    async fn send(&self, say: fn() -> Say) -> Result<(), Failure> {
        let mut posts = self.0.clone();
        for _ in 0..TRIES {
            if seen(&mut posts)?.send_message(say()).is_ok() {
                tokio::task::consume_budget().await;
                return Ok(());
            }
            posts.changed().await?;
        }
        Err("no actor takes the message".into())
    }
}

fn seen(posts: &mut watch::Receiver<Option<ActorRef<Say>>>) -> Result<ActorRef<Say>, Failure> {
    let newest = posts.borrow_and_update().clone();
    Ok(newest.ok_or("no actor was ever started")?)
}

impl Address for Newest {
    async fn add(&self) -> Result<(), Failure> {
        self.send(|| Say::Add).await
    }

    async fn count(&self) -> Result<u64, Failure> {
        let mut posts = self.0.clone();
        for _ in 0..TRIES {
            let actor = seen(&mut posts)?;
            if let Ok(count) = ractor::call!(actor, Say::Count) {
                return Ok(count);
            }
            posts.changed().await?;
        }
        Err("no actor answers".into())
    }

    async fn crash(&self) -> Result<(), Failure> {
        self.send(|| Say::Crash).await
    }
}

pub(crate) struct Respawned {
    above: ActorRef<()>,
    newest: Newest,
}

impl Peer for Respawned {
    type Address = Newest;

    async fn start(_capacity: usize, ledger: Arc<Ledger>) -> Result<Self, Failure> {
        let (sender, posts) = watch::channel(None);
        let post = Post { ledger, sender };
        let (above, _) = Actor::spawn(None, Respawner, post).await?;
        Ok(Self {
            above,
            newest: Newest(posts),
        })
    }

    fn address(&self) -> Newest {
        self.newest.clone()
    }

    async fn end(self) -> Result<(), Failure> {
        self.above.stop_and_wait(None, None).await.map_err(told)
    }
}

/// A supervisor that only watches.
struct Above;

/// Answered behind everything the supervisor was told of its children before.
struct Heard(RpcReplyPort<()>);

impl Actor for Above {
    type Msg = Heard;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _me: ActorRef<Heard>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _me: ActorRef<Heard>,
        Heard(reply): Heard,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        // An error only means that the asker has gone.
        let _ = reply.send(());
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _me: ActorRef<Heard>,
        _event: SupervisionEvent,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        Ok(())
    }
}

async fn above() -> Result<ActorRef<Heard>, Failure> {
    Ok(Actor::spawn(None, Above, ()).await?.0)
}

async fn children(above: &ActorRef<Heard>, actors: usize) -> Result<Vec<Direct>, Failure> {
    let mut below = Vec::with_capacity(actors);
    for _ in 0..actors {
        let cell = above.get_cell();
        let (actor, _) = Actor::spawn_linked(None, Counter, Arc::default(), cell).await?;
        below.push(Direct(actor));
    }
    hear_all(&below).await?;
    Ok(below)
}

/// Many linked to one supervisor.
pub(crate) struct Linked {
    above: ActorRef<Heard>,
    below: Vec<Direct>,
}

impl Crowd for Linked {
    async fn gather(actors: usize) -> Result<Self, Failure> {
        on_worker(async move {
            let above = above().await?;
            let below = children(&above, actors).await?;
            Ok(Self { above, below })
        })
        .await
    }

    async fn disperse(self) -> Result<(), Failure> {
        on_worker(async move {
            self.above.stop_children_and_wait(None, None).await;
            self.above.stop_and_wait(None, None).await.map_err(told)?;
            drop(self.below);
            Ok(())
        })
        .await
    }
}

/// One supervisor whose children come and go.
pub(crate) struct LinkedParent(ActorRef<Heard>);

impl Parent for LinkedParent {
    async fn open() -> Result<Self, Failure> {
        Ok(Self(above().await?))
    }

    async fn generation(&mut self, actors: usize) -> Result<(), Failure> {
        let above = self.0.clone();
        let below = children(&above, actors).await?;
        for Direct(actor) in &below {
            actor.stop_and_wait(None, None).await.map_err(told)?;
        }
        for _ in 0..TRIES {
            ractor::call!(above, Heard).map_err(told)?;
            if above.get_cell().get_children().is_empty() {
                return Ok(());
            }
        }
        Err("children that have ended are still listed".into())
    }

    async fn close(self) -> Result<(), Failure> {
        self.0.stop_and_wait(None, None).await.map_err(told)
    }
}
