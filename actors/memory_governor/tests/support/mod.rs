//! A machine whose files and stalls the test writes, and a governor on it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    reason = "a test may stop at the first surprise, and none uses all of it"
)]

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::Bytes;
use paraphym_memory_governor::stalls::Stalls;
use paraphym_memory_governor::{
    Enlist, EnlistError, GovernorConfig, Lease, LedgerStatus, MemoryGovernor, Order, Probe,
    Reserve, ReserveError, ReserveWithin, Stage, Status, Waiting, Why, child_with,
};
use supervision::{AskError, Events, Handle, RootHandle, SupervisorSpec, start_root};
use tokio::sync::mpsc;

pub(crate) const DEADLINE: Duration = Duration::from_mins(1);
pub(crate) const KIB: u64 = 1024;

#[derive(Clone, Default)]
pub(crate) struct Machine(Arc<Inner>);

#[derive(Default)]
struct Inner {
    files: Mutex<BTreeMap<String, String>>,
    looks: AtomicUsize,
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
    pub(crate) fn ram(&self, total_kib: u64, available_kib: u64) {
        let text = format!("MemTotal: {total_kib} kB\nMemAvailable: {available_kib} kB\n");
        self.write("/proc/meminfo", &text);
    }

    pub(crate) fn stalled(&self, avg10: &str) {
        let text = format!("some avg10={avg10} avg60=0.00 avg300=0.00 total=9\n");
        self.write("/proc/pressure/memory", &text);
    }

    fn write(&self, path: &str, text: &str) {
        let mut files = self.0.files.lock().unwrap();
        files.insert(path.to_owned(), text.to_owned());
    }

    /// From the next life on it tells of stalls; what is sent is told.
    pub(crate) fn tells(&self) -> mpsc::Sender<io::Result<()>> {
        let (teller, ear) = mpsc::channel(8);
        *self.0.stalls.lock().unwrap() = Some(ear);
        teller
    }

    /// How often it was looked at.
    pub(crate) fn looks(&self) -> usize {
        self.0.looks.load(Ordering::SeqCst)
    }
}

impl Probe for Machine {
    fn read(&self, path: &Path) -> io::Result<String> {
        if path == Path::new("/proc/meminfo") {
            self.0.looks.fetch_add(1, Ordering::SeqCst);
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

pub(crate) struct Tree {
    pub(crate) root: RootHandle,
    pub(crate) governor: Handle<MemoryGovernor>,
    pub(crate) machine: Machine,
}

/// A machine of 800 KiB, all free: an eighth is kept back, 700 KiB to lease.
pub(crate) async fn start() -> Tree {
    start_on(Machine::default()).await
}

pub(crate) async fn start_on(machine: Machine) -> Tree {
    machine.ram(800, 800);
    let config = GovernorConfig::default();
    let (child, governor) = child_with(config, Arc::new(machine.clone()));
    // Its supervisor would look at it once per budget; what is counted here is what it does itself.
    let spec = SupervisorSpec::new("root").child(child.handler_budget(None));
    let root = start_root(spec, Events::with_seed(1)).await.unwrap();
    Tree {
        root,
        governor,
        machine,
    }
}

fn wish(kib: u64) -> Reserve {
    Reserve {
        owner: "lane".to_owned(),
        purpose: "kv".to_owned(),
        bytes: Bytes(kib * KIB),
    }
}

impl Tree {
    pub(crate) async fn enlist(&self, name: &str, stage: Stage) -> mpsc::Receiver<Order> {
        let (orders, receiver) = mpsc::channel(1);
        self.enlist_with(name, stage, orders).await.unwrap();
        receiver
    }

    pub(crate) async fn enlist_with(
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

    /// At once or not at all.
    pub(crate) async fn reserve(&self, kib: u64) -> Result<Lease, ReserveError> {
        match self.governor.ask(wish(kib), DEADLINE).await {
            Ok(lease) => Ok(lease),
            Err(AskError::Handler(error)) => Err(error),
            Err(other) => panic!("{other}"),
        }
    }

    /// A place in line.
    pub(crate) async fn wait(&self, kib: u64, patience: Duration) -> Waiting {
        let within = ReserveWithin {
            wish: wish(kib),
            patience,
        };
        self.governor.ask(within, DEADLINE).await.unwrap()
    }

    pub(crate) async fn status(&self) -> LedgerStatus {
        self.governor.ask(Status, DEADLINE).await.unwrap()
    }

    /// The decisions as text, oldest first, those that begin so.
    pub(crate) async fn why(&self, beginning: &str) -> Vec<String> {
        let reasons = self.governor.ask(Why, DEADLINE).await.unwrap();
        let texts = reasons.decisions.iter().map(|d| d.what.to_string());
        texts.filter(|text| text.starts_with(beginning)).collect()
    }

    pub(crate) async fn stop(self) {
        let report = self.root.stop(DEADLINE).await;
        assert_eq!(report.abandoned, []);
    }
}
