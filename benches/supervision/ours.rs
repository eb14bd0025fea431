//! Our own supervision: the counting actor as `docs/supervision.md` writes it, told and asked through `Handle`.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use supervision::kameo::actor::{Actor, ActorRef};
use supervision::kameo::error::Infallible;
use supervision::kameo::message::{Context, Message};
use supervision::{
    Backoff, Birth, ChildId, ChildSpec, Events, Handle, Inbox, Instances, Policy, Restart,
    RootHandle, SupervisorSpec, TerminateChildError, start_root,
};

use crate::peer::{
    Address, CROWD_CAPACITY, Crowd, Failure, Ledger, Parent, Peer, bug, hear_all, on_worker, told,
};

/// Every ask has one.
const DEADLINE: Duration = Duration::from_secs(5);
/// A stop that takes longer has failed.
const STOP: Duration = Duration::from_mins(1);
/// Restarts in a second that no bench reaches: what is measured is a restart, not the limit.
const NO_LIMIT: u32 = 1_000_000;

pub(crate) struct Counter {
    count: u64,
    ledger: Arc<Ledger>,
    inbox: Inbox<Self>,
}

impl Actor for Counter {
    type Args = Birth<Self, Arc<Ledger>>;
    type Error = Infallible;

    async fn on_start(birth: Self::Args, _me: ActorRef<Self>) -> Result<Self, Infallible> {
        birth.seed.born();
        Ok(Self {
            count: 0,
            ledger: birth.seed,
            inbox: birth.inbox,
        })
    }

    supervision::receive_from!(inbox);
}

pub(crate) struct Add;
pub(crate) struct Count;
pub(crate) struct Crash;
/// May end if nothing is queued.
pub(crate) struct Leave;

impl Message<Add> for Counter {
    type Reply = ();
    async fn handle(&mut self, _: Add, _: &mut Context<Self, ()>) {
        self.count += 1;
    }
}

impl Message<Count> for Counter {
    type Reply = u64;
    async fn handle(&mut self, _: Count, _: &mut Context<Self, u64>) -> u64 {
        self.count
    }
}

impl Message<Crash> for Counter {
    type Reply = ();
    async fn handle(&mut self, _: Crash, _: &mut Context<Self, ()>) {
        self.ledger.dies(self.count);
        bug();
    }
}

impl Message<Leave> for Counter {
    type Reply = bool;
    async fn handle(&mut self, _: Leave, _: &mut Context<Self, bool>) -> bool {
        self.inbox.stop_if_idle()
    }
}

#[derive(Clone)]
pub(crate) struct Place(Handle<Counter>);

impl Address for Place {
    async fn add(&self) -> Result<(), Failure> {
        self.0.tell(Add).await.map_err(told)
    }

    async fn count(&self) -> Result<u64, Failure> {
        self.0.ask(Count, DEADLINE).await.map_err(told)
    }

    async fn crash(&self) -> Result<(), Failure> {
        self.0.tell(Crash).await.map_err(told)
    }
}

fn spec(id: String, capacity: usize, ledger: Arc<Ledger>) -> (ChildSpec, Place) {
    let (spec, handle) = ChildSpec::actor::<Counter, _>(id, capacity, ledger);
    (spec.backoff(Backoff::none()), Place(handle))
}

fn supervisor(id: &str) -> SupervisorSpec {
    SupervisorSpec::new(id).intensity(NO_LIMIT, Duration::from_secs(1))
}

async fn stop(root: RootHandle) -> Result<(), Failure> {
    let report = root.stop(STOP).await;
    if report.abandoned.is_empty() {
        Ok(())
    } else {
        Err(format!("{} children left something undone", report.abandoned.len()).into())
    }
}

pub(crate) struct Supervised {
    root: RootHandle,
    place: Place,
}

impl Peer for Supervised {
    type Address = Place;

    async fn start(capacity: usize, ledger: Arc<Ledger>) -> Result<Self, Failure> {
        let (spec, place) = spec("counter".to_owned(), capacity, ledger);
        let root = start_root(supervisor("root").child(spec), Events::default()).await?;
        Ok(Self { root, place })
    }

    fn address(&self) -> Place {
        self.place.clone()
    }

    async fn end(self) -> Result<(), Failure> {
        stop(self.root).await
    }
}

/// Many in the spec of one supervisor.
pub(crate) struct Flat {
    root: RootHandle,
    /// Held, as their users would.
    _places: Vec<Place>,
}

impl Crowd for Flat {
    async fn gather(actors: usize) -> Result<Self, Failure> {
        on_worker(async move {
            let mut places = Vec::with_capacity(actors);
            let root = family("root", actors, &mut places);
            let root = start_root(root, Events::default()).await?;
            hear_all(&places).await?;
            Ok(Self {
                root,
                _places: places,
            })
        })
        .await
    }

    async fn disperse(self) -> Result<(), Failure> {
        on_worker(async move { stop(self.root).await }).await
    }
}

fn family(id: &str, actors: usize, places: &mut Vec<Place>) -> SupervisorSpec {
    (0..actors).fold(supervisor(id), |supervisor, n| {
        let (spec, place) = spec(n.to_string(), CROWD_CAPACITY, Arc::default());
        places.push(place);
        supervisor.child(spec)
    })
}

/// Many in two levels: supervisors of [`FAMILY`] under a root.
pub(crate) struct Deep {
    root: RootHandle,
    _places: Vec<Place>,
}

/// Children of one supervisor of a deep tree.
const FAMILY: usize = 100;

impl Crowd for Deep {
    async fn gather(actors: usize) -> Result<Self, Failure> {
        on_worker(async move {
            let mut places = Vec::with_capacity(actors);
            let mut root = supervisor("root");
            for n in 0..actors.div_ceil(FAMILY) {
                let size = FAMILY.min(actors - places.len());
                let family = family(&format!("family-{n}"), size, &mut places);
                root = root.child(ChildSpec::supervisor(family));
            }
            let root = start_root(root, Events::default()).await?;
            hear_all(&places).await?;
            Ok(Self {
                root,
                _places: places,
            })
        })
        .await
    }

    async fn disperse(self) -> Result<(), Failure> {
        on_worker(async move { stop(self.root).await }).await
    }
}

/// Many of one template, started at run time one after the other.
pub(crate) struct Dynamic {
    root: RootHandle,
    instances: Instances<Counter, Arc<Ledger>>,
    /// Children so far; each has an id of its own.
    born: usize,
}

impl Dynamic {
    async fn empty() -> Result<Self, Failure> {
        let policy = Policy {
            restart: Restart::Temporary,
            backoff: Backoff::none(),
            ..Policy::worker()
        };
        let (spec, instances) = SupervisorSpec::simple_one_for_one("root", CROWD_CAPACITY, policy);
        let root = start_root(spec, Events::default()).await?;
        Ok(Self {
            root,
            instances,
            born: 0,
        })
    }
}

/// One more for each id.
async fn grow(
    instances: &Instances<Counter, Arc<Ledger>>,
    ids: Range<usize>,
) -> Result<Vec<Place>, Failure> {
    let mut places = Vec::with_capacity(ids.len());
    for n in ids {
        let handle = instances.start(n.to_string(), Arc::default()).await?;
        places.push(Place(handle));
    }
    hear_all(&places).await?;
    Ok(places)
}

/// The same, all there.
pub(crate) struct DynamicCrowd {
    root: RootHandle,
    _places: Vec<Place>,
}

impl Crowd for DynamicCrowd {
    async fn gather(actors: usize) -> Result<Self, Failure> {
        on_worker(async move {
            let Dynamic {
                root, instances, ..
            } = Dynamic::empty().await?;
            let places = grow(&instances, 0..actors).await?;
            Ok(Self {
                root,
                _places: places,
            })
        })
        .await
    }

    async fn disperse(self) -> Result<(), Failure> {
        on_worker(async move { stop(self.root).await }).await
    }
}

/// The same, coming and going.
impl Parent for Dynamic {
    async fn open() -> Result<Self, Failure> {
        Self::empty().await
    }

    /// Half of the children end by themselves, half are ended by the supervisor.
    async fn generation(&mut self, children: usize) -> Result<(), Failure> {
        let ids = self.born..self.born + children;
        self.born = ids.end;
        let places = grow(&self.instances, ids.clone()).await?;
        for (_, Place(handle)) in ids.clone().zip(&places).filter(|(n, _)| n % 2 == 0) {
            if !handle.ask(Leave, DEADLINE).await.map_err(told)? {
                return Err("an idle child did not leave".into());
            }
        }
        for n in ids {
            match self.instances.terminate(&ChildId::new(n.to_string())).await {
                Ok(()) => {}
                Err(TerminateChildError::NotFound { .. }) if n % 2 == 0 => {}
                Err(error) => return Err(error.into()),
            }
        }
        match self.instances.supervisor().which_children().await.len() {
            0 => Ok(()),
            left => Err(format!("{left} children are left").into()),
        }
    }

    async fn close(self) -> Result<(), Failure> {
        stop(self.root).await
    }
}
