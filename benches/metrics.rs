//! What it costs to be counted: a scrape of a busy server, and a token with the recorder and without.
//!
//! ```sh
//! cargo bench --package paraphym_gateway --bench metrics
//! ```
//!
//! `scrape` asks for the page over loopback while 64 answers are made, and prints how long that took and how large the page
//! is; and, made in this process at the same time, how much of that is work: to write the page once all was taken (which
//! waits for nothing), and to take it (which waits for the supervisors' turns). The rest of a scrape is the way over the
//! socket, and the wait for a core that others use. `decode` has one answer, and then eight at once, made in this process by the scripted engine, which takes
//! microseconds a token; each measurement is a process of its own, with the recorder installed or not, in alternation. What
//! that cannot tell from noise, `counting` measures: what a lane records for a step of one token, over and over. No time is
//! judged by exit code.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench stops at the first surprise"
)]

#[path = "../crates/gateway/tests/support/mod.rs"]
mod support;

use std::process::Command;

use domain::GenerationEvent;
use futures_util::future::join_all;
use model_host::HostConfig;
use support::{Scene, get, request};
use telemetry::{Metrics, names};
use testkit::scripted::{Answer, ScriptedLoader};
use tokio::time::{Duration, Instant};

/// What tells a process of its own what it is to measure.
const PART: &str = "PARAPHYM_BENCH_PART";
/// Answers at once while the page is asked for.
const BUSY: u64 = 64;
const SCRAPES: usize = 300;
/// Tokens of one measured answer, and measurements of each kind.
const TOKENS: u32 = 20_000;
const ROUNDS: usize = 7;
/// Tokens that are only counted.
const COUNTED: u32 = 2_000_000;

async fn scene() -> Scene {
    let loader = ScriptedLoader::new(Answer::Counting).with_card(|card| {
        card.context_tokens = 1 << 20;
        card.kv_bytes_per_token = domain::Bytes(1);
    });
    let control = loader.control();
    let host = HostConfig {
        max_batch: BUSY as usize,
        queue: BUSY as usize,
        ..HostConfig::default()
    };
    Scene::with_any(loader, control, host).await.unwrap()
}

/// One answer to its end, or until it is dropped.
async fn answer(scene: &Scene, seed: u64, tokens: u32) {
    let mut stream = model_host::generate(&scene.host, request(seed, tokens))
        .await
        .unwrap();
    while let Some(event) = stream.next().await {
        assert!(!matches!(event, GenerationEvent::Failed(_)), "{event:?}");
    }
}

/// How long something took, many times.
fn spread(mut took: Vec<Duration>) -> String {
    took.sort();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    let (middle, late, most) = (at(0.5), at(0.99), at(1.0));
    format!("p50 {middle:.2} ms   p99 {late:.2} ms   max {most:.2} ms")
}

async fn scrape() {
    let recorder = Metrics::install().unwrap();
    let scene = scene().await;
    let busy = join_all((0..BUSY).map(|seed| answer(&scene, seed, 1 << 19)));
    let scraping = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let before = scene.control.counts().steps;
        let administration = scene.root.administration();
        let (mut took, mut taken, mut written, mut size) = <(Vec<_>, Vec<_>, Vec<_>, _)>::default();
        for _ in 0..SCRAPES {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let begun = Instant::now();
            let page = get(scene.address, "/metrics").await;
            took.push(begun.elapsed());
            size = page.body.len();
            let begun = Instant::now();
            let vitals = administration.vitals(Duration::from_secs(2)).await;
            taken.push(begun.elapsed());
            let begun = Instant::now();
            let mut text = recorder.render();
            text.push_str(&vitals.to_prometheus());
            written.push(begun.elapsed());
            assert!(text.len() > size / 2, "the same page");
        }
        let steps = scene.control.counts().steps - before;
        println!("while {BUSY} answer, {steps} steps meanwhile, a page of {size} bytes:");
        println!("    a scrape over loopback   {}", spread(took));
        println!("    of that, to take it      {}", spread(taken));
        println!("    and to write it          {}", spread(written));
    };
    tokio::select! {
        _ = busy => unreachable!("they last longer"),
        () = scraping => {}
    }
    scene.end().await;
}

/// Prints nanoseconds a token.
async fn decode(counted: bool, answers: u64) {
    if counted {
        Metrics::install().unwrap();
    }
    let scene = scene().await;
    answer(&scene, 0, 1000).await;
    let begun = Instant::now();
    join_all((0..answers).map(|seed| answer(&scene, seed, TOKENS))).await;
    let tokens = f64::from(TOKENS) * answers as f64;
    println!("{}", begun.elapsed().as_nanos() as f64 / tokens);
    scene.end().await;
}

/// Prints nanoseconds for what a lane records when a step of one sequence comes home with a token, the recorder's upkeep
/// included.
fn counting() {
    let recorder = Metrics::install().unwrap();
    let [step, batch, between] = [
        names::STEP_SECONDS,
        names::BATCH_SEQUENCES,
        names::INTER_TOKEN_SECONDS,
    ]
    .map(|name| metrics::histogram!(name, "model" => "tiny"));
    let [generated, read] = [names::TOKENS_GENERATED, names::TOKENS_PROMPT]
        .map(|name| metrics::counter!(name, "model" => "tiny"));
    let [active, waiting, resident] = [
        names::SEQUENCES_ACTIVE,
        names::SEQUENCES_WAITING,
        names::RESIDENT_BYTES,
    ]
    .map(|name| metrics::gauge!(name, "model" => "tiny"));
    let begun = Instant::now();
    for token in 0..COUNTED {
        between.record(0.004);
        step.record(0.003);
        batch.record(1.0);
        generated.increment(1);
        read.increment(0);
        active.set(1.0);
        waiting.set(0.0);
        resident.set(1e8);
        // Far seldomer than this in truth: every five seconds.
        if token % 10_000 == 0 {
            recorder.upkeep();
        }
    }
    recorder.upkeep();
    let each = begun.elapsed().as_nanos() as f64 / f64::from(COUNTED);
    println!("counting one token of one answer: {each:.0} ns");
}

/// One part in a process of its own; the number it prints.
fn measured(part: &str) -> f64 {
    let program = std::env::current_exe().unwrap();
    let done = Command::new(program).env(PART, part).output().unwrap();
    assert!(done.status.success(), "{part}: {done:?}");
    String::from_utf8(done.stdout)
        .unwrap()
        .trim()
        .parse()
        .unwrap()
}

fn middle(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

fn compare() {
    for answers in [1, 8] {
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            without.push(measured(&format!("plain {answers}")));
            with.push(measured(&format!("counted {answers}")));
        }
        println!("decode {answers} at once   without {without:.0?}   with {with:.0?}");
        let (with, without) = (middle(with), middle(without));
        println!(
            "decode {answers} at once   a token {without:.0} ns without the recorder, {with:.0} ns with it: {:+.0} ns",
            with - without
        );
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let part = std::env::var(PART);
    let options = runtime::RuntimeOptions::default();
    match part.as_deref() {
        Ok("counting") => counting(),
        Ok("scrape") => runtime::run(&options, |_| scrape())?,
        Ok(part) => {
            let (kind, answers) = part.split_once(' ').unwrap();
            let (counted, answers) = (kind == "counted", answers.parse().unwrap());
            runtime::run(&options, |_| decode(counted, answers))?;
        }
        Err(_) => {
            let program = std::env::current_exe()?;
            for part in ["scrape", "counting"] {
                let done = Command::new(&program).env(PART, part).status()?;
                assert!(done.success(), "{part}: {done}");
            }
            compare();
        }
    }
    Ok(())
}
