//! A process that is killed while it writes leaves a settings file that can be read, with one of the two last forms.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::SystemTime;

use paraphym_chat_config as chat_config;

use chat_config::file::RealDisk;
use chat_config::{Author, Catalogue, Change, HISTORY, Layers, Store, Wish};

const ROUNDS: usize = 50;
const FOLDER: &str = "CHAT_CONFIG_KILL_FOLDER";

fn author() -> Author {
    Author {
        who: "child".to_owned(),
        at: SystemTime::UNIX_EPOCH,
    }
}

fn open(file: &Path) -> Store {
    let catalogue = Arc::new(Catalogue::new());
    let layers = Layers::new(&catalogue, file.to_owned(), [], &[]).unwrap();
    Store::open(catalogue, layers, Arc::new(RealDisk), author()).unwrap()
}

/// Counts the seed up for ever and says each number before and after it is written.
fn write_for_ever(file: &Path) {
    let store = open(file);
    let mut out = std::io::stdout();
    loop {
        let next = store.current().settings.model.seed + 1;
        let wish = Wish::Update {
            expected: None,
            changes: vec![Change::Set {
                key: "model.seed".to_owned(),
                value: next.into(),
            }],
        };
        writeln!(out, "begin {next}").unwrap();
        store.perform(&author(), &wish).unwrap();
        writeln!(out, "done {next}").unwrap();
    }
}

#[test]
fn a_file_whose_writer_was_killed_can_be_read() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        write_for_ever(&Path::new(&folder).join("config.toml"));
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "kill::a_file_whose_writer_was_killed_can_be_read",
            ])
            .args(["--nocapture", "--test-threads=1"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut said = lines
            .by_ref()
            .map_while(Result::ok)
            .filter(|line| line.starts_with("begin") || line.starts_with("done"));
        // Killed a little later each round, now within a write and now between two.
        let heard = said.nth(round).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let last = said.last().unwrap_or(heard);
        let (word, number) = last.split_once(' ').unwrap();
        let number: u64 = number.parse().unwrap();
        let revision = open(&file).current();
        let seed = revision.settings.model.seed;
        // Written and not yet said, or begun and not yet written: never anything else.
        let possible = if word == "begin" {
            [number - 1, number]
        } else {
            [number, number]
        };
        assert!(possible.contains(&seed), "{last}: found {seed}");
        // One that was written and not put into the history is noticed: the count goes on.
        assert_eq!(revision.number, seed + 1);
    }
    let store = open(&file);
    assert!(store.current().settings.model.seed >= ROUNDS as u64);
    assert_eq!(store.history().len(), HISTORY);
}
