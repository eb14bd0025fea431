//! A small tree around a store, and an embedding model of a few lines that counts how often it is asked.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise, and each test file uses a part"
)]

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use conversation_store::{Archive, StoreConfig};
use domain::ModelName;
use futures_util::future::BoxFuture;
use paraphym_retrieval::{Embeds, Meanings, MemoryKind, Note, Retrieval, RetrievalConfig};
use runtime::CoarseClock;
use supervision::SupervisorSpec;
use testkit::scene::Scene;

pub(crate) const NOW: i64 = 1_700_000_000_000;
pub(crate) const DAY: i64 = 86_400_000;
const DIMENSIONS: usize = 384;

/// How the model of a test behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Well,
    Failing,
    Silent,
    /// One vector too few.
    Short,
}

/// Each word is a direction of its own, but for some that mean the same.
pub(crate) struct Bag {
    model: ModelName,
    mood: Mood,
    pub(crate) texts: AtomicUsize,
}

impl Bag {
    pub(crate) fn new(model: &str, mood: Mood) -> Arc<Self> {
        Arc::new(Self {
            model: ModelName::new(model),
            mood,
            texts: AtomicUsize::new(0),
        })
    }

    pub(crate) fn texts(&self) -> usize {
        self.texts.load(Ordering::Relaxed)
    }
}

fn meaning(word: &str) -> &str {
    match word {
        "feline" | "kitten" => "cat",
        "beverage" | "drink" => "tea",
        other => other,
    }
}

pub(crate) fn vector(text: &str) -> Arc<[f32]> {
    let mut values = vec![0.0_f32; DIMENSIONS];
    // So that no text is without a direction; too short to make two texts alike. Numbers mean nothing, and saying a word
    // again adds nothing.
    values[0] = 0.01;
    let lower = text.to_lowercase();
    let words = lower.split(|letter: char| !letter.is_alphanumeric());
    for word in words.filter(|word| word.contains(char::is_alphabetic)) {
        let hash = meaning(word)
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
        values[1 + ((hash >> 32) % (DIMENSIONS as u64 - 1)) as usize] = 1.0;
    }
    values.into()
}

impl Embeds for Bag {
    fn model(&self) -> &ModelName {
        &self.model
    }

    fn embed(&self, texts: Vec<String>) -> BoxFuture<'_, Meanings> {
        self.texts.fetch_add(texts.len(), Ordering::Relaxed);
        let mut vectors: Vec<Arc<[f32]>> = texts.iter().map(|text| vector(text)).collect();
        match self.mood {
            Mood::Well => Box::pin(async move { Ok(vectors) }),
            Mood::Failing => Box::pin(async { Err("there is no model of that name".to_owned()) }),
            Mood::Silent => Box::pin(pending()),
            Mood::Short => {
                vectors.pop();
                Box::pin(async move { Ok(vectors) })
            }
        }
    }
}

pub(crate) struct Stage {
    pub(crate) scene: Scene,
    pub(crate) store: supervision::Handle<conversation_store::ConversationStore>,
}

pub(crate) async fn start() -> Stage {
    start_at(&StoreConfig::in_memory()).await
}

pub(crate) async fn start_at(config: &StoreConfig) -> Stage {
    let archive = Archive::open(config, NOW).unwrap();
    let (spec, store) = conversation_store::child(archive, None, Arc::new(CoarseClock::default()));
    let scene = Scene::start(SupervisorSpec::new("root").child(spec))
        .await
        .unwrap();
    Stage { scene, store }
}

impl Stage {
    pub(crate) fn with(&self, embeds: &Arc<Bag>) -> Retrieval {
        let embeds: Arc<dyn Embeds> = Arc::<Bag>::clone(embeds);
        Retrieval::new(self.store.clone(), Some(embeds), RetrievalConfig::default())
    }

    pub(crate) fn by_words(&self) -> Retrieval {
        Retrieval::new(self.store.clone(), None, RetrievalConfig::default())
    }
}

pub(crate) fn note(text: &str) -> Note {
    Note {
        space: "default".to_owned(),
        text: text.to_owned(),
        kind: MemoryKind::Semantic,
        importance: 0.5,
    }
}
