//! What is asked and changes nothing: answered from what is held.

use kameo::message::{Context, Message};

use super::ChatConfig;
use crate::messages::{Current, Diff, Differences, Get, History, Revised, Status, Subscribe};
use crate::news::Subscription;
use crate::revisions::PlanError;
use crate::status::StatusReader;

impl Message<Get> for ChatConfig {
    type Reply = Current;

    async fn handle(&mut self, _: Get, _: &mut Context<Self, Current>) -> Current {
        Current(self.seed.store.current())
    }
}

impl Message<History> for ChatConfig {
    type Reply = Revised;

    async fn handle(&mut self, _: History, _: &mut Context<Self, Revised>) -> Revised {
        Revised(self.seed.store.revisions().history().cloned().collect())
    }
}

impl Message<Diff> for ChatConfig {
    type Reply = Result<Differences, PlanError>;

    async fn handle(&mut self, wish: Diff, _: &mut Context<Self, Self::Reply>) -> Self::Reply {
        self.seed.store.revisions().diff(wish.from, wish.to)
    }
}

impl Message<Status> for ChatConfig {
    type Reply = StatusReader;

    async fn handle(&mut self, _: Status, _: &mut Context<Self, StatusReader>) -> StatusReader {
        self.seed.board.reader()
    }
}

impl Message<Subscribe> for ChatConfig {
    type Reply = Subscription;

    async fn handle(&mut self, _: Subscribe, _: &mut Context<Self, Subscription>) -> Subscription {
        self.seed.news.subscribe()
    }
}
