//! The whole tree in a group with room for one of two models: the cgroup is two text files, and a model takes from a scale
//! what its card says when it says so.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    reason = "each test binary uses a part of it; a test stops at the first surprise"
)]

use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime};

use chat_config::{Author, Store};
use conversation_store::{Archive, StoreConfig};
use domain::{
    Bytes, ContextPolicy, GenerationError, GenerationEvent, ModelName, Prompt, RequestId, Sampling,
};
use engine::{
    Beginning, Engine, LoadError, LoadedModel, ModelCard, ModelLoader, ModelSource, PrefixId,
    SequenceId, SequencePlan, StepError, StepInput, StepOutput,
};
use memory_governor::{MemoryGovernor, Probe, Status};
use model_host::{ModelHost, Request, ResolveModel, generate};
use paraphym_root::{Tree, TreeConfig, TreeParts};
use supervision::Handle;
use testkit::scene::Scene;
use testkit::scripted::{Answer, Control, ScriptedLoader};
use tokio::runtime;

pub const MODELS: [&str; 2] = ["one", "two"];
pub const DEADLINE: Duration = Duration::from_mins(1);
/// The program itself.
pub const PROGRAM: Bytes = Bytes::mib(1);

/// What the group's memory is taken by, and what it came to at most.
pub struct Scale {
    pub limit: Bytes,
    load: Mutex<Load>,
    /// Who is asked, each time something is taken or given back on a thread that may wait, whether all of it is leased.
    governor: OnceLock<Handle<MemoryGovernor>>,
    uncovered: Mutex<Vec<String>>,
}

#[derive(Clone, Copy)]
struct Load {
    used: Bytes,
    most: Bytes,
    changes: u64,
    checked: u64,
}

impl Scale {
    fn new(limit: Bytes) -> Arc<Self> {
        let load = Load {
            used: PROGRAM,
            most: PROGRAM,
            changes: 0,
            checked: 0,
        };
        Arc::new(Self {
            limit,
            load: Mutex::new(load),
            governor: OnceLock::new(),
            uncovered: Mutex::default(),
        })
    }

    pub fn take(self: &Arc<Self>, bytes: Bytes) -> Held {
        self.change(|used| used.saturating_add(bytes));
        self.check("taken");
        Held(Arc::clone(self), bytes)
    }

    fn change(&self, by: impl FnOnce(Bytes) -> Bytes) {
        let mut load = self.load.lock().unwrap();
        load.used = by(load.used);
        load.most = load.most.max(load.used);
        load.changes += 1;
    }

    pub fn used(&self) -> Bytes {
        self.load.lock().unwrap().used
    }

    /// From now on whatever is taken must be leased at that moment.
    pub fn weigh_against(&self, governor: Handle<MemoryGovernor>) {
        assert!(self.governor.set(governor).is_ok(), "once");
    }

    /// What was in use without a lease, and how often was looked.
    pub fn found(&self) -> (Vec<String>, u64) {
        let uncovered = self.uncovered.lock().unwrap().clone();
        (uncovered, self.load.lock().unwrap().checked)
    }

    /// On a thread of the blocking pool: the governor's own thread goes on meanwhile. Within a handler nobody can ask.
    #[allow(
        clippy::disallowed_methods,
        reason = "a test looks from a thread that waits anyway"
    )]
    fn check(&self, what: &str) {
        let Some(governor) = self.governor.get().filter(|_| is_blocking_thread()) else {
            return;
        };
        // Where others take and give back all the time, the next change is looked at.
        for _ in 0..100 {
            let before = *self.load.lock().unwrap();
            let status = runtime::Handle::current().block_on(governor.ask(Status, DEADLINE));
            let Ok(status) = status else {
                return;
            };
            if self.weighed(before, status.leased, what) {
                return;
            }
        }
    }

    /// The same for whoever may await.
    pub async fn look(&self) {
        let Some(governor) = self.governor.get() else {
            return;
        };
        let before = *self.load.lock().unwrap();
        if let Ok(status) = governor.ask(Status, DEADLINE).await {
            self.weighed(before, status.leased, "between");
        }
    }

    /// Compares, if nothing has changed while it was asked.
    fn weighed(&self, before: Load, leased: Bytes, what: &str) -> bool {
        let mut load = self.load.lock().unwrap();
        if load.changes != before.changes {
            return false;
        }
        load.checked += 1;
        if before.used > leased.saturating_add(PROGRAM) {
            let text = format!("{what}: {} in use, {leased} leased", before.used);
            self.uncovered.lock().unwrap().push(text);
        }
        true
    }

    /// A neighbour takes all but less than a mebibyte.
    pub fn fill(self: &Arc<Self>, taken: &mut Vec<Held>) {
        while self.used().saturating_add(Bytes::mib(1)) < self.limit {
            taken.push(self.take(Bytes::mib(1)));
        }
    }

    /// Nobody was killed: there was always room for what was taken.
    pub fn assert_never_full(&self) {
        let most = self.load.lock().unwrap().most;
        assert!(most <= self.limit, "{most} of {} were in use", self.limit);
    }
}

thread_local! {
    /// Where the test, and with it every actor, runs.
    static IS_TEST: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

fn is_blocking_thread() -> bool {
    !IS_TEST.get()
}

/// Memory really taken, until it is dropped.
pub struct Held(Arc<Scale>, Bytes);

impl Drop for Held {
    fn drop(&mut self) {
        // Before: whoever gives its lease back first is found out here.
        self.0.check("given back");
        self.0.change(|used| used.saturating_sub(self.1));
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

pub struct Squeezed {
    pub scene: Scene,
    pub governor: Handle<MemoryGovernor>,
    pub models: Handle<ModelHost>,
    pub scale: Arc<Scale>,
    pub control: Control,
}

/// A tree in a group with room for one model and two conversations of a whole window, and the reserve.
pub async fn squeezed() -> Squeezed {
    IS_TEST.set(true);
    let inner = ScriptedLoader::new(Answer::Counting).with_card(heavy);
    let control = inner.control();
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
        tools: toolbox::Toolbox::default(),
        sources: Vec::new(),
        reached: Vec::new(),
        settings: Store::without_file([], &[], author).unwrap(),
        ages: Arc::new(::runtime::CoarseClock::default()),
        conversations: Archive::open(&StoreConfig::in_memory(), 0).unwrap(),
        clock: Arc::new(|| SystemTime::UNIX_EPOCH),
        now_ms: Arc::new(|| 0),
    };
    let tree = Tree::new(TreeConfig::default(), parts);
    let scene = Scene::start(tree.spec).await.unwrap();
    Squeezed {
        scene,
        governor: tree.governor,
        models: tree.models,
        scale,
        control,
    }
}

/// A whole answer, or why there is none.
pub async fn ask(
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

pub fn assert_typed(error: &GenerationError) {
    let typed = matches!(
        error,
        GenerationError::MemoryExhausted { .. }
            | GenerationError::Overloaded { .. }
            | GenerationError::CircuitOpen { .. }
            | GenerationError::Unavailable { .. }
    );
    assert!(typed, "{error}");
}
