//! What every supervisor of one tree shares: its events, its seed, and the ledger of what a stop abandons.

use std::sync::{Arc, Mutex, PoisonError};

use crate::admin::SupervisorHandle;
use crate::events::{Events, LifecycleEvent};
use crate::flight::Recorder;
use crate::names::ChildPath;
use crate::patience::Shelf;
use crate::vitals::Remains;

/// Something a stop left undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Abandoned {
    /// Whose.
    pub child: ChildPath,
    /// "2 queued `Generate`", "interrupted `Load`", or a work label.
    pub what: String,
}

/// Shared by one tree.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) events: Events,
    /// The top, for those inside who administer the whole.
    pub(crate) top: SupervisorHandle,
    /// `None` until the root is asked to stop: only then is it worth keeping, and only then is it bounded by what lives.
    ledger: Mutex<Option<Vec<Abandoned>>>,
    /// Faults on purpose are allowed.
    pub(crate) chaos: bool,
    /// What children that are forgotten had done.
    pub(crate) remains: Remains,
    /// Why things happened.
    pub(crate) recorder: Recorder,
    /// Timers of asks, for the next asks.
    pub(crate) shelf: Arc<Shelf>,
}

impl Tree {
    pub(crate) fn new(events: Events, top: SupervisorHandle, chaos: bool) -> Self {
        Self {
            events,
            top,
            ledger: Mutex::new(None),
            chaos,
            remains: Remains::default(),
            recorder: Recorder::default(),
            shelf: Arc::default(),
        }
    }

    /// Keeps the step for who asks why, logs it, and sends it to whoever listens. `passing`: started at run time, or below
    /// such a one.
    pub(crate) fn announce(&self, event: LifecycleEvent, passing: bool) {
        self.recorder.note(&event, passing);
        self.events.announce(event);
    }

    /// From now on, what is abandoned is kept for the stop report.
    pub(crate) fn open_ledger(&self) {
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.get_or_insert_with(Vec::new);
    }

    pub(crate) fn abandon(&self, child: &ChildPath, what: &[String]) {
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ledger) = ledger.as_mut() {
            ledger.extend(what.iter().map(|what| Abandoned {
                child: child.clone(),
                what: what.clone(),
            }));
        }
    }

    /// What has been abandoned since. It stays, because more than one may ask for the stop and its report.
    pub(crate) fn abandoned(&self) -> Vec<Abandoned> {
        let ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.clone().unwrap_or_default()
    }
}
