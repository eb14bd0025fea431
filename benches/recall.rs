//! What it takes to find one fact among ten thousand memories: by words, and by words and meaning, through the store's
//! actor, from a file on the disk. The promise is under 50 ms.
//!
//! ```sh
//! cargo bench --package paraphym_benches --bench recall
//! ```
//!
//! The memories' vectors come of a few lines that give each word a direction of its own, in 384 dimensions as
//! all-MiniLM-L6-v2 has. Where that model is on disk it says what the fact and each question mean (there every question is
//! another one, so that no cache answers), and what that takes is part of the third time; without it there are two. Beside the
//! times by the clock, which grow with whatever else the machine does, stands what a recall takes of the processors, which
//! hardly does. Exits with 1 if the fact is not the first find; a time is only printed.

use std::error::Error;
use std::io::Write;
use std::sync::Arc;

use conversation_store::{StoreConfig, client};
use domain::ModelName;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, TryStreamExt, stream};
use paraphym_benches::median;
use paraphym_candle::{EMBEDDING_MODEL, Paraphym, Runtime, RuntimeOptions, run};
use retrieval::{Embeds, Meanings, MemoryKind, Note, Retrieval, RetrievalConfig, Scope};
use runtime::CoarseClock;
use supervision::{Events, SupervisorSpec, start_root};
use tokio::time::Instant;

const MEMORIES: usize = 10_000;
/// Recalls of each kind; an odd number, so that the median is one of them.
const ROUNDS: usize = 51;
const DIMENSIONS: usize = 384;
const PROMISE_MS: f64 = 50.0;
const SPACE: &str = "bench";
const NOW_MS: i64 = 1_700_000_000_000;
const FACT: &str = "The password of the cellar is hidden under the blue kitten statue.";
/// Words the fact and thousands of other memories share stand in it, too: they cost the most.
const QUESTION: &str =
    "Under which statue in the old town is the password of the cellar, near the green door?";

type Failure = Box<dyn Error + Send + Sync>;

/// Each word is a direction.
struct Words(ModelName);

impl Embeds for Words {
    fn model(&self) -> &ModelName {
        &self.0
    }

    fn embed(&self, texts: Vec<String>) -> BoxFuture<'_, Meanings> {
        let vectors: Vec<Arc<[f32]>> = texts.iter().map(|text| direction(text)).collect();
        Box::pin(async move { Ok(vectors) })
    }
}

fn direction(text: &str) -> Arc<[f32]> {
    let mut values = vec![0.01_f32; DIMENSIONS];
    for word in text.split(|letter: char| !letter.is_alphanumeric()) {
        // FNV-1a.
        let hash = word.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        if let Some(value) = values.get_mut(((hash >> 32) % DIMENSIONS as u64) as usize) {
            *value = 1.0;
        }
    }
    values.into()
}

/// A sentence like many others, and unlike any.
fn other(number: usize) -> String {
    const SUBJECTS: [&str; 7] = [
        "The harbour",
        "A baker of the town",
        "My neighbour",
        "The old library",
        "Our garden",
        "The night train",
        "A violin",
    ];
    const VERBS: [&str; 11] = [
        "opens before",
        "was painted after",
        "stands beside",
        "belongs to",
        "reminds me of",
        "was sold near",
        "is older than",
        "lies behind",
        "was built for",
        "closes with",
        "is hidden from",
    ];
    const OBJECTS: [&str; 13] = [
        "the river bridge",
        "a green door",
        "the winter fair",
        "the town hall",
        "a field of barley",
        "the second platform",
        "an empty theatre",
        "the stone well",
        "the apple orchard",
        "a quiet street",
        "the blue statue",
        "a dry cellar",
        "the school clock",
    ];
    let pick =
        |words: &[&'static str]| words.get(number % words.len()).copied().unwrap_or_default();
    format!(
        "{} {} {}, entry {number}.",
        pick(&SUBJECTS),
        pick(&VERBS),
        pick(&OBJECTS)
    )
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::temp_dir().join(format!("paraphym-recall-{}", std::process::id()));
    let config = StoreConfig::at(folder.join("paraphym.db"));
    let hosted = StoreConfig::at(folder.join("hosted.db"));
    let report = run(&RuntimeOptions::default(), |runtime| async move {
        measure(config).await?;
        with_real_model(runtime, hosted).await
    });
    std::fs::remove_dir_all(&folder)?;
    report?.map_err(|failure: Failure| -> Box<dyn Error> { failure })
}

async fn measure(config: StoreConfig) -> Result<(), Failure> {
    let archive = client::open(config, NOW_MS).await?;
    let (spec, store) = conversation_store::child(archive, None, Arc::new(CoarseClock::default()));
    let root = start_root(SupervisorSpec::new("root").child(spec), Events::default()).await?;
    let embeds: Arc<dyn Embeds> = Arc::new(Words(ModelName::new("words")));
    let by_meaning = Retrieval::new(store.clone(), Some(embeds), RetrievalConfig::default());
    let by_words = Retrieval::new(store, None, RetrievalConfig::default());

    let began = Instant::now();
    let kept = fill(&by_meaning, true).await?;
    let mut out = std::io::stdout();
    writeln!(
        out,
        "{kept} memories in {:.1} s, each on the disk",
        began.elapsed().as_secs_f64()
    )?;

    let lexical = rounds(&by_words, |_| QUESTION.to_owned()).await?;
    let both = rounds(&by_meaning, |_| QUESTION.to_owned()).await?;
    writeln!(out, "by words:             {}", told(&lexical))?;
    writeln!(out, "by words and meaning: {}", told(&both))?;
    writeln!(out, "promised are {PROMISE_MS} ms: {}", held(&both))?;
    root.stop(std::time::Duration::from_secs(10)).await;
    Ok(())
}

/// The same with the model that says what the question means, where it is on disk.
async fn with_real_model(runtime: Runtime, config: StoreConfig) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    let builder = Paraphym::builder().runtime(runtime).conversations(config);
    let host = builder.start().await?;
    let model = ModelName::new(EMBEDDING_MODEL);
    if host.store().resolve(&model).is_err() {
        writeln!(out, "{model} is not on disk: nothing more is measured")?;
        host.shutdown().await;
        return Ok(());
    }
    let words: Arc<dyn Embeds> = Arc::new(Words(model));
    let store = host.conversations().clone();
    let made_up = Retrieval::new(store, Some(words), RetrievalConfig::default());
    fill(&made_up, false).await?;
    let noted = host.retrieval().remember(note(FACT.to_owned()), NOW_MS);
    if let Some(why) = noted.await?.without_meaning {
        return Err(why.into());
    }
    let hosted = rounds(host.retrieval(), |round| format!("{QUESTION} ({round})")).await?;
    writeln!(out, "the real model, too:  {}", told(&hosted))?;
    writeln!(out, "promised are {PROMISE_MS} ms: {}", held(&hosted))?;
    host.shutdown().await;
    Ok(())
}

/// Remembers ten thousand things, the fact among them if it is wished. How many.
async fn fill(retrieval: &Retrieval, with_fact: bool) -> Result<usize, Failure> {
    let texts = (0..MEMORIES).map(|number| match number {
        5_000 if with_fact => FACT.to_owned(),
        _ => other(number),
    });
    let notes = stream::iter(texts).map(|text| retrieval.remember(note(text), NOW_MS));
    let kept: Vec<_> = notes.buffer_unordered(128).try_collect().await?;
    Ok(kept.len())
}

fn held(measured: &Measured) -> &'static str {
    let held = median(&measured.times).is_some_and(|median| median < PROMISE_MS);
    if held { "kept" } else { "not kept" }
}

fn note(text: String) -> Note {
    Note {
        space: SPACE.to_owned(),
        text,
        kind: MemoryKind::Semantic,
        importance: 0.5,
    }
}

/// What recalls took, in milliseconds.
struct Measured {
    times: Vec<f64>,
    /// Of all processors, for one recall.
    processor: Option<f64>,
}

/// Asks again and again; `ask` says what is asked in which round.
async fn rounds(retrieval: &Retrieval, ask: impl Fn(usize) -> String) -> Result<Measured, Failure> {
    let mut times = Vec::new();
    let before = processor_ms();
    for round in 0..ROUNDS {
        let question = ask(round);
        let asked = Instant::now();
        let answer = retrieval
            .recall(Scope::space(SPACE), &question, 5, NOW_MS)
            .await?;
        times.push(asked.elapsed().as_secs_f64() * 1e3);
        if answer.found.first().is_none_or(|first| first.text != FACT) {
            return Err(format!("the fact is not the first find: {answer:?}").into());
        }
    }
    let spent = processor_ms()
        .zip(before)
        .map(|(after, before)| after - before);
    Ok(Measured {
        times,
        processor: spent.map(|spent| spent / ROUNDS as f64),
    })
}

/// What this process has had of the processors: user and system ticks of `/proc/self/stat`, a hundred in a second.
fn processor_ms() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name in brackets may hold spaces; two of the fields behind it are wanted.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let ticks = |field: Option<&str>| field?.parse::<f64>().ok();
    Some((ticks(fields.next())? + ticks(fields.next())?) * 10.0)
}

fn told(measured: &Measured) -> String {
    let times = &measured.times;
    let middle = median(times).unwrap_or(f64::NAN);
    let processor = measured.processor.unwrap_or(f64::NAN);
    let (least, most) = times
        .iter()
        .fold((f64::INFINITY, 0.0_f64), |(least, most), time| {
            (least.min(*time), most.max(*time))
        });
    format!(
        "{middle:.1} ms [{least:.1}..{most:.1}], {processor:.1} ms of the processors; found first {} times of {}",
        times.len(),
        times.len()
    )
}
