//! Rooms as those who look see them: one answer for all, whoever of them goes, crashes or is slow.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

mod support;

use domain::FinishReason;
use paraphym_room as room;
use room::{Ending, Heard, RoomEvent};
use supervision::Lifecycle;
use support::{DEADLINE, Stage, Viewer, conversation, say};
use testkit::scripted::Answer;
use typing::Watch;

const SAID: &str = "Hello dear world";

fn hello() -> Answer {
    Answer::Text(SAID.to_owned())
}

fn is_finished(ending: &Ending) -> bool {
    let stop = FinishReason::Stop;
    matches!(ending, Ending::Finished { reason, .. } if *reason == stop)
}

#[tokio::test(start_paused = true)]
async fn everybody_who_looks_sees_the_same_answer_and_who_comes_late_sees_what_was_said() {
    let stage = Stage::start(Answer::Counting).await;
    let gate = stage.control.gate_step(8);
    let mut first = stage.sit("1");
    let turn = stage.say("n").await;
    stage.control.wait_until(|counts| counts.steps == 8).await;
    let mut late = stage.sit("2");
    let seen = late.look();
    assert_eq!(seen.members().count(), 2);
    assert_eq!(seen.turns()[0].question.turn, turn);
    let known = seen.turns()[0].text.clone();
    assert!(!known.is_empty());
    gate.release();
    let (mut one, mut two) = (Viewer::default(), Viewer::default());
    two.text = known;
    tokio::join!(one.until(&mut first, 1), two.until(&mut late, 1));
    assert_eq!(one.text, two.text);
    assert!(one.text.len() > 50 && one.ended == two.ended);
    assert!(matches!(one.ended[0], Ending::Finished { .. }));
    drop((first, late));
    stage.end().await;
}

#[tokio::test(start_paused = true)]
async fn the_answer_goes_on_when_whoever_asked_has_gone() {
    let stage = Stage::start(hello()).await;
    let gate = stage.control.gate_step(3);
    let asker = stage.sit("1");
    let mut other = stage.sit("2");
    stage.say("n").await;
    stage.control.wait_until(|counts| counts.steps == 3).await;
    drop(asker);
    gate.release();
    let mut viewer = Viewer::default();
    viewer.until(&mut other, 1).await;
    assert_eq!(viewer.text, SAID);
    drop(other);
    stage.end().await;
}

#[tokio::test(start_paused = true)]
async fn the_same_said_again_is_answered_once() {
    let stage = Stage::start(hello()).await;
    let mut seat = stage.sit("1");
    let turn = stage.say("n").await;
    assert_eq!(stage.say("n").await, turn);
    let mut viewer = Viewer::default();
    viewer.until(&mut seat, 1).await;
    assert_eq!(stage.say("n").await, turn);
    assert_eq!(stage.control.counts().opened, 1);
    drop(seat);
    stage.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_it_for_everybody_and_compute_stops() {
    let stage = Stage::start(Answer::Counting).await;
    let gate = stage.control.gate_step(5);
    let mut seat = stage.sit("1");
    stage.say("n").await;
    stage.control.wait_until(|counts| counts.steps == 5).await;
    assert_eq!(stage.rooms.stop(&conversation()).await.unwrap(), 1);
    gate.release();
    let mut viewer = Viewer::default();
    viewer.until(&mut seat, 1).await;
    assert_eq!(viewer.ended, [Ending::Stopped]);
    assert_eq!(stage.rooms.stop(&conversation()).await.unwrap(), 0);
    drop(seat);
    stage.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_is_seen_typing_while_it_writes_and_not_after() {
    let stage = Stage::start(Answer::Counting).await;
    let gate = stage.control.gate_step(8);
    let wish = Watch {
        conversation: conversation(),
    };
    let mut typing = stage.typing.ask(wish, DEADLINE).await.unwrap();
    let mut seat = stage.sit("1");
    stage.say("n").await;
    stage.control.wait_until(|counts| counts.steps == 8).await;
    typing.wait_for(|set| !set.0.is_empty()).await.unwrap();
    assert_eq!(typing.borrow().0[0].as_str(), room::AGENT);
    gate.release();
    Viewer::default().until(&mut seat, 1).await;
    typing.wait_for(|set| set.0.is_empty()).await.unwrap();
    drop(seat);
    stage.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_killed_carrier_ends_its_answer_with_an_error_and_nobody_types_for_ever() {
    let stage = Stage::start(Answer::Counting).await;
    let gate = stage.control.gate_step(8);
    let mut seat = stage.sit("1");
    stage.say("n").await;
    stage.control.wait_until(|counts| counts.steps == 8).await;
    let admin = stage.scene.root().administration();
    admin
        .kill("root/room_supervisor/room_answer-1", DEADLINE)
        .await
        .unwrap();
    gate.release();
    let mut viewer = Viewer::default();
    viewer.until(&mut seat, 1).await;
    assert!(matches!(&viewer.ended[0], Ending::Failed(why) if why.contains("ask again")));
    let status = stage.typing.ask(typing::Status, DEADLINE).await.unwrap();
    assert_eq!(status.typing, 0);
    // The room is as good as before.
    let mut viewer = Viewer::default();
    stage.say("again").await;
    let ends = async {
        loop {
            if let Heard::Event(event) = seat.next().await
                && matches!(*event, RoomEvent::Ended { .. })
            {
                return;
            }
        }
    };
    ends.await;
    viewer.missed += 1;
    drop(seat);
    stage.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_the_worker_refuses_was_not_said_and_may_be_said_again() {
    let stage = Stage::start(hello()).await;
    let mut seat = stage.sit("1");
    let mut wrong = say("n");
    wrong.settings.sampling.temperature = 9.0;
    stage.rooms.say(&conversation(), wrong).await.unwrap();
    let mut viewer = Viewer::default();
    viewer.until(&mut seat, 1).await;
    assert!(matches!(&viewer.ended[0], Ending::Failed(why) if why.contains("temperature")));
    stage.say("n").await;
    viewer.until(&mut seat, 2).await;
    assert_eq!(viewer.text, SAID);
    drop(seat);
    stage.end().await;
}

#[tokio::test(start_paused = true)]
async fn who_reads_nothing_slows_nobody_and_sees_the_room_anew() {
    let stage = Stage::start(Answer::Counting).await;
    let mut slow = stage.sit("slow");
    let mut quick = stage.sit("quick");
    let mut viewer = Viewer::default();
    for number in 0..4 {
        stage.say(&number.to_string()).await;
        viewer.text.clear();
        viewer.until(&mut quick, number + 1).await;
    }
    assert_eq!(viewer.missed, 0);
    let heard = slow.next().await;
    assert!(
        matches!(heard, Heard::Missed(missed, _) if missed > 0),
        "{heard:?}"
    );
    assert!(slow.ready().is_none());
    drop((slow, quick));
    stage.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_graceful_stop_lets_answers_come_to_their_end() {
    let stage = Stage::start(hello()).await;
    let gate = stage.control.gate_step(3);
    let mut seat = stage.sit("1");
    stage.say("n").await;
    stage.control.wait_until(|counts| counts.steps == 3).await;
    let mut viewer = Viewer::default();
    let mut events = stage.scene.root().events();
    let Stage { scene, control, .. } = stage;
    let stop = scene.stop();
    let look = async {
        loop {
            let event = events.recv().await.unwrap();
            let child = event.child.as_str();
            if child == "root/room_supervisor" && matches!(event.what, Lifecycle::Stopping) {
                break;
            }
        }
        gate.release();
        viewer.until(&mut seat, 1).await;
    };
    let (report, ()) = tokio::join!(stop, look);
    assert_eq!(report.abandoned, []);
    assert_eq!(
        (viewer.text.as_str(), is_finished(&viewer.ended[0])),
        (SAID, true)
    );
    assert_eq!(control.counts().open_now(), 0);
}

/// Remembers which answers began, by whom, and which ended; it says that as many were written down as ended.
#[derive(Default)]
struct Book {
    begun: std::sync::Mutex<Vec<room::record::AskedTurn>>,
    ended: std::sync::Mutex<Vec<domain::RequestId>>,
}

impl room::Record for Book {
    fn begun(
        &self,
        asked: room::record::AskedTurn,
    ) -> futures_util::future::BoxFuture<'static, Result<(), String>> {
        self.begun.lock().unwrap().push(asked);
        Box::pin(async { Ok(()) })
    }

    fn ended(
        &self,
        _: domain::ConversationId,
        turn: domain::RequestId,
    ) -> futures_util::future::BoxFuture<'static, Result<room::Kept, String>> {
        let mut known = self.ended.lock().unwrap();
        known.push(turn);
        let last = known.len() as u64;
        Box::pin(async move {
            Ok(room::Kept {
                before: last - 1,
                last,
                entries: Vec::new(),
            })
        })
    }
}

/// The next thing that was written down: its turn and its last number, and how many answers ended before it.
async fn kept(seat: &mut room::Seat) -> (domain::RequestId, u64, usize) {
    let mut ended = 0;
    loop {
        if let Heard::Event(event) = seat.next().await {
            match &*event {
                RoomEvent::Ended { .. } => ended += 1,
                RoomEvent::Kept { turn, kept, .. } => return (turn.clone(), kept.last, ended),
                _ => {}
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_written_down_is_read_behind_the_end_of_each_answer_whole_stopped_or_refused() {
    let book = std::sync::Arc::new(Book::default());
    let mut stage = Stage::start(Answer::Counting).await;
    stage.rooms = stage.rooms.with_record(book.clone());
    let mut seat = stage.sit("1");
    let written = stage.rooms.written();
    let whole = stage.say("whole").await;
    assert_eq!(kept(&mut seat).await, (whole.clone(), 1, 1));
    assert!(written.has_changed().unwrap());
    let step = stage.control.counts().steps + 5;
    let gate = stage.control.gate_step(step);
    let stopped = stage.say("stopped").await;
    stage
        .control
        .wait_until(|counts| counts.steps >= step)
        .await;
    // One waits behind it, and is stopped, too, before its worker has begun it.
    let waits = stage.say("waits").await;
    assert_eq!(stage.rooms.stop(&conversation()).await.unwrap(), 2);
    gate.release();
    let mut seen = vec![kept(&mut seat).await, kept(&mut seat).await];
    let mut ended: usize = seen.iter().map(|(_, _, ended)| ended).sum();
    let mut wrong = say("wrong");
    wrong.settings.sampling.temperature = 9.0;
    let refused = stage.rooms.say(&conversation(), wrong).await.unwrap();
    seen.push(kept(&mut seat).await);
    ended += seen[2].2;
    assert_eq!(ended, 3);
    let turns = book.ended.lock().unwrap().clone();
    let told: Vec<_> = seen.iter().map(|(turn, _, _)| turn.clone()).collect();
    assert_eq!(turns[0], whole);
    assert_eq!(turns[1..], told);
    assert!(told.contains(&stopped) && told.contains(&waits) && told[2] == refused);
    // Who asked is written down of those that began: the one that waited did when the one before it was stopped.
    let begun = book.begun.lock().unwrap().clone();
    let asked: Vec<_> = begun
        .iter()
        .map(|one| (one.turn.clone(), one.by.as_str(), one.nonce.as_str()))
        .collect();
    let expected = [(whole, "whole"), (stopped, "stopped"), (waits, "waits")];
    assert_eq!(asked, expected.map(|(turn, nonce)| (turn, "ann", nonce)));
    drop(seat);
    stage.end().await;
}

#[tokio::test(start_paused = true)]
async fn where_nothing_is_written_down_the_end_is_followed_by_nothing_once() {
    let stage = Stage::start(hello()).await;
    let mut seat = stage.sit("1");
    let turn = stage.say("n").await;
    assert_eq!(kept(&mut seat).await, (turn, 0, 1));
    assert!(seat.ready().is_none());
    drop(seat);
    stage.end().await;
}

#[tokio::test(start_paused = true)]
async fn one_stopped_as_soon_as_it_is_asked_ends_once_and_the_next_is_answered() {
    let book = std::sync::Arc::new(Book::default());
    let mut stage = Stage::start(Answer::Counting).await;
    stage.rooms = stage.rooms.with_record(book);
    let mut seat = stage.sit("1");
    let here = conversation();
    // However late its worker hears of it, the answer has not ended by itself.
    let gate = stage.control.gate_step(3);
    let (turn, stopped) = tokio::join!(biased; stage.say("n"), stage.rooms.stop(&here));
    assert_eq!(stopped.unwrap(), 1);
    assert_eq!(kept(&mut seat).await, (turn, 1, 1));
    gate.release();
    let mut viewer = Viewer::default();
    stage.say("again").await;
    viewer.until(&mut seat, 1).await;
    assert!(matches!(viewer.ended[0], Ending::Finished { .. }));
    drop(seat);
    stage.end().await;
}
