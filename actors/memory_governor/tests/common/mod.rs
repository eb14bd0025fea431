//! A governor in a tree, and a machine whose files the test writes.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    reason = "each test binary uses a part of it; a test may stop at the first surprise"
)]

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::Bytes;
use memory_governor::{
    GovernorConfig, Lease, LedgerStatus, MemoryGovernor, Probe, Reasons, Reserve, ReserveError,
    Status, Waiting, Why, client,
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
    let machine = Machine::default();
    machine.ram(800, 800);
    let (child, governor) = memory_governor::child_with(config, Arc::new(machine.clone()));
    let spec = SupervisorSpec::new("root").child(child);
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

    pub async fn stop(self) {
        let report = self.root.stop(DEADLINE).await;
        assert_eq!(report.abandoned, []);
    }
}
