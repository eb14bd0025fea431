//! A process that is killed while it writes leaves a settings file that can be read, with one of the two last forms.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::SystemTime;

use paraphym_chat_config as chat_config;

use chat_config::file::{RealDisk, SettingsFile};
use chat_config::{Author, Catalogue, Change, Layers, Revisions, to_toml};

const ROUNDS: usize = 50;
const FOLDER: &str = "CHAT_CONFIG_KILL_FOLDER";

fn open(file: &SettingsFile) -> (Revisions, Option<String>) {
    let catalogue = Arc::new(Catalogue::new());
    let layers = Layers::new(&catalogue, file.path().to_owned(), [], &[]).unwrap();
    let text = file.read().unwrap();
    let author = Author {
        who: "start".to_owned(),
        at: SystemTime::UNIX_EPOCH,
    };
    let found = text.as_deref().unwrap_or_default();
    let revisions = Revisions::start(catalogue, layers, found, author).unwrap();
    (revisions, text)
}

/// Counts the seed up for ever and says each number before and after it is written.
fn write_for_ever(file: &SettingsFile) {
    let (mut revisions, mut known) = open(file);
    let mut out = std::io::stdout();
    loop {
        let next = revisions.current().settings.model.seed + 1;
        let change = Change::Set {
            key: "model.seed".to_owned(),
            value: next.into(),
        };
        let author = Author {
            who: "child".to_owned(),
            at: SystemTime::UNIX_EPOCH,
        };
        let planned = revisions.update(author, None, &[change]).unwrap().unwrap();
        let text = to_toml(planned.own()).unwrap();
        writeln!(out, "begin {next}").unwrap();
        file.replace(known.as_deref(), &text).unwrap();
        writeln!(out, "done {next}").unwrap();
        revisions.commit(planned).unwrap();
        known = Some(text);
    }
}

#[test]
fn a_file_whose_writer_was_killed_can_be_read() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        let path = std::path::Path::new(&folder).join("config.toml");
        write_for_ever(&SettingsFile::new(path, Arc::new(RealDisk)));
    }
    let folder = tempfile::tempdir().unwrap();
    let file = SettingsFile::new(folder.path().join("config.toml"), Arc::new(RealDisk));
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_file_whose_writer_was_killed_can_be_read"])
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
        let seed = open(&file).0.current().settings.model.seed;
        // Written and not yet said, or begun and not yet written: never anything else.
        let possible = if word == "begin" {
            [number - 1, number]
        } else {
            [number, number]
        };
        assert!(possible.contains(&seed), "{last}: found {seed}");
    }
    let (revisions, _) = open(&file);
    assert!(revisions.current().settings.model.seed >= ROUNDS as u64);
}
