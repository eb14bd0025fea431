//! What somebody was let in with: it is asked for each answer, once, and whoever it is taken from is closed. On a paused clock.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use domain::UserId;
use paraphym_connection::wire::CloseCode;
use paraphym_connection::{Admission, Admitted, Held, Incoming, Pass, TooMuch};
use support::{Client, JOIN, Stage};
use testkit::scripted::Answer;
use tokio::time::{Instant, sleep};

/// One that counts, lets so many ask, and is taken away.
#[derive(Default)]
struct Counted {
    over: AtomicBool,
    asked: AtomicUsize,
    most: usize,
    /// What is held of it: one more while an answer is made.
    lent: Arc<()>,
}

impl Pass for Counted {
    fn is_valid(&self) -> bool {
        !self.over.load(Ordering::Relaxed)
    }

    fn ask(&self, _: Instant) -> Result<Option<Held>, TooMuch> {
        if self.asked.load(Ordering::Relaxed) >= self.most {
            return Err(TooMuch {
                code: "rate_limit_exceeded",
                message: "enough: come again in 1.5 s".to_owned(),
                retry_after: Duration::from_millis(1500),
            });
        }
        self.asked.fetch_add(1, Ordering::Relaxed);
        Ok(Some(self.lent.clone()))
    }
}

impl Counted {
    fn for_answers(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            ..Self::default()
        })
    }

    fn lent(&self) -> usize {
        Arc::strong_count(&self.lent) - 1
    }
}

fn with(pass: &Arc<Counted>) -> Box<Admission> {
    let pass = Arc::clone(pass);
    Box::new(move |_: Option<&str>, user: Option<&str>| {
        Ok(Admitted {
            user: UserId::new(user.unwrap_or("guest")),
            proven: false,
            pass: pass.clone(),
        })
    })
}

async fn stage() -> Stage {
    let answer = Answer::Text("Hello dear world".to_owned());
    Stage::start(answer).await
}

/// Somebody with this pass, in the conversation.
async fn viewer(stage: &Stage, pass: &Arc<Counted>) -> Client {
    let mut client = stage.connect_to(with(pass));
    client.expect("hello").await;
    client.say(r#"{"op":"identify","user":"ann"}"#).await;
    client.expect("ready").await;
    client.say(JOIN).await;
    client.expect("room").await;
    client
}

fn say(nonce: &str) -> String {
    format!(r#"{{"op":"say","conversation":"c","text":"hi","nonce":"{nonce}"}}"#)
}

#[tokio::test(start_paused = true)]
async fn each_answer_is_asked_for_once_and_what_is_lent_is_back_when_it_has_ended() {
    let stage = stage().await;
    let pass = Counted::for_answers(2);
    let mut client = viewer(&stage, &pass).await;
    for (nonce, asked) in [("a", 1), ("b", 2), ("a", 2)] {
        client.say(&say(nonce)).await;
        assert_eq!(client.expect("said").await["nonce"], nonce);
        if asked > 1 && nonce == "a" {
            break;
        }
        client.expect("ended").await;
        let now = (pass.asked.load(Ordering::Relaxed), pass.lent());
        assert_eq!(now, (asked, 0), "{nonce}");
    }
    client.say(&say("c")).await;
    let refused = client.expect("error").await;
    assert_eq!(refused["code"], "rate_limit_exceeded");
    assert_eq!(refused["nonce"], "c");
    assert_eq!(refused["retry_after_ms"], 1500);
    // It goes on, and nothing was asked of the model.
    client.say(&say("b")).await;
    client.expect("said").await;
    assert_eq!(pass.asked.load(Ordering::Relaxed), 2);
    drop(client);
    sleep(Duration::from_mins(5)).await;
    stage.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_lent_is_held_until_the_answer_has_ended_though_its_asker_went() {
    let stage = stage().await;
    let pass = Counted::for_answers(1);
    let gate = stage.control.gate_step(1);
    let mut client = viewer(&stage, &pass).await;
    let (mut other, _) = stage.viewer("bob").await;
    client.say(&say("a")).await;
    client.expect("said").await;
    client.to.send(Incoming::Left).await.unwrap();
    while other.expect("presence").await["leaves"] == serde_json::json!([]) {}
    assert_eq!(pass.lent(), 1);
    gate.release();
    other.expect("ended").await;
    assert_eq!(pass.lent(), 0);
    drop(other);
    sleep(Duration::from_mins(5)).await;
    stage.end().await;
}

#[tokio::test(start_paused = true)]
async fn whose_pass_was_taken_away_is_closed_whenever_that_was() {
    let stage = stage().await;
    let (good, taken) = (Counted::for_answers(9), Counted::for_answers(9));
    let mut here = viewer(&stage, &taken).await;
    let mut other = viewer(&stage, &good).await;
    // Nobody has looked yet.
    taken.over.store(true, Ordering::Relaxed);
    here.say(r#"{"op":"heartbeat","seq":0}"#).await;
    here.expect("heartbeat_ack").await;
    stage.connections.look_again().await;
    assert_eq!(here.closed().await, CloseCode::Unauthorised);

    // It was taken away when they were let in, and before they could be found.
    let mut late = stage.connect_to(with(&taken));
    late.expect("hello").await;
    late.say(r#"{"op":"identify","user":"ann"}"#).await;
    assert_eq!(late.closed().await, CloseCode::Unauthorised);

    other.say(&say("a")).await;
    other.expect("ended").await;
    drop((here, late, other));
    sleep(Duration::from_mins(5)).await;
    stage.end().await;
}
