//! How late text arrives: from the moment the scripted engine has said a token until a client over loopback has it, against
//! the same token taken from the model host in this process, in alternation. The promise is 5 ms to the first byte.
//!
//! ```sh
//! cargo bench --package paraphym_gateway --bench edge
//! ```
//!
//! `first_byte` asks one question after the other; `streams` has 64 of them answered at 500 tokens a second each, and ends
//! with an error if one token is lost, repeated or out of order. No time is judged by exit code.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench stops at the first surprise"
)]

#[path = "../crates/gateway/tests/support/mod.rs"]
mod support;

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use domain::GenerationEvent;
use engine::{
    Beginning, Engine, LoadError, LoadedModel, ModelCard, ModelLoader, ModelSource, PrefixId,
    SequenceId, SequencePlan, StepError, StepInput, StepOutput,
};
use futures_util::future::join_all;
use model_host::HostConfig;
use support::{Scene, ask, open, post, request};
use testkit::scripted::{Answer, NUMBERS, ScriptedLoader};
use tokio::io::AsyncReadExt;
use tokio::time::{Duration, Instant, interval};

/// Questions of each kind, one after the other.
const QUESTIONS: u64 = 400;
/// Rounds of many streams, of each kind.
const ROUNDS: u64 = 5;
const STREAMS: u64 = 64;
/// Two seconds at 500 a second.
const TOKENS: u32 = 1000;
/// A little over 500 a second, the start included: a step takes some time beside.
const STEP: Duration = Duration::from_micros(1_800);

/// When each token of a seed's answer was said.
type Said = Arc<Mutex<HashMap<u64, Vec<Instant>>>>;

/// The scripted model, which says when it said what.
struct Timed {
    loader: ScriptedLoader,
    said: Said,
}

struct TimedEngine {
    engine: Box<dyn Engine>,
    said: Said,
    seeds: HashMap<SequenceId, u64>,
}

impl ModelLoader for Timed {
    fn inspect(&self, source: &ModelSource) -> Result<ModelCard, LoadError> {
        self.loader.inspect(source)
    }

    fn load(
        &self,
        source: &ModelSource,
        progress: &mut dyn FnMut(f32) -> ControlFlow<()>,
    ) -> Result<LoadedModel, LoadError> {
        let loaded = self.loader.load(source, progress)?;
        let engine = TimedEngine {
            engine: loaded.engine,
            said: Arc::clone(&self.said),
            seeds: HashMap::new(),
        };
        Ok(LoadedModel {
            engine: Box::new(engine),
            ..loaded
        })
    }
}

impl Engine for TimedEngine {
    fn open(&mut self, sequence: SequenceId, plan: SequencePlan) -> Result<(), StepError> {
        self.seeds.insert(sequence, plan.sampling.seed);
        self.engine.open(sequence, plan)
    }

    fn open_from(
        &mut self,
        sequence: SequenceId,
        plan: SequencePlan,
        from: Beginning,
    ) -> Result<(), StepError> {
        self.seeds.insert(sequence, plan.sampling.seed);
        self.engine.open_from(sequence, plan, from)
    }

    fn close(&mut self, sequence: SequenceId) {
        self.engine.close(sequence);
    }

    fn keep(&mut self, sequence: SequenceId, prefix: PrefixId, tokens: u32) -> u32 {
        self.engine.keep(sequence, prefix, tokens)
    }

    fn forget(&mut self, prefix: PrefixId) {
        self.engine.forget(prefix);
    }

    fn step(&mut self, batch: &[StepInput]) -> Result<Vec<StepOutput>, StepError> {
        let outputs = self.engine.step(batch)?;
        let now = Instant::now();
        let mut said = self.said.lock().unwrap();
        for output in outputs.iter().filter(|output| output.token.is_some()) {
            let seed = self.seeds[&output.sequence];
            said.entry(seed).or_default().push(now);
        }
        Ok(outputs)
    }
}

/// When each token of an answer arrived, having checked that it is the next one.
struct Arrivals {
    seed: u64,
    at: Vec<Instant>,
}

impl Arrivals {
    fn new(seed: u64) -> Self {
        let at = Vec::new();
        Self { seed, at }
    }

    fn text(&mut self, text: &str, now: Instant) {
        for number in text.split_whitespace() {
            let expected = (self.seed + self.at.len() as u64) % u64::from(NUMBERS);
            assert_eq!(
                number.parse(),
                Ok(expected),
                "the next token of {}",
                self.seed
            );
            self.at.push(now);
        }
    }

    /// In milliseconds, each token.
    fn late(self, said: &Said, tokens: u32) -> Vec<f64> {
        assert_eq!(self.at.len(), tokens as usize, "none is lost");
        let said = &said.lock().unwrap()[&self.seed];
        let late = self
            .at
            .iter()
            .zip(said)
            .map(|(at, said)| at.duration_since(*said));
        late.map(|late| late.as_secs_f64() * 1e3).collect()
    }
}

async fn over_http(scene: &Scene, seed: u64, tokens: u32) -> Pieces {
    let fields = format!(r#","stream":true,"max_tokens":{tokens},"seed":{seed}"#);
    let mut stream = open(scene.address, &post(&ask(&fields), "")).await;
    let mut pieces = Vec::new();
    let mut piece = vec![0; 16 << 10];
    loop {
        let read = stream.read(&mut piece).await.unwrap();
        if read == 0 {
            return Pieces { seed, pieces };
        }
        pieces.push((Instant::now(), piece[..read].to_vec()));
    }
}

/// What arrived over HTTP, and when.
struct Pieces {
    seed: u64,
    pieces: Vec<(Instant, Vec<u8>)>,
}

/// Read once all streams have ended: that takes longer than sending, and must not delay what is measured.
fn arrived(all: &Pieces) -> Arrivals {
    let (mut arrivals, mut text) = (Arrivals::new(all.seed), String::new());
    for (at, piece) in &all.pieces {
        text.push_str(std::str::from_utf8(piece).unwrap());
        let mut taken = 0;
        while let Some(length) = text[taken..].find("\n\n") {
            let event = &text[taken..taken + length];
            taken += length + 2;
            if let Some((_, data)) = event.split_once("data: {") {
                let chunk: serde_json::Value = serde_json::from_str(&format!("{{{data}")).unwrap();
                let content = chunk["choices"][0]["delta"]["content"].as_str();
                arrivals.text(content.unwrap_or_default(), *at);
            }
        }
        text.drain(..taken);
    }
    arrivals
}

async fn in_process(scene: &Scene, seed: u64, tokens: u32) -> Arrivals {
    let mut stream = model_host::generate(&scene.host, request(seed, tokens))
        .await
        .unwrap();
    let mut arrivals = Arrivals::new(seed);
    while let Some(event) = stream.next().await {
        if let GenerationEvent::Text(text) = event {
            arrivals.text(&text, Instant::now());
        }
    }
    arrivals
}

/// `work`, and adds how long it took.
async fn timed<T>(sum: &mut Duration, work: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    let done = work.await;
    *sum += begun.elapsed();
    done
}

/// `work` while the model takes `STEP` for each step.
async fn paced<T>(scene: &Scene, work: impl Future<Output = T>) -> T {
    let next = scene.control.counts().steps + 1;
    let steps = next..next + u64::from(TOKENS) + 400;
    let gates: Vec<_> = steps.map(|step| scene.control.gate_step(step)).collect();
    let pace = async {
        let mut ticks = interval(STEP);
        for gate in gates {
            ticks.tick().await;
            gate.release();
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = pace => unreachable!(),
        done = work => done,
    }
}

/// The middle, what 99 of 100 stay below, and the latest.
fn row(what: &str, mut late: Vec<f64>) -> f64 {
    late.sort_by(f64::total_cmp);
    let at = |share: f64| late[((late.len() - 1) as f64 * share) as usize];
    let (middle, most, all) = (at(0.5), at(0.99), at(1.0));
    println!(
        "{what:24} p50 {middle:7.3} ms   p99 {most:7.3} ms   max {all:7.3} ms   n {}",
        late.len()
    );
    middle
}

async fn measure() {
    let said = Said::default();
    let loader = ScriptedLoader::new(Answer::Counting).with_card(|card| card.context_tokens = 4096);
    let control = loader.control();
    let host = HostConfig {
        max_batch: STREAMS as usize,
        queue: STREAMS as usize,
        ..HostConfig::default()
    };
    let model = Timed {
        loader,
        said: Arc::clone(&said),
    };
    let scene = Scene::with_any(model, control, host).await.unwrap();
    let mut seeds = 0..;
    let mut seed = || seeds.next().unwrap();
    // The model is loaded and both ways were walked before anything is measured.
    over_http(&scene, seed(), 10).await;
    in_process(&scene, seed(), 10).await;

    let (mut http, mut host) = (Vec::new(), Vec::new());
    for _ in 0..QUESTIONS {
        http.extend(arrived(&over_http(&scene, seed(), 1).await).late(&said, 1));
        host.extend(in_process(&scene, seed(), 1).await.late(&said, 1));
    }
    let ratio = row("first_byte over HTTP", http) / row("first_byte in process", host);
    println!("{:24} {ratio:.2} of the medians", "ratio");

    let (mut http, mut host) = (Vec::new(), Vec::new());
    let mut asked = Duration::ZERO;
    for _ in 0..ROUNDS {
        let all: Vec<u64> = (0..STREAMS).map(|_| seed()).collect();
        let asking = join_all(all.iter().map(|&seed| over_http(&scene, seed, TOKENS)));
        for one in timed(&mut asked, paced(&scene, asking)).await {
            http.extend(arrived(&one).late(&said, TOKENS));
        }
        let all: Vec<u64> = (0..STREAMS).map(|_| seed()).collect();
        let asking = join_all(all.iter().map(|&seed| in_process(&scene, seed, TOKENS)));
        for one in timed(&mut asked, paced(&scene, asking)).await {
            host.extend(one.late(&said, TOKENS));
        }
    }
    let seconds = asked.as_secs_f64() / (2 * ROUNDS) as f64;
    let ratio = row("streams over HTTP", http) / row("streams in process", host);
    let rate = f64::from(TOKENS) / seconds;
    println!(
        "{:24} {ratio:.2} of the medians; {rate:.0} tokens a second each, none lost",
        "ratio"
    );
    scene.end().await;
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    runtime::run(&runtime::RuntimeOptions::default(), |_| measure())?;
    Ok(())
}
