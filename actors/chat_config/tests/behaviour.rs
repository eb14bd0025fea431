//! The settings as those who change and use them see them: nothing is lost, nothing bad is taken, nobody waits in vain.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use paraphym_chat_config as chat_config;
use supervision::{Events, Handle, RootHandle, SupervisorSpec, start_root};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use chat_config::file::{Disk, FileError, Lock};
use chat_config::{
    Author, Catalogue, Cause, Change, ChatConfig, ConfigError, Heard, Layers, PlanError, Refusal,
    Revision, Rollback, Store, Update, WAITING, client,
};

const DEADLINE: Duration = Duration::from_secs(5);
const FILE: &str = "/settings/config.toml";

/// A disk in memory. With a gate, each write waits for one word through it; when broken, each write
/// fails.
#[derive(Clone, Default)]
struct Memory {
    files: Arc<Mutex<BTreeMap<PathBuf, String>>>,
    gate: Arc<Mutex<Option<mpsc::Receiver<()>>>>,
    broken: Arc<AtomicBool>,
    /// The next flush of names fails, after the new name is there.
    unsynced: Arc<AtomicBool>,
    /// The next write panics.
    panics: Arc<AtomicBool>,
}

impl Memory {
    fn edit(&self, text: &str) {
        let mut files = self.files.lock().unwrap();
        files.insert(FILE.into(), text.to_owned());
    }

    fn text(&self) -> String {
        self.files.lock().unwrap()[Path::new(FILE)].clone()
    }

    fn shut(&self) -> mpsc::Sender<()> {
        let (key, gate) = mpsc::channel(1);
        *self.gate.lock().unwrap() = Some(gate);
        key
    }
}

impl Disk for Memory {
    fn lock(&self, _: &Path) -> io::Result<Option<Lock>> {
        Ok(Some(Lock::alone()))
    }

    fn make_folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn read(&self, path: &Path, _: u64) -> io::Result<String> {
        let files = self.files.lock().unwrap();
        files
            .get(path)
            .cloned()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn write(&self, path: &Path, text: &str) -> io::Result<()> {
        if let Some(gate) = self.gate.lock().unwrap().as_mut() {
            gate.blocking_recv();
        }
        assert!(!self.panics.swap(false, Ordering::SeqCst), "scripted panic");
        if self.broken.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let mut files = self.files.lock().unwrap();
        files.insert(path.to_owned(), text.to_owned());
        Ok(())
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut files = self.files.lock().unwrap();
        let text = files.get(from).cloned().ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), text);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut files = self.files.lock().unwrap();
        let text = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), text);
        Ok(())
    }

    fn sync(&self, _: &Path) -> io::Result<()> {
        if self.unsynced.swap(false, Ordering::SeqCst) {
            return Err(io::Error::other("not flushed"));
        }
        Ok(())
    }
}

struct Tree {
    root: RootHandle,
    config: Handle<ChatConfig>,
    disk: Memory,
}

async fn start(text: &str) -> Tree {
    let disk = Memory::default();
    if !text.is_empty() {
        disk.edit(text);
    }
    let catalogue = Arc::new(Catalogue::new());
    let layers = Layers::new(&catalogue, FILE.into(), [], &[]).unwrap();
    let author = Author {
        who: "start".to_owned(),
        at: SystemTime::UNIX_EPOCH,
    };
    let store = Store::open(catalogue, layers, Arc::new(disk.clone()), author).unwrap();
    let (child, config) = chat_config::child(store, Arc::new(|| SystemTime::UNIX_EPOCH));
    let spec = SupervisorSpec::new("root").child(child);
    let root = start_root(spec, Events::with_seed(1)).await.unwrap();
    Tree { root, config, disk }
}

fn wish(expected: Option<u64>, key: &str, value: impl Into<serde_json::Value>) -> Update {
    Update {
        who: "ada".to_owned(),
        expected,
        changes: vec![Change::Set {
            key: key.to_owned(),
            value: value.into(),
        }],
    }
}

impl Tree {
    async fn now(&self) -> Arc<Revision> {
        client::get(&self.config).await.unwrap()
    }

    async fn stop(self) {
        let report = self.root.stop(DEADLINE).await;
        assert_eq!(report.abandoned, []);
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_is_written_told_and_seen_by_all() {
    let tree = start("").await;
    let mut news = client::subscribe(&tree.config).await.unwrap();
    let made = client::update(&tree.config, wish(Some(1), "chat.idle", "1500ms")).await;
    let made = made.unwrap();
    assert_eq!((made.number, &made.cause), (2, &Cause::Updated));
    assert!(tree.disk.text().contains("idle = \"1500ms\""));
    assert_eq!(tree.now().await, made);
    assert_eq!(news.next().await, Some(Heard::Revised(made.clone())));
    assert_eq!(news.latest(), made);
    let history = client::history(&tree.config).await.unwrap();
    assert_eq!(history.len(), 2);
    let back = Rollback {
        who: "bob".to_owned(),
        expected: Some(2),
        to: 1,
    };
    let back = client::roll_back(&tree.config, back).await.unwrap();
    assert_eq!(
        (back.number, &back.cause),
        (3, &Cause::RolledBack { to: 1 })
    );
    assert!(!tree.disk.text().contains("idle"));
    let diff = client::diff(&tree.config, 2, 3).await.unwrap();
    assert_eq!(diff[0].field, "chat.idle");
    tree.stop().await;
    assert_eq!(news.next().await, Some(Heard::Revised(back)));
}

#[tokio::test(start_paused = true)]
async fn a_refused_change_touches_nothing() {
    let tree = start("[ui]\nfont_px = 20 # mine\n").await;
    let before = tree.disk.text();
    let wrong = client::update(&tree.config, wish(None, "ui.font_px", 500)).await;
    let Err(ConfigError::Plan(PlanError::Refused(refusals))) = wrong else {
        panic!("{wrong:?}");
    };
    let fields: Vec<_> = refusals.iter().filter_map(Refusal::field).collect();
    assert_eq!(fields, ["ui.font_px"]);
    let late = client::update(&tree.config, wish(Some(7), "ui.font_px", 21)).await;
    let conflict = PlanError::Conflict {
        expected: 7,
        current: 1,
    };
    assert_eq!(late, Err(ConfigError::Plan(conflict)));
    let many = Update {
        who: "ada".to_owned(),
        expected: None,
        changes: vec![
            Change::Reset {
                key: "ui".to_owned()
            };
            257
        ],
    };
    let many = client::update(&tree.config, many).await;
    assert!(matches!(
        many,
        Err(ConfigError::TooMany {
            given: 257,
            most: 256
        })
    ));
    assert_eq!((tree.disk.text(), tree.now().await.number), (before, 1));
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_file_changed_by_hand_is_read_again_or_refused_by_field() {
    let tree = start("").await;
    let mut news = client::subscribe(&tree.config).await.unwrap();
    tree.disk.edit("[ui]\ntheme = \"pink\"\nfnt_px = 1\n");
    let wrong = client::reload(&tree.config, "SIGHUP").await;
    let Err(ConfigError::Plan(PlanError::Refused(refusals))) = wrong else {
        panic!("{wrong:?}");
    };
    assert_eq!(refusals.iter().count(), 2);
    assert_eq!(tree.now().await.number, 1);
    // Nor is what someone is still editing written over.
    let over = client::update(&tree.config, wish(None, "ui.font_px", 20)).await;
    assert!(matches!(
        over,
        Err(ConfigError::File(FileError::Edited { .. }))
    ));
    tree.disk.edit("[ui]\ntheme = \"dark\"\n");
    let good = client::reload(&tree.config, "SIGHUP").await.unwrap();
    assert_eq!(
        (good.number, good.who.as_str(), &good.cause),
        (2, "SIGHUP", &Cause::Reloaded)
    );
    assert_eq!(news.next().await, Some(Heard::Revised(good)));
    let same = client::reload(&tree.config, "SIGHUP").await.unwrap();
    assert_eq!(same.number, 2);
    assert!(
        client::update(&tree.config, wish(Some(2), "ui.font_px", 20))
            .await
            .is_ok()
    );
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn questions_are_answered_while_the_disk_is_slow_and_the_queue_is_bounded() {
    let tree = start("").await;
    // The look into the file at the start is over once this is answered.
    client::reload(&tree.config, "test").await.unwrap();
    let key = tree.disk.shut();
    let mut changes = JoinSet::new();
    for n in 0..=WAITING + 5 {
        let config = tree.config.clone();
        changes
            .spawn(async move { client::update(&config, wish(None, "model.seed", n + 1)).await });
    }
    let busy = changes.join_next().await.unwrap().unwrap();
    assert_eq!(busy, Err(ConfigError::Busy { waiting: WAITING }));
    let now = tree.now().await;
    assert_eq!((now.number, now.settings.model.seed), (1, 0));
    drop(key);
    let done = changes.join_all().await;
    assert_eq!(done.iter().filter(|done| done.is_ok()).count(), WAITING + 1);
    assert_eq!(tree.now().await.number, WAITING as u64 + 2);
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_what_was_accepted() {
    let tree = start("").await;
    let (config, disk) = (tree.config.clone(), tree.disk.clone());
    let key = tree.disk.shut();
    let mut changes = JoinSet::new();
    for n in 1..=5 {
        let config = config.clone();
        changes.spawn(async move { client::update(&config, wish(None, "model.seed", n)).await });
    }
    // All five have asked before this question, which is therefore answered after they were accepted.
    tokio::task::yield_now().await;
    assert_eq!(tree.now().await.number, 1);
    tokio::join!(tree.stop(), async { drop(key) });
    let done = changes.join_all().await;
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    let last = done
        .iter()
        .flatten()
        .max_by_key(|made| made.number)
        .unwrap();
    assert_eq!(last.number, 6);
    assert!(
        disk.text()
            .contains(&format!("seed = {}", last.settings.model.seed))
    );
}

#[tokio::test(start_paused = true)]
async fn what_the_disk_refuses_does_not_hold() {
    let tree = start("").await;
    tree.disk.broken.store(true, Ordering::SeqCst);
    let failed = client::update(&tree.config, wish(None, "ui.font_px", 20)).await;
    assert!(matches!(
        failed,
        Err(ConfigError::File(FileError::Disk { .. }))
    ));
    assert_eq!(tree.now().await.settings.ui.font_px, 14);
    tree.disk.broken.store(false, Ordering::SeqCst);
    let made = client::update(&tree.config, wish(Some(1), "ui.font_px", 20)).await;
    assert_eq!(made.unwrap().number, 2);
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_half_way_what_the_disk_has_holds() {
    let tree = start("").await;
    tree.disk.unsynced.store(true, Ordering::SeqCst);
    let failed = client::update(&tree.config, wish(None, "ui.font_px", 20)).await;
    assert!(matches!(
        failed,
        Err(ConfigError::File(FileError::Disk { .. }))
    ));
    // Handled after the look into the file that the failure led to.
    let now = client::reload(&tree.config, "test").await.unwrap();
    assert_eq!((now.number, now.settings.ui.font_px), (2, 20));
    assert_eq!(
        (now.who.as_str(), &now.cause),
        ("chat_config", &Cause::Reloaded)
    );
    tree.disk.panics.store(true, Ordering::SeqCst);
    let failed = client::update(&tree.config, wish(Some(2), "ui.font_px", 30)).await;
    assert!(failed.unwrap_err().to_string().contains("scripted panic"));
    let made = client::update(&tree.config, wish(Some(2), "ui.font_px", 40)).await;
    assert_eq!(made.unwrap().settings.ui.font_px, 40);
    tree.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_keeps_settings_history_and_subscribers() {
    let tree = start("").await;
    let mut news = client::subscribe(&tree.config).await.unwrap();
    client::update(&tree.config, wish(None, "ui.font_px", 20))
        .await
        .unwrap();
    let id = chat_config::CHILD_ID.into();
    let root = tree.root.supervisor();
    root.terminate_child(&id).await.unwrap();
    // While it was down the file was changed.
    tree.disk.edit("[ui]\nfont_px = 30\n");
    root.restart_child(&id).await.unwrap();
    let made = client::update(&tree.config, wish(None, "ui.theme", "dark"))
        .await
        .unwrap();
    assert_eq!((made.number, made.settings.ui.font_px), (4, 30));
    for number in 2..=4 {
        let Some(Heard::Revised(revision)) = news.next().await else {
            panic!("missed {number}");
        };
        assert_eq!(revision.number, number);
    }
    tree.stop().await;
}

/// Counts the seed up, as often as told, trying again whenever someone else was faster.
async fn count_up(config: Handle<ChatConfig>, times: usize) {
    for _ in 0..times {
        loop {
            let now = client::get(&config).await.unwrap();
            let next = now.settings.model.seed + 1;
            match client::update(&config, wish(Some(now.number), "model.seed", next)).await {
                Ok(made) => break assert_eq!(made.settings.model.seed, next),
                Err(ConfigError::Plan(PlanError::Conflict { .. })) => {}
                Err(other) => panic!("{other}"),
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn of_ten_thousand_changes_by_eight_writers_none_is_lost_and_each_is_told() {
    let tree = start("").await;
    let mut eager = client::subscribe(&tree.config).await.unwrap();
    let mut lazy = client::subscribe(&tree.config).await.unwrap();
    let mut readers = JoinSet::new();
    readers.spawn(async move {
        let mut last = 1;
        while last < 10_001 {
            let Some(Heard::Revised(revision)) = eager.next().await else {
                panic!("missed after {last}");
            };
            assert_eq!(revision.number, last + 1);
            assert_eq!(revision.settings.model.seed, last);
            last = revision.number;
        }
    });
    let mut writers = JoinSet::new();
    for _ in 0..8 {
        writers.spawn(count_up(tree.config.clone(), 1250));
    }
    writers.join_all().await;
    readers.join_all().await;
    let now = tree.now().await;
    assert_eq!((now.number, now.settings.model.seed), (10_001, 10_000));
    assert!(tree.disk.text().contains("seed = 10000"));
    let Some(Heard::Missed { count }) = lazy.next().await else {
        panic!("it missed nothing");
    };
    let mut told = count;
    while told < 10_000 {
        let Some(Heard::Revised(revision)) = lazy.next().await else {
            panic!("missed more");
        };
        told += 1;
        assert_eq!(revision.number, told + 1);
    }
    assert_eq!(lazy.latest(), now);
    assert!(count > 9000);
    tree.stop().await;
}
