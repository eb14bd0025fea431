//! Nothing is served in this build: what others ask of the edge, of one that never is.

use std::net::SocketAddr;
use std::sync::Arc;

use domain::ModelName;
use model_store::Store;
use root::Tree;
use supervision::ChildPath;
use telemetry::Metrics;
use tokio::sync::watch;

use crate::follower::Follows;
use crate::start_error::StartError;

/// There is nothing to choose.
#[derive(Default)]
pub(crate) struct Choice;

/// What an edge would be made of.
#[expect(dead_code, reason = "nobody reads it here")]
pub(crate) struct Deps<'a> {
    pub(crate) max_models: usize,
    pub(crate) model: &'a ModelName,
    pub(crate) settings: &'a chat_config::Store,
    pub(crate) store: &'a Store,
    pub(crate) metrics: Option<Metrics>,
    pub(crate) clock: chat_config::Clock,
}

/// Nothing was begun.
pub(crate) struct Begun;

#[expect(
    clippy::unused_self,
    clippy::unnecessary_wraps,
    reason = "as where there is an edge"
)]
impl Choice {
    pub(crate) fn begin(
        self,
        _: &mut Tree,
        _: &chat_config::Store,
        _: &ModelName,
    ) -> Result<Begun, StartError> {
        Ok(Begun)
    }
}

#[expect(
    clippy::unused_self,
    clippy::unused_async,
    reason = "as where there is an edge"
)]
impl Begun {
    pub(crate) fn follower(&self) -> Option<Arc<dyn Follows>> {
        None
    }

    pub(crate) async fn add_to(
        self,
        _: &mut Tree,
        _: Deps<'_>,
    ) -> Result<Option<Edge>, StartError> {
        Ok(None)
    }
}

/// There is none.
#[derive(Clone)]
pub(crate) enum Edge {}

#[expect(clippy::unused_async, reason = "as where there is an edge")]
impl Edge {
    pub(crate) const fn path(&self) -> &ChildPath {
        match *self {}
    }

    pub(crate) fn address(&self) -> watch::Receiver<Option<SocketAddr>> {
        match *self {}
    }

    pub(crate) fn not_served(&self, _: String) -> StartError {
        match *self {}
    }

    pub(crate) fn requests(&self) -> usize {
        match *self {}
    }

    pub(crate) fn drain(&self) {
        match *self {}
    }

    pub(crate) fn under_way(&self) -> Vec<String> {
        match *self {}
    }

    pub(crate) async fn fewer_than_now(&self) {
        match *self {}
    }

    pub(crate) async fn end(&self) {
        match *self {}
    }

    pub(crate) async fn send_away(&self) {
        match *self {}
    }
}
