//! Shell: the ledger and its line as the governor's lives share them, with what keeps each entry alive and who hears of
//! pressure.
//!
//! It outlives the actor in the actor's seed, and only the actor changes it. Every change is one arithmetic step under a
//! lock that nobody waits under; after each, what was given back is struck out, those who wait are served, what is missing
//! is asked for, and the pressure is judged anew.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::Bytes;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::cgroup::Group;
use crate::decisions::{Decided, Decisions};
use crate::desk::{Desk, Served};
use crate::events::{Grown, Seen, Strike};
use crate::lease::{Holder, Lease};
use crate::ledger::LeaseId;
use crate::limit::{self, Look, Readings};
use crate::line::WaiterId;
use crate::messages::{
    LedgerStatus, Looks, Many, Reasons, Reserve, ReserveMany, Standing, WaiterInfo,
};
use crate::meters::{self, Purposes};
use crate::orders::{Enlist, EnlistError};
use crate::pressure::{BANDS, Fill, Level, Pressure, Share, Source};
use crate::relief::Relief;
use crate::reserve_error::ReserveError;
use crate::waiting::{Asker, Waiting};

mod relieving;

/// Up to here a stall is the noise of a machine at work: a hundredth of the last ten seconds.
const CALM: Share = Share(10);

#[derive(Clone)]
pub(crate) struct Book {
    pages: Arc<Mutex<Pages>>,
    fell: Arc<Notify>,
    pressure: watch::Sender<Pressure>,
    opened: Instant,
}

struct Pages {
    desk: Desk,
    holders: BTreeMap<LeaseId, Holder>,
    askers: BTreeMap<WaiterId, Asker>,
    /// Rung by whoever gives a lease back or leaves the line.
    fell: Arc<Notify>,
    /// `None` before the first measurement.
    readings: Option<Readings>,
    /// What the kernel had counted then.
    seen: Seen,
    /// What follows from what it counted between the last two.
    strike: Option<Strike>,
    configured: Option<Bytes>,
    poll: Duration,
    /// How often the machine was looked at.
    looks: u64,
    pressure: Pressure,
    /// Of what is really in use, whatever is promised.
    real: Pressure,
    decisions: Decisions,
    purposes: Purposes,
    relief: Relief,
    standing: Standing,
    /// `None` until the machine said whether it tells of stalls.
    noticed: Option<Looks>,
}

/// What the gauges show.
pub(crate) struct Totals {
    pub(crate) limit: Bytes,
    pub(crate) purposes: Purposes,
    pub(crate) waiting: usize,
    pub(crate) pressure: Pressure,
    /// How full each thing is that can be full; what could not be read is not there.
    pub(crate) fills: Vec<(Source, Fill)>,
    /// The share of time that tasks waited for memory, where the kernel tells.
    pub(crate) stalled: Option<Share>,
}

impl Book {
    pub(crate) fn new(configured: Option<Bytes>, poll: Duration) -> Self {
        let fell = Arc::new(Notify::new());
        Self {
            pages: Arc::new(Mutex::new(Pages {
                // Nothing is lent before the first measurement.
                desk: Desk::new(Bytes::ZERO),
                holders: BTreeMap::new(),
                askers: BTreeMap::new(),
                fell: Arc::clone(&fell),
                readings: None,
                seen: Seen::default(),
                strike: None,
                configured,
                poll,
                looks: 0,
                pressure: Pressure::default(),
                real: Pressure::default(),
                decisions: Decisions::default(),
                purposes: Purposes::default(),
                relief: Relief::new(Arc::clone(&fell)),
                standing: Standing::default(),
                noticed: None,
            })),
            fell,
            pressure: watch::Sender::new(Pressure::default()),
            opened: Instant::now(),
        }
    }

    /// Resolves when leases were dropped or shrunk, or someone left the line, since it last did.
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

    pub(crate) fn measured(&self, look: Look) {
        self.turn(|pages, at| {
            let Look { readings, groups } = look;
            pages.readings = Some(readings.after(pages.readings.unwrap_or_default()));
            pages.count(at, &groups);
            pages.looks = pages.looks.saturating_add(1);
            pages.relief.looked();
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
            let entered = pages.desk.reserve(&wish.owner, &wish.purpose, wish.bytes);
            let id = pages.noted(at, (&wish.owner, &wish.purpose), entered)?;
            Ok(pages.lease(id, wish.bytes))
        })
    }

    pub(crate) fn reserve_many(&self, wish: &ReserveMany) -> Result<Many, ReserveError> {
        let (owner, purpose) = (&wish.owner, &wish.purpose);
        self.turn(|pages, at| {
            let entered =
                pages
                    .desk
                    .reserve_many(owner, purpose, wish.each, wish.at_least, wish.at_most);
            let (id, count) = pages.noted(at, (owner, purpose), entered)?;
            // It is in the ledger, so it does not overflow.
            let bytes = wish.each.saturating_mul(count.into());
            let lease = pages.lease(id, bytes);
            Ok(Many { lease, count })
        })
    }

    /// A place in line; it is served at once if it can be.
    pub(crate) fn wait(&self, wish: &Reserve, patience: Duration) -> Result<Waiting, ReserveError> {
        let (owner, purpose) = (&wish.owner, &wish.purpose);
        self.turn(|pages, at| {
            let joined = pages.desk.wait(owner, purpose, wish.bytes, at, patience);
            let id = pages.noted(at, (owner, purpose), joined)?;
            let deadline = self.opened.checked_add(at.saturating_add(patience));
            let position = pages.desk.line().len();
            let bell = Arc::clone(&self.fell);
            let (waiting, asker) = Waiting::new(purpose, wish.bytes, position, deadline, bell);
            pages.askers.insert(id, asker);
            Ok(waiting)
        })
    }

    /// From one look at the machine to the next.
    pub(crate) fn poll(&self) -> Duration {
        self.pages().poll
    }

    pub(crate) fn set_poll(&self, poll: Duration) {
        self.pages().poll = poll;
    }

    /// When the first of those who wait, or of the orders, has been waited for long enough.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let pages = self.pages();
        let deadlines = [pages.desk.line().deadline(), pages.relief.deadline()];
        self.opened
            .checked_add(deadlines.into_iter().flatten().min()?)
    }

    /// True once after something that may have changed what the machine has.
    pub(crate) fn take_look(&self) -> bool {
        self.pages().relief.take_look()
    }

    /// Whether nothing goes on at the machine that would have to be looked at by the clock.
    pub(crate) fn is_calm(&self) -> bool {
        let pages = self.pages();
        let stalled = pages.readings.and_then(|readings| readings.stalled);
        pages.real.level < Level::High && stalled.unwrap_or_default() < CALM
    }

    /// How the machine's changes are noticed from now on; true if that is news.
    pub(crate) fn notice_by(&self, looks: Looks) -> bool {
        self.pages().noticed.replace(looks) != Some(looks)
    }

    /// Someone offers to let memory go.
    pub(crate) fn enlist(&self, wish: Enlist) -> Result<(), EnlistError> {
        self.turn(|pages, _| pages.relief.enlist(wish))
    }

    /// The figures, after striking out what was given back.
    pub(crate) fn status(&self) -> LedgerStatus {
        self.turn(|pages, at| {
            pages.judge(at);
            pages.status(at)
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
            pages.purposes.count(pages.desk.ledger().purposes());
            Totals {
                limit: pages.desk.ledger().limit(),
                purposes: pages.purposes.clone(),
                waiting: pages.desk.line().len(),
                pressure: pages.pressure,
                fills: pages.fills().collect(),
                stalled: pages.readings.and_then(|readings| readings.stalled),
            }
        })
    }

    /// One change: what was given back is struck out and given to those who wait before it; after it they are served
    /// again, and the pressure is judged and told.
    fn turn<T>(&self, change: impl FnOnce(&mut Pages, Duration) -> T) -> T {
        let at = self.opened.elapsed();
        let mut pages = self.pages();
        // Answers before leases: whoever says that it let go has let go before.
        let asked = pages.relief.asked();
        pages.hear(at);
        pages.sweep(asked.as_deref());
        pages.settle(self.opened, at);
        let answer = change(&mut pages, at);
        pages.settle(self.opened, at);
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
    /// If one was `asked`, its order may be what made them fall.
    fn sweep(&mut self, asked: Option<&str>) {
        let desk = &mut self.desk;
        let before = desk.ledger().leased();
        self.holders.retain(|id, holder| {
            let held = holder.held();
            match held {
                Some(bytes) => desk.shrink(*id, bytes),
                None => desk.release(*id),
            };
            held.is_some()
        });
        if desk.ledger().leased() < before {
            self.relief.fell(asked);
        }
        self.askers.retain(|id, asker| {
            let gone = asker.is_gone();
            if gone {
                desk.leave(*id);
            }
            !gone
        });
    }

    /// Answers those whose turn it is or whose time is over, and tells the others where they stand.
    fn serve(&mut self, at: Duration, held: bool) {
        for served in self.desk.serve(at, held) {
            self.answer(at, served);
        }
        for (before, (id, _)) in self.desk.line().iter().enumerate() {
            if let Some(asker) = self.askers.get(&id) {
                asker.move_to(before.saturating_add(1));
            }
        }
    }

    /// Tells one who waited what became of it.
    fn answer(&mut self, at: Duration, served: Served) {
        let Served {
            id,
            waiter,
            outcome,
        } = served;
        let answer = self
            .noted(at, (&waiter.owner, &waiter.purpose), outcome)
            .map(|lease| self.lease(lease, waiter.bytes));
        let granted = answer.is_ok();
        // If its asker has just gone, the lease is dropped here, and rings for the next in line.
        let heard = self
            .askers
            .remove(&id)
            .is_some_and(|asker| asker.answer(answer));
        if granted && heard && at > waiter.since {
            let what = Decided::granted(&waiter, at);
            tracing::debug!("{what}");
            self.decisions.note(at, what);
        }
    }

    /// The holder's part of what is in the ledger.
    fn lease(&mut self, id: LeaseId, bytes: Bytes) -> Lease {
        let (lease, holder) = Lease::new(id, bytes, Arc::clone(&self.fell));
        self.holders.insert(id, holder);
        self.relief.changed();
        lease
    }

    /// Writes a refusal down and counts it.
    fn noted<T>(
        &mut self,
        at: Duration,
        who: (&str, &str),
        answer: Result<T, ReserveError>,
    ) -> Result<T, ReserveError> {
        answer.inspect_err(|error| {
            meters::refused();
            let ledger = self.desk.ledger();
            let figures = (ledger.limit(), ledger.available());
            let what = Decided::refused(who, error, figures);
            tracing::debug!("{what}");
            self.decisions.note(at, what);
        })
    }

    /// Compares with what was counted before. Whoever was killed for memory is written down.
    fn count(&mut self, at: Duration, groups: &[Group]) {
        let grown = self.seen.compare(groups);
        self.strike = Strike::worst(&grown, &BANDS);
        for grown in grown.into_iter().filter(Grown::is_out_of_memory) {
            let what = Decided::OutOfMemory { grown };
            tracing::warn!("{what}");
            self.decisions.note(at, what);
        }
    }

    fn relimit(&mut self, at: Duration) {
        let Some(readings) = self.readings else {
            return;
        };
        let (from, to) = (
            self.desk.ledger().limit(),
            limit::limit(readings, self.configured),
        );
        if from == to {
            return;
        }
        self.desk.set_limit(to);
        let what = Decided::Budget {
            from,
            to,
            leased: self.desk.ledger().leased(),
            readings,
            configured: self.configured,
        };
        tracing::info!("{what}");
        self.decisions.note(at, what);
    }

    fn fills(&self) -> impl Iterator<Item = (Source, Fill)> + use<> {
        let ledger = Fill {
            used: self.desk.ledger().leased(),
            of: self.desk.ledger().limit(),
        };
        let real: Vec<(Source, Fill)> = self.readings.unwrap_or_default().fills().collect();
        [(Source::Ledger, ledger)].into_iter().chain(real)
    }

    fn judge(&mut self, at: Duration) {
        let real = self.readings.unwrap_or_default();
        let fills = self.fills();
        let (before, real_before) = (self.pressure, self.real);
        let now = before.after(fills, &BANDS);
        let now = now.or_stalled(before, real.stalled);
        let now = now.or_struck(before, self.strike);
        self.pressure = now;
        self.real = real_before.after(real.fills(), &BANDS);
        self.real = self.real.or_stalled(real_before, real.stalled);
        self.real = self.real.or_struck(real_before, self.strike);
        self.desk.set_scarce(self.real.level == Level::Critical);
        // A fall may be what an order did, and is no reason to ask anew.
        if now.level > before.level || self.real.level > real_before.level {
            self.relief.changed();
        }
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

    fn status(&self, at: Duration) -> LedgerStatus {
        let waiters = self.desk.line().iter().enumerate();
        let waiters = waiters.map(|(before, (_, waiter))| WaiterInfo {
            owner: waiter.owner.clone(),
            purpose: waiter.purpose.clone(),
            bytes: waiter.bytes,
            position: before.saturating_add(1),
            waited: at.saturating_sub(waiter.since),
        });
        let readings = self.readings.unwrap_or_default();
        let (limit, leased) = (self.desk.ledger().limit(), self.desk.ledger().leased());
        LedgerStatus {
            limit,
            leased,
            available: self.desk.ledger().available(),
            over: leased.saturating_sub(limit),
            host: readings.host,
            cgroup: readings.cgroup,
            configured: self.configured,
            pressure: self.pressure,
            leases: self.desk.ledger().leases(),
            waiters: waiters.collect(),
            poll: self.poll,
            standing: self.standing,
            targets: self.relief.infos(),
            looks: self.noticed.unwrap_or_default(),
        }
    }
}
