//! What a load takes, turn about in one process, alone and with helpers: without a packed copy on disk, when one is made, and when
//! one is there; beside its text part, and beside reading as many bytes into memory that is new, on large pages as weights lie.
//! Where no copy comes to be the lines of copies are not told: the file system may hold no files on large pages.
//!
//! ```sh
//! cargo bench -p paraphym_inference --bench loading [-- [--only=TEXT] [MODEL.gguf]]
//! ```
//!
//! `--only` measures the lines whose name contains a text. Without a path it takes the default model from where models are kept. Medians of the rounds; quote the ratios.
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
use paraphym_inference::{Codec, GgufLoader, PackedCopies};
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

/// Loads where no copy is, and one is made.
fn load_and_copy(loader: &GgufLoader, source: &ModelSource, folder: &Path) -> Outcome<()> {
    for entry in std::fs::read_dir(folder)? {
        std::fs::remove_file(entry?.path())?;
    }
    load(loader, source)
}

fn has_copy(folder: &Path) -> Outcome<bool> {
    let ends = |path: &Path| path.extension().is_some_and(|end| end == "packed");
    let mut entries = std::fs::read_dir(folder)?.flatten();
    Ok(entries.any(|entry| ends(&entry.path())))
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

/// The work of each line, in turn.
fn lanes<'a>(
    source: &'a ModelSource,
    threads: NonZeroUsize,
    helpers: &'a Arc<dyn Helpers>,
    copies: Option<&'a Path>,
) -> Vec<(String, Work<'a>)> {
    let mut lanes: Vec<(String, Work)> = Vec::new();
    let helped = GgufLoader::new().with_helpers(Arc::clone(helpers));
    let by = format!("{threads} threads");
    for (who, loader) in [("alone", GgufLoader::new()), (&by, helped)] {
        let plain = loader.clone();
        lanes.push((
            format!("load, {who}"),
            Box::new(move || load(&plain, source)),
        ));
        let Some(folder) = copies else { continue };
        let loader = loader.with_copies(PackedCopies::in_folder(folder));
        let making = loader.clone();
        lanes.push((
            format!("making a copy, {who}"),
            Box::new(move || load_and_copy(&making, source, folder)),
        ));
        lanes.push((
            format!("with a copy, {who}"),
            Box::new(move || load(&loader, source)),
        ));
    }
    let path = &source.path;
    lanes.push((
        "the text part, alone".to_owned(),
        Box::new(move || text(path)),
    ));
    lanes.push((
        "as many bytes into new memory, alone".to_owned(),
        Box::new(move || {
            black_box(std::fs::read(path)?);
            Ok(())
        }),
    ));
    lanes.push((
        "on large pages, alone".to_owned(),
        Box::new(move || read_all(path, None)),
    ));
    lanes.push((
        format!("on large pages, {by}"),
        Box::new(move || read_all(path, Some(&**helpers))),
    ));
    lanes
}

fn measure(path: PathBuf, only: Option<&str>) -> Outcome<()> {
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let helpers = BlockingHelpers::new(tokio::runtime::Handle::current(), threads);
    let helpers: Arc<dyn Helpers> = Arc::new(helpers);
    let folder = tempfile::tempdir_in(path.parent().unwrap_or(Path::new(".")))?;
    let folder = folder.path();
    let source = ModelSource { path };
    let copying = GgufLoader::new().with_copies(PackedCopies::in_folder(folder));
    load(&copying, &source)?;
    let copies = has_copy(folder)?.then_some(folder);
    let lanes = lanes(&source, threads, &helpers, copies);
    let mut lanes: Vec<_> = lanes
        .into_iter()
        .filter(|(name, _)| only.is_none_or(|part| name.contains(part)))
        .map(|(name, work)| (name, work, Vec::new()))
        .collect();
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
    let only = std::env::args().find_map(|word| word.strip_prefix("--only=").map(str::to_owned));
    let measured = move || measure(path, only.as_deref()).map_err(|error| error.to_string());
    tokio::task::spawn_blocking(measured).await??;
    Ok(())
}
