//! Shell: the ledger as the governor's lives share it, with what keeps each entry alive and who hears of pressure.
//!
//! It outlives the actor in the actor's seed, and only the actor changes it. Every change is one arithmetic step under a
//! lock that nobody waits under; after each, what was given back is struck out and the pressure is judged anew.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::Bytes;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::decisions::{Decided, Decisions};
use crate::lease::{Holder, Lease};
use crate::ledger::{LeaseId, Ledger};
use crate::limit::{self, Readings};
use crate::messages::{LedgerStatus, Reasons, Reserve, ReserveError};
use crate::orders::{Enlist, EnlistError};
use crate::pressure::{BANDS, Fill, Pressure, Source};
use crate::targets::Targets;

#[derive(Clone)]
pub(crate) struct Book {
    pages: Arc<Mutex<Pages>>,
    fell: Arc<Notify>,
    pressure: watch::Sender<Pressure>,
    opened: Instant,
}

struct Pages {
    ledger: Ledger,
    holders: BTreeMap<LeaseId, Holder>,
    /// `None` before the first measurement.
    readings: Option<Readings>,
    configured: Option<Bytes>,
    pressure: Pressure,
    decisions: Decisions,
    targets: Targets,
}

/// What the gauges show.
pub(crate) struct Totals {
    pub(crate) limit: Bytes,
    pub(crate) leased: Bytes,
    pub(crate) pressure: Pressure,
}

impl Book {
    pub(crate) fn new(configured: Option<Bytes>) -> Self {
        Self {
            pages: Arc::new(Mutex::new(Pages {
                // Nothing is lent before the first measurement.
                ledger: Ledger::new(Bytes::ZERO),
                holders: BTreeMap::new(),
                readings: None,
                configured,
                pressure: Pressure::default(),
                decisions: Decisions::default(),
                targets: Targets::default(),
            })),
            fell: Arc::new(Notify::new()),
            pressure: watch::Sender::new(Pressure::default()),
            opened: Instant::now(),
        }
    }

    /// Resolves when leases were dropped or shrunk since it last did.
    pub(crate) async fn fallen(&self) {
        self.fell.notified().await;
    }

    /// Hears of every change of level.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Pressure> {
        self.pressure.subscribe()
    }

    /// Whether the machine was ever looked at.
    pub(crate) fn is_measured(&self) -> bool {
        self.pages().readings.is_some()
    }

    pub(crate) fn measured(&self, readings: Readings) {
        self.turn(|pages, at| {
            pages.readings = Some(readings);
            pages.relimit(at);
        });
    }

    pub(crate) fn configure(&self, configured: Option<Bytes>) {
        self.turn(|pages, at| {
            pages.configured = configured;
            pages.relimit(at);
        });
    }

    pub(crate) fn reserve(&self, wish: &Reserve) -> Result<Lease, ReserveError> {
        self.turn(|pages, at| {
            let entered = pages
                .ledger
                .reserve(&wish.owner, &wish.purpose, wish.bytes)
                .inspect_err(|error| {
                    let (limit, left) = (pages.ledger.limit(), pages.ledger.available());
                    let what = Decided::refused(wish, error, limit, left);
                    pages.decisions.note(at, what);
                });
            let id = entered?;
            let (lease, holder) = Lease::new(id, wish.bytes, Arc::clone(&self.fell));
            pages.holders.insert(id, holder);
            Ok(lease)
        })
    }

    /// Someone offers to let memory go.
    pub(crate) fn enlist(&self, wish: Enlist) -> Result<(), EnlistError> {
        self.turn(|pages, _| pages.targets.enlist(wish))
    }

    /// The figures, after striking out what was given back.
    pub(crate) fn status(&self) -> LedgerStatus {
        self.turn(|pages, at| {
            pages.judge(at);
            pages.targets.forget_closed();
            pages.status()
        })
    }

    /// The last decisions.
    pub(crate) fn why(&self) -> Reasons {
        self.turn(|pages, at| {
            pages.judge(at);
            Reasons {
                now: at,
                pressure: pages.pressure,
                forgotten: pages.decisions.forgotten(),
                decisions: pages.decisions.kept(),
            }
        })
    }

    /// What the gauges show, after striking out what was given back.
    pub(crate) fn totals(&self) -> Totals {
        self.turn(|pages, at| {
            pages.judge(at);
            Totals {
                limit: pages.ledger.limit(),
                leased: pages.ledger.leased(),
                pressure: pages.pressure,
            }
        })
    }

    /// One change: what was given back is struck out before it, and the pressure judged and told after it.
    fn turn<T>(&self, change: impl FnOnce(&mut Pages, Duration) -> T) -> T {
        let at = self.opened.elapsed();
        let mut pages = self.pages();
        pages.sweep();
        let answer = change(&mut pages, at);
        pages.judge(at);
        // Under the lock, so that subscribers see the levels in the order in which they were.
        self.pressure.send_if_modified(|told| {
            let changed = told.level != pages.pressure.level;
            if changed {
                *told = pages.pressure;
            }
            changed
        });
        answer
    }

    /// Held only for the arithmetic of one message. A panic while it was held is a bug that must not make the
    /// figures unreachable: every change is made whole before the next can fail.
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pages {
    fn sweep(&mut self) {
        let ledger = &mut self.ledger;
        self.holders.retain(|id, holder| {
            let held = holder.held();
            match held {
                Some(bytes) => ledger.shrink(*id, bytes),
                None => ledger.release(*id),
            };
            held.is_some()
        });
    }

    fn relimit(&mut self, at: Duration) {
        let Some(readings) = self.readings else {
            return;
        };
        let (from, to) = (self.ledger.limit(), limit::limit(readings, self.configured));
        if from == to {
            return;
        }
        self.ledger.set_limit(to);
        let what = Decided::Budget {
            from,
            to,
            leased: self.ledger.leased(),
            readings,
            configured: self.configured,
        };
        tracing::info!("{what}");
        self.decisions.note(at, what);
    }

    fn judge(&mut self, at: Duration) {
        let ledger = Fill {
            used: self.ledger.leased(),
            of: self.ledger.limit(),
        };
        let real = self.readings.unwrap_or_default();
        let fills = [(Source::Ledger, ledger)].into_iter().chain(real.fills());
        let (before, now) = (self.pressure, self.pressure.after(fills, &BANDS));
        self.pressure = now;
        if before.level == now.level {
            return;
        }
        let what = Decided::Level {
            from: before.level,
            to: now,
        };
        tracing::info!("{what}");
        self.decisions.note(at, what);
    }

    fn status(&self) -> LedgerStatus {
        let readings = self.readings.unwrap_or_default();
        let (limit, leased) = (self.ledger.limit(), self.ledger.leased());
        LedgerStatus {
            limit,
            leased,
            available: self.ledger.available(),
            over: leased.saturating_sub(limit),
            host: readings.host,
            cgroup: readings.cgroup,
            configured: self.configured,
            pressure: self.pressure,
            leases: self.ledger.leases(),
            targets: self.targets.infos(),
        }
    }
}
