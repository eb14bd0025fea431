//! A step computed by several threads at once: all run the same code, each on its share, and meet where one needs what the
//! others made.
//!
//! ```text
//!  run ──call──> helpers        roll call: who has come by now is a member, who comes later goes again
//!   member 0 ── share ── exchange ── share ── exchange ── … ── all have left ──> back
//!   member 1 ── share ──┘      └── share ──┘
//! ```
//!
//! Invariants: nobody waits for a helper that has not come; if one member panics all do, and nobody waits for ever; once
//! [`Crew::run`] is back, or has panicked, no member is left. A result must not depend on how many members there are: that is
//! the callers' care.

use std::cell::Cell;
use std::fmt;
use std::hint::spin_loop;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::{ThreadId, current, yield_now};

use engine::helpers::{Helpers, Share};

/// Turns of waiting for helpers to come. How long a turn is differs by processor: together tens to hundreds of microseconds, what
/// it takes to wake a thread.
const ROLL_CALL: usize = 5_000;
/// Turns of waiting for other members before the processor is offered to others: more threads than processors must go on, too.
const PATIENCE: usize = 5_000;
/// If one meeting of so many is slow, the processors are not ours.
const SLOW_OF: usize = 10;
/// Runs done alone after a slow one, the first time and at most.
const PENALTY: std::ops::Range<usize> = 8..1024;
/// Set in the roll once it is closed.
const CLOSED: usize = 1 << (usize::BITS - 1);

/// What every member does.
pub type Work = dyn Fn(&Member<'_>) + Send + Sync;
/// What a member has for the others, of this meeting and of the one before: one that is still read is not yet written again.
type Slot = [RwLock<Vec<f32>>; 2];

/// Who computes together.
pub struct Crew {
    helpers: Arc<dyn Helpers>,
    slots: Arc<[Slot]>,
    /// Runs that are still to be done alone.
    alone: usize,
    /// For how many runs it was alone the last time, or would be the next.
    penalty: usize,
}

impl fmt::Debug for Crew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crew")
            .field("helpers", &self.helpers)
            .finish_non_exhaustive()
    }
}

/// One of those that compute a step, seen from itself.
pub struct Member<'a> {
    number: usize,
    meeting: &'a Meeting,
    slots: &'a [Slot],
    side: Cell<usize>,
    met: Cell<Met>,
}

/// Where the members of one step meet.
#[derive(Debug)]
struct Meeting {
    /// Who calls. A helper cannot be the same thread: it would wait for itself.
    caller: ThreadId,
    /// Members that have come, and whether no more are let in.
    roll: AtomicUsize,
    /// How many there are; 0 until the roll is closed.
    of: AtomicUsize,
    /// Members that have arrived at the present round.
    arrived: AtomicUsize,
    round: AtomicUsize,
    /// Members that are done.
    left: AtomicUsize,
    /// One of them panicked.
    broken: AtomicBool,
}

impl Crew {
    /// Those who may come.
    pub fn new(helpers: Arc<dyn Helpers>) -> Self {
        let slots = (0..helpers.threads().max(1)).map(|_| Slot::default());
        Self {
            slots: slots.collect(),
            helpers,
            alone: 0,
            penalty: PENALTY.start,
        }
    }

    /// Members at most.
    pub fn threads(&self) -> usize {
        self.slots.len()
    }

    /// Runs `work` by every member, this thread first among them; back when all are done.
    ///
    /// Where the work is `even`, so that nobody should ever wait long for another, and yet somebody often did, or half of all
    /// did not come, the processors are busy with something else, and a thread that has none keeps all waiting: then this one
    /// does such work alone for a while, twice as long each time.
    ///
    /// # Panics
    /// If a member does, or the call for helpers.
    pub fn run(&mut self, even: bool, work: &Arc<Work>) {
        let threads = self.threads();
        if threads == 1 || (even && self.alone > 0) {
            self.alone = self.alone.saturating_sub(1);
            let meeting = Meeting::new();
            meeting.close(1);
            meeting.take_part(0, &self.slots, work);
            return;
        }
        let meeting = Arc::new(Meeting::new());
        let (theirs, slots) = (Arc::clone(&meeting), Arc::downgrade(&self.slots));
        // Who comes late finds nothing: a call that still waits somewhere keeps no model in memory.
        let their_work = Arc::downgrade(work);
        let all_leave = AllLeave(&meeting);
        let share: Share = Arc::new(move || {
            if let Some(number) = theirs.join(threads) {
                match (slots.upgrade(), their_work.upgrade()) {
                    (Some(slots), Some(work)) => theirs.take_part_and_go(number, slots, work),
                    // Who called waits for all members, so both are there.
                    _ => theirs.give_up(),
                }
            }
        });
        self.helpers.call(Arc::clone(&share));
        meeting.close(threads);
        // Nobody is let in any more.
        drop(share);
        let met = meeting.take_part(0, &self.slots, work);
        drop(all_leave);
        meeting.check();
        if even {
            self.judge(meeting.of.load(Ordering::Acquire), met);
        }
    }

    /// Whether it is better alone for a while, after a run with so many members.
    fn judge(&mut self, members: usize, met: Met) {
        let slow = met.slowly > 0 && met.slowly >= met.times / SLOW_OF;
        if slow || members * 2 <= self.threads() {
            self.alone = self.penalty;
            self.penalty = (self.penalty * 2).min(PENALTY.end);
        } else {
            self.penalty = (self.penalty / 2).max(PENALTY.start);
        }
    }
}

/// How often a member met the others, and how often it waited longer than it should.
#[derive(Clone, Copy, Debug, Default)]
struct Met {
    times: usize,
    slowly: usize,
}

impl Meeting {
    /// One has come: who calls.
    fn new() -> Self {
        Self {
            caller: current().id(),
            roll: AtomicUsize::new(1),
            of: AtomicUsize::new(0),
            arrived: AtomicUsize::new(0),
            round: AtomicUsize::new(0),
            left: AtomicUsize::new(0),
            broken: AtomicBool::new(false),
        }
    }

    /// The number of who comes now; nothing if it is too late, or there is no place left, or it is who called.
    fn join(&self, places: usize) -> Option<usize> {
        if current().id() == self.caller {
            return None;
        }
        let next = |roll: usize| (roll & CLOSED == 0 && roll < places).then_some(roll + 1);
        let number = self
            .roll
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, next)
            .ok()?;
        wait(|| self.of.load(Ordering::Acquire) != 0);
        if self.broken.load(Ordering::Acquire) {
            // Nobody will come to the meetings: it goes as it came.
            self.left.fetch_add(1, Ordering::AcqRel);
            return None;
        }
        Some(number)
    }

    /// Waits a moment for all to come, and goes on with those that have.
    fn close(&self, threads: usize) {
        for _ in 0..ROLL_CALL {
            if self.roll.load(Ordering::Acquire) >= threads {
                break;
            }
            spin_loop();
        }
        self.admit();
    }

    /// Closes the roll: those on it are the members.
    fn admit(&self) {
        let members = self.roll.fetch_or(CLOSED, Ordering::AcqRel);
        self.of.store(members, Ordering::Release);
    }

    /// Closes a roll that is still open, because the call ended in a panic: who has come leaves, and who called is not there.
    fn call_off(&self) {
        if self.roll.load(Ordering::Acquire) & CLOSED == 0 {
            self.broken.store(true, Ordering::Release);
            self.left.fetch_add(1, Ordering::AcqRel);
            self.admit();
        }
    }

    fn take_part(&self, number: usize, slots: &[Slot], work: &Arc<Work>) -> Met {
        let _leaving = Leaving(self);
        self.work(number, slots, work)
    }

    fn work(&self, number: usize, slots: &[Slot], work: &Arc<Work>) -> Met {
        let member = Member {
            number,
            meeting: self,
            slots,
            side: Cell::new(0),
            met: Cell::new(Met::default()),
        };
        work(&member);
        member.met.get()
    }

    /// As [`Meeting::take_part`], for a helper: what it works with is let go before the others know that it left.
    fn take_part_and_go(&self, number: usize, slots: Arc<[Slot]>, work: Arc<Work>) {
        let _leaving = Leaving(self);
        let (slots, work) = (slots, work);
        self.work(number, &slots, &work);
    }

    /// A member that cannot do its part.
    fn give_up(&self) {
        self.broken.store(true, Ordering::Release);
        drop(Leaving(self));
    }

    /// Waits until all have arrived; whether that took long.
    fn meet(&self) -> bool {
        let (of, round) = (
            self.of.load(Ordering::Acquire),
            self.round.load(Ordering::Acquire),
        );
        let last = self.arrived.fetch_add(1, Ordering::AcqRel) + 1 == of;
        let slowly = if last {
            self.arrived.store(0, Ordering::Relaxed);
            self.round.store(round.wrapping_add(1), Ordering::Release);
            false
        } else {
            wait(|| {
                self.round.load(Ordering::Acquire) != round || self.broken.load(Ordering::Acquire)
            })
        };
        self.check();
        slowly
    }

    /// Panics if another did; without a message: that one had one.
    fn check(&self) {
        if self.broken.load(Ordering::Acquire) {
            resume_unwind(Box::new("another thread of this step panicked"));
        }
    }
}

/// However a member leaves, the others know.
struct Leaving<'a>(&'a Meeting);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.broken.store(true, Ordering::Release);
        }
        self.0.left.fetch_add(1, Ordering::AcqRel);
    }
}

/// However a run ends, nobody is left.
struct AllLeave<'a>(&'a Meeting);

impl Drop for AllLeave<'_> {
    fn drop(&mut self) {
        self.0.call_off();
        let of = self.0.of.load(Ordering::Acquire);
        wait(|| self.0.left.load(Ordering::Acquire) == of);
    }
}

impl Member<'_> {
    /// Its number, from 0.
    pub fn number(&self) -> usize {
        self.number
    }

    /// How many there are.
    pub fn of(&self) -> usize {
        self.meeting.of.load(Ordering::Relaxed)
    }

    /// Its share of `all`, in whole pieces of `grain`: from where to where. The shares of all members are all of it.
    pub fn share(&self, all: usize, grain: usize) -> std::ops::Range<usize> {
        share_of(self.number, self.of(), all, grain)
    }

    /// The share of another member, by the same rule.
    pub fn share_of(&self, number: usize, all: usize, grain: usize) -> std::ops::Range<usize> {
        share_of(number, self.of(), all, grain)
    }

    /// Gives `own` to the others, and takes what each has, its own included, in the order of their numbers. All members must
    /// come here as often as each other. What `own` holds after it is of no use.
    pub fn exchange(&self, own: &mut Vec<f32>, mut take: impl FnMut(usize, &[f32])) {
        if self.of() == 1 {
            take(0, own);
            return;
        }
        let side = self.side.get();
        if let Some(slot) = self.slots.get(self.number).and_then(|slot| slot.get(side)) {
            // What lay there was of the meeting before the last.
            std::mem::swap(
                own,
                &mut *slot.write().unwrap_or_else(PoisonError::into_inner),
            );
        }
        self.meet();
        for (number, slot) in self.slots.iter().take(self.of()).enumerate() {
            if let Some(slot) = slot.get(side) {
                take(number, &slot.read().unwrap_or_else(PoisonError::into_inner));
            }
        }
        // Nobody writes this side again before all have met once more.
        self.side.set(1 - side);
    }

    /// Waits until all have come so far.
    pub fn meet(&self) {
        if self.of() > 1 {
            let mut met = self.met.get();
            met.slowly += usize::from(self.meeting.meet());
            met.times += 1;
            self.met.set(met);
        }
    }
}

/// The share of one of so many; see [`Member::share`].
pub(crate) fn share_of(
    number: usize,
    of: usize,
    all: usize,
    grain: usize,
) -> std::ops::Range<usize> {
    let grain = grain.max(1);
    let pieces = all.div_ceil(grain);
    let at = |number: usize| (pieces * number / of.max(1) * grain).min(all);
    at(number)..at(number + 1)
}

/// Most waits are over at once; a longer one lets others have the processor. Whether it was one of those.
fn wait(is_over: impl Fn() -> bool) -> bool {
    let mut turns = 0;
    while !is_over() {
        if turns < PATIENCE {
            turns += 1;
            spin_loop();
        } else {
            yield_now();
        }
    }
    turns == PATIENCE
}

#[cfg(test)]
#[path = "crew_tests.rs"]
mod tests;
