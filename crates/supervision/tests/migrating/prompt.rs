//! A thread that pushes an answer into a queue without a bound becomes a stream: each event waits for room, there is exactly
//! one end, and whoever drops the stream ends the work.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::common::*;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// What a listener hears. The last one is an end, and there is one.
#[derive(Debug, PartialEq, Eq)]
enum Event {
    Text(String),
    Finished,
    Failed(String),
}

/// A model that says a word a second, and counts its steps.
struct Model {
    words: Vec<Result<&'static str, &'static str>>,
    steps: Arc<AtomicU32>,
}

impl Model {
    async fn next(&mut self) -> Option<Result<&'static str, &'static str>> {
        tokio::time::sleep(SECOND).await;
        self.steps.fetch_add(1, Ordering::Relaxed);
        if self.words.is_empty() {
            None
        } else {
            Some(self.words.remove(0))
        }
    }
}

/// Runs one prompt to its end, or to when nobody listens.
async fn drive(mut model: Model, listener: mpsc::Sender<Event>) {
    loop {
        let step = tokio::select! {
            () = listener.closed() => return,
            step = model.next() => step,
        };
        let (event, is_last) = match step {
            Some(Ok(word)) => (Event::Text(word.to_owned()), false),
            Some(Err(error)) => (Event::Failed(error.to_owned()), true),
            None => (Event::Finished, true),
        };
        if listener.send(event).await.is_err() || is_last {
            return;
        }
    }
}

/// An answer of these words, the count of its steps, and the set that owns its work.
fn prompt(
    words: Vec<Result<&'static str, &'static str>>,
) -> (mpsc::Receiver<Event>, Arc<AtomicU32>, JoinSet<()>) {
    let steps = Arc::default();
    let model = Model {
        words,
        steps: Arc::clone(&steps),
    };
    // A listener who is slow holds the model up after so many words.
    let (listener, answer) = mpsc::channel(16);
    let mut tasks = JoinSet::new();
    tasks.spawn(drive(model, listener));
    (answer, steps, tasks)
}

#[tokio::test(start_paused = true)]
async fn there_is_exactly_one_end_and_a_failure_is_one() {
    let said = |word: &str| Event::Text(word.to_owned());
    for (words, end) in [
        (vec![Ok("a"), Ok("b")], Event::Finished),
        (
            vec![Ok("a"), Ok("b"), Err("out of memory")],
            Event::Failed("out of memory".to_owned()),
        ),
    ] {
        let (mut answer, _, _tasks) = prompt(words);
        let mut events = Vec::new();
        while let Some(event) = answer.recv().await {
            events.push(event);
        }
        assert_eq!(events, [said("a"), said("b"), end]);
    }
}

#[tokio::test(start_paused = true)]
async fn dropping_the_stream_ends_the_work_within_a_step() {
    let (mut answer, steps, mut tasks) = prompt(vec![Ok("word"); 1000]);
    answer.recv().await.unwrap();
    drop(answer);
    tasks.join_next().await.unwrap().unwrap();
    assert_eq!(steps.load(Ordering::Relaxed), 1);
}
