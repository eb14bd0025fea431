//! What whoever operates or ends the process tells the edge, and what it hears: nothing new from now on, last words now;
//! which answers are still under way, and that one of them is to end. It outlives the lives of the listener, because an
//! ending and an operator do.

use domain::RequestId;
use tokio_util::sync::CancellationToken;

use crate::guard::seating::{Occupancy, OpenConnection, Seating};
use crate::guard::underway::{NamedAnswer, Underway};

/// How open the edge is and what it does, shared by whoever operates it and by every life of the listener. Cloning gives
/// another hold on the same.
#[derive(Clone, Debug, Default)]
pub struct Serving {
    draining: CancellationToken,
    last_words: CancellationToken,
    underway: Underway,
    seating: Seating,
}

impl Serving {
    /// From now on every request for an answer is refused, and `/readyz` says so; those under way go on. There is no way back.
    pub fn drain(&self) {
        self.draining.cancel();
    }

    /// Answers that still run end with an error at once. There is no way back.
    pub fn end(&self) {
        self.drain();
        self.last_words.cancel();
    }

    /// Whether nothing new is taken.
    pub fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// The answers under way, oldest first: `POST /v1/chat/completions req-1`.
    pub fn under_way(&self) -> Vec<String> {
        self.underway.placed()
    }

    /// Waits until no answer is under way.
    pub async fn idle(&self) {
        self.fewer_than(1).await;
    }

    /// Waits until fewer answers than so many are under way.
    pub async fn fewer_than(&self, many: usize) {
        self.underway.fewer_than(many).await;
    }

    /// The answers under way that are called so, by their request's name or their own, whoever asked for them.
    pub fn called(&self, name: &str) -> Vec<NamedAnswer> {
        self.underway.anyones(name)
    }

    /// Cancels them: each ends for its client with the code `cancelled`. The model host should hear of them, too
    /// (`model_host::Cancel`), because whoever reads nothing polls nothing. Who they were.
    pub fn cancel(&self, name: &str) -> Vec<NamedAnswer> {
        self.underway.cancel_anyones(name)
    }

    /// How many connections are open, and may be.
    pub fn occupancy(&self) -> Occupancy {
        self.seating.occupancy()
    }

    /// At most so many of the open connections, the oldest first, each with its answers under way.
    pub fn connections(&self, most: usize) -> Vec<(OpenConnection, Vec<RequestId>)> {
        let all = self.seating.list(most).into_iter();
        let mut answers = self.underway.by_connection();
        all.map(|one| {
            let own = answers.remove(&one.number);
            (one, own.unwrap_or_default())
        })
        .collect()
    }

    /// The open connection of that number.
    pub fn connection(&self, number: u64) -> Option<(OpenConnection, Vec<RequestId>)> {
        let one = self.seating.get(number)?;
        let own = self.underway.by_connection().remove(&number);
        Some((one, own.unwrap_or_default()))
    }

    /// Closes the connection of that number, whatever it does; its answers end as when a client leaves. Which it was.
    pub fn kick(&self, number: u64) -> Option<(OpenConnection, Vec<RequestId>)> {
        let shown = self.connection(number)?;
        self.seating.kick(number).map(|_| shown)
    }

    /// From now on at most so many connections. Those that are open stay, also where they are more.
    pub fn limit_connections(&self, most: usize) -> Occupancy {
        self.seating.limit_to(most)
    }

    /// The open connections.
    pub(crate) fn seating(&self) -> &Seating {
        &self.seating
    }

    /// Cancelled when last words are to be said.
    pub(crate) fn last_words(&self) -> &CancellationToken {
        &self.last_words
    }

    /// The answers under way.
    pub(crate) fn underway(&self) -> &Underway {
        &self.underway
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn to_end_is_to_drain_too() {
        let serving = Serving::default();
        assert!(!serving.is_draining());
        serving.clone().drain();
        assert!(serving.is_draining() && !serving.last_words().is_cancelled());
        serving.end();
        assert!(serving.last_words().is_cancelled());
    }
}
