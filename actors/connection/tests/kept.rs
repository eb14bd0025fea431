//! What was written down, as clients see it: behind the end of an answer, when they come, and page by page. On a paused clock.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

mod support;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::{ConversationId, RequestId, UserId};
use futures_util::future::BoxFuture;
use paraphym_connection::wire::room::ConversationLine;
use paraphym_connection::{History, Limits, Part, Said, Seats};
use room::record::AskedTurn;
use room::{Entry, Kept, Record, Speaker};
use serde_json::Value;
use support::{Client, JOIN, Stage};
use testkit::scripted::Answer;
use tokio::time::{advance, sleep};

const SAY: &str = r#"{"op":"say","conversation":"c","text":"hi","nonce":"n"}"#;

fn hello() -> Answer {
    Answer::Text("Hello dear world".to_owned())
}

/// A conversation that is written down, and a count of how often somebody asked which there are.
#[derive(Default)]
struct Book {
    entries: Vec<Entry>,
    listed: AtomicU64,
    asked: Mutex<Option<AskedTurn>>,
    fails: bool,
}

fn entry(number: u64, speaker: Speaker, text: &str) -> Entry {
    Entry {
        number,
        speaker,
        by: (speaker == Speaker::Person).then(|| UserId::new("ann")),
        nonce: None,
        text: text.into(),
        html: (speaker == Speaker::Agent).then(|| format!("<p>{text}</p>").into()),
        at_ms: 5,
        turn: None,
    }
}

impl History for Book {
    fn messages(&self, _: ConversationId, part: Part) -> BoxFuture<'static, Result<Said, String>> {
        let inside = |entry: &&Entry| {
            entry.number > part.after && part.before.is_none_or(|before| entry.number < before)
        };
        let mut said = Said::nothing(part.after);
        let mut bytes = 0;
        let all: Vec<&Entry> = self.entries.iter().filter(inside).collect();
        for entry in all.iter().rev() {
            bytes += entry.text.len();
            // More than is of use: it is cut again.
            if bytes > 3 * part.bytes && !said.entries.is_empty() {
                said.after = entry.number;
                break;
            }
            said.entries.insert(0, (*entry).clone());
        }
        said.last = self.entries.last().map_or(0, |entry| entry.number);
        Box::pin(async move { Ok(said) })
    }

    fn conversations(&self) -> BoxFuture<'static, Result<Vec<ConversationLine>, String>> {
        let line = ConversationLine {
            conversation: "c".into(),
            title: "welcome".into(),
            // It changes once.
            messages: (self.listed.fetch_add(1, Ordering::Relaxed) + 1).min(2),
            changed_ms: 1,
        };
        Box::pin(async move { Ok(vec![line]) })
    }
}

impl Record for Book {
    fn begun(&self, asked: AskedTurn) -> BoxFuture<'static, Result<(), String>> {
        *self.asked.lock().unwrap() = Some(asked);
        Box::pin(async { Ok(()) })
    }

    fn ended(
        &self,
        _: ConversationId,
        turn: RequestId,
    ) -> BoxFuture<'static, Result<Kept, String>> {
        let (fails, asked) = (self.fails, self.asked.lock().unwrap().clone());
        Box::pin(async move {
            if fails {
                return Err("the disk is gone".to_owned());
            }
            let mut entries = vec![
                entry(4, Speaker::Person, "hi"),
                entry(6, Speaker::Agent, "Hello dear world"),
            ];
            for one in &mut entries {
                one.turn = Some(turn.clone());
            }
            let asked = asked.filter(|asked| asked.turn == turn).unwrap();
            entries[0].nonce = Some(asked.nonce);
            entries[0].by = Some(asked.by);
            Ok(Kept {
                before: 3,
                last: 6,
                entries,
            })
        })
    }
}

async fn stage(book: Book, records: bool) -> (Stage, Arc<Book>) {
    let book = Arc::new(book);
    let record = records.then(|| book.clone() as Arc<dyn Record>);
    let (limits, seats) = (Limits::default(), Seats::default());
    let stage = Stage::over(hello(), limits, seats, book.clone(), record).await;
    (stage, book)
}

/// What a client hears behind the end of an answer, and the answer's turn.
async fn kept(client: &mut Client) -> (Value, Value) {
    let (text, ended) = client.answer("").await;
    assert_eq!(text, "Hello dear world");
    let kept = client.next().await.unwrap().unwrap();
    assert_eq!(kept["op"], "kept", "{kept}");
    assert_eq!(kept["turn"], ended["turn"]);
    (kept, ended["turn"].clone())
}

#[tokio::test(start_paused = true)]
async fn what_was_written_down_is_told_to_everybody_behind_the_end() {
    let (stage, _) = stage(Book::default(), true).await;
    let (mut ann, _) = stage.viewer("ann").await;
    let (mut bob, _) = stage.viewer("bob").await;
    ann.say(SAY).await;
    let ((of_ann, turn), (mut of_bob, _)) = tokio::join!(kept(&mut ann), kept(&mut bob));
    of_bob["seq"] = of_ann["seq"].clone();
    assert_eq!(of_ann, of_bob);
    assert_eq!(
        (&of_ann["before"], &of_ann["last"], &of_ann["nonce"]),
        (&3.into(), &6.into(), &"n".into())
    );
    let [question, answer] = [0, 1].map(|at| &of_ann["messages"][at]);
    assert_eq!(
        (
            &question["number"],
            &question["user"],
            &question["nonce"],
            &question["turn"]
        ),
        (&4.into(), &"ann".into(), &"n".into(), &turn)
    );
    assert_eq!(
        (
            &answer["number"],
            &answer["role"],
            &answer["html"],
            &answer["turn"]
        ),
        (
            &6.into(),
            &"assistant".into(),
            &"<p>Hello dear world</p>".into(),
            &turn
        )
    );
    drop((ann, bob));
    stage.end().await;
}

#[tokio::test(start_paused = true)]
async fn where_nothing_is_kept_or_it_cannot_be_read_what_was_seen_stays() {
    for (book, records) in [
        (Book::default(), false),
        (
            Book {
                fails: true,
                ..Book::default()
            },
            true,
        ),
    ] {
        let (stage, _) = stage(book, records).await;
        let (mut ann, _) = stage.viewer("ann").await;
        ann.say(SAY).await;
        let (kept, _) = kept(&mut ann).await;
        assert_eq!(
            (&kept["messages"], &kept["before"], &kept["last"]),
            (&serde_json::json!([]), &0.into(), &0.into())
        );
        drop(ann);
        stage.end().await;
    }
}

/// Five mebibytes: small ones, large ones, and one that is larger than a page.
fn long() -> Vec<Entry> {
    let text = |number: u64| {
        let bytes = match number {
            200 => 200_000,
            number if number % 10 == 0 => 90_000,
            _ => 5_000,
        };
        let mut text = format!("{number} ").repeat(bytes / 2);
        text.truncate(bytes);
        text
    };
    let one = |number| {
        let speaker = if number % 2 == 0 {
            Speaker::Agent
        } else {
            Speaker::Person
        };
        let mut one = entry(number, speaker, &text(number));
        one.html = one.html.filter(|_| number % 10 == 0);
        one
    };
    (1..=405).map(one).collect()
}

#[tokio::test(start_paused = true)]
async fn a_conversation_of_five_mebibytes_is_joined_and_read_whole_by_pages() {
    let entries = long();
    let bytes: usize = entries.iter().map(|one| one.text.len()).sum();
    assert!(bytes > 5 << 20, "{bytes}");
    let book = Book {
        entries: entries.clone(),
        ..Book::default()
    };
    let (stage, _) = stage(book, true).await;
    let (mut ann, _) = stage.client("ann").await;
    ann.say(JOIN).await;
    let room = ann.expect("room").await;
    assert_eq!(room["last"], 405);
    let mut after = room["after"].as_u64().unwrap();
    let mut pages = vec![room];
    while after > 0 {
        let before = after + 1;
        // A person reads them, and a client may not ask faster.
        advance(Duration::from_secs(1)).await;
        ann.say(&format!(
            r#"{{"op":"messages","conversation":"c","before":{before}}}"#
        ))
        .await;
        let page = ann.expect("messages").await;
        assert_eq!(page["before"], before);
        let least = page["after"].as_u64().unwrap();
        assert!(least < after, "it goes on");
        after = least;
        pages.push(page);
    }
    let largest = pages.iter().map(|page| page.to_string().len()).max();
    assert!(largest.unwrap() < 1 << 19, "{largest:?}");
    let read: Vec<&Value> = pages
        .iter()
        .rev()
        .flat_map(|page| page["messages"].as_array().unwrap())
        .collect();
    assert_eq!(read.len(), entries.len());
    for (read, entry) in read.iter().zip(&entries) {
        assert_eq!(read["number"], entry.number);
        assert_eq!(read["text"], *entry.text);
    }
    println!(
        "{bytes} bytes in {} frames, the largest of {largest:?}",
        pages.len()
    );
    drop(ann);
    stage.end().await;
}

#[tokio::test(start_paused = true)]
async fn who_knows_a_number_hears_what_is_behind_it_and_whether_something_was_left_out() {
    let book = Book {
        entries: long(),
        ..Book::default()
    };
    let (stage, _) = stage(book, true).await;
    let (mut ann, _) = stage.client("ann").await;
    for (known, after) in [(405, 405), (402, 402), (2, 400), (900, 400)] {
        ann.say(&JOIN.replace('}', &format!(",\"after\":{known}}}")))
            .await;
        let room = ann.expect("room").await;
        assert_eq!(
            (&room["after"], &room["last"]),
            (&after.into(), &405.into())
        );
        let told = room["messages"].as_array().unwrap();
        let numbers: Vec<u64> = told
            .iter()
            .map(|one| one["number"].as_u64().unwrap())
            .collect();
        assert_eq!(numbers, (after + 1..=405).collect::<Vec<u64>>());
    }
    ann.say(r#"{"op":"messages","conversation":"elsewhere","before":3}"#)
        .await;
    let error = ann.expect("error").await;
    assert_eq!(
        (&error["code"], &error["conversation"]),
        (&"not_joined".into(), &"elsewhere".into())
    );
    drop(ann);
    stage.end().await;
}

#[tokio::test(start_paused = true)]
async fn who_watches_the_list_hears_it_anew_when_it_changes_and_not_more_than_once_a_second() {
    let (stage, book) = stage(Book::default(), true).await;
    let (mut ann, _) = stage.viewer("ann").await;
    ann.say(r#"{"op":"conversations","watch":true}"#).await;
    let list = ann.expect("conversations").await;
    assert_eq!(list["conversations"][0]["messages"], 1);
    for nonce in 0..5 {
        ann.say(&SAY.replace("\"n\"", &format!("\"{nonce}\"")))
            .await;
        kept(&mut ann).await;
    }
    let list = ann.expect("conversations").await;
    assert_eq!(list["conversations"][0]["messages"], 2);
    sleep(Duration::from_secs(10)).await;
    // Five answers began and ended: one list, or two if they took longer than a second.
    let asked = book.listed.load(Ordering::Relaxed);
    assert!(asked <= 3, "{asked}");
    // What did not change is not told again.
    ann.say(&SAY.replace("\"n\"", "\"same\"")).await;
    kept(&mut ann).await;
    sleep(Duration::from_secs(10)).await;
    let asked = book.listed.load(Ordering::Relaxed);
    ann.say(r#"{"op":"heartbeat","seq":0}"#).await;
    loop {
        let frame = ann.next().await.unwrap().unwrap();
        assert_ne!(frame["op"], "conversations");
        if frame["op"] == "heartbeat_ack" {
            break;
        }
    }
    ann.say(r#"{"op":"conversations","watch":false}"#).await;
    ann.expect("conversations").await;
    ann.say(&SAY.replace("\"n\"", "\"more\"")).await;
    kept(&mut ann).await;
    sleep(Duration::from_secs(10)).await;
    let known = book.listed.load(Ordering::Relaxed);
    assert_eq!(known, asked + 1, "nobody asks for who watches no more");
    drop(ann);
    stage.end().await;
}
