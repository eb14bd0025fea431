//! Several processes change one settings file at once: no change is lost, and each is a revision of the same count.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::SystemTime;

use paraphym_chat_config as chat_config;

use chat_config::file::{FileError, RealDisk};
use chat_config::{
    Author, Catalogue, Cause, Change, ConfigError, Layers, PlanError, Store, Wish, patience,
};

const WRITERS: u64 = 8;
const EACH: u64 = 40;
const FOLDER: &str = "CHAT_CONFIG_PROCESSES_FOLDER";

fn author(who: &str) -> Author {
    Author {
        who: who.to_owned(),
        at: SystemTime::UNIX_EPOCH,
    }
}

fn open(file: &Path, who: &str) -> Store {
    let catalogue = Arc::new(Catalogue::new());
    let layers = Layers::new(&catalogue, file.to_owned(), [], &[]).unwrap();
    Store::open(catalogue, layers, Arc::new(RealDisk), author(who)).unwrap()
}

fn seed(expected: Option<u64>, seed: u64) -> Wish {
    let value = seed.into();
    let key = "model.seed".to_owned();
    let changes = vec![Change::Set { key, value }];
    Wish::Update { expected, changes }
}

/// Counts the seed up, each time for the revision it has seen.
async fn count_up(file: &Path) {
    let store = open(file, "writer");
    for _ in 0..EACH {
        loop {
            let now = store.current();
            let wish = seed(Some(now.number), now.settings.model.seed + 1);
            match patience::perform(&store, author("writer"), wish).await {
                Ok(_) => break,
                // The look at the file that refused it has brought what is new; or seven others were quicker for all of its
                // patience, and it asks again.
                Err(
                    ConfigError::Plan(PlanError::Conflict { .. })
                    | ConfigError::File(FileError::Locked { .. }),
                ) => {}
                Err(other) => panic!("{other}"),
            }
        }
    }
}

#[tokio::test]
async fn of_changes_by_eight_processes_none_is_lost() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return count_up(&Path::new(&folder).join("config.toml")).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            Command::new(std::env::current_exe().unwrap())
                .args([
                    "--exact",
                    "processes::of_changes_by_eight_processes_none_is_lost",
                ])
                .env(FOLDER, folder.path())
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut writer in writers {
        assert!(writer.wait().unwrap().success());
    }
    let store = open(&folder.path().join("config.toml"), "test");
    let now = store.current();
    assert_eq!(now.settings.model.seed, WRITERS * EACH);
    assert_eq!(now.number, WRITERS * EACH + 1);
    let history = store.history();
    for pair in history.windows(2) {
        assert_eq!(pair[1].number, pair[0].number + 1);
        assert_eq!(pair[1].settings.model.seed, pair[0].settings.model.seed + 1);
    }
}

#[test]
fn two_processes_that_edit_conflict_cleanly() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    let (ada, bob) = (open(&file, "ada"), open(&file, "bob"));
    let made = ada.perform(&author("ada"), &seed(Some(1), 7)).unwrap();
    assert_eq!(made.number, 2);
    let late = bob.perform(&author("bob"), &seed(Some(1), 8));
    assert_eq!(
        late,
        Err(ConfigError::Plan(PlanError::Conflict {
            expected: 1,
            current: 2
        }))
    );
    // By then he has what she made, under her name.
    let seen = bob.current();
    assert_eq!(
        (seen.number, seen.who.as_str(), &seen.cause),
        (2, "ada", &Cause::Updated)
    );
    assert_eq!(seen.settings.model.seed, 7);
    let made = bob.perform(&author("bob"), &seed(None, 8)).unwrap();
    assert_eq!((made.number, made.changed.len()), (3, 1));
}

#[test]
fn the_history_survives_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    let store = open(&file, "ada");
    store.perform(&author("ada"), &seed(None, 7)).unwrap();
    store.perform(&author("ada"), &seed(None, 8)).unwrap();
    let store = open(&file, "bob");
    let told: Vec<_> = store
        .history()
        .iter()
        .map(|one| (one.number, one.who.clone(), one.settings.model.seed))
        .collect();
    let expected = [(1, 0), (2, 7), (3, 8)].map(|(n, seed)| (n, "ada".to_owned(), seed));
    assert_eq!(told, expected);
    let back = Wish::Rollback {
        expected: Some(3),
        to: 2,
    };
    let back = store.perform(&author("bob"), &back).unwrap();
    assert_eq!((back.number, back.settings.model.seed), (4, 7));
    assert_eq!(*open(&file, "eve").current(), *store.current());
}

#[test]
fn what_was_done_by_hand_is_a_revision_of_whoever_notices() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    open(&file, "ada")
        .perform(&author("ada"), &seed(None, 7))
        .unwrap();
    std::fs::write(&file, "[model]\nseed = 9\n").unwrap();
    for _ in 0..2 {
        let now = open(&file, "bob").current();
        assert_eq!(
            (now.number, now.who.as_str(), &now.cause),
            (3, "bob", &Cause::Reloaded)
        );
    }
    // A history that is damaged or gone decides nothing.
    let history = folder.path().join("config.toml.history");
    std::fs::write(&history, "nonsense\n").unwrap();
    let store = open(&file, "eve");
    let now = store.current();
    assert_eq!((now.number, now.settings.model.seed), (1, 9));
    std::fs::remove_file(&history).unwrap();
    let made = store.perform(&author("eve"), &seed(Some(1), 10)).unwrap();
    assert_eq!(made.number, 2);
    assert_eq!(open(&file, "eve").history().len(), 2);
}
