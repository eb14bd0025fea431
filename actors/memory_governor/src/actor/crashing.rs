//! Crashes in the middle of a message, for tests: only from here does one reach into the book.

use std::time::Duration;

use kameo::message::{Context, Message};

use super::MemoryGovernor;
use crate::messages::Reserve;

/// Crashes with a lease in hand.
pub(crate) struct CrashReserving(pub(crate) Reserve);

impl Message<CrashReserving> for MemoryGovernor {
    type Reply = ();

    async fn handle(&mut self, CrashReserving(wish): CrashReserving, _: &mut Context<Self, ()>) {
        let lease = self.seed.book.reserve(&wish);
        panic!("scripted crash with {lease:?}");
    }
}

/// Crashes with a place in line in hand.
pub(crate) struct CrashWaiting(pub(crate) Reserve);

impl Message<CrashWaiting> for MemoryGovernor {
    type Reply = ();

    async fn handle(&mut self, CrashWaiting(wish): CrashWaiting, _: &mut Context<Self, ()>) {
        let place = self.seed.book.wait(&wish, Duration::from_hours(1));
        panic!("scripted crash with {place:?}");
    }
}
