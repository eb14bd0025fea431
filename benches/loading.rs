//! What a load takes, turn about in one process: alone and with helpers, beside its text part, and beside what any file of the
//! packed weights would take at least, which is to read as many bytes into memory that is new.
//!
//! ```sh
//! cargo bench -p paraphym_inference --bench loading [-- MODEL.gguf]
//! ```
//!
//! Without a path it takes the default model from where models are kept. Medians of the rounds; quote the ratios.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program for people that measures real time"
)]

use std::error::Error;
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use engine::ModelSource;
use paraphym_inference::file::GgufFile;
use paraphym_inference::vocabulary::Vocabulary;
use paraphym_inference::{Codec, GgufLoader};
use runtime::BlockingHelpers;

const MODEL: &str = ".local/share/paraphym/models/SmolLM2-135M-Instruct.Q4_1.gguf";
/// Odd, so that the median is one of them.
const ROUNDS: usize = 9;

type Outcome<T> = Result<T, Box<dyn Error>>;
type Work<'a> = Box<dyn FnMut() -> Outcome<()> + 'a>;

fn load(loader: &GgufLoader, source: &ModelSource) -> Outcome<()> {
    black_box(loader.load_parts(source, &mut |_| ControlFlow::Continue(()))?);
    Ok(())
}

fn text(path: &Path) -> Outcome<()> {
    let file = GgufFile::open(path)?;
    let vocabulary = Vocabulary::read(&file)?;
    black_box(Codec::build(&file, vocabulary)?);
    Ok(())
}

fn measure(path: PathBuf) -> Outcome<()> {
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let helpers = BlockingHelpers::new(tokio::runtime::Handle::current(), threads);
    let alone = GgufLoader::new();
    let helped = GgufLoader::new().with_helpers(Arc::new(helpers));
    let source = &ModelSource { path };
    let mut lanes: [(String, Work, Vec<f64>); 4] = [
        (
            "load, alone".to_owned(),
            Box::new(|| load(&alone, source)),
            Vec::new(),
        ),
        (
            format!("load, {threads} threads"),
            Box::new(|| load(&helped, source)),
            Vec::new(),
        ),
        (
            "its text part, alone".to_owned(),
            Box::new(|| text(&source.path)),
            Vec::new(),
        ),
        (
            "as many bytes into new memory, alone".to_owned(),
            Box::new(|| {
                black_box(std::fs::read(&source.path)?);
                Ok(())
            }),
            Vec::new(),
        ),
    ];
    for _ in 0..ROUNDS {
        for (_, work, figures) in &mut lanes {
            let begin = Instant::now();
            work()?;
            figures.push(begin.elapsed().as_secs_f64() * 1000.0);
        }
    }
    for (name, _, figures) in &mut lanes {
        figures.sort_by(f64::total_cmp);
        let median = figures.get(ROUNDS / 2).copied().unwrap_or(f64::NAN);
        let ends = (figures.first(), figures.last());
        println!("{name:38} {median:7.1} ms  {ends:.1?}");
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let named = std::env::args()
        .skip(1)
        .find(|word| !word.starts_with("--"));
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let path = named
        .map(PathBuf::from)
        .or(home.map(|home| home.join(MODEL)));
    let path = path.ok_or("no home folder is known: name a model")?;
    tokio::task::spawn_blocking(move || measure(path).map_err(|error| error.to_string())).await??;
    Ok(())
}
