//! How much nonsense of a server is borne. Some print a line of log where only messages belong, and work; one that prints
//! nothing else, asks without reading the answers, or never stops talking would take our time or memory without end.

use std::time::Duration;

use tokio::time::Instant;

/// Unreadable lines in a row. 50: a start-up banner, not more.
pub(crate) const MAX_GARBAGE: u32 = 50;
/// Messages within a second. 1000: a thousand times what a busy server says.
pub(crate) const MAX_MESSAGES: u32 = 1000;
/// Requests of the server without an answer of ours. 32: each waits in memory until the server reads.
pub(crate) const MAX_REQUESTS: u32 = 32;
const WINDOW: Duration = Duration::from_secs(1);

/// What a server did lately.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tolerance {
    garbage: u32,
    requests: u32,
    messages: u32,
    window: Instant,
}

/// Why a server is not listened to any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Intolerable {
    #[error("it does not speak MCP: {MAX_GARBAGE} lines in a row were no messages")]
    Garbage,
    #[error("it floods: more than {MAX_MESSAGES} lines within a second")]
    Flood,
    #[error("it asks and does not read the answers: {MAX_REQUESTS} requests are open")]
    Deaf,
    #[error("it sent a message longer than {0} bytes")]
    TooLong(usize),
}

impl Tolerance {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            garbage: 0,
            requests: 0,
            messages: 0,
            window: now,
        }
    }

    /// A line came, whatever it is.
    pub(crate) fn line(&mut self, now: Instant) -> Result<(), Intolerable> {
        if now.saturating_duration_since(self.window) >= WINDOW {
            (self.window, self.messages) = (now, 0);
        }
        self.messages += 1;
        if self.messages > MAX_MESSAGES {
            return Err(Intolerable::Flood);
        }
        Ok(())
    }

    /// It was no message.
    pub(crate) fn garbage(&mut self) -> Result<(), Intolerable> {
        self.garbage += 1;
        if self.garbage >= MAX_GARBAGE {
            return Err(Intolerable::Garbage);
        }
        Ok(())
    }

    /// It was one.
    pub(crate) fn message(&mut self) {
        self.garbage = 0;
    }

    /// It was a request to us.
    pub(crate) fn request(&mut self) -> Result<(), Intolerable> {
        if self.requests >= MAX_REQUESTS {
            return Err(Intolerable::Deaf);
        }
        self.requests += 1;
        Ok(())
    }

    /// The server has read one of our answers.
    pub(crate) fn answered(&mut self) {
        self.requests = self.requests.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nonsense_is_borne_for_a_while() {
        let now = Instant::now();
        let mut borne = Tolerance::new(now);
        for _ in 1..MAX_GARBAGE {
            assert_eq!(borne.garbage(), Ok(()));
        }
        borne.message();
        for _ in 1..MAX_GARBAGE {
            assert_eq!(borne.garbage(), Ok(()));
        }
        assert_eq!(borne.garbage(), Err(Intolerable::Garbage));

        let mut borne = Tolerance::new(now);
        for second in 0..3 {
            let now = now + Duration::from_secs(second);
            for _ in 0..MAX_MESSAGES {
                assert_eq!(borne.line(now), Ok(()));
            }
            assert_eq!(borne.line(now), Err(Intolerable::Flood));
        }

        let mut borne = Tolerance::new(now);
        for _ in 0..MAX_REQUESTS {
            assert_eq!(borne.request(), Ok(()));
        }
        assert_eq!(borne.request(), Err(Intolerable::Deaf));
        borne.answered();
        assert_eq!(borne.request(), Ok(()));
        assert_eq!(borne.request(), Err(Intolerable::Deaf));
    }
}
