//! A process that is killed while it writes has lost nothing that was acknowledged, and its file is whole.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use common::{NOW, Stage, conversation, start, start_with};
use domain::RequestId;
use paraphym_conversation_store as conversation_store;

use conversation_store::messages::{Export, OpenTurns, Search, TurnState};
use conversation_store::{Archive, StoreConfig, client};

const ROUNDS: usize = 40;
const FOLDER: &str = "CONVERSATION_STORE_KILL_FOLDER";
const ROUND: &str = "CONVERSATION_STORE_KILL_ROUND";
/// Conversations that are written at once, so that a batch has more than one.
const AT_ONCE: usize = 3;

/// Ends turn after turn in some conversations at once, and says of each when it begins and when it is acknowledged.
async fn write_for_ever(stage: &Stage, name: &str, round: &str) {
    let mut out = std::io::stdout();
    for number in 0_u64.. {
        let turn = format!("{round}-{name}-{number}");
        writeln!(out, "begin {name} {turn}").unwrap();
        let text = format!("{turn} {}", "and so on ".repeat(20));
        stage.say(name, &turn, &text, &text).await.unwrap();
        writeln!(out, "done {name} {turn}").unwrap();
    }
}

async fn child(config: &StoreConfig) {
    let stage = start(config).await;
    let round = std::env::var(ROUND).unwrap();
    tokio::join!(
        write_for_ever(&stage, "0", &round),
        write_for_ever(&stage, "1", &round),
        write_for_ever(&stage, "2", &round),
    );
}

#[tokio::test]
async fn a_process_that_is_killed_loses_nothing_acknowledged() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return child(&StoreConfig::at(folder)).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let config = StoreConfig::at(folder.path().join("paraphym.db"));
    // By conversation: the turns that were acknowledged, and the one that was begun last.
    let mut done: Vec<Vec<String>> = vec![Vec::new(); AT_ONCE];
    for round in 0..ROUNDS {
        let mut begun: Vec<Option<String>> = vec![None; AT_ONCE];
        for line in killed(&config, round) {
            let mut words = line.split(' ');
            let (word, name, turn) = (words.next(), words.next().unwrap(), words.next().unwrap());
            let which: usize = name.parse().unwrap();
            if word == Some("begin") {
                begun[which] = Some(turn.to_owned());
            } else {
                done[which].push(turn.to_owned());
                begun[which] = None;
            }
        }
        let stage = start_with(Archive::open(&config, NOW).unwrap()).await;
        for which in 0..AT_ONCE {
            let name = which.to_string();
            let pending = begun[which].take();
            let kept = kept(&stage, &name, &done[which], pending).await;
            done[which] = kept;
        }
        stage.scene.stop().await;
    }
    let all: usize = done.iter().map(Vec::len).sum();
    assert!(all >= ROUNDS, "only {all} turns in {ROUNDS} rounds");
}

/// What a writer said before it was killed, a little later each round: now before its first word, now within a write.
fn killed(config: &StoreConfig, round: usize) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "a_process_that_is_killed_loses_nothing_acknowledged",
        ])
        .args(["--nocapture", "--test-threads=1"])
        .env(FOLDER, config.file().unwrap())
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut said = lines
        .by_ref()
        .map_while(Result::ok)
        .filter(|line| line.starts_with("begin") || line.starts_with("done"));
    let mut heard: Vec<String> = said.by_ref().take(round).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    heard.extend(said);
    heard
}

/// The turns of one conversation in the file: all that were acknowledged, in order, each whole, and of the one that was
/// begun last all or nothing.
async fn kept(stage: &Stage, name: &str, done: &[String], pending: Option<String>) -> Vec<String> {
    let wish = Export {
        conversation: conversation(name),
    };
    let Ok(exported) = client::ask(&stage.store, wish).await else {
        assert!(done.is_empty(), "conversation {name} is gone");
        return Vec::new();
    };
    let mut turns: Vec<String> = Vec::new();
    for pair in exported.messages.chunks(2) {
        let [said, answered] = pair else {
            panic!("half a turn of {name}");
        };
        assert_eq!(said.turn, answered.turn);
        assert_eq!(said.message.content, answered.message.content);
        let turn = said.turn.as_ref().map(RequestId::to_string).unwrap();
        assert!(said.message.content.starts_with(&turn));
        turns.push(turn);
    }
    let numbers = exported.messages.iter().map(|one| one.number);
    assert!(numbers.eq(1..=exported.messages.len() as u64));
    let extra = turns.strip_prefix(done).expect("a turn was lost");
    let whole: Vec<&String> = pending.iter().collect();
    let possible = extra.is_empty() || extra.iter().collect::<Vec<_>>() == whole;
    assert!(
        possible,
        "{extra:?} came from nowhere; {pending:?} was begun"
    );
    // What was begun and not ended is interrupted, and the words of what ended are found.
    let wish = OpenTurns {
        conversation: conversation(name),
    };
    let open = client::ask(&stage.store, wish).await.unwrap();
    assert!(open.iter().all(|turn| turn.state == TurnState::Interrupted));
    if let Some(last) = turns.last() {
        let text = last.clone();
        let hits = client::ask(&stage.store, Search { text, limit: 100 }).await;
        assert!(!hits.unwrap().is_empty(), "{last} is not found");
    }
    turns
}
