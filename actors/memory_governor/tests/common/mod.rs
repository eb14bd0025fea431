//! A governor in a tree, and a machine whose files and stalls the test writes.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::Bytes;
use memory_governor::stalls::Stalls;
use memory_governor::{
    Enlist, EnlistError, GovernorConfig, Lease, LedgerStatus, MemoryGovernor, Order, Probe,
    Reasons, Reserve, ReserveError, Stage, Status, Waiting, Why, client,
};
use paraphym_memory_governor as memory_governor;
use supervision::{AskError, Events, Handle, RootHandle, SupervisorSpec, start_root};
use tokio::sync::mpsc;

pub const DEADLINE: Duration = Duration::from_mins(1);
pub const KIB: u64 = 1024;

/// A machine as its files say it is.
#[derive(Clone, Default)]
pub struct Machine(Arc<Inner>);

#[derive(Default)]
struct Inner {
    files: Mutex<BTreeMap<String, String>>,
    /// How often it was looked at.
    looks: AtomicUsize,
    /// The next look waits until the other end is dropped.
    gate: Mutex<Option<mpsc::Receiver<()>>>,
    /// Whoever looks from now on panics.
    panics: AtomicBool,
    /// Taken by whoever listens next.
    stalls: Mutex<Option<mpsc::Receiver<io::Result<()>>>>,
}

struct Ear(mpsc::Receiver<io::Result<()>>);

impl Stalls for Ear {
    fn next(&mut self) -> Pin<Box<dyn Future<Output = io::Result<()>> + Send + '_>> {
        Box::pin(async {
            let told = self.0.recv().await;
            told.unwrap_or_else(|| Err(io::Error::other("the test hung up")))
        })
    }
}

impl Machine {
    pub fn write(&self, path: &str, text: &str) {
        let mut files = self.0.files.lock().unwrap();
        files.insert(path.to_owned(), text.to_owned());
    }

    pub fn ram(&self, total_kib: u64, available_kib: u64) {
        let text = format!("MemTotal: {total_kib} kB\nMemAvailable: {available_kib} kB\n");
        self.write("/proc/meminfo", &text);
    }

    /// The next look hangs until what this returns is dropped.
    pub fn hang(&self) -> mpsc::Sender<()> {
        let (open, gate) = mpsc::channel(1);
        *self.0.gate.lock().unwrap() = Some(gate);
        open
    }

    /// Every look from now on panics.
    pub fn panics(&self) {
        self.0.panics.store(true, Ordering::SeqCst);
    }

    /// In per cent of the last ten seconds.
    pub fn stalled(&self, avg10: &str) {
        let text = format!("some avg10={avg10} avg60=0.00 avg300=0.00 total=9\n");
        self.write("/proc/pressure/memory", &text);
    }

    /// The next life that listens is told what is sent.
    pub fn tells(&self) -> mpsc::Sender<io::Result<()>> {
        let (teller, ear) = mpsc::channel(8);
        *self.0.stalls.lock().unwrap() = Some(ear);
        teller
    }

    pub fn looks(&self) -> usize {
        self.0.looks.load(Ordering::SeqCst)
    }
}

impl Probe for Machine {
    fn read(&self, path: &Path) -> io::Result<String> {
        assert!(!self.0.panics.load(Ordering::SeqCst), "scripted panic");
        if path == Path::new("/proc/meminfo") {
            self.0.looks.fetch_add(1, Ordering::SeqCst);
            let gate = self.0.gate.lock().unwrap().take();
            if let Some(mut gate) = gate {
                assert_eq!(gate.blocking_recv(), None, "nothing is ever sent");
            }
        }
        let files = self.0.files.lock().unwrap();
        let text = path.to_str().and_then(|path| files.get(path)).cloned();
        text.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn stalls(&self) -> io::Result<Box<dyn Stalls>> {
        match self.0.stalls.lock().unwrap().take() {
            Some(ear) => Ok(Box::new(Ear(ear))),
            None => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

pub struct Tree {
    pub root: RootHandle,
    pub governor: Handle<MemoryGovernor>,
    pub machine: Machine,
}

/// A machine of 800 KiB, all free: an eighth is kept back, 700 KiB to lease.
pub async fn start() -> Tree {
    start_with(GovernorConfig::default()).await
}

/// At most so many bytes to lease.
pub async fn start_limited(bytes: u64) -> Tree {
    start_with(GovernorConfig {
        limit: Some(Bytes(bytes)),
        ..GovernorConfig::default()
    })
    .await
}

pub async fn start_with(config: GovernorConfig) -> Tree {
    start_on(Machine::default(), config).await
}

/// On a machine that tells of stalls, and how to tell it.
pub async fn start_told() -> (Tree, mpsc::Sender<io::Result<()>>) {
    let machine = Machine::default();
    let teller = machine.tells();
    (start_on(machine, GovernorConfig::default()).await, teller)
}

async fn start_on(machine: Machine, config: GovernorConfig) -> Tree {
    machine.ram(800, 800);
    let (child, governor) = memory_governor::child_with(config, Arc::new(machine.clone()));
    // Its supervisor would wake once per budget to look at it; what is counted here is what it does itself.
    let spec = SupervisorSpec::new("root").child(child.handler_budget(None));
    let root = start_root(spec, Events::with_seed(1)).await.unwrap();
    Tree {
        root,
        governor,
        machine,
    }
}

pub fn wish(owner: &str, bytes: u64) -> Reserve {
    Reserve {
        owner: owner.to_owned(),
        purpose: "something".to_owned(),
        bytes: Bytes(bytes),
    }
}

/// The refusal of what was to be answered.
pub fn answered<T>(answer: Result<T, AskError<ReserveError>>) -> Result<T, ReserveError> {
    match answer {
        Ok(value) => Ok(value),
        Err(AskError::Handler(error)) => Err(error),
        Err(other) => panic!("{other}"),
    }
}

impl Tree {
    pub async fn reserve(&self, bytes: u64) -> Result<Lease, ReserveError> {
        answered(self.governor.ask(wish("a test", bytes), DEADLINE).await)
    }

    pub async fn wait(
        &self,
        owner: &str,
        bytes: u64,
        patience: Duration,
    ) -> Result<Waiting, ReserveError> {
        answered(client::wait_in_line(&self.governor, wish(owner, bytes), patience).await)
    }

    pub async fn status(&self) -> LedgerStatus {
        self.governor.ask(Status, DEADLINE).await.unwrap()
    }

    pub async fn why(&self) -> Reasons {
        self.governor.ask(Why, DEADLINE).await.unwrap()
    }

    /// The decisions that begin so, oldest first.
    pub async fn told(&self, beginning: &str) -> Vec<String> {
        let decisions = self.why().await.decisions;
        let texts = decisions.iter().map(|decision| decision.what.to_string());
        texts.filter(|text| text.starts_with(beginning)).collect()
    }

    pub async fn enlist(&self, name: &str, stage: Stage) -> mpsc::Receiver<Order> {
        let (orders, receiver) = mpsc::channel(1);
        self.enlist_with(name, stage, orders).await.unwrap();
        receiver
    }

    pub async fn enlist_with(
        &self,
        name: &str,
        stage: Stage,
        orders: mpsc::Sender<Order>,
    ) -> Result<(), EnlistError> {
        let name = name.to_owned();
        let wish = Enlist {
            name,
            stage,
            orders,
        };
        match self.governor.ask(wish, DEADLINE).await {
            Ok(()) => Ok(()),
            Err(AskError::Handler(error)) => Err(error),
            Err(other) => panic!("{other}"),
        }
    }

    pub async fn stop(self) {
        let report = self.root.stop(DEADLINE).await;
        assert_eq!(report.abandoned, []);
    }
}
