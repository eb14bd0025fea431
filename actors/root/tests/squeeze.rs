//! The whole tree where memory is short, in every place: the cgroup is two text files, the kernel that would kill is a
//! sum, and a model takes what its card says when it says so. Eight conversations on two models, with room for one; then
//! a neighbour in the group takes more and more.
//!
//! `paraphym_cli` has the same with a real kernel.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use chat_config::{Author, Store};
use domain::{
    Bytes, ContextPolicy, GenerationError, GenerationEvent, ModelName, Prompt, RequestId, Sampling,
};
use engine::{
    Beginning, Engine, LoadError, LoadedModel, ModelCard, ModelLoader, ModelSource, PrefixId,
    SequenceId, SequencePlan, StepError, StepInput, StepOutput,
};
use memory_governor::{Level, MemoryGovernor, Probe};
use model_host::{ModelHost, Request, ResolveModel, generate};
use paraphym_root::{Tree, TreeConfig, TreeParts};
use supervision::Handle;
use testkit::scene::Scene;
use testkit::scripted::{Answer, ScriptedLoader};
use tokio::task::JoinSet;

const MODELS: [&str; 2] = ["one", "two"];
const CONVERSATIONS: usize = 8;
const TURNS: usize = 6;
const DEADLINE: Duration = Duration::from_mins(1);
/// The program itself.
const PROGRAM: Bytes = Bytes::mib(1);

/// What the group's memory is taken by, and what it came to at most.
#[derive(Debug)]
struct Scale {
    limit: Bytes,
    used: AtomicU64,
    most: AtomicU64,
}

impl Scale {
    fn new(limit: Bytes) -> Arc<Self> {
        Arc::new(Self {
            limit,
            used: AtomicU64::new(PROGRAM.0),
            most: AtomicU64::new(0),
        })
    }

    fn take(self: &Arc<Self>, bytes: Bytes) -> Held {
        let used = self.used.fetch_add(bytes.0, Ordering::SeqCst) + bytes.0;
        self.most.fetch_max(used, Ordering::SeqCst);
        Held(Arc::clone(self), bytes)
    }

    fn used(&self) -> Bytes {
        Bytes(self.used.load(Ordering::SeqCst))
    }

    /// A neighbour takes all but less than a mebibyte.
    fn fill(self: &Arc<Self>, taken: &mut Vec<Held>) {
        while self.used().saturating_add(Bytes::mib(1)) < self.limit {
            taken.push(self.take(Bytes::mib(1)));
        }
    }

    /// Nobody was killed: there was always room for what was taken.
    fn assert_never_full(&self) {
        let most = Bytes(self.most.load(Ordering::SeqCst));
        assert!(most <= self.limit, "{most} of {} were in use", self.limit);
    }
}

/// Memory really taken, until it is dropped.
struct Held(Arc<Scale>, Bytes);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.used.fetch_sub(self.1.0, Ordering::SeqCst);
    }
}

impl Probe for Scale {
    fn read(&self, path: &Path) -> io::Result<String> {
        match path.to_str() {
            Some("/proc/self/cgroup") => Ok("0::/squeezed\n".to_owned()),
            Some("/sys/fs/cgroup/squeezed/memory.max") => Ok(self.limit.0.to_string()),
            Some("/sys/fs/cgroup/squeezed/memory.current") => Ok(self.used().0.to_string()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// Every model lies where its name says.
struct Anywhere;

impl ResolveModel for Anywhere {
    fn resolve(&self, model: &ModelName) -> Result<ModelSource, String> {
        Ok(ModelSource {
            path: PathBuf::from(model.as_str()),
        })
    }
}

/// 8 MiB of weights, 1 beside them, 11 while they are read; 4 MiB for a conversation of the whole window.
fn heavy(card: &mut ModelCard) {
    card.weights_bytes = Bytes::mib(8);
    card.work_bytes = Bytes::mib(1);
    card.load_bytes = Bytes::mib(11);
    card.kv_bytes_per_token = Bytes(16 * 1024);
}

/// Takes from the scale what its card says.
struct Weighed {
    inner: ScriptedLoader,
    scale: Arc<Scale>,
}

impl ModelLoader for Weighed {
    fn inspect(&self, source: &ModelSource) -> Result<ModelCard, LoadError> {
        self.inner.inspect(source)
    }

    fn load(
        &self,
        source: &ModelSource,
        progress: &mut dyn FnMut(f32) -> ControlFlow<()>,
    ) -> Result<LoadedModel, LoadError> {
        let card = self.inner.card();
        let loading = self.scale.take(card.load_bytes);
        let loaded = self.inner.load(source, progress)?;
        drop(loading);
        let engine = WeighedEngine {
            inner: loaded.engine,
            open: BTreeMap::new(),
            kept: BTreeMap::new(),
            card: card.clone(),
            held: self.scale.take(card.resident_bytes()),
        };
        Ok(LoadedModel {
            engine: Box::new(engine),
            ..loaded
        })
    }
}

/// Pages as the real engine has them: a sequence that begins with a prefix shares its pages, and copies the last of them
/// if the prefix still has it when it writes.
struct WeighedEngine {
    inner: Box<dyn Engine>,
    open: BTreeMap<SequenceId, Pages>,
    kept: BTreeMap<PrefixId, Vec<Arc<Held>>>,
    card: ModelCard,
    held: Held,
}

struct Pages {
    all: Vec<Arc<Held>>,
    /// The one that a prefix may have, too, and that is written next.
    shared: Option<usize>,
}

impl WeighedEngine {
    fn page(&self) -> Arc<Held> {
        Arc::new(self.held.0.take(self.card.kv_bytes(1)))
    }

    fn pages_of(&self, tokens: u32) -> usize {
        tokens.div_ceil(self.card.kv_page_tokens) as usize
    }

    /// Room for a sequence that begins with these pages.
    fn make_room(&mut self, sequence: SequenceId, plan: &SequencePlan, begin: Vec<Arc<Held>>) {
        let shared = begin.len().checked_sub(1);
        let mut all = begin;
        while all.len() < self.pages_of(plan.capacity_tokens) {
            all.push(self.page());
        }
        self.open.insert(sequence, Pages { all, shared });
    }
}

impl Engine for WeighedEngine {
    fn open(&mut self, sequence: SequenceId, plan: SequencePlan) -> Result<(), StepError> {
        self.inner.open(sequence, plan.clone())?;
        self.make_room(sequence, &plan, Vec::new());
        Ok(())
    }

    fn open_from(
        &mut self,
        sequence: SequenceId,
        plan: SequencePlan,
        from: Beginning,
    ) -> Result<(), StepError> {
        let pages = self.pages_of(from.tokens);
        let prefix = self.kept.get(&from.prefix);
        let begin = prefix.into_iter().flatten().take(pages).cloned().collect();
        self.inner.open_from(sequence, plan.clone(), from)?;
        self.make_room(sequence, &plan, begin);
        Ok(())
    }

    fn close(&mut self, sequence: SequenceId) {
        self.inner.close(sequence);
        self.open.remove(&sequence);
    }

    fn keep(&mut self, sequence: SequenceId, prefix: PrefixId, tokens: u32) -> u32 {
        let kept = self.inner.keep(sequence, prefix, tokens);
        let pages = self.pages_of(kept);
        if let Some(mut held) = self.open.remove(&sequence)
            && pages > 0
        {
            held.all.truncate(pages);
            self.kept.insert(prefix, held.all);
        }
        kept
    }

    fn forget(&mut self, prefix: PrefixId) {
        self.inner.forget(prefix);
        self.kept.remove(&prefix);
    }

    fn step(&mut self, batch: &[StepInput]) -> Result<Vec<StepOutput>, StepError> {
        for input in batch {
            let (scale, bytes) = (Arc::clone(&self.held.0), self.card.kv_bytes(1));
            let Some(pages) = self.open.get_mut(&input.sequence) else {
                continue;
            };
            let shared = pages.shared.take();
            let page = shared.and_then(|index| pages.all.get_mut(index));
            if let Some(page) = page.filter(|page| Arc::strong_count(page) > 1) {
                *page = Arc::new(scale.take(bytes));
            }
        }
        self.inner.step(batch)
    }
}

struct Squeezed {
    scene: Scene,
    governor: Handle<MemoryGovernor>,
    models: Handle<ModelHost>,
    scale: Arc<Scale>,
}

/// A tree in a group with room for one model and two conversations of a whole window, and the reserve.
async fn squeezed() -> Squeezed {
    let inner = ScriptedLoader::new(Answer::Counting).with_card(heavy);
    let card = inner.card();
    let talking = card.kv_bytes(card.context_tokens).saturating_mul(2);
    let need = card.resident_bytes().saturating_add(talking);
    let scale = Scale::new(Bytes(need.0 / 7 * 8 + 8));
    let author = Author {
        who: "a test".to_owned(),
        at: SystemTime::UNIX_EPOCH,
    };
    let parts = TreeParts {
        loader: Arc::new(Weighed {
            inner,
            scale: Arc::clone(&scale),
        }),
        resolve: Arc::new(Anywhere),
        probe: Arc::clone(&scale) as Arc<dyn Probe>,
        settings: Store::without_file([], &[], author).unwrap(),
        clock: Arc::new(|| SystemTime::UNIX_EPOCH),
    };
    let tree = Tree::new(TreeConfig::default(), parts);
    let scene = Scene::start(tree.spec).await.unwrap();
    Squeezed {
        scene,
        governor: tree.governor,
        models: tree.models,
        scale,
    }
}

/// A whole answer, or why there is none.
async fn ask(
    models: &Handle<ModelHost>,
    id: &str,
    model: &str,
    length: usize,
) -> Result<(), GenerationError> {
    let seed = length as u64;
    let request = Request {
        id: RequestId::new(id),
        model: ModelName::new(model),
        prompt: Prompt::Text("x".repeat(length)),
        sampling: Sampling {
            max_tokens: 20,
            seed,
            ..Sampling::greedy()
        },
        context: ContextPolicy::Refuse,
        keep_alive: None,
        tools: domain::Tools::default(),
    };
    let mut stream = generate(models, request).await?;
    let mut said = String::new();
    while let Some(event) = stream.next().await {
        match event {
            GenerationEvent::Text(text) => said.push_str(&text),
            GenerationEvent::Finished { .. } => {
                assert_eq!(said, Answer::counting(seed, 20));
                return Ok(());
            }
            GenerationEvent::Failed(error) => return Err(error),
            _ => {}
        }
    }
    panic!("a stream ends with a terminal event");
}

fn assert_typed(error: &GenerationError) {
    let typed = matches!(
        error,
        GenerationError::MemoryExhausted { .. }
            | GenerationError::Overloaded { .. }
            | GenerationError::CircuitOpen { .. }
            | GenerationError::Unavailable { .. }
    );
    assert!(typed, "{error}");
}

/// Every turn with the other model; the models that answered.
async fn converse(models: Handle<ModelHost>, number: usize) -> Vec<&'static str> {
    let mut answered = Vec::new();
    for turn in 0..TURNS {
        let model = if (number + turn).is_multiple_of(2) {
            "one"
        } else {
            "two"
        };
        let id = format!("{number}-{turn}");
        match ask(&models, &id, model, 40 + 10 * turn + number).await {
            Ok(()) => answered.push(model),
            Err(error) => {
                assert_typed(&error);
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
        }
    }
    answered
}

#[tokio::test(start_paused = true)]
async fn eight_conversations_on_two_models_stay_within_what_one_needs() {
    let tree = squeezed().await;
    let mut conversations = JoinSet::new();
    for number in 0..CONVERSATIONS {
        conversations.spawn(converse(tree.models.clone(), number));
    }
    let answered = conversations.join_all().await.concat();
    assert!(!answered.is_empty());
    tree.scale.assert_never_full();
    // With nobody else there, each is served as soon as the other is let go.
    for model in MODELS {
        let said = ask(&tree.models, model, model, 30).await;
        said.unwrap_or_else(|error| panic!("{model}, alone, is refused: {error}"));
    }
    let status = tree.governor.ask(memory_governor::Status, DEADLINE).await;
    let status = status.unwrap();
    assert!(status.leased <= status.limit);
    let (used, leased) = (tree.scale.used(), status.leased);
    let covered = leased.saturating_add(PROGRAM);
    assert!(used <= covered, "{used} in use, {leased} leased");
    tree.scale.assert_never_full();
    tree.scene.stop().await;
    assert_eq!(tree.scale.used(), PROGRAM);
}

#[tokio::test(start_paused = true)]
async fn a_neighbour_that_takes_more_and_more_is_given_way_to() {
    let tree = squeezed().await;
    ask(&tree.models, "first", "one", 30).await.unwrap();
    let asked = tree.governor.ask(memory_governor::WatchPressure, DEADLINE);
    let mut pressure = asked.await.unwrap();
    let mut taken = Vec::new();
    tree.scale.fill(&mut taken);
    let high = pressure.wait_for(|now| now.level >= Level::High).await;
    drop(high.unwrap());
    // The model that nobody uses is let go, and the machine breathes again.
    let calm = pressure.wait_for(|now| now.level < Level::High).await;
    drop(calm.unwrap());
    let left = tree.scale.used();
    let without = tree.scale.limit.saturating_sub(Bytes::mib(8));
    assert!(left < without, "{left} are in use");
    // The neighbour takes that, too: now there is no room to load.
    tree.scale.fill(&mut taken);
    let full = pressure.wait_for(|now| now.level == Level::Critical).await;
    drop(full.unwrap());
    let refused = ask(&tree.models, "second", "two", 30).await;
    assert_typed(&refused.unwrap_err());
    tree.scale.assert_never_full();
    // And when it goes, there is.
    taken.clear();
    let calm = pressure.wait_for(|now| now.level < Level::High).await;
    drop(calm.unwrap());
    ask(&tree.models, "third", "two", 30).await.unwrap();
    tree.scale.assert_never_full();
    tree.scene.stop().await;
}
