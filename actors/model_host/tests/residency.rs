//! Who stays in memory, for how long, and who goes when room is needed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

use crate::common;

use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{DEADLINE, Setting, Stage, hear, request};
use domain::{Bytes, GenerationError, GenerationEvent, KeepAlive, ModelName};
use engine::ModelSource;
use memory_governor::{Enlist, Reserve};
use paraphym_model_host::{
    GenerationStream, Inspect, LANE_SUPERVISOR_ID, ModelState, ModelStatus, Pin, PinError, Request,
    ResolveModel, Unload, UnloadError, Unpin,
};
use supervision::{AskError, ChildId};
use testkit::scripted::Answer;
use tokio::sync::mpsc;

const MINUTE: Duration = Duration::from_mins(1);

fn kept(keep_alive: impl Into<Option<KeepAlive>>) -> Request {
    Request {
        keep_alive: keep_alive.into(),
        ..request("kept")
    }
}

async fn answer(stage: &Stage, request: Request) {
    hear(stage.ask(request).await.unwrap()).await.finished();
}

/// When each model goes, in seconds.
async fn expiries(stage: &Stage) -> Vec<Option<u64>> {
    let models = stage.models().await;
    models
        .iter()
        .map(|m| m.expires_in.map(|left| left.as_secs()))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn the_last_requests_wish_holds_and_without_one_the_configured_time() {
    let setting = Setting::text("hi").config(|c| c.keep_alive = (10 * MINUTE).into());
    let stage = setting.start().await;
    for (wish, stays) in [
        (None, Some(10 * MINUTE)),
        (Some(KeepAlive::For(MINUTE)), Some(MINUTE)),
        (Some(KeepAlive::Forever), None),
        (None, Some(10 * MINUTE)),
    ] {
        answer(&stage, kept(wish)).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        let model = stage.models().await.remove(0);
        let left = model.expires_in.map(|left| left + model.idle_for.unwrap());
        assert_eq!(left, stays, "{wish:?}");
        assert_eq!(
            model.keep_alive,
            stays.map_or(KeepAlive::Forever, KeepAlive::For)
        );
    }
    assert_eq!(stage.control.counts().loads, 1);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_keep_alive_of_zero_lets_the_model_go_with_its_last_answer() {
    let stage = Setting::new(Answer::Counting).start().await;
    let gate = stage.control.gate_step(3);
    let first = stage.ask(kept(KeepAlive::NOT)).await.unwrap();
    let second = stage.ask(kept(KeepAlive::NOT)).await.unwrap();
    gate.release();
    hear(first).await.finished();
    hear(second).await.finished();
    stage
        .settle("without leases", |l| l.leased == Bytes::ZERO)
        .await;
    assert_eq!(stage.models().await, []);
    // It is loaded again for whoever asks next.
    answer(&stage, kept(KeepAlive::For(MINUTE))).await;
    assert_eq!(stage.control.counts().loads, 2);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn for_ever_outlasts_a_night_and_a_crash_of_the_engine() {
    let stage = Setting::new(Answer::Counting).start().await;
    stage.control.panic_at(3);
    answer(&stage, kept(KeepAlive::Forever)).await;
    tokio::time::sleep(8 * 60 * MINUTE).await;
    let model = stage.models().await.remove(0);
    assert_eq!((model.state, model.crashes), (ModelState::Ready, 1));
    assert_eq!(expiries(&stage).await, [None]);
    stage.close().await;
}

fn to(model: &str) -> Request {
    Request {
        model: ModelName::new(model),
        ..request(model)
    }
}

/// Three fit; the least recently used goes for the fourth, on the governor's order.
#[tokio::test(start_paused = true)]
async fn the_least_recently_used_idle_model_makes_room_for_the_next() {
    let stage = Setting::text("hi").memory(Bytes(7 << 19)).start().await;
    for model in ["a", "b", "c", "a", "d"] {
        answer(&stage, to(model)).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let models = stage.models().await.into_iter();
    let ready: Vec<String> = models.filter(ready).map(|m| m.name.to_string()).collect();
    assert_eq!(ready, ["a", "c", "d"]);
    assert_eq!(stage.control.counts().loads, 4);
    // The governor says why.
    let why = stage.governor.ask(memory_governor::Why, DEADLINE).await;
    let why = format!("{:?}", why.unwrap().decisions);
    assert!(why.contains("the weights of d"), "{why}");
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn an_answering_model_is_no_victim_until_it_is_idle() {
    let stage = Setting::new(Answer::Counting)
        .memory(Bytes(3 << 19))
        .start()
        .await;
    let gate = stage.control.gate_step(5);
    let busy = stage.count(1, 50).await;
    stage.control.wait_until(|c| c.steps == 5).await;
    // Nobody can make room: the one answering is no victim.
    let heard = hear(stage.ask(to("other")).await.unwrap()).await;
    let GenerationError::MemoryExhausted {
        needed, available, ..
    } = heard.failed()
    else {
        panic!("{:?}", heard.end());
    };
    assert_eq!(*needed, Bytes::mib(1));
    assert!(*available < *needed);
    gate.release();
    assert_eq!(hear(busy).await.text, Answer::counting(1, 50));
    // Idle, it is one, at once: the governor is told that asking again is worth it.
    answer(&stage, to("other")).await;
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_footprint_is_known_before_anything_is_loaded() {
    let stage = Setting::text("hi").memory(Bytes(3 << 19)).start().await;
    let inspect = |model: &str| Inspect {
        model: ModelName::new(model),
        context_tokens: Some(100),
    };
    let before = stage.host.ask(inspect("m"), DEADLINE).await.unwrap();
    assert_eq!(before.weights_bytes, Bytes::mib(1));
    assert_eq!(before.kv_bytes, Bytes(112 << 10));
    assert_eq!(
        (before.resident, before.fits_now, before.fits_ever),
        (false, true, true)
    );
    assert_eq!(stage.control.counts().loads, 0);
    assert_eq!(stage.ledger().await.leased, Bytes::ZERO);
    assert_eq!(stage.models().await, []);
    // Beside another it would have to wait for that one to go.
    answer(&stage, to("m")).await;
    let resident = stage.host.ask(inspect("m"), DEADLINE).await.unwrap();
    assert_eq!((resident.resident, resident.fits_now), (true, true));
    let other = stage.host.ask(inspect("other"), DEADLINE).await.unwrap();
    assert_eq!(
        (other.resident, other.fits_now, other.fits_ever),
        (false, false, true)
    );
    let missing = stage.host.ask(inspect("missing"), DEADLINE).await;
    assert!(
        matches!(
            missing,
            Err(AskError::Handler(GenerationError::ModelNotFound { .. }))
        ),
        "{missing:?}"
    );
    stage.close().await;
}

/// The next event that tells a place in line.
async fn place(stream: &mut GenerationStream) -> usize {
    loop {
        match stream.next().await.unwrap() {
            GenerationEvent::Queued { position } => return position,
            event => assert!(!event.is_terminal(), "{event:?}"),
        }
    }
}

/// Someone else holds the memory, and who could let some go takes its time.
#[tokio::test(start_paused = true)]
async fn who_waits_for_memory_hears_its_place_and_leaves_the_line_by_going() {
    let stage = Setting::text("hi").memory(Bytes(3 << 19)).start().await;
    let (sender, mut orders) = mpsc::channel(1);
    let enlist = Enlist {
        name: "a slow cache".to_owned(),
        stage: memory_governor::Stage::Caches,
        orders: sender,
    };
    stage.governor.ask(enlist, DEADLINE).await.unwrap();
    let wish = Reserve {
        owner: "a test".to_owned(),
        purpose: "something else".to_owned(),
        bytes: Bytes::mib(1),
    };
    let lease = stage.governor.ask(wish, DEADLINE).await.unwrap();
    let mut first = stage.ask(to("first")).await.unwrap();
    assert_eq!(place(&mut first).await, 1);
    let order = orders.recv().await.unwrap();
    let mut second = stage.ask(to("second")).await.unwrap();
    assert_eq!(place(&mut second).await, 2);
    drop(first);
    assert_eq!(place(&mut second).await, 1);
    drop(lease);
    drop(order);
    hear(second).await.finished();
    assert_eq!(stage.control.counts().loads, 1);
    stage.close().await;
}

fn pin(model: &str) -> Pin {
    let model = ModelName::new(model);
    Pin { model }
}

fn refusal<E: Debug>(answer: Result<(), AskError<E>>) -> E {
    match answer {
        Err(AskError::Handler(error)) => error,
        other => panic!("not refused: {other:?}"),
    }
}

fn unpin(model: &str) -> Unpin {
    let model = ModelName::new(model);
    Unpin { model }
}

/// Waits, in virtual time, until that model is as wished.
async fn until(stage: &Stage, model: &str, wished: impl Fn(&ModelStatus) -> bool) -> ModelStatus {
    for _ in 0..100_000 {
        let models = stage.models().await;
        let found = models.into_iter().find(|m| m.name.as_str() == model);
        if let Some(found) = found.filter(|m| wished(m)) {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {:?}", stage.models().await);
}

fn ready(model: &ModelStatus) -> bool {
    model.state == ModelState::Ready
}

#[tokio::test(start_paused = true)]
async fn a_pinned_model_is_loaded_stays_and_is_no_victim() {
    let stage = Setting::text("hi").memory(Bytes(3 << 19)).start().await;
    stage.host.ask(pin("m"), DEADLINE).await.unwrap();
    until(&stage, "m", ready).await;
    tokio::time::sleep(60 * MINUTE).await;
    let model = until(&stage, "m", ready).await;
    assert!(model.pinned);
    assert_eq!(model.expires_in, None);
    // Not for another, not for the asking.
    let other = Request {
        model: ModelName::new("other"),
        ..request("other")
    };
    let heard = hear(stage.ask(other).await.unwrap()).await;
    assert!(
        matches!(heard.failed(), GenerationError::MemoryExhausted { .. }),
        "{:?}",
        heard.end()
    );
    let model = ModelName::new("m");
    let refused = stage
        .host
        .ask(
            Unload {
                model: model.clone(),
            },
            DEADLINE,
        )
        .await;
    assert_eq!(
        refusal(refused),
        UnloadError::Pinned {
            model: model.clone()
        }
    );
    // Unpinned it goes as others do; it has been idle for an hour.
    stage.host.ask(unpin("m"), DEADLINE).await.unwrap();
    stage
        .settle("without leases", |l| l.leased == Bytes::ZERO)
        .await;
    let refused = stage.host.ask(unpin("m"), DEADLINE).await;
    assert_eq!(refusal(refused), PinError::NotPinned { model });
    assert_eq!(stage.control.counts().loads, 1);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn there_are_no_more_pins_than_places() {
    let setting = Setting::text("hi").config(|c| c.max_models = 2);
    let stage = setting.start().await;
    for model in ["a", "b", "a"] {
        stage.host.ask(pin(model), DEADLINE).await.unwrap();
    }
    let model = ModelName::new("c");
    let most = 2;
    let refused = stage.host.ask(pin("c"), DEADLINE).await;
    assert_eq!(refusal(refused), PinError::TooMany { model, most });
    let missing = stage.host.ask(pin("missing"), DEADLINE).await;
    assert!(
        matches!(
            missing,
            Err(AskError::Handler(PinError::Refused(
                GenerationError::ModelNotFound { .. }
            )))
        ),
        "{missing:?}"
    );
    stage.host.ask(unpin("a"), DEADLINE).await.unwrap();
    until(&stage, "b", |m| m.pinned && ready(m)).await;
    stage.close().await;
}

/// A file that comes after the start: as one that is being pulled.
struct Later(Arc<AtomicBool>);

impl ResolveModel for Later {
    fn resolve(&self, model: &ModelName) -> Result<ModelSource, String> {
        let here = self.0.load(Ordering::Relaxed);
        let path = PathBuf::from(model.as_str());
        here.then_some(ModelSource { path })
            .ok_or("not yet".to_owned())
    }
}

#[tokio::test(start_paused = true)]
async fn a_model_pinned_from_the_start_is_loaded_once_it_is_here_and_loads() {
    let here = Arc::new(AtomicBool::new(false));
    let setting = Setting::text("hi").config(|c| c.pinned = vec![ModelName::new("m")]);
    let stage = setting.resolve(Later(Arc::clone(&here))).start().await;
    tokio::time::sleep(MINUTE).await;
    assert_eq!(stage.models().await, []);
    // It comes, and its first two loads fail.
    stage.control.fail_loads(2);
    here.store(true, Ordering::Relaxed);
    until(&stage, "m", ready).await;
    assert_eq!(stage.control.counts().loads, 3);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_pin_outlives_its_lane_and_its_supervisor() {
    let stage = Setting::new(Answer::Counting).start().await;
    stage.host.ask(pin("m"), DEADLINE).await.unwrap();
    until(&stage, "m", ready).await;
    // An engine that crashes: the lane's next life loads it though nobody waits.
    stage.control.panic_next(3);
    hear(stage.ask(request("guilty")).await.unwrap())
        .await
        .failed();
    stage.control.wait_until(|c| c.engines == 1).await;
    until(&stage, "m", |m| ready(m) && m.crashes == 3).await;
    // All lanes go: the host begins another.
    let lanes = ChildId::new(LANE_SUPERVISOR_ID);
    let root = stage.root().supervisor();
    root.terminate_child(&lanes).await.unwrap();
    stage.control.wait_until(|c| c.engines == 0).await;
    root.restart_child(&lanes).await.unwrap();
    let model = until(&stage, "m", ready).await;
    assert_eq!((model.crashes, model.pinned), (0, true));
    stage.close().await;
}
