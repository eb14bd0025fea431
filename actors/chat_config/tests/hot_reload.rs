//! The file is changed while the process runs: by editors, by other processes, badly, or away. On a real folder and a real
//! clock, waiting for what is told and never for time to pass.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

use std::fs;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use paraphym_chat_config as chat_config;
use supervision::{Events, Handle, RootHandle, SupervisorSpec, start_root};
use tempfile::TempDir;

use chat_config::file::{Disk, Lock, RealDisk};
use chat_config::{
    Author, Catalogue, Cause, Change, Changes, ChatConfig, Heard, Layers, Revision, Store,
    Subscription, Update, Watching, Wish, client,
};

/// Far more than a loaded machine takes: only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_mins(1);

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what)
        .await
        .expect("nothing was told")
}

struct Scene {
    folder: TempDir,
    root: RootHandle,
    config: Handle<ChatConfig>,
    news: Subscription,
}

fn author(who: &str) -> Author {
    Author {
        who: who.to_owned(),
        at: SystemTime::UNIX_EPOCH,
    }
}

fn open(file: &Path, disk: Arc<dyn Disk>) -> Store {
    let catalogue = Arc::new(Catalogue::new());
    let layers = Layers::new(&catalogue, file.to_owned(), [], &[]).unwrap();
    Store::open(catalogue, layers, disk, author("start")).unwrap()
}

async fn start_with(folder: TempDir, disk: Arc<dyn Disk>) -> Scene {
    let store = open(&folder.path().join("config.toml"), disk);
    let (child, config) = chat_config::child(store, Arc::new(|| SystemTime::UNIX_EPOCH));
    let spec = SupervisorSpec::new("root").child(child);
    let root = start_root(spec, Events::with_seed(1)).await.unwrap();
    let news = client::subscribe(&config).await.unwrap();
    Scene {
        folder,
        root,
        config,
        news,
    }
}

/// Watching, with `text` in the file.
async fn start(text: &str) -> Scene {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("config.toml"), text).unwrap();
    let scene = start_with(folder, Arc::new(RealDisk)).await;
    let mut status = client::status(&scene.config).await.unwrap();
    soon(status.until(|status| status.watching == Watching::On))
        .await
        .unwrap();
    scene
}

impl Scene {
    fn file(&self) -> PathBuf {
        self.folder.path().join("config.toml")
    }

    /// As most editors save: a new file is moved into the place of the old one.
    fn save(&self, text: &str) {
        let fresh = self.folder.path().join(".config.toml.swp");
        fs::write(&fresh, text).unwrap();
        fs::rename(fresh, self.file()).unwrap();
    }

    async fn next(&mut self) -> Arc<Revision> {
        match soon(self.news.next()).await {
            Some(Heard::Revised(revision)) => revision,
            other => panic!("{other:?}"),
        }
    }

    async fn stop(self) {
        let report = self.root.stop(PATIENCE).await;
        assert_eq!(report.abandoned, []);
    }
}

fn wish(size: u32) -> Update {
    Update {
        who: "ada".to_owned(),
        expected: None,
        changes: vec![Change::Set {
            key: "ui.font_px".to_owned(),
            value: size.into(),
        }],
    }
}

#[tokio::test]
async fn what_an_editor_saves_holds_and_what_we_write_is_one_revision() {
    let mut scene = start("[ui]\nfont_px = 20\n").await;
    scene.save("[ui]\nfont_px = 21 # mine\n");
    let found = scene.next().await;
    assert_eq!((found.number, found.settings.ui.font_px), (2, 21));
    assert_eq!(
        (found.who.as_str(), &found.cause),
        ("an editor", &Cause::Reloaded)
    );
    // Written in its place, not moved there.
    fs::write(scene.file(), "[ui]\nfont_px = 22\n").unwrap();
    assert_eq!(scene.next().await.settings.ui.font_px, 22);
    let made = client::update(&scene.config, wish(23)).await.unwrap();
    assert_eq!(made.number, 4);
    assert_eq!(scene.next().await, made);
    // The next number is the next edit's: what we wrote ourselves was no news to us.
    scene.save("[ui]\nfont_px = 24\n");
    let found = scene.next().await;
    assert_eq!((found.number, found.settings.ui.font_px), (5, 24));
    scene.stop().await;
}

#[tokio::test]
async fn a_bad_file_is_refused_by_field_seen_and_forgotten_when_it_is_mended() {
    let mut scene = start("[ui]\nfont_px = 20\n").await;
    let mut status = client::status(&scene.config).await.unwrap();
    scene.save("[ui]\nfont_px = 3\nfnt_px = 3\n");
    let seen = soon(status.until(|status| status.refused.is_some()))
        .await
        .unwrap();
    let why = seen.refused.unwrap().error.to_string();
    for part in ["ui.font_px = 3", "from 8 to 72", "did you mean ui.font_px?"] {
        assert!(why.contains(part), "{part} is not in {why}");
    }
    let now = client::get(&scene.config).await.unwrap();
    assert_eq!((now.number, now.settings.ui.font_px), (1, 20));
    // Nor is it written over.
    assert!(client::update(&scene.config, wish(23)).await.is_err());
    assert!(fs::read_to_string(scene.file()).unwrap().contains("fnt_px"));
    scene.save("[ui]\nfont_px = 30\n");
    assert_eq!(scene.next().await.settings.ui.font_px, 30);
    soon(status.until(|status| status.refused.is_none()))
        .await
        .unwrap();
    scene.stop().await;
}

#[tokio::test]
async fn a_file_that_is_gone_sets_nothing_until_it_is_back() {
    let mut scene = start("[ui]\nfont_px = 20\n").await;
    fs::remove_file(scene.file()).unwrap();
    assert_eq!(scene.next().await.settings.ui.font_px, 14);
    scene.save("[ui]\nfont_px = 20\n");
    let back = scene.next().await;
    assert_eq!((back.number, back.settings.ui.font_px), (3, 20));
    scene.stop().await;
}

#[tokio::test]
async fn of_many_saves_at_once_the_last_holds() {
    let mut scene = start("").await;
    for seed in 1..=500 {
        scene.save(&format!("[model]\nseed = {seed}\n"));
    }
    let mut told = 0;
    let last = loop {
        let revision = scene.next().await;
        told += 1;
        assert_eq!(revision.number, told + 1);
        if revision.settings.model.seed == 500 {
            break revision;
        }
    };
    assert_eq!(scene.news.latest(), last);
    scene.stop().await;
}

#[tokio::test]
async fn what_another_process_changes_keeps_its_name_and_number() {
    let mut scene = start("").await;
    let other = open(&scene.file(), Arc::new(RealDisk));
    for seed in [7_u64, 8, 9] {
        let changes = vec![Change::Set {
            key: "model.seed".to_owned(),
            value: seed.into(),
        }];
        let wish = Wish::Update {
            expected: None,
            changes,
        };
        other.perform(&author("bob"), &wish).unwrap();
    }
    for (number, seed) in [(2, 7), (3, 8), (4, 9)] {
        let heard = scene.next().await;
        assert_eq!((heard.number, heard.settings.model.seed), (number, seed));
        assert_eq!((heard.who.as_str(), &heard.cause), ("bob", &Cause::Updated));
    }
    scene.stop().await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_is_followed_also_when_it_leads_elsewhere() {
    let folder = TempDir::new().unwrap();
    let real = |name: &str| folder.path().join("real").join(name);
    fs::create_dir(folder.path().join("real")).unwrap();
    fs::write(real("one"), "[ui]\nfont_px = 20\n").unwrap();
    fs::write(real("two"), "[ui]\nfont_px = 30\n").unwrap();
    let link = folder.path().join("config.toml");
    std::os::unix::fs::symlink(real("one"), &link).unwrap();
    let (one, two) = (real("one"), real("two"));
    let mut scene = start_with(folder, Arc::new(RealDisk)).await;
    let mut status = client::status(&scene.config).await.unwrap();
    soon(status.until(|status| status.watching == Watching::On))
        .await
        .unwrap();
    fs::write(one, "[ui]\nfont_px = 21\n").unwrap();
    assert_eq!(scene.next().await.settings.ui.font_px, 21);
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(&two, &link).unwrap();
    while scene.next().await.settings.ui.font_px != 30 {}
    fs::write(two, "[ui]\nfont_px = 31\n").unwrap();
    assert_eq!(scene.next().await.settings.ui.font_px, 31);
    scene.stop().await;
}

/// A machine without inotify.
struct Blind;

impl Disk for Blind {
    fn read(&self, path: &Path, most: u64) -> io::Result<String> {
        RealDisk.read(path, most)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Lock>> {
        RealDisk.lock(path)
    }

    fn write(&self, path: &Path, text: &str) -> io::Result<()> {
        RealDisk.write(path, text)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.link(from, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn sync(&self, folder: &Path) -> io::Result<()> {
        RealDisk.sync(folder)
    }

    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        RealDisk.make_folder(folder)
    }

    fn watch(&self, _: &Path) -> io::Result<Option<Box<dyn Changes>>> {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "no inotify here",
        ))
    }
}

#[tokio::test]
async fn where_nothing_tells_of_changes_the_file_is_read_when_asked() {
    let folder = TempDir::new().unwrap();
    let mut scene = start_with(folder, Arc::new(Blind)).await;
    let mut status = client::status(&scene.config).await.unwrap();
    let off = Watching::Off {
        reason: "no inotify here".to_owned(),
    };
    soon(status.until(|status| status.watching == off))
        .await
        .unwrap();
    scene.save("[ui]\nfont_px = 30\n");
    let found = client::reload(&scene.config, "SIGHUP").await.unwrap();
    assert_eq!(found.settings.ui.font_px, 30);
    assert_eq!(scene.next().await, found);
    scene.stop().await;
}

#[tokio::test]
async fn a_folder_that_comes_later_is_noticed_and_one_that_is_gone_is_said() {
    let outer = TempDir::new().unwrap();
    let folder = outer.path().join("paraphym");
    let store = open(&folder.join("config.toml"), Arc::new(RealDisk));
    let (child, config) = chat_config::child(store, Arc::new(|| SystemTime::UNIX_EPOCH));
    let spec = SupervisorSpec::new("root").child(child);
    let root = start_root(spec, Events::with_seed(1)).await.unwrap();
    let mut news = client::subscribe(&config).await.unwrap();
    let mut status = client::status(&config).await.unwrap();
    soon(status.until(|status| status.watching == Watching::On))
        .await
        .unwrap();
    fs::write(folder.join("config.toml"), "[ui]\nfont_px = 30\n").unwrap();
    assert!(matches!(soon(news.next()).await, Some(Heard::Revised(_))));
    fs::remove_dir_all(&folder).unwrap();
    soon(status.until(|status| matches!(status.watching, Watching::Off { .. })))
        .await
        .unwrap();
    // Asked to read it again, it watches again.
    client::reload(&config, "SIGHUP").await.unwrap();
    soon(status.until(|status| status.watching == Watching::On))
        .await
        .unwrap();
    root.stop(PATIENCE).await;
}

/// The kernel's watches of this folder that this process holds, by whatever descriptor.
#[cfg(target_os = "linux")]
fn watches(folder: &Path) -> usize {
    use std::os::unix::fs::MetadataExt;

    let ours = format!(" ino:{:x} ", fs::metadata(folder).unwrap().ino());
    let open = fs::read_dir("/proc/self/fdinfo").unwrap();
    // One may be closed before it is looked at.
    let told = open.filter_map(|one| fs::read_to_string(one.unwrap().path()).ok());
    let ours = |line: &str| line.starts_with("inotify wd:") && line.contains(&ours);
    told.map(|text| text.lines().filter(|line| ours(line)).count())
        .sum()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_folder_is_watched_once_however_often_the_file_changes_and_we_are_restarted() {
    let mut scene = start("").await;
    let supervisor = scene.root.supervisor();
    let id = chat_config::CHILD_ID.into();
    assert_eq!(watches(scene.folder.path()), 1);
    for life in 1..=4 {
        // The first may be found by a new life's look at the file, and what comes after it by its watch alone.
        for edit in 1..=3 {
            let seed = life * 10 + edit;
            scene.save(&format!("[model]\nseed = {seed}\n"));
            assert_eq!(scene.next().await.settings.model.seed, seed);
        }
        assert_eq!(watches(scene.folder.path()), 1, "in life {life}");
        supervisor.terminate_child(&id).await.unwrap();
        supervisor.restart_child(&id).await.unwrap();
    }
    let folder = scene.folder.path().to_owned();
    scene.root.stop(PATIENCE).await;
    soon(async {
        while watches(&folder) > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn one_watch_is_begun_however_many_ask_while_there_is_none() {
    let mut scene = start("[ui]\nfont_px = 20\n").await;
    let folder = scene.folder.path().to_owned();
    let mut status = client::status(&scene.config).await.unwrap();
    fs::remove_dir_all(&folder).unwrap();
    soon(status.until(|status| matches!(status.watching, Watching::Off { .. })))
        .await
        .unwrap();
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let config = scene.config.clone();
        asked.spawn(async move { client::reload(&config, "SIGHUP").await });
    }
    assert!(asked.join_all().await.iter().all(Result::is_ok));
    soon(status.until(|status| status.watching == Watching::On))
        .await
        .unwrap();
    scene.save("[ui]\nfont_px = 30\n");
    while scene.next().await.settings.ui.font_px != 30 {}
    assert_eq!(watches(&folder), 1);
    scene.stop().await;
}
