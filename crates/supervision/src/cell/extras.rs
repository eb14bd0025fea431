//! What hardly any place has: those who look at its messages, and faults on purpose. Without any of it, a message costs
//! one comparison.

use std::collections::VecDeque;
use std::time::Duration;

use kameo::actor::Actor;
use tokio::time::Instant;

use super::{Cell, Current, Inner, short_name, wake};
use crate::chaos::Chaos;
use crate::child::Touched;
use crate::tap::{MOST_TAPS, Outcome, TapEnd, Tapped};

#[derive(Debug, Default)]
pub(super) struct Extras {
    taps: Vec<TapEnd>,
    /// Messages still queued that came before anybody looked.
    unknown: usize,
    /// When those behind them came. Not in the queue itself: a larger message would cost everybody.
    arrivals: VecDeque<Instant>,
    /// When the message in hand was queued.
    queued: Option<Instant>,
    crash: bool,
    stall: Option<Duration>,
    slow: Option<(Duration, Instant)>,
}

impl Extras {
    pub(super) fn looked_at(&self) -> bool {
        !self.taps.is_empty()
    }

    /// How long to do nothing now.
    pub(super) fn stall(&mut self) -> Option<Duration> {
        self.stall.take()
    }

    /// A message is taken from the queue.
    pub(super) fn taken(&mut self) -> Fault {
        self.queued = if self.unknown > 0 {
            self.unknown -= 1;
            None
        } else {
            self.arrivals.pop_front()
        };
        if std::mem::take(&mut self.crash) {
            return Fault::Crash;
        }
        match self.slow {
            Some((delay, until)) if Instant::now() < until => Fault::Slow(delay),
            _ => {
                self.slow = None;
                Fault::None
            }
        }
    }

    fn show(&mut self, current: &Current, incarnation: u64, outcome: Outcome) {
        let now = Instant::now();
        let queued = self.queued.take();
        self.taps.retain(|tap| !tap.is_over(now));
        let Some(since) = current.since.filter(|_| self.looked_at()) else {
            return;
        };
        let message = Tapped {
            message: short_name(current.name).to_owned(),
            incarnation,
            at: now,
            waited: queued.map(|queued| since.saturating_duration_since(queued)),
            took: now.saturating_duration_since(since),
            outcome,
            missed: 0,
        };
        // What this wakes is the task of one who looks; no waker of such a task takes the lock of a place.
        for tap in &mut self.taps {
            tap.show(message.clone());
        }
        self.taps.retain(|tap| !tap.is_over(now));
    }

    fn is_idle(&self) -> bool {
        self.taps.is_empty() && !self.crash && self.stall.is_none() && self.slow.is_none()
    }
}

/// What is done to a message on purpose.
pub(super) enum Fault {
    None,
    Crash,
    Slow(Duration),
}

impl<A: Actor> Inner<A> {
    /// A message was queued.
    pub(super) fn note_arrival(&mut self) {
        if let Some(extras) = &mut self.extras
            && extras.looked_at()
        {
            extras.arrivals.push_back(Instant::now());
        }
    }

    /// Tells those who look of the message that was in hand.
    pub(super) fn show(&mut self, current: &Current, outcome: Outcome) {
        let Some(extras) = &mut self.extras else {
            return;
        };
        if extras.looked_at() {
            extras.show(current, self.incarnation, outcome);
        }
        if extras.is_idle() {
            self.extras = None;
        }
    }

    pub(super) fn looked_at(&self) -> bool {
        self.extras
            .as_ref()
            .is_some_and(|extras| extras.looked_at())
    }
}

impl<A: Actor> Cell<A> {
    pub(crate) fn tap(&self, end: TapEnd) -> Touched {
        let mut inner = self.lock();
        let queued = inner.queue.len();
        let extras = inner.extras.get_or_insert_default();
        let now = Instant::now();
        extras.taps.retain(|tap| !tap.is_over(now));
        if !extras.looked_at() {
            extras.unknown = queued;
            extras.arrivals.clear();
        }
        if extras.taps.len() == MOST_TAPS {
            return Touched::TooMany;
        }
        extras.taps.push(end);
        Touched::Done
    }

    pub(crate) fn chaos(&self, chaos: &Chaos) {
        let mut inner = self.lock();
        let extras = inner.extras.get_or_insert_default();
        match *chaos {
            Chaos::Crash => extras.crash = true,
            Chaos::Stall { lasts } => extras.stall = Some(lasts),
            Chaos::Slow { delay, lasts } => {
                extras.slow = Some((delay, Instant::now() + lasts));
            }
        }
        let listener = inner.listener.take();
        drop(inner);
        wake(listener);
    }
}
