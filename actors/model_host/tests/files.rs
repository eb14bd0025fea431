//! Names and files: one file has one lane however it is spelt, a slow file system delays nobody else, and files that do
//! not load take nobody's place.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

use crate::common;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{DEADLINE, Setting, counting, hear};
use domain::{Bytes, GenerationError, ModelName, RequestId};
use engine::ModelSource;
use paraphym_model_host::{
    Cancel, ModelState, ModelStatus, Pin, Request, ResolveModel, Unload, Unpin,
};
use telemetry::Metrics;
use testkit::scripted::Answer;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

fn to(model: &str, seed: u64, tokens: u32) -> Request {
    let mut request = counting(seed, tokens);
    request.model = ModelName::new(model);
    request
}

/// Lets everyone run who can, without a clock: a thread that hangs would stop a paused one.
async fn let_run() {
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn models_that_do_not_load_take_nobodys_place() {
    let setting = Setting::new(Answer::Counting).config(|c| c.max_models = 4);
    let stage = setting.start().await;
    stage.control.fail_loads(20);
    for n in 0..20 {
        let bad = stage.ask(to(&format!("bad-{n}"), 1, 5)).await;
        hear(bad.unwrap()).await.failed();
        assert!(stage.models().await.len() <= 4);
    }
    let good = hear(stage.ask(to("good", 7, 5)).await.unwrap()).await;
    assert_eq!(good.text, Answer::counting(7, 5));
    // What is left of the failures is still remembered.
    let states = stage.models().await.into_iter().map(|m| m.state);
    let failed = states.filter(|s| matches!(s, ModelState::LoadFailed { .. }));
    assert_eq!(failed.count(), 3);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_place_that_is_taken_is_called_what_it_is() {
    let setting = Setting::new(Answer::Counting).config(|c| c.max_models = 1);
    let stage = setting.memory(Bytes::mib(64)).start().await;
    let step = stage.control.gate_step(3);
    let answering = stage.ask(to("a", 1, 5)).await.unwrap();
    stage.control.wait_until(|c| c.steps == 3).await;
    let refused = stage.ask(to("c", 1, 5)).await.unwrap_err().to_string();
    assert!(
        refused.contains("1 models are resident or loading") && !refused.contains("requests"),
        "{refused}"
    );
    drop(step);
    hear(answering).await.finished();
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn who_was_idle_for_longest_gives_its_place_to_a_model_that_is_wanted() {
    let setting = Setting::new(Answer::Counting).config(|c| c.max_models = 3);
    let stage = setting.memory(Bytes::mib(64)).start().await;
    for model in ["a", "b", "c", "a"] {
        hear(stage.ask(to(model, 1, 5)).await.unwrap()).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let model = ModelName::new("b");
    stage.host.ask(Pin { model }, DEADLINE).await.unwrap();
    let heard = hear(stage.ask(to("d", 1, 5)).await.unwrap()).await;
    assert_eq!(heard.text, Answer::counting(1, 5));
    let names = |models: Vec<ModelStatus>| -> Vec<String> {
        models.iter().map(|m| m.name.to_string()).collect()
    };
    assert_eq!(names(stage.models().await), ["a", "b", "d"]);
    assert_eq!(
        stage.ledger().await.leased,
        Bytes::mib(3).saturating_add(stage.kv_kept().await)
    );
    // Two at once take two places.
    let (e, f) = tokio::join!(stage.ask(to("e", 1, 5)), stage.ask(to("f", 1, 5)));
    for stream in [e, f] {
        hear(stream.unwrap()).await.finished();
    }
    assert_eq!(names(stage.models().await), ["b", "e", "f"]);
    stage.close().await;
}

/// A name is its path, relative to this crate's folder.
struct Paths;

impl ResolveModel for Paths {
    fn resolve(&self, model: &ModelName) -> Result<ModelSource, String> {
        let path = match model.as_str() {
            "manifest" => PathBuf::from("Cargo.toml"),
            path => PathBuf::from(path),
        };
        Ok(ModelSource { path })
    }
}

/// The one test here that installs the recorder, which is the process's.
#[tokio::test(start_paused = true)]
async fn one_file_is_loaded_once_and_counted_once_however_it_is_spelt() {
    let metrics = Metrics::install().unwrap();
    let stage = Setting::new(Answer::Counting).resolve(Paths).start().await;
    let whole = format!("{}/Cargo.toml", env!("CARGO_MANIFEST_DIR"));
    let names = ["manifest", "./Cargo.toml", "src/../Cargo.toml", &whole];
    let mut asked = JoinSet::new();
    for (name, seed) in names.iter().zip(1..) {
        let host = stage.host.clone();
        let request = to(name, seed, 20);
        asked.spawn(async move {
            let stream = paraphym_model_host::generate(&host, request).await;
            (seed, hear(stream.unwrap()).await.text)
        });
    }
    while let Some(answered) = asked.join_next().await {
        let (seed, text) = answered.unwrap();
        assert_eq!(text, Answer::counting(seed, 20));
    }
    assert_eq!(stage.control.counts().loads, 1);
    let models = stage.models().await;
    assert_eq!(models.len(), 1, "{models:?}");
    let text = metrics.render();
    let line = "paraphym_tokens_generated_total{model=\"Cargo.toml\"} 80";
    assert!(text.contains(line), "{line} is not in\n{text}");
    // The other tests of this process have series of their own.
    let mut series = text
        .lines()
        .filter(|l| l.starts_with("paraphym_tokens_generated"));
    let spelt = series.find(|l| l.contains('/') || l.contains("manifest"));
    assert_eq!(spelt, None);
    // A spelling nobody has used yet finds it, too.
    let model = ModelName::new("tests/../Cargo.toml");
    stage.host.ask(Unload { model }, DEADLINE).await.unwrap();
    assert_eq!(stage.control.counts().engines, 0);
    stage.close().await;
}

/// A file system that hangs on the names it was told to, until each is let go.
#[derive(Clone, Default)]
struct Hangs(Arc<Mutex<BTreeMap<String, oneshot::Receiver<()>>>>);

impl Hangs {
    fn on(&self, name: &str) -> oneshot::Sender<()> {
        let (gate, waiting) = oneshot::channel();
        self.0.lock().unwrap().insert(name.to_owned(), waiting);
        gate
    }
}

impl ResolveModel for Hangs {
    fn resolve(&self, model: &ModelName) -> Result<ModelSource, String> {
        let gate = self.0.lock().unwrap().remove(model.as_str());
        if let Some(gate) = gate {
            drop(gate.blocking_recv());
        }
        if model.as_str() == "missing" {
            return Err("look elsewhere".to_owned());
        }
        let path = PathBuf::from(model.as_str());
        Ok(ModelSource { path })
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_unpinned_while_the_file_is_looked_for_stays_unpinned() {
    let hangs = Hangs::default();
    let gate = hangs.on("slow");
    let setting =
        Setting::new(Answer::Counting).config(|c| c.pinned = vec![ModelName::new("slow")]);
    let stage = setting.resolve(hangs.clone()).start().await;
    // The one for the pin has come to the gate.
    while hangs.0.lock().unwrap().contains_key("slow") {
        tokio::task::yield_now().await;
    }
    let model = ModelName::new("slow");
    stage.host.ask(Unpin { model }, DEADLINE).await.unwrap();
    gate.send(()).unwrap();
    // Long after it was found, and tried again if it were to be.
    tokio::time::sleep(Duration::from_mins(2)).await;
    assert_eq!(stage.models().await, []);
    assert_eq!(stage.control.counts().loads, 0);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_file_system_that_hangs_delays_only_those_who_ask_for_that_file() {
    let hangs = Hangs::default();
    let stage = Setting::new(Answer::Counting);
    let stage = stage.resolve(hangs.clone()).start().await;
    let gate = hangs.on("slow");
    let (host, mut asked) = (stage.host.clone(), JoinSet::new());
    for seed in [10, 20, 30] {
        let host = host.clone();
        asked.spawn(async move {
            let stream = paraphym_model_host::generate(&host, to("slow", seed, 5)).await;
            let answer = match stream {
                Ok(stream) => Ok(hear(stream).await.text),
                Err(error) => Err(error),
            };
            (seed, answer)
        });
        let_run().await;
    }
    let mut others = JoinSet::new();
    others.spawn(async move {
        let stream = paraphym_model_host::generate(&host, to("quick", 1, 5)).await;
        let heard = hear(stream.unwrap()).await;
        let id = RequestId::new("count-20");
        (heard.text, host.ask(Cancel { id }, DEADLINE).await)
    });
    let mut other = None;
    for _ in 0..1_000_000 {
        other = others.try_join_next();
        if other.is_some() {
            break;
        }
        tokio::task::yield_now().await;
    }
    let other = other.expect("it does not wait for another model's file");
    let (text, cancelled) = other.unwrap();
    assert_eq!(text, Answer::counting(1, 5));
    assert!(cancelled.unwrap());
    gate.send(()).unwrap();
    while let Some(answered) = asked.join_next().await {
        match answered.unwrap() {
            (20, answer) => assert_eq!(answer, Err(GenerationError::Cancelled)),
            (seed, answer) => assert_eq!(answer.unwrap(), Answer::counting(seed, 5)),
        }
    }
    // Those who asked for one model while it was looked for share one lane.
    assert_eq!(stage.control.counts().loads, 2);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_for_a_file_are_bounded_and_hear_what_is_wrong_with_it() {
    let hangs = Hangs::default();
    let setting = Setting::new(Answer::Counting).config(|c| c.queue = 2);
    let stage = setting.resolve(hangs.clone()).start().await;
    let gate = hangs.on("missing");
    let mut asked = JoinSet::new();
    for seed in [1, 2, 3] {
        let host = stage.host.clone();
        let ask = async move {
            let stream = paraphym_model_host::generate(&host, to("missing", seed, 5)).await;
            stream.unwrap_err()
        };
        asked.spawn(ask);
        let_run().await;
    }
    let third = asked.join_next().await.unwrap().unwrap();
    assert!(
        matches!(third, GenerationError::Overloaded { waiting: 2, .. }),
        "{third}"
    );
    gate.send(()).unwrap();
    for error in asked.join_all().await {
        assert!(
            matches!(error, GenerationError::ModelNotFound { .. }),
            "{error}"
        );
    }
    assert_eq!(stage.control.counts().loads, 0);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn look_ups_that_hang_do_not_fill_the_blocking_pool() {
    let hangs = Hangs::default();
    let stage = Setting::new(Answer::Counting);
    let stage = stage.resolve(hangs.clone()).start().await;
    let mut gates = Vec::new();
    let mut asked = JoinSet::new();
    for n in 0..6 {
        let name = format!("slow-{n}");
        gates.push(hangs.on(&name));
        let host = stage.host.clone();
        let ask = async move {
            paraphym_model_host::generate(&host, to(&name, n, 5))
                .await
                .err()
        };
        asked.spawn(ask);
        let_run().await;
    }
    let last = asked.join_next().await.unwrap().unwrap().unwrap();
    assert!(
        last.to_string().contains("5 models are being looked for"),
        "{last}"
    );
    drop(gates);
    let others = asked.join_all().await;
    assert!(others.iter().all(Option::is_none), "{others:?}");
    stage.close().await;
}
