//! What a load takes, turn about in one process: alone and with helpers, beside its text part, and beside what any file of the
//! packed weights would take at least, which is to read as many bytes into memory that is new, on large pages as weights lie.
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
use std::fs::File;
use std::hint::black_box;
use std::io::{Read, Seek, SeekFrom};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use engine::ModelSource;
use engine::helpers::Helpers;
use memmap2::MmapMut;
use paraphym_inference::file::GgufFile;
use paraphym_inference::vocabulary::Vocabulary;
use paraphym_inference::{Codec, GgufLoader};
use runtime::BlockingHelpers;

const MODEL: &str = ".local/share/paraphym/models/SmolLM2-135M-Instruct.Q4_1.gguf";
/// Odd, so that the median is one of them.
const ROUNDS: usize = 9;
/// Some large pages, so that threads share the work and none is broken at an end.
const PIECE: u64 = 8 << 20;

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

/// Reads a piece of a file after the other into memory on large pages, as long as there is one that nobody has.
fn read_pieces(path: &Path, next: &AtomicU64, read: &Sender<MmapMut>) -> Outcome<()> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    loop {
        let from = next.fetch_add(1, Ordering::Relaxed) * PIECE;
        if from >= length {
            return Ok(());
        }
        let mut piece = MmapMut::map_anon(PIECE.min(length - from) as usize)?;
        #[cfg(target_os = "linux")]
        piece.advise(memmap2::Advice::HugePage)?;
        file.seek(SeekFrom::Start(from))?;
        file.read_exact(&mut piece)?;
        read.send(piece)?;
    }
}

/// The whole file so, alone or with helpers.
fn read_all(path: &Path, helpers: Option<&dyn Helpers>) -> Outcome<()> {
    let next = Arc::new(AtomicU64::new(0));
    let (read, pieces) = channel();
    if let Some(helpers) = helpers {
        let (path, next) = (path.to_owned(), Arc::clone(&next));
        let read = Mutex::new(read.clone());
        helpers.call(Arc::new(move || {
            let read = read.lock().unwrap_or_else(PoisonError::into_inner).clone();
            // Who calls counts the pieces.
            let _ = read_pieces(&path, &next, &read);
        }));
    }
    read_pieces(path, &next, &read)?;
    let length = std::fs::metadata(path)?.len();
    let count = length.div_ceil(PIECE) as usize;
    black_box(pieces.iter().take(count).collect::<Vec<_>>());
    Ok(())
}

fn measure(path: PathBuf) -> Outcome<()> {
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let helpers = BlockingHelpers::new(tokio::runtime::Handle::current(), threads);
    let alone = GgufLoader::new();
    let helpers: Arc<dyn Helpers> = Arc::new(helpers);
    let helped = GgufLoader::new().with_helpers(Arc::clone(&helpers));
    let source = &ModelSource { path };
    let mut lanes: [(String, Work, Vec<f64>); 6] = [
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
        (
            "on large pages, alone".to_owned(),
            Box::new(|| read_all(&source.path, None)),
            Vec::new(),
        ),
        (
            format!("on large pages, {threads} threads"),
            Box::new(|| read_all(&source.path, Some(&*helpers))),
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
