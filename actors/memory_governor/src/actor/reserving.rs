//! The reservations of the governor's inbox: each is one entry in the book, and none waits here.

use kameo::message::{Context, Message};

use super::MemoryGovernor;
use crate::lease::Lease;
use crate::messages::{Many, Reserve, ReserveMany, ReserveWithin};
use crate::reserve_error::ReserveError;
use crate::waiting::Waiting;

impl Message<Reserve> for MemoryGovernor {
    type Reply = Result<Lease, ReserveError>;

    async fn handle(&mut self, wish: Reserve, _: &mut Context<Self, Self::Reply>) -> Self::Reply {
        let answer = self.seed.book.reserve(&wish);
        if let Ok(lease) = &answer {
            let Reserve { owner, purpose, .. } = wish;
            tracing::debug!(lease = %lease.id(), owner, purpose, bytes = %lease.bytes(), "leased");
        }
        self.settle_asked();
        answer
    }
}

impl Message<ReserveMany> for MemoryGovernor {
    type Reply = Result<Many, ReserveError>;

    async fn handle(
        &mut self,
        wish: ReserveMany,
        _: &mut Context<Self, Self::Reply>,
    ) -> Self::Reply {
        let answer = self.seed.book.reserve_many(&wish);
        if let Ok(Many { lease, count }) = &answer {
            let ReserveMany { owner, purpose, .. } = wish;
            tracing::debug!(lease = %lease.id(), owner, purpose, count, bytes = %lease.bytes(), "leased");
        }
        self.settle_asked();
        answer
    }
}

impl Message<ReserveWithin> for MemoryGovernor {
    type Reply = Result<Waiting, ReserveError>;

    async fn handle(
        &mut self,
        ReserveWithin { wish, patience }: ReserveWithin,
        _: &mut Context<Self, Self::Reply>,
    ) -> Self::Reply {
        let answer = self.seed.book.wait(&wish, patience);
        if answer.is_ok() {
            let Reserve { owner, purpose, .. } = wish;
            tracing::debug!(owner, purpose, bytes = %wish.bytes, "in line");
        }
        self.settle_asked();
        answer
    }
}
