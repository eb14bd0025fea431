//! The living tree of one story: specs made from the plan, and the ways to everyone in it.

use supervision::{
    ChildSpec, Events, Handle, Instances, Policy, Shutdown, Strategy, SupervisorHandle,
    SupervisorSpec,
};

use crate::ledger::{Book, PlaceId};
use crate::plan::{Group, Role, Seat};
use crate::player::{Part, Player, task};

/// A supervisor and how its children are reached.
#[derive(Clone)]
pub struct Office {
    pub path: String,
    pub handle: SupervisorHandle,
    pub instances: Option<Instances<Player, Part>>,
    pub group: Group,
}

#[derive(Clone)]
pub struct Reader {
    pub place: PlaceId,
    pub handle: Handle<Player>,
}

pub struct Stage {
    pub seed: u64,
    pub book: Book,
    pub offices: Vec<Office>,
    pub readers: Vec<Reader>,
}

/// Room for every event of a story: none may be missed.
const EVENTS: usize = 1 << 14;

impl Stage {
    pub fn new(seed: u64, root: &Group) -> (Self, SupervisorSpec, Events) {
        let events = Events::new(EVENTS, seed);
        let book = Book::new(root, events.subscribe());
        let mut stage = Self {
            seed,
            book,
            offices: Vec::new(),
            readers: Vec::new(),
        };
        let spec = stage.supervisor("root", root);
        (stage, spec, events)
    }

    fn supervisor(&mut self, path: &str, group: &Group) -> SupervisorSpec {
        let id = path.rsplit('/').next().unwrap_or_default();
        let (mut spec, instances) = if group.strategy == Strategy::SimpleOneForOne {
            let policy = Policy {
                restart: supervision::Restart::Transient,
                ..Policy::worker()
            };
            let (spec, instances) = SupervisorSpec::simple_one_for_one(id, 4, policy);
            (spec, Some(instances))
        } else {
            (SupervisorSpec::new(id).strategy(group.strategy), None)
        };
        spec = spec
            .auto_shutdown(group.auto_shutdown)
            .intensity(group.max_restarts, group.period);
        self.offices.push(Office {
            path: path.to_owned(),
            handle: spec.handle(),
            instances,
            group: group.clone(),
        });
        for seat in &group.children {
            let (child, reader) = self.child(seat);
            if let Some(reader) = reader {
                self.admit(reader);
            }
            spec = spec.child(child);
        }
        spec
    }

    /// Letters may be sent to this one from now on.
    pub fn admit(&mut self, reader: Reader) {
        let handle = reader.handle.clone();
        self.book.lock().places[reader.place.0].handle = Some(handle);
        self.readers.push(reader);
    }

    pub fn part(&self, path: &str, shutdown: Shutdown) -> Part {
        let place = self.book.lock().place(path);
        Part {
            book: self.book.clone(),
            place,
            path: path.to_owned(),
            seed: self.seed,
            patience: shutdown == Shutdown::Infinity,
        }
    }

    /// The spec of one place, and its reader if it is an actor.
    pub fn child(&mut self, seat: &Seat) -> (ChildSpec, Option<Reader>) {
        let (spec, reader) = match &seat.role {
            Role::Actor { capacity } => {
                let part = self.part(&seat.path, seat.shutdown);
                let place = part.place;
                let (spec, handle) = ChildSpec::actor(seat.id(), *capacity, part);
                let reader = Reader { place, handle };
                (spec, Some(reader))
            }
            Role::Task => {
                let part = self.part(&seat.path, seat.shutdown);
                (
                    ChildSpec::task(seat.id(), move |context| task(part.clone(), context)),
                    None,
                )
            }
            Role::Supervisor(group) => (
                ChildSpec::supervisor(self.supervisor(&seat.path, group)),
                None,
            ),
        };
        (seat.adjust(spec), reader)
    }
}
