//! Shell: a place in line, as its asker holds it and as the book does: positions while it lasts, then one answer.
//!
//! Both ends lie outside the governor, so its crash takes nobody's place away. Whoever drops theirs has left: the book
//! finds the other end closed, strikes the place out, and is woken to do so.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use domain::Bytes;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{Instant, timeout_at};

use crate::lease::Lease;
use crate::reserve_error::ReserveError;

/// The governor answers in microseconds, and after a crash it rests for at most 10 s (`supervision::Backoff`); who hears
/// nothing for longer than that is not waited for.
pub(crate) const GRACE: Duration = Duration::from_secs(15);

/// A place in line; dropping it gives it up, and those behind move up.
#[must_use = "dropping this leaves the line"]
pub struct Waiting {
    purpose: String,
    needed: Bytes,
    deadline: Option<Instant>,
    position: watch::Receiver<usize>,
    answer: oneshot::Receiver<Result<Lease, ReserveError>>,
    answered: bool,
    left: Arc<Notify>,
}

/// What the book keeps of it.
pub(crate) struct Asker {
    position: watch::Sender<usize>,
    answer: oneshot::Sender<Result<Lease, ReserveError>>,
}

impl Asker {
    pub(crate) fn is_gone(&self) -> bool {
        self.answer.is_closed()
    }

    pub(crate) fn move_to(&self, position: usize) {
        self.position.send_if_modified(|told| {
            let moved = *told != position;
            *told = position;
            moved
        });
    }

    /// False if nobody hears it; a lease in it is then dropped.
    pub(crate) fn answer(self, answer: Result<Lease, ReserveError>) -> bool {
        self.answer.send(answer).is_ok()
    }
}

impl Waiting {
    /// Both ends. `deadline` is `None` if it is later than any clock shows.
    pub(crate) fn new(
        purpose: &str,
        needed: Bytes,
        position: usize,
        deadline: Option<Instant>,
        left: Arc<Notify>,
    ) -> (Self, Asker) {
        let (mover, position) = watch::channel(position);
        let (answerer, answer) = oneshot::channel();
        let waiting = Self {
            purpose: purpose.to_owned(),
            needed,
            deadline,
            position,
            answer,
            answered: false,
            left,
        };
        let asker = Asker {
            position: mover,
            answer: answerer,
        };
        (waiting, asker)
    }

    /// How many are served before this one can have been: 1 is next.
    pub fn position(&self) -> usize {
        *self.position.borrow()
    }

    /// Tells each change of the position, the last one if it changed often; closed when there is an answer.
    pub fn positions(&self) -> watch::Receiver<usize> {
        self.position.clone()
    }

    /// Waits for the answer. Dropping this future leaves the line.
    ///
    /// # Errors
    /// `GaveUp` at the deadline; `Refused` if the limit fell below what is needed, or nothing more can be let go;
    /// `NoAnswer` if the governor is gone for good.
    pub async fn granted(mut self) -> Result<Lease, ReserveError> {
        let last_moment = self.deadline.and_then(|at| at.checked_add(GRACE));
        let answer = match last_moment {
            Some(at) => timeout_at(at, &mut self.answer).await,
            None => Ok((&mut self.answer).await),
        };
        let Ok(Ok(answer)) = answer else {
            return Err(ReserveError::NoAnswer {
                purpose: self.purpose.clone(),
                needed: self.needed,
            });
        };
        self.answered = true;
        answer
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.answered {
            // First, so that the book finds it so. A lease that is on its way is dropped after, and wakes for itself.
            self.answer.close();
            self.left.notify_one();
        }
    }
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            needed, purpose, ..
        } = self;
        write!(f, "Waiting({needed} for {purpose})")
    }
}
