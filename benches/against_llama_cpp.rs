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

#[allow(dead_code, reason = "`kernels` measures more")]
mod steps;

use std::hint::black_box;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use engine::ModelSource;
use engine::helpers::Helpers;
use inference::crew::{Crew, Member, Work};
use inference::{Decoder, GgufLoader};
use memmap2::MmapMut;
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
        let same = |test: &&Value| test["n_prompt"] == prompt && test["n_gen"] == generated;
        let found = tests
            .iter()
            .find(same)
            .and_then(|test| test["avg_ts"].as_f64());
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
        let lines = said
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let found = lines
            .filter_map(|line| line.get("speed_tg")?.as_f64())
            .next_back();
        found.ok_or_else(|| format!("no `speed_tg` in {said}"))?
    } else {
        rate(8, 0)?
    };
    Ok([rate(0, 32)?, rate(128, 0)?, together])
}

/// Bytes a second that the members read of memory like that of weights, as much as a token reads; the best of some.
fn bandwidth(bytes: usize, helpers: &Arc<BlockingHelpers>) -> Outcome<f64> {
    let mut memory = MmapMut::map_anon(bytes)?;
    #[cfg(target_os = "linux")]
    memory.advise(memmap2::Advice::HugePage)?;
    memory.fill(1);
    let mut crew = Crew::new(Arc::clone(helpers) as Arc<dyn Helpers>);
    let work: Arc<Work> = Arc::new(move |member: &Member<'_>| {
        let share = memory.get(member.share(memory.len(), 64));
        let words = share.unwrap_or_default().as_chunks::<8>().0.iter();
        let sum = |sum: u64, word: &[u8; 8]| sum.wrapping_add(u64::from_le_bytes(*word));
        black_box(words.fold(0u64, sum));
    });
    let mut best = 0.0f64;
    for _ in 0..9 {
        let begin = Instant::now();
        crew.run(false, &work);
        best = best.max(bytes as f64 / begin.elapsed().as_secs_f64());
    }
    Ok(best)
}

fn load(path: &Path, helpers: &Arc<BlockingHelpers>) -> Outcome<(u64, Decoder)> {
    let source = ModelSource {
        path: path.to_owned(),
    };
    let loader = GgufLoader::new().with_helpers(Arc::clone(helpers) as Arc<dyn Helpers>);
    let (card, decoder, _) = loader.load_parts(&source, &mut |_| ControlFlow::Continue(()))?;
    Ok((card.weights_bytes.0, decoder))
}

/// Ratios with so many threads.
fn compare(path: &Path, runtime: &Runtime, threads: usize, rounds: usize) -> Outcome<[f64; 3]> {
    let helpers = Arc::new(BlockingHelpers::of(runtime, Some(threads)));
    let (bytes, decoder) = load(path, &helpers)?;
    // What is measured is a pass for each token.
    let mut decoder = decoder.without_speculation();
    let mut ratios: [Vec<f64>; 3] = Default::default();
    let mut of_bandwidth = Vec::new();
    println!("{threads} threads; tokens a second, ours / theirs");
    for round in 1..=rounds {
        let theirs = theirs(path, threads)?;
        let read = bandwidth(bytes as usize, &helpers)?;
        print!("  round {round}:");
        for ((name, measure), (their, ratios)) in NAMES
            .into_iter()
            .zip(OURS)
            .zip(theirs.into_iter().zip(&mut ratios))
        {
            let ours = measure.run(&mut decoder)?;
            print!("  {name} {ours:.0} / {their:.0}");
            ratios.push(ours / their);
            if name == "decode" {
                of_bandwidth.push(ours * bytes as f64 / read);
            }
        }
        println!("  reading {:.1} GB/s", read / 1e9);
    }
    println!(
        "  decode takes {:.0} % of what can be read, of {:.1} MB a token",
        median(&of_bandwidth) * 100.0,
        bytes as f64 / 1e6
    );
    Ok(ratios.map(|ratios| median(&ratios)))
}

fn line(ratios: [f64; 3]) -> String {
    let parts = NAMES.iter().zip(ratios);
    let parts: Vec<String> = parts
        .map(|(name, ratio)| format!("{name} ratio {ratio:.2}"))
        .collect();
    parts.join(" ")
}

fn measure(runtime: &Runtime) -> Outcome<()> {
    if !is_there("llama-bench") {
        println!(
            "llama-bench is not on the PATH: docs/inference.md says how to get it. Nothing was measured."
        );
        return Ok(());
    }
    let named = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let path = match named {
        Some(path) => PathBuf::from(path),
        None => std::env::home_dir().ok_or("no home folder")?.join(MODEL),
    };
    let rounds = said("--rounds=").map_or(Ok(5), |rounds| rounds.parse())?;
    let counts = match said("--threads=") {
        Some(threads) => vec![threads.parse()?],
        None => vec![1, runtime.workers()],
    };
    let mut lowest = [f64::INFINITY; 3];
    for threads in counts {
        let ratios = compare(&path, runtime, threads, rounds)?;
        println!("  {}", line(ratios));
        for (lowest, ratio) in lowest.iter_mut().zip(ratios) {
            *lowest = lowest.min(ratio);
        }
    }
    println!("{}", line(lowest));
    Ok(())
}
