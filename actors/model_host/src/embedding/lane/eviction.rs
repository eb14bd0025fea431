//! The lane gives its model's memory back when it is asked to and has nothing to do.
//!
//! Nothing here decides who is asked.

use domain::Bytes;
use kameo::message::{Context, Message};

use super::EmbeddingLane;

/// Lets an idle model go. Answered with the bytes that came back: none if it has something to do, or there is none.
#[derive(Clone, Copy, Debug)]
pub struct LetGo;

impl Message<LetGo> for EmbeddingLane {
    type Reply = u64;

    async fn handle(&mut self, _: LetGo, ctx: &mut Context<Self, u64>) -> u64 {
        let freed = match self.idle_since {
            Some(_) => self.unload().await,
            None => Bytes::ZERO,
        };
        self.drive(ctx.actor_ref());
        freed.0
    }
}
