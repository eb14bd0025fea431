//! What somebody holds who is connected in real time: it is good as long as a request of theirs would be let in, and an answer
//! they ask for counts as a request. Nothing here waits.

use std::sync::Arc;
use std::time::Duration;

use bearer::Grant;
use connection::{Held, Pass, TooMuch};
use tokio::time::Instant;

use crate::error::ApiError;
use crate::guard::door::Door;

/// One of them. It may outlive the life of the listener that gave it out: its limits are those of that life.
pub(crate) struct Ticket {
    door: Arc<Door>,
    /// Nobody's, where none was needed.
    grant: Option<Arc<Grant>>,
}

impl Ticket {
    pub(crate) fn new(door: Arc<Door>, grant: Option<Arc<Grant>>) -> Self {
        Self { door, grant }
    }
}

impl Pass for Ticket {
    fn is_valid(&self) -> bool {
        self.door.would_let_in(self.grant.as_deref())
    }

    fn ask(&self, now: Instant) -> Result<Option<Held>, TooMuch> {
        let Some(allowance) = self.door.allowance(self.grant.as_ref(), now) else {
            return Ok(None);
        };
        let place = allowance.begin(now).map_err(too_much)?;
        Ok(place.map(|place| -> Held { Arc::new(place) }))
    }
}

fn too_much(refused: ApiError) -> TooMuch {
    TooMuch {
        code: refused.code.unwrap_or("rate_limit_exceeded"),
        message: refused.message,
        retry_after: Duration::from_secs(refused.retry_after_s.unwrap_or(1)),
    }
}
