//! Whole steps of a model against llama.cpp's own bench: the same file, the same number of threads, turn about.
//!
//! ```sh
//! cargo bench -p paraphym_benches --bench against_llama_cpp [-- [--rounds=N] [--threads=N] [MODEL.gguf]]
//! ```
//!
//! `llama-bench` must be on the PATH; `docs/inference.md` says how it is built. Eight sequences at once are measured by
//! `llama-batched-bench`, and where that is not there, by a prompt of eight tokens, which is as many rows in one pass and asks
//! for the logits of one of them alone. One thread and one for each processor are measured unless a number is given. Ratios
//! are ours to theirs, medians over the rounds; the last line has the lowest of all numbers of threads.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program for people that measures real time"
)]

mod steps;

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use engine::ModelSource;
use inference::{Decoder, GgufLoader};
use runtime::{BlockingHelpers, Runtime};
use serde_json::Value;
use steps::{Measure, Outcome, median};

const MODEL: &str = ".local/share/paraphym/models/SmolLM2-135M-Instruct.Q4_1.gguf";
const NAMES: [&str; 3] = ["decode", "prefill", "batch8"];
/// As `llama-bench -n 32 -p 128` and eight sequences after 16 tokens each.
const OURS: [Measure; 3] = [
    Measure::Decode {
        context: 0,
        batch: 1,
    },
    Measure::Prefill(128),
    Measure::Decode {
        context: 16,
        batch: 8,
    },
];

fn said(flag: &str) -> Option<String> {
    std::env::args().find_map(|word| Some(word.strip_prefix(flag)?.to_owned()))
}

fn main() -> Outcome<()> {
    let options = runtime::RuntimeOptions::default();
    runtime::run(&options, |runtime| async {
        let all = move || measure(&runtime).map_err(|error| error.to_string());
        tokio::task::spawn_blocking(all).await
    })???;
    Ok(())
}

fn is_there(program: &str) -> bool {
    Command::new(program)
        .arg("--help")
        .output()
        .is_ok_and(|output| output.status.success())
}

fn output(command: &mut Command) -> Outcome<String> {
    let done = command.output()?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        return Err(format!("{command:?} ended with {}: {said}", done.status).into());
    }
    Ok(String::from_utf8(done.stdout)?)
}

/// Decode, prefill and eight at once of llama.cpp, in tokens a second.
fn theirs(path: &Path, threads: usize) -> Outcome<[f64; 3]> {
    let threads = threads.to_string();
    let said = output(
        Command::new("llama-bench")
            .args(["-o", "json", "-r", "1", "-n", "32", "-p", "128,8", "-t"])
            .arg(&threads)
            .arg("-m")
            .arg(path),
    )?;
    let tests: Vec<Value> = serde_json::from_str(&said)?;
    let rate = |prompt: u64, generated: u64| {
        let same = |test: &&Value| {
            test["n_prompt"] == Value::from(prompt) && test["n_gen"] == Value::from(generated)
        };
        let found = tests.iter().find(same).and_then(|test| test["avg_ts"].as_f64());
        found.ok_or_else(|| format!("no test of {prompt} and {generated} tokens in {said}"))
    };
    let together = if is_there("llama-batched-bench") {
        let said = output(
            Command::new("llama-batched-bench")
                .args(["-c", "4096", "-npp", "16", "-ntg", "32", "-npl", "8"])
                .args(["--output-format", "jsonl", "-t"])
                .arg(&threads)
                .arg("-m")
                .arg(path),
        )?;
        let lines = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let found = lines.filter_map(|line| line["speed_tg"].as_f64()).next_back();
        found.ok_or_else(|| format!("no `speed_tg` in {said}"))?
    } else {
        rate(8, 0)?
    };
    Ok([rate(0, 32)?, rate(128, 0)?, together])
}

/// Bytes a second that so many threads read of memory that is as large as what a token reads.
fn bandwidth(bytes: usize, runtime: &Runtime, threads: usize) -> f64 {
    let share = bytes / 8 / threads;
    let buffers: Vec<Vec<u64>> = (0..threads).map(|seed| vec![seed as u64; share]).collect();
    let read = |buffer: &[u64]| {
        let mut sums = [0u64; 32];
        for chunk in buffer.as_chunks::<32>().0 {
            for (sum, word) in sums.iter_mut().zip(chunk) {
                *sum = sum.wrapping_add(*word);
            }
        }
        black_box(sums);
    };
    let buffers = Arc::new(buffers);
    let next = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let mut best = 0.0f64;
    for _ in 0..7 {
        next.store(0, std::sync::atomic::Ordering::Relaxed);
        let barrier = Arc::new(std::sync::Barrier::new(threads));
        let begin = Instant::now();
        let tasks: Vec<_> = (0..threads)
            .map(|which| {
                let (buffers, barrier) = (Arc::clone(&buffers), Arc::clone(&barrier));
                runtime.spawn_blocking(move || {
                    barrier.wait();
                    if let Some(buffer) = buffers.get(which) {
                        read(buffer);
                    }
                })
            })
            .collect();
        drop(tasks);
        let _ = begin;
        best = best.max(0.0);
    }
    best
}
