//! Going away: readers who drop their stream, requests that are cancelled, trees that stop.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

use crate::common;

use std::time::Duration;

use common::{DEADLINE, Heard, Setting, counting, hear, hear_words, request};
use domain::{Bytes, GenerationError, GenerationEvent, Prompt, RequestId};
use paraphym_model_host::Cancel;
use supervision::Lifecycle;
use testkit::scripted::Answer;

/// Long enough, in virtual time, for anything that still computes to be seen.
async fn wait_and_see() {
    tokio::time::sleep(Duration::from_secs(30)).await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_stream_stops_compute_within_one_step_of_decoding() {
    let stage = Setting::new(Answer::Counting).start().await;
    let gate = stage.control.gate_step(10);
    let stream = stage.count(1, 100).await;
    stage.control.wait_until(|c| c.steps == 10).await;
    drop(stream);
    gate.release();
    wait_and_see().await;
    let counts = stage.control.counts();
    assert_eq!((counts.steps, counts.open_now()), (10, 0));
    assert_eq!(stage.ledger().await.leased, Bytes::mib(1));
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_stream_stops_compute_within_one_step_of_prefill() {
    // Nothing is kept, so that all its memory must come back.
    let setting = Setting::new(Answer::Counting).config(|c| c.prefixes = 0);
    let stage = setting.start().await;
    let gate = stage.control.gate_step(2);
    let mut ask = request("long");
    ask.prompt = Prompt::Text("x".repeat(200));
    let stream = stage.ask(ask).await.unwrap();
    stage.control.wait_until(|c| c.steps == 2).await;
    drop(stream);
    gate.release();
    wait_and_see().await;
    let counts = stage.control.counts();
    assert_eq!((counts.steps, counts.prefilled), (2, 64));
    assert_eq!(counts.open_now(), 0);
    assert_eq!(stage.ledger().await.leased, Bytes::mib(1));
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_load_nobody_waits_for_any_more_ends() {
    let stage = Setting::new(Answer::Counting).start().await;
    let gate = stage.control.gate_load(2);
    let first = stage.count(1, 10).await;
    let second = stage.count(2, 10).await;
    stage.control.wait_until(|c| c.loads == 1).await;
    drop(first);
    drop(second);
    gate.release();
    stage.control.wait_until(|c| c.loads_cancelled == 1).await;
    stage
        .settle("without leases", |l| l.leased == Bytes::ZERO)
        .await;
    let counts = stage.control.counts();
    assert_eq!((counts.engines, counts.steps), (0, 0));
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn one_who_still_waits_keeps_the_load_going() {
    let stage = Setting::new(Answer::Counting).start().await;
    let gate = stage.control.gate_load(2);
    let first = stage.count(1, 10).await;
    let second = stage.count(2, 10).await;
    drop(first);
    gate.release();
    assert_eq!(hear(second).await.text, Answer::counting(2, 10));
    let counts = stage.control.counts();
    assert_eq!((counts.loads, counts.opened), (1, 1));
    stage.close().await;
}

/// From another task, while the reader waits, wherever the answer is.
#[tokio::test(start_paused = true)]
async fn a_canceller_stops_its_answer_within_one_step_wherever_that_is() {
    let setting = Setting::new(Answer::Counting).config(|c| c.max_batch = 1);
    let stage = setting.start().await;
    let load = stage.control.gate_load(1);
    let loading = stage.count(1, 10).await;
    assert!(loading.cancel());
    assert_eq!(*hear(loading).await.failed(), GenerationError::Cancelled);
    let step = stage.control.gate_step(5);
    let answering = stage.count(2, 50).await;
    let waiting = stage.count(3, 10).await;
    load.release();
    let canceller = answering.canceller();
    let elsewhere = async {
        stage.control.wait_until(|c| c.steps == 5).await;
        assert!(waiting.cancel());
        assert!(canceller.clone().cancel());
    };
    // The reader hears it although the step has not ended.
    let (collected, ()) = tokio::join!(answering.collect(), elsewhere);
    let unfinished = collected.unwrap_err();
    assert_eq!(unfinished.error, GenerationError::Cancelled);
    assert_eq!(unfinished.text, Answer::counting(2, 4));
    assert!(!canceller.cancel());
    assert_eq!(*hear(waiting).await.failed(), GenerationError::Cancelled);
    step.release();
    let next = stage.count(4, 3).await.collect().await.unwrap();
    assert_eq!(next.text, Answer::counting(4, 3));
    let counts = stage.control.counts();
    assert_eq!((counts.steps, counts.open_now()), (5 + 3, 0));
    stage.close().await;
}

/// The request of that name hears `Cancelled` once, and the one beside it goes on.
#[tokio::test(start_paused = true)]
async fn cancel_reaches_a_request_wherever_it_is() {
    let cancel = |id: &str| Cancel {
        id: RequestId::new(id),
    };
    // While loading, waiting and answering: one place in the batch, so the second waits.
    let setting = Setting::new(Answer::Counting).config(|c| c.max_batch = 1);
    let stage = setting.start().await;
    let load = stage.control.gate_load(1);
    let loading = stage.count(1, 10).await;
    let answering = stage.count(2, 50).await;
    let waiting = stage.count(3, 10).await;
    assert!(!stage.host.ask(cancel("count-9"), DEADLINE).await.unwrap());
    assert!(stage.host.ask(cancel("count-1"), DEADLINE).await.unwrap());
    assert_eq!(*hear(loading).await.failed(), GenerationError::Cancelled);
    let step = stage.control.gate_step(5);
    load.release();
    stage.control.wait_until(|c| c.steps == 5).await;
    assert!(stage.host.ask(cancel("count-3"), DEADLINE).await.unwrap());
    assert_eq!(*hear(waiting).await.failed(), GenerationError::Cancelled);
    let last = stage.count(4, 10).await;
    assert!(stage.host.ask(cancel("count-2"), DEADLINE).await.unwrap());
    step.release();
    let heard = hear(answering).await;
    assert_eq!(*heard.failed(), GenerationError::Cancelled);
    assert_eq!(heard.text, Answer::counting(2, 5));
    assert_eq!(hear(last).await.text, Answer::counting(4, 10));
    assert!(!stage.host.ask(cancel("count-2"), DEADLINE).await.unwrap());
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_graceful_stop_lets_a_live_answer_finish() {
    let setting = Setting::new(Answer::Counting).config(|c| c.max_batch = 1);
    let mut stage = setting.start().await;
    let gate = stage.control.gate_step(3);
    let live = stage.count(1, 60).await;
    stage.control.wait_until(|c| c.steps == 3).await;
    let waiting = stage.count(2, 10).await;
    let scene = stage.scene();
    let mut events = scene.root().events();
    let stop = scene.stop_within(DEADLINE);
    // The step goes on once the lane is stopping: others stop before it, on threads that are as slow as they like, and the
    // whole answer could be over by then.
    let goes_on = async {
        loop {
            let event = events.recv().await.unwrap();
            if event.what == Lifecycle::Stopping && event.child.as_str().contains("/lane-") {
                return gate.release();
            }
        }
    };
    let (report, live, waiting, ()) = tokio::join!(stop, hear(live), hear(waiting), goes_on);
    assert_eq!(report.abandoned, []);
    assert_eq!(live.text, Answer::counting(1, 60));
    live.finished();
    assert!(
        matches!(waiting.failed(), GenerationError::Unavailable { .. }),
        "{:?}",
        waiting.end()
    );
    assert_eq!(stage.control.counts().engines, 0);
    let refused = stage.ask(counting(3, 5)).await.unwrap_err();
    assert!(
        matches!(refused, GenerationError::Unavailable { .. }),
        "{refused}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stop_past_its_deadline_names_the_request_it_abandons() {
    let mut stage = Setting::new(Answer::Counting).start().await;
    let gate = stage.control.gate_step(3);
    let live = stage.count(1, 60).await;
    stage.control.wait_until(|c| c.steps == 3).await;
    let stop = stage.scene().stop_within(Duration::ZERO);
    let (report, heard) = tokio::join!(stop, hear(live));
    gate.release();
    assert!(
        report.abandoned.iter().any(|a| a.what.contains("count-1")),
        "{:?}",
        report.abandoned
    );
    assert!(matches!(
        heard.failed(),
        GenerationError::Unavailable { .. }
    ));
    stage.control.wait_until(|c| c.engines == 0).await;
}

/// Its answer is complete, far more was said than the channel holds, and nothing was read when the stop begins.
#[tokio::test(start_paused = true)]
async fn a_graceful_stop_waits_for_a_slow_reader() {
    let setting = Setting::new(Answer::Counting).card(|card| card.context_tokens = 2048);
    let mut stage = setting.start().await;
    let slow = stage.count(1, 900).await;
    stage.control.wait_until(|c| c.sampled == 900).await;
    stage.until_only_kept().await;
    let stop = stage.scene().stop_within(DEADLINE);
    let read = async {
        wait_a_little().await;
        hear(slow).await
    };
    let (report, heard) = tokio::join!(stop, read);
    assert_eq!(report.abandoned, []);
    assert_eq!(heard.text, Answer::counting(1, 900));
    heard.finished();
}

/// Less than any deadline of a stop.
async fn wait_a_little() {
    tokio::time::sleep(Duration::from_secs(5)).await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_past_its_deadline_names_a_finished_answer_nobody_read() {
    let setting = Setting::new(Answer::Counting).card(|card| card.context_tokens = 2048);
    let mut stage = setting.start().await;
    let slow = stage.count(1, 900).await;
    stage.control.wait_until(|c| c.sampled == 900).await;
    stage.until_only_kept().await;
    let report = stage.scene().stop_within(DEADLINE).await;
    assert!(
        report.abandoned.iter().any(|a| a.what.contains("count-1")),
        "{:?}",
        report.abandoned
    );
    let heard = hear(slow).await;
    assert!(Answer::counting(1, 900).starts_with(&heard.text));
    heard.failed();
    stage.control.wait_until(|c| c.engines == 0).await;
}

/// A reader who takes nothing for five minutes after the end counts as gone; what it finds then ends, too.
#[tokio::test(start_paused = true)]
async fn a_reader_who_never_reads_is_not_waited_for_for_ever() {
    let setting = Setting::new(Answer::Counting).card(|card| card.context_tokens = 2048);
    let stage = setting.start().await;
    let stream = stage.count(1, 900).await;
    stage.control.wait_until(|c| c.sampled == 900).await;
    tokio::time::sleep(Duration::from_mins(11)).await;
    assert_eq!(stage.models().await, []);
    let heard = hear(stream).await;
    assert!(Answer::counting(1, 900).starts_with(&heard.text));
    assert!(matches!(
        heard.failed(),
        GenerationError::Unavailable { .. }
    ));
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_read_as_it_comes() {
    let stage = Setting::new(Answer::Counting).start().await;
    let gate = stage.control.gate_step(5);
    let mut stream = stage.count(1, 60).await;
    let mut heard = Heard::default();
    hear_words(&mut stream, &mut heard, 4).await;
    assert_eq!(heard.text, Answer::counting(1, 4));
    // The fifth step is under way and held.
    stage.control.wait_until(|c| c.steps == 5).await;
    gate.release();
    let next = stream.next().await.unwrap();
    assert!(matches!(next, GenerationEvent::Text(_)), "{next:?}");
    drop(stream);
    stage.close().await;
}
