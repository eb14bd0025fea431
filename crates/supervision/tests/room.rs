//! Full queues: who waits, who gives up, who is let in, and how long anybody waits.

#![allow(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use crate::common;

use common::*;
use supervision::kameo::actor::{Actor, ActorRef};
use supervision::kameo::error::Infallible;
use supervision::kameo::message::{Context, Message};
use supervision::{AskError, Backoff, Birth, ChildSpec, Handle, Inbox, RootHandle, TellError};
use tokio::time::{Instant, timeout};

/// A living actor with that much room, lingering for `takes`, with nothing queued yet.
async fn busy(
    capacity: usize,
    log: &Log,
    takes: std::time::Duration,
) -> (RootHandle, Handle<Probe>) {
    let orders = Orders::new("a", log);
    let (a, handle) = ChildSpec::actor::<Probe, _>("a", capacity, orders);
    let tree = started(root().child(a.backoff(Backoff::none()))).await;
    log.take();
    handle.tell(Linger(takes)).await.unwrap();
    settle().await;
    (tree, handle)
}

/// Tells a number beside the test, and stands in line before this returns.
async fn tells(
    handle: &Handle<Probe>,
    n: u32,
) -> tokio::task::JoinHandle<Result<(), TellError<Say>>> {
    let handle = handle.clone();
    let told = aside(async move { handle.tell(Say(n)).await });
    settle().await;
    told
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_waiting_has_sent_nothing_and_holds_nobody_up() {
    let log = Log::default();
    let (root, handle) = busy(1, &log, SECOND).await;
    handle.tell(Say(1)).await.unwrap();
    let given_up = tells(&handle, 2).await;
    let patient = tells(&handle, 3).await;
    assert!(timeout(ms(10), handle.tell(Say(4))).await.is_err());
    given_up.abort();
    let late = handle.ask(Say(5), ms(10)).await.unwrap_err();
    assert!(matches!(late, AskError::Timeout { .. }), "{late}");
    patient.await.unwrap().unwrap();
    handle.ask(Say(6), MINUTE).await.unwrap();
    assert_eq!(log.take(), ["a lingered", "a 1", "a 3", "a 6"]);
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_promised_place_that_is_not_wanted_any_more_goes_to_the_next_in_line() {
    let log = Log::default();
    let (root, handle) = busy(1, &log, SECOND).await;
    handle.tell(Say(1)).await.unwrap();
    let mut promised = Box::pin(handle.tell(Say(2)));
    assert!(timeout(ms(1), &mut promised).await.is_err());
    let next = tells(&handle, 3).await;
    // The place falls free, is promised to who is first, and nobody polls that one.
    tokio::time::sleep(SECOND).await;
    assert_eq!(log.take(), ["a lingered", "a 1"]);
    assert_eq!(handle.depth(), 0);
    let full = handle.try_tell(Say(4)).unwrap_err();
    assert!(
        matches!(full, TellError::Full(Say(4))),
        "nobody overtakes: {full:?}"
    );
    drop(promised);
    next.await.unwrap().unwrap();
    handle.ask(Say(5), SECOND).await.unwrap();
    assert_eq!(log.take(), ["a 3", "a 5"]);
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_room_is_let_in_in_the_order_of_coming() {
    let log = Log::default();
    let (root, handle) = busy(2, &log, SECOND).await;
    let mut line = Vec::new();
    for n in 0..12 {
        line.push(tells(&handle, n).await);
    }
    assert_eq!(handle.depth(), 2);
    for told in line {
        told.await.unwrap().unwrap();
    }
    handle.ask(Say(12), SECOND).await.unwrap();
    let expected: Vec<String> = (0..=12).map(|n| format!("a {n}")).collect();
    assert_eq!(log.take()[1..], expected);
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_leaves_queue_and_line_in_order() {
    let log = Log::default();
    let (root, handle) = busy(2, &log, SECOND).await;
    handle.tell(Crash("boom")).await.unwrap();
    let mut line = Vec::new();
    for n in 0..6 {
        line.push(tells(&handle, n).await);
    }
    for told in line {
        told.await.unwrap().unwrap();
    }
    handle.ask(Say(6), SECOND).await.unwrap();
    let seen = log.take();
    let numbers: Vec<&str> = seen
        .iter()
        .filter_map(|line| line.strip_prefix("a "))
        .filter(|rest| rest.parse::<u32>().is_ok())
        .collect();
    assert_eq!(numbers, ["0", "1", "2", "3", "4", "5", "6"]);
    assert!(seen.contains(&"a boom".to_owned()));
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn everybody_in_line_hears_at_once_that_the_gate_closed() {
    let log = Log::default();
    let (root, handle) = busy(1, &log, SECOND * 2).await;
    handle.tell(Say(1)).await.unwrap();
    let (second, third) = (tells(&handle, 2).await, tells(&handle, 3).await);
    let asks = aside({
        let handle = handle.clone();
        async move { handle.ask(Say(4), MINUTE).await }
    });
    settle().await;
    let begun = Instant::now();
    let stop = aside(async move { root.stop(MINUTE).await });
    for (told, n) in [(second, 2), (third, 3)] {
        assert_eq!(told.await.unwrap().unwrap_err().into_message().0, n);
    }
    let refused = asks.await.unwrap().unwrap_err();
    assert!(matches!(refused, AskError::Down { .. }), "{refused}");
    assert!(begun.elapsed() <= ms(1), "{:?}", begun.elapsed());
    stop.await.unwrap();
    assert_eq!(log.take(), ["a lingered", "a 1", "a stopped"]);
}

#[tokio::test(start_paused = true)]
async fn an_ask_waits_for_room_and_answer_together_no_less_and_no_more_than_its_deadline() {
    let log = Log::default();
    let (root, handle) = busy(1, &log, MINUTE).await;
    // The first waits for its answer, the second for room. The timer of the first is kept for the second, and so on.
    for deadline in [250, 40, 3_000, 0, 1, 700].map(ms) {
        let begun = Instant::now();
        let late = handle.ask(Say(1), deadline).await.unwrap_err();
        assert!(matches!(late, AskError::Timeout { .. }), "{late}");
        let waited = begun.elapsed();
        assert!(waited >= deadline, "{waited:?} instead of {deadline:?}");
        assert!(
            waited <= deadline + ms(1),
            "{waited:?} instead of {deadline:?}"
        );
    }
    root.stop(SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn a_kept_timer_of_a_short_ask_does_not_cut_a_long_one_short() {
    let log = Log::default();
    let (root, handle) = busy(8, &log, ms(5)).await;
    for (takes, deadline) in [(5, 20), (50, 60), (500, 600), (1, 2), (900, 1_000)] {
        handle.ask(Linger(ms(takes)), ms(deadline)).await.unwrap();
    }
    let asks: Vec<_> = [30, 90, 10, 70]
        .into_iter()
        .map(|deadline| {
            let handle = handle.clone();
            aside(async move {
                let begun = Instant::now();
                let late = handle.ask(Linger(MINUTE), ms(deadline)).await.unwrap_err();
                assert!(matches!(late, AskError::Timeout { .. }), "{late}");
                (ms(deadline), begun.elapsed())
            })
        })
        .collect();
    for ask in asks {
        let (deadline, waited) = ask.await.unwrap();
        assert!(
            waited >= deadline && waited <= deadline + ms(1),
            "{waited:?} instead of {deadline:?}"
        );
    }
    root.stop(SECOND).await;
}

#[test]
fn a_timer_kept_from_a_runtime_that_is_gone_is_not_used_in_another() {
    let (_never_started, handle) = Orders::new("a", &Log::default()).spec();
    for _ in 0..2 {
        let asked = |_| handle.ask(Say(1), ms(1));
        let late = runtime::run(&runtime::RuntimeOptions::default(), asked).unwrap();
        let late = late.unwrap_err();
        assert!(matches!(late, AskError::Timeout { .. }), "{late}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_age_of_the_present_message_counts_from_its_first_wait() {
    let log = Log::default();
    let (root, handle) = busy(2, &log, ms(300)).await;
    handle.tell(Linger(MINUTE)).await.unwrap();
    let admin = root.supervisor();
    // `busy` lets one millisecond pass; the second message begins when the first ends.
    for (later, age) in [(99, 100), (100, 200), (200, 100), (400, 500)].map(|(a, b)| (ms(a), ms(b)))
    {
        tokio::time::sleep(later).await;
        let listed = admin.which_children().await;
        let (name, seen) = listed[0].current.clone().unwrap();
        assert_eq!(name, "Linger");
        assert!(seen.abs_diff(age) <= ms(2), "{seen:?} instead of {age:?}");
    }
    root.stop(ms(10)).await;
}

/// Notes in which order its private and its queued messages are handled.
struct Both {
    log: Log,
    me: ActorRef<Self>,
    inbox: Inbox<Self>,
}

impl Actor for Both {
    type Args = Birth<Self, Log>;
    type Error = Infallible;
    async fn on_start(birth: Self::Args, me: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(Self {
            log: birth.seed,
            me,
            inbox: birth.inbox,
        })
    }
    supervision::receive_from!(inbox);
}

/// Tells itself that many messages.
struct Private(u32);
struct Queued;

impl Message<Private> for Both {
    type Reply = ();
    async fn handle(&mut self, Private(more): Private, _: &mut Context<Self, ()>) {
        self.log
            .note(if self.inbox.is_stopping() { "P" } else { "p" });
        for _ in 0..more {
            self.me.tell(Private(0)).try_send().unwrap();
        }
        tokio::task::yield_now().await;
    }
}

impl Message<Queued> for Both {
    type Reply = ();
    async fn handle(&mut self, _: Queued, _: &mut Context<Self, ()>) {
        self.log.note("q");
    }
}

#[tokio::test(start_paused = true)]
async fn private_and_queued_messages_take_turns() {
    let log = Log::default();
    let (both, handle) = ChildSpec::actor::<Both, _>("both", 16, log.clone());
    let tree = root().child(both);
    handle.tell(Private(4)).await.unwrap();
    for _ in 0..5 {
        handle.tell(Queued).await.unwrap();
    }
    let tree = started(tree).await;
    settle().await;
    // The first is the queued one that tells the others.
    assert_eq!(log.take().concat(), "ppqpqpqpqq");
    tree.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_private_message_wakes_an_idle_actor_every_time() {
    let log = Log::default();
    let (both, handle) = ChildSpec::actor::<Both, _>("both", 16, log.clone());
    let tree = started(root().child(both)).await;
    for more in [1, 0, 2] {
        handle.tell(Private(more)).await.unwrap();
        settle().await;
    }
    assert_eq!(log.take().concat(), "pppppp");
    handle.tell(Private(3)).await.unwrap();
    let report = tree.stop(MINUTE).await;
    assert_eq!(report.abandoned, []);
    assert_eq!(
        log.take().concat(),
        "pPPP",
        "nothing private is left behind"
    );
}
