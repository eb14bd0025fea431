//! A look at the messages one actor handles, for a limited time and count: their names, never what is in them.
//!
//! Nobody waits for who looks: what comes faster than was asked for, or than is read, is counted and left out.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use crate::admin::AdminError;

/// Messages that wait for one who looks: 256, a few screens.
const ROOM: usize = 256;
/// Looks at one actor at the same time.
pub(crate) const MOST_TAPS: usize = 4;

/// How long and how much one looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TapLimits {
    /// At most 10 minutes.
    pub lasts: Duration,
    /// Messages that are shown, at most 100 000.
    pub messages: u64,
    /// Messages that are shown in one second, 1 to 1000.
    pub per_second: u32,
}

impl Default for TapLimits {
    /// A minute, 1000 messages, 50 a second: as fast as a terminal is read.
    fn default() -> Self {
        Self {
            lasts: Duration::from_mins(1),
            messages: 1000,
            per_second: 50,
        }
    }
}

impl TapLimits {
    /// The longest look: 10 min.
    pub const LONGEST: Duration = Duration::from_mins(10);

    pub(crate) fn check(&self) -> Result<(), AdminError> {
        let refuse = |field, value: String, allowed| {
            Err(AdminError::Limit {
                field,
                value,
                allowed,
            })
        };
        if self.lasts.is_zero() || self.lasts > Self::LONGEST {
            return refuse(
                "lasts",
                format!("{:?}", self.lasts),
                "above 0, up to 10 min",
            );
        }
        if !(1..=100_000).contains(&self.messages) {
            return refuse("messages", self.messages.to_string(), "1 to 100000");
        }
        if !(1..=1000).contains(&self.per_second) {
            return refuse("per_second", self.per_second.to_string(), "1 to 1000");
        }
        Ok(())
    }
}

/// How the handling of a message ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// To its end; whether the reply was an error is between the two.
    Handled,
    /// The actor crashed.
    Crashed,
    /// The actor was killed, or its task aborted.
    Killed,
}

impl Outcome {
    /// `handled`, `crashed`, `killed`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Handled => "handled",
            Self::Crashed => "crashed",
            Self::Killed => "killed",
        }
    }
}

/// One message that was handled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tapped {
    /// Its name, without its path.
    pub message: String,
    /// In which life of the actor.
    pub incarnation: u64,
    /// When its handling ended, on tokio's clock.
    pub at: Instant,
    /// How long it was queued; `None` for private messages and alarms, which are not queued with us, and for what was
    /// queued before anybody looked.
    pub waited: Option<Duration>,
    /// How long it was handled.
    pub took: Duration,
    /// How that ended.
    pub outcome: Outcome,
    /// Messages left out since the one before, because they came too fast.
    pub missed: u64,
}

/// What one who looks holds. It ends by itself: when its time or its count is over, or when the actor is down.
#[derive(Debug)]
pub struct Tap {
    receiver: mpsc::Receiver<Tapped>,
    until: Instant,
}

impl Tap {
    /// The next message; `None` when the look is over.
    pub async fn next(&mut self) -> Option<Tapped> {
        let next = timeout_at(self.until, self.receiver.recv()).await;
        // Nothing more is wanted: the actor's place forgets this at its next message.
        next.ok().flatten().or_else(|| {
            self.receiver.close();
            self.receiver.try_recv().ok()
        })
    }

    /// When it ends at the latest.
    pub fn until(&self) -> Instant {
        self.until
    }
}

/// The other end, in the actor's place.
#[derive(Debug)]
pub(crate) struct TapEnd {
    sender: mpsc::Sender<Tapped>,
    until: Instant,
    left: u64,
    per_second: u32,
    second: Instant,
    shown: u32,
    missed: u64,
}

pub(crate) fn tap(limits: &TapLimits, now: Instant) -> (Tap, TapEnd) {
    let (sender, receiver) = mpsc::channel(ROOM);
    let until = now.checked_add(limits.lasts).unwrap_or(now);
    let end = TapEnd {
        sender,
        until,
        left: limits.messages,
        per_second: limits.per_second,
        second: now,
        shown: 0,
        missed: 0,
    };
    (Tap { receiver, until }, end)
}

impl TapEnd {
    pub(crate) fn is_over(&self, now: Instant) -> bool {
        self.left == 0 || now >= self.until || self.sender.is_closed()
    }

    /// Shows a message that ended at its `at`, if there is room and time for it.
    pub(crate) fn show(&mut self, mut message: Tapped) {
        let now = message.at;
        if now.saturating_duration_since(self.second) >= Duration::from_secs(1) {
            self.second = now;
            self.shown = 0;
        }
        message.missed = self.missed;
        if self.shown == self.per_second || self.sender.try_send(message).is_err() {
            self.missed += 1;
            return;
        }
        self.shown += 1;
        self.missed = 0;
        self.left -= 1;
    }
}
