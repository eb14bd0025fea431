//! Shell: how the governor asks others to let memory go: orders that are answered once, whatever becomes of them.
//!
//! The governor waits for nobody, and who frees memory may not be waited for against the Cargo arrows: an order travels
//! through a channel its target made, and its answer is a value in a cell that both hold. So an answer works in any
//! thread and while the governor is restarting, and an order that is dropped, with its target or in a full queue, has
//! answered too: nothing was freed.

use std::fmt;
use std::sync::{Arc, OnceLock};

use domain::Bytes;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::response::{Answer, OrderInfo};

/// Targets enlisted at once: one per actor that can let memory go. There are two; an embedding program may bring some.
pub const TARGETS: usize = 16;
/// Bytes of a target's name: it is shown in one line of `Status` and of `Why`.
pub const NAME: usize = 64;

/// What is asked to go, and in which order: what costs least to have again goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// What can be computed again: prefixes, idle conversations.
    Caches,
    /// Models that answer nobody: they are loaded again when asked for.
    IdleModels,
}

impl Stage {
    /// All, in the order in which they are asked.
    pub const ALL: [Self; 2] = [Self::Caches, Self::IdleModels];

    /// The word for programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Caches => "caches",
            Self::IdleModels => "idle models",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Offers to let memory go when it is scarce. Orders come through `orders`, one at a time: a capacity of 1 is enough.
///
/// The answer is a `Result<(), EnlistError>`. Enlisting again under the same name replaces the channel and the stage; an
/// order that is outstanding stays so. A target is forgotten when its receiver was dropped. It stays enlisted over the
/// governor's restarts.
#[derive(Clone, Debug)]
pub struct Enlist {
    /// Who this is, by its name in the tree. Not empty, at most [`NAME`] bytes.
    pub name: String,
    /// When it is its turn.
    pub stage: Stage,
    /// Where orders go.
    pub orders: mpsc::Sender<Order>,
}

/// Why a target was not enlisted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnlistError {
    /// Without a name.
    #[error("name is empty: say who is to be asked, by its name in the tree")]
    NoName,
    /// With more of a name than is shown.
    #[error("name has {length} bytes, at most {NAME} are kept: use the name in the tree")]
    LongName {
        /// Bytes of the name.
        length: usize,
    },
    /// Too many are enlisted.
    #[error(
        "orders: {TARGETS} targets are enlisted, {name} would be one more: \
         drop the receiver of one, or enlist again under its name"
    )]
    TooMany {
        /// Who was not enlisted.
        name: String,
    },
    /// Nobody would hear the orders.
    #[error("orders: the receiver of {name} is gone: keep it as long as it is to be asked")]
    Closed {
        /// Who was not enlisted.
        name: String,
    },
}

/// Asks its receiver to let go of memory, as far as it can without harm. Dropping it is an answer: nothing was freed.
#[must_use = "dropping an order says that nothing was freed"]
pub struct Order {
    /// Bytes that are wanted back. Less is welcome; more may be freed if it comes in one piece.
    pub wanted: Bytes,
    /// Why, as a person would say it.
    pub reason: String,
    until: Instant,
    answer: Arc<OnceLock<Bytes>>,
    answered: Arc<Notify>,
}

/// One who can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetInfo {
    /// Who it is.
    pub name: String,
    /// When it is its turn.
    pub stage: Stage,
    /// The order that is outstanding.
    pub order: Option<OrderInfo>,
    /// How the last one ended.
    pub last: Option<Answer>,
}

/// Where an order's answer is read.
#[derive(Clone, Debug)]
pub struct Receipt(Arc<OnceLock<Bytes>>);

impl Order {
    /// An order, and where its answer is read; for the governor, and for tests of targets. `answered` gets a permit when
    /// the answer is there. After `until` the answer is not waited for any more.
    pub fn new(
        wanted: Bytes,
        reason: impl Into<String>,
        until: Instant,
        answered: Arc<Notify>,
    ) -> (Self, Receipt) {
        let answer = Arc::new(OnceLock::new());
        let order = Self {
            wanted,
            reason: reason.into(),
            until,
            answer: Arc::clone(&answer),
            answered,
        };
        (order, Receipt(answer))
    }

    /// Until when the answer counts.
    pub fn until(&self) -> Instant {
        self.until
    }

    /// It is done: the leases of so many bytes were dropped or shrunk. An order has one answer: this, or its drop.
    pub fn done(self, freed: Bytes) {
        // The first and only: `self` is used up.
        let _ = self.answer.set(freed);
    }
}

impl Drop for Order {
    fn drop(&mut self) {
        let _ = self.answer.set(Bytes::ZERO);
        self.answered.notify_one();
    }
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Order({}, {})", self.wanted, self.reason)
    }
}

impl Receipt {
    /// What was freed; `None` while the order is outstanding.
    pub fn freed(&self) -> Option<Bytes> {
        self.0.get().copied()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_order_answers_once_and_wakes() {
        let wake = Arc::new(Notify::new());
        for (freed, expected) in [(Some(7), 7), (None, 0)] {
            let until = Instant::now() + Duration::from_secs(1);
            let (order, receipt) = Order::new(Bytes(9), "a test", until, Arc::clone(&wake));
            assert_eq!(order.until(), until);
            assert_eq!(receipt.freed(), None);
            match freed {
                Some(freed) => order.done(Bytes(freed)),
                None => drop(order),
            }
            assert_eq!(receipt.freed(), Some(Bytes(expected)));
            tokio::time::timeout(Duration::from_secs(1), wake.notified())
                .await
                .unwrap();
        }
    }

    #[test]
    fn caches_go_before_models() {
        assert!(Stage::ALL.is_sorted());
        assert_eq!(Stage::ALL.map(Stage::as_str), ["caches", "idle models"]);
    }
}
