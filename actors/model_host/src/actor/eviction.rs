//! Letting idle models go when the governor orders it: least recently used first, until enough is free.
//!
//! Runs as a task beside the host, which serves on. Invariants: only a model with nothing to do goes: the lane itself is
//! asked, by its handle, and refuses if it loads, answers, has someone waiting or is pinned, whatever it was when it was
//! chosen; an order says what was really freed, after it was.

use std::sync::Arc;
use std::time::Duration;

use domain::Bytes;
use memory_governor::{Enlist, MemoryGovernor, Order, Stage};
use supervision::{AskError, Handle};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::CHILD_ID;
use crate::embedding::{self, EmbeddingLane, LetGo};
use crate::lane::room::DEADLINE;
use crate::messages::Unload;
use crate::roster::Roster;

/// A governor that does not answer is busy or crashing: it is enlisted with again after this.
const AGAIN: Duration = Duration::from_secs(1);

/// Whoever has idle models.
pub(super) trait Evict: Send + Sync {
    /// The name it is enlisted under.
    const NAME: &'static str;

    /// Lets models go until the order is fulfilled. Returns the bytes that came back.
    fn evict(&self, order: &Order) -> impl Future<Output = Bytes> + Send;
}

impl Evict for Roster {
    const NAME: &'static str = CHILD_ID;

    async fn evict(&self, order: &Order) -> Bytes {
        evict(self, order).await
    }
}

impl Evict for Handle<EmbeddingLane> {
    const NAME: &'static str = embedding::CHILD_ID;

    async fn evict(&self, order: &Order) -> Bytes {
        let left = order.until().saturating_duration_since(Instant::now());
        match self.ask(LetGo, left.min(DEADLINE)).await {
            Ok(0) => Bytes::ZERO,
            Ok(freed) => {
                let bytes = Bytes(freed);
                tracing::info!(%bytes, why = order.reason, "the idle embedding model was let go");
                bytes
            }
            Err(error) => {
                tracing::info!(%error, "the embedding model stays");
                Bytes::ZERO
            }
        }
    }
}

/// Enlists, and serves orders as long as the governor lives. The governor asks nobody again who had too little, until
/// something changes that it sees; that a model has become idle it cannot see: enlisting anew says so.
pub(super) async fn serve<E: Evict>(
    governor: Handle<MemoryGovernor>,
    models: E,
    idle: Arc<Notify>,
) {
    // One order is out at a time.
    let (sender, mut orders) = mpsc::channel(1);
    while enlist(E::NAME, &governor, &sender).await {
        let mut had_too_little = false;
        loop {
            let order = tokio::select! {
                biased;
                order = orders.recv() => order,
                () = idle.notified(), if had_too_little => break,
            };
            // `sender` lives, so there is always a next one.
            let Some(order) = order else { return };
            let freed = models.evict(&order).await;
            had_too_little = freed < order.wanted;
            order.done(freed);
        }
    }
}

/// Whether it is done; not if the governor is gone for good.
async fn enlist(
    name: &str,
    governor: &Handle<MemoryGovernor>,
    orders: &mpsc::Sender<Order>,
) -> bool {
    loop {
        let enlist = Enlist {
            name: name.to_owned(),
            stage: Stage::IdleModels,
            orders: orders.clone(),
        };
        match governor.ask(enlist, DEADLINE).await {
            Ok(()) => return true,
            Err(AskError::Down { .. }) => return false,
            Err(error) => {
                tracing::warn!(%error, "not enlisted with the memory governor");
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

/// Lets models go until the order is fulfilled. Returns the bytes that came back.
pub(super) async fn evict(roster: &Roster, order: &Order) -> Bytes {
    let mut freed = Bytes::ZERO;
    for (model, lane) in roster.idle() {
        let left = order.until().saturating_duration_since(Instant::now());
        if freed >= order.wanted || left.is_zero() {
            break;
        }
        let wish = Unload {
            model: model.clone(),
        };
        match lane.ask(wish, left.min(DEADLINE)).await {
            Ok(bytes) => {
                freed = freed.saturating_add(bytes);
                tracing::info!(%model, %bytes, why = order.reason, "an idle model was let go");
            }
            Err(error) => tracing::info!(%model, %error, "an idle model stays"),
        }
    }
    freed
}

#[cfg(test)]
mod tests {
    use domain::ModelName;
    use kameo::message::{Context, Message};
    use memory_governor::orders::TargetInfo;
    use testkit::scripted::Answer;

    use super::super::ModelHost;
    use super::*;
    use crate::crash_tests::common::{DEADLINE, Setting, Stage as Scene, hear, request};
    use crate::messages::{ModelState, Pin};

    /// The governor's order, without waiting for memory to be scarce.
    struct Take(Order);

    impl Message<Take> for ModelHost {
        type Reply = u64;

        async fn handle(&mut self, Take(order): Take, _: &mut Context<Self, u64>) -> u64 {
            evict(self.roster(), &order).await.0
        }
    }

    async fn order(stage: &Scene, wanted: Bytes) -> Bytes {
        let until = Instant::now() + Duration::from_secs(5);
        let (order, _receipt) = Order::new(wanted, "a test", until, Arc::default());
        Bytes(stage.host.ask(Take(order), DEADLINE).await.unwrap())
    }

    async fn ready(stage: &Scene) -> Vec<String> {
        let models = stage.models().await.into_iter();
        let ready = models.filter(|m| m.state == ModelState::Ready);
        ready.map(|m| m.name.to_string()).collect()
    }

    async fn use_model(stage: &Scene, model: &str) {
        let mut ask = request(model);
        ask.model = ModelName::new(model);
        hear(stage.ask(ask).await.unwrap()).await.finished();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_host_is_enlisted_for_idle_models() {
        let stage = Setting::text("hi").start().await;
        use_model(&stage, "m").await;
        let expected = TargetInfo {
            name: CHILD_ID.to_owned(),
            stage: Stage::IdleModels,
            order: None,
            last: None,
        };
        assert!(stage.ledger().await.targets.contains(&expected));
        stage.close().await;
    }

    #[tokio::test(start_paused = true)]
    async fn idle_models_go_least_recently_used_first_and_no_more_than_wanted() {
        let stage = Setting::text("hi").start().await;
        for model in ["a", "b", "c", "d", "a"] {
            use_model(&stage, model).await;
        }
        let model = ModelName::new("c");
        stage.host.ask(Pin { model }, DEADLINE).await.unwrap();
        assert_eq!(order(&stage, Bytes(1)).await, Bytes::mib(1));
        assert_eq!(ready(&stage).await, ["a", "c", "d"]);
        // "c" is pinned: the next two are "d" and "a".
        let two = Bytes(1 + (1 << 20));
        assert_eq!(order(&stage, two).await, Bytes::mib(2));
        assert_eq!(ready(&stage).await, ["c"]);
        assert_eq!(order(&stage, two).await, Bytes::ZERO);
        assert_eq!(stage.ledger().await.leased, Bytes::mib(1));
        stage.close().await;
    }

    #[tokio::test(start_paused = true)]
    async fn who_answers_or_loads_is_no_victim() {
        let stage = Setting::new(Answer::Counting).start().await;
        let step = stage.control.gate_step(3);
        let answering = stage.ask(request("a")).await.unwrap();
        stage.control.wait_until(|c| c.steps == 3).await;
        let load = stage.control.gate_load(2);
        let mut ask = request("b");
        ask.model = ModelName::new("b");
        let loading = stage.ask(ask).await.unwrap();
        stage.control.wait_until(|c| c.loads == 2).await;
        assert_eq!(order(&stage, Bytes::mib(9)).await, Bytes::ZERO);
        drop((step, load));
        hear(answering).await.finished();
        hear(loading).await.finished();
        stage.close().await;
    }
}
