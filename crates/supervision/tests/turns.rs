//! Whose turn a message belongs to: what its handler logs is within its sender's span, through every kind of sending, and
//! through a crash.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use crate::common;

use common::*;
use supervision::kameo::actor::{Actor, ActorRef};
use supervision::kameo::error::Infallible;
use supervision::kameo::message::{Context, Message};
use supervision::{AlarmDue, Backoff, Birth, ChildSpec, Handle, Inbox, TURN};
use testkit::spans::{Logged, Spans};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::level_filters::LevelFilter;
use tracing::{Instrument, Span};

/// Logs, and sends on.
struct Clerk {
    inbox: Inbox<Self>,
    me: ActorRef<Self>,
    next: Option<Handle<Clerk>>,
    tasks: JoinSet<()>,
}

impl Actor for Clerk {
    type Args = Birth<Self, Option<Handle<Clerk>>>;
    type Error = Infallible;

    async fn on_start(birth: Self::Args, me: ActorRef<Self>) -> Result<Self, Infallible> {
        tracing::info!("started");
        Ok(Self {
            inbox: birth.inbox,
            me,
            next: birth.seed,
            tasks: JoinSet::new(),
        })
    }

    supervision::receive_from!(inbox, alarm);
}

/// Logs its words, and has the next one do it, too: by asking, and by telling.
#[derive(Clone)]
struct Note(String);

impl Message<Note> for Clerk {
    type Reply = ();

    async fn handle(&mut self, Note(words): Note, _: &mut Context<Self, ()>) {
        tokio::task::yield_now().await;
        tracing::info!("{words}");
        if let Some(next) = &self.next {
            next.ask(Note(words.clone()), SECOND).await.unwrap();
            next.tell(Note(words)).await.unwrap();
        }
    }
}

/// Goes on beside the handler, and tells itself the end.
struct Later(String);

impl Message<Later> for Clerk {
    type Reply = ();

    async fn handle(&mut self, Later(words): Later, _: &mut Context<Self, ()>) {
        let (me, turn) = (self.me.clone(), self.inbox.turn());
        let work = async move {
            tokio::task::yield_now().await;
            me.tell(Note(words)).send().await.unwrap();
        };
        self.tasks.spawn(work.instrument(turn));
        self.inbox.set_alarm(Some(Instant::now() + ms(5)));
    }
}

impl Message<AlarmDue> for Clerk {
    type Reply = ();

    async fn handle(&mut self, _: AlarmDue, _: &mut Context<Self, ()>) {
        tracing::info!("alarm");
    }
}

struct Fall;

impl Message<Fall> for Clerk {
    type Reply = ();

    async fn handle(&mut self, _: Fall, _: &mut Context<Self, ()>) {
        tokio::time::sleep(ms(10)).await;
        panic!("as it was told to");
    }
}

fn turn(request: &str) -> Span {
    tracing::error_span!(target: TURN, "turn", request_id = request)
}

/// What was logged with these words: the path of its spans, and the request.
fn seen(spans: &Spans, words: &str) -> Vec<(String, String)> {
    let ours = |event: &Logged| event.target == module_path!() && event.message == words;
    let events = spans.events().into_iter().filter(ours);
    let shown = |event: Logged| {
        let request = event.of_span("request_id").unwrap_or("nobody").to_owned();
        (event.path(), request)
    };
    events.map(shown).collect()
}

fn pair(path: &str, request: &str) -> (String, String) {
    (path.to_owned(), request.to_owned())
}

// One test, because it is the process's subscriber that sees what is logged.
#[tokio::test(start_paused = true)]
async fn what_a_handler_logs_is_within_its_senders_turn() {
    let spans = Spans::of_process(LevelFilter::TRACE);
    let (back, behind) = ChildSpec::actor::<Clerk, _>("back", 64, None);
    let (front, handle) = ChildSpec::actor::<Clerk, _>("front", 64, Some(behind.clone()));
    let none = Backoff::none();
    let root = started(root().child(back.backoff(none)).child(front.backoff(none))).await;

    // By ask and tell, through two mailboxes; and the actor that is named is the one that logs.
    let one = turn("r-1");
    let asked = handle.ask(Note("one".to_owned()), SECOND);
    asked.instrument(one).await.unwrap();
    behind
        .ask(Note("settled".to_owned()), SECOND)
        .await
        .unwrap();
    let deep = pair("turn > handle > handle", "r-1");
    let expected = [pair("turn > handle", "r-1"), deep.clone(), deep];
    assert_eq!(seen(&spans, "one"), expected);
    let last = spans
        .events()
        .into_iter()
        .rfind(|e| e.message == "one")
        .unwrap();
    assert_eq!(last.of_span("actor"), Some("root/back"));
    assert_eq!(last.of_span("message"), Some("Note"));

    // Nobody's message is within no span of ours, whatever came before it.
    assert_eq!(seen(&spans, "settled").len(), 1);
    let (path, request) = seen(&spans, "settled").remove(0);
    assert!(
        !path.contains("turn") && !path.contains("> handle"),
        "{path}"
    );
    assert_eq!(request, "nobody");

    // A turn that is over is over: no actor that waits keeps it.
    let over = |id: &str| {
        let closed = spans.closed();
        closed
            .iter()
            .any(|span| span.fields.get("request_id").is_some_and(|r| r == id))
    };
    assert!(over("r-1"));

    // What goes on beside the handler takes the turn along, through the actor's private mailbox too. An alarm does not.
    let told = behind.tell(Later("later".to_owned()));
    told.instrument(turn("r-2")).await.unwrap();
    tokio::time::sleep(ms(20)).await;
    assert_eq!(seen(&spans, "later"), [pair("turn > handle", "r-2")]);
    let alarms = seen(&spans, "alarm");
    assert_eq!(alarms.len(), 1);
    assert_eq!(alarms[0].1, "nobody");

    // What waits while its actor crashes is handled by the next life, within its own turn.
    behind.tell(Fall).instrument(turn("r-3")).await.unwrap();
    behind
        .tell(Note("kept".to_owned()))
        .instrument(turn("r-4"))
        .await
        .unwrap();
    tokio::time::sleep(SECOND).await;
    assert_eq!(seen(&spans, "kept"), [pair("turn > handle", "r-4")]);
    assert_eq!(seen(&spans, "started").len(), 3, "it did not crash");
    assert!(over("r-3") && over("r-4"));

    together(&spans, &handle, &behind).await;
    root.stop(MINUTE).await;
}

/// Turns that are under way together never mix.
async fn together(spans: &Spans, handle: &Handle<Clerk>, behind: &Handle<Clerk>) {
    let mut many = JoinSet::new();
    for n in 0..50 {
        let (handle, request) = (handle.clone(), format!("many-{n}"));
        let turn = turn(&request);
        many.spawn(async move { handle.ask(Note(request), MINUTE).await }.instrument(turn));
    }
    while let Some(one) = many.join_next().await {
        one.unwrap().unwrap();
    }
    behind
        .ask(Note("settled".to_owned()), SECOND)
        .await
        .unwrap();
    for n in 0..50 {
        let request = format!("many-{n}");
        let seen = seen(spans, &request);
        assert_eq!(seen.len(), 3, "{request}");
        assert!(seen.iter().all(|(_, of)| *of == request), "{seen:?}");
    }
}
