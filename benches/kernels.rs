//! Our kernels against candle's block kernels, in one process, turn about: the same model, the same steps. Ours run on one
//! thread, and the fastest of them on two as well, and on weights of a packed copy on disk.
//!
//! ```sh
//! cargo bench -p paraphym_inference --bench kernels [-- [--portable] [--only=LANES] [--measure=NAME] [MODEL.gguf]]
//! ```
//!
//! Without a path it takes the default model from where models are kept; with `--portable` the portable kernels run, too, which
//! takes long; `--only=avx512,exact` and the like runs these lanes, `--measure=prefill` what begins like this, to be looked at with a
//! profiler. The figures of each lane are medians of the rounds in tokens (or first tokens) per second; quote the ratios, for a
//! machine's mood changes from minute to minute.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program for people that measures real time"
)]

mod steps;

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use engine::ModelSource;
use engine::helpers::Helpers;
use paraphym_inference::cpu::Kind;
use paraphym_inference::{Decoder, GgufLoader, PackedCopies, Precision};
use steps::{Measure, Outcome, median};

const MODEL: &str = ".local/share/paraphym/models/SmolLM2-135M-Instruct.Q4_1.gguf";
/// Odd, so that the median is one of them.
const ROUNDS: usize = 3;

const fn decode(context: usize, batch: usize) -> Measure {
    Measure::Decode { context, batch }
}

const MEASURES: [Measure; 11] = [
    Measure::Prefill(128),
    Measure::Prefill(512),
    decode(16, 1),
    decode(512, 1),
    decode(1024, 1),
    decode(16, 2),
    decode(16, 4),
    decode(16, 8),
    decode(16, 16),
    Measure::FirstToken,
    Measure::FirstTokenOfKept,
];

/// One way to compute.
struct Lane {
    name: &'static str,
    decoder: Decoder,
    /// By measure and round.
    figures: [Vec<f64>; MEASURES.len()],
}

/// Resident memory of this process, in MB.
fn resident() -> Outcome<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    Ok(kib.ok_or("no VmRSS")?.parse::<f64>()? * 1024.0 / 1e6)
}

fn main() -> Outcome<()> {
    let options = runtime::RuntimeOptions::default();
    runtime::run(&options, |_| async {
        let handle = tokio::runtime::Handle::current();
        let two = NonZeroUsize::MIN.saturating_add(1);
        let helpers = Arc::new(runtime::BlockingHelpers::new(handle, two));
        let all = move || compare(helpers).map_err(|error| error.to_string());
        tokio::task::spawn_blocking(all).await
    })???;
    Ok(())
}

fn said(flag: &str) -> Option<String> {
    std::env::args().find_map(|word| Some(word.strip_prefix(flag)?.to_owned()))
}

fn loaders(
    helpers: Arc<dyn Helpers>,
    copies: PackedCopies,
) -> impl Iterator<Item = (&'static str, GgufLoader)> {
    let portable = std::env::args().any(|word| word == "--portable");
    let kinds = Kind::here().filter(move |kind| portable || *kind != Kind::Portable);
    let exact = GgufLoader::new().with_precision(Precision::Exact);
    [("candle", GgufLoader::unpacked())]
        .into_iter()
        .chain(kinds.map(|kind| (kind.name(), GgufLoader::with_kind(kind))))
        .chain([
            ("exact", exact),
            ("packed copy", GgufLoader::new().with_copies(copies)),
            ("two threads", GgufLoader::new().with_helpers(helpers)),
        ])
}

fn compare(helpers: Arc<dyn Helpers>) -> Outcome<()> {
    let named = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let path = match named {
        Some(path) => PathBuf::from(path),
        None => std::env::home_dir().ok_or("no home folder")?.join(MODEL),
    };
    let source = ModelSource { path };
    let (only, measured) = (said("--only="), said("--measure=").unwrap_or_default());
    let wanted = |name: &str| {
        only.as_ref()
            .is_none_or(|only| only.split(',').any(|one| one == name))
    };
    // Beside the model, where files are on large pages if they are anywhere.
    let folder = tempfile::tempdir_in(source.path.parent().unwrap_or(Path::new(".")))?;
    let copies = PackedCopies::in_folder(folder.path());
    let mut lanes = Vec::new();
    for (name, loader) in loaders(helpers, copies).filter(|(name, _)| wanted(name)) {
        let (begin, before) = (Instant::now(), resident()?);
        let (card, decoder, _) = loader.load_parts(&source, &mut |_| ControlFlow::Continue(()))?;
        println!(
            "{name}: loaded in {:.2} s; {:.0} MB more resident, {:.0} MB of them packed weights",
            begin.elapsed().as_secs_f64(),
            resident()? - before,
            card.weights_bytes.0 as f64 / 1e6
        );
        lanes.push(Lane {
            name,
            // What is measured is a pass for each token.
            decoder: decoder.without_speculation(),
            figures: Default::default(),
        });
    }
    for round in 1..=ROUNDS {
        println!("round {round} of {ROUNDS}");
        for (which, measure) in MEASURES.into_iter().enumerate() {
            if !measure.to_string().starts_with(&measured) {
                continue;
            }
            for lane in &mut lanes {
                let figure = measure.run(&mut lane.decoder)?;
                if let Some(figures) = lane.figures.get_mut(which) {
                    figures.push(figure);
                }
            }
        }
    }
    for (which, measure) in MEASURES.into_iter().enumerate() {
        let of = |lane: &Lane| lane.figures.get(which).map_or(f64::NAN, |f| median(f));
        let base = lanes.first().map_or(f64::NAN, of);
        for lane in lanes.iter().filter(|lane| of(lane).is_finite()) {
            let (rate, first) = (of(lane), lanes.first().map_or("", |lane| lane.name));
            println!(
                "{:>24} | {:>11} | {rate:8.1} a second | {:6.2} times {first}",
                measure.to_string(),
                lane.name,
                rate / base
            );
        }
    }
    Ok(())
}
