//! A thread that waits for Ctrl-C and ends the process becomes one loop that waits for lines and for signals, and returns: whoever
//! started it stops the tree and says the status.

use crate::common::*;
use futures_util::stream::{self, Stream, StreamExt};
use tokio::time::sleep;

/// How a conversation on the terminal ended.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    /// The input is at its end.
    Quietly,
    /// Ctrl-C, twice without a line between: status 130.
    Interrupted,
}

/// Talks until the input ends or the person has had enough. `answer` ends when it is dropped.
async fn talk<A: Future<Output = ()>>(
    lines: impl Stream<Item = String>,
    presses: impl Stream<Item = ()>,
    mut answer: impl FnMut(String) -> A,
) -> Ended {
    let (mut lines, mut presses) = (Box::pin(lines), Box::pin(presses));
    let mut warned = false;
    loop {
        let line = tokio::select! {
            biased;
            Some(()) = presses.next() => {
                if std::mem::replace(&mut warned, true) {
                    return Ended::Interrupted;
                }
                continue;
            }
            line = lines.next() => line,
        };
        let Some(line) = line else {
            return Ended::Quietly;
        };
        warned = false;
        tokio::select! {
            biased;
            Some(()) = presses.next() => warned = true,
            () = answer(line) => {}
        }
    }
}

/// Says these words at these seconds.
fn at<T: Clone>(times: &'static [(u64, T)]) -> impl Stream<Item = T> {
    let begun = tokio::time::Instant::now();
    stream::iter(times).then(move |(second, word)| async move {
        tokio::time::sleep_until(begun + SECOND * u32::try_from(*second).unwrap()).await;
        word.clone()
    })
}

#[tokio::test(start_paused = true)]
async fn one_press_ends_the_answer_and_two_the_conversation() {
    let lines = at(&[(1, "a"), (2, "b"), (30, "never")]).map(str::to_owned);
    // During the answer to `a`, then during the one to `b`, then at the prompt.
    let presses = at(&[(2, ()), (4, ()), (6, ())]);
    let (heard, mut said) = tokio::sync::mpsc::channel(8);
    let begun = tokio::time::Instant::now();
    let ended = talk(lines, presses.chain(stream::pending()), |line| {
        let heard = heard.clone();
        async move {
            heard.try_send(format!("begun {line}")).unwrap();
            sleep(MINUTE).await;
            heard.try_send(format!("ended {line}")).unwrap();
        }
    });
    assert_eq!(ended.await, Ended::Interrupted);
    assert_eq!(begun.elapsed().as_secs(), 6);
    drop(heard);
    let mut words = Vec::new();
    said.recv_many(&mut words, 8).await;
    assert_eq!(words, ["begun a", "begun b"]);
}

#[tokio::test(start_paused = true)]
async fn an_input_that_ends_ends_the_conversation_after_its_last_answer() {
    let lines = at(&[(1, "a"), (2, "b")]).map(str::to_owned);
    let mut answers = 0;
    let ended = talk(lines, stream::pending(), |_| {
        answers += 1;
        sleep(SECOND)
    });
    assert_eq!(ended.await, Ended::Quietly);
    assert_eq!(answers, 2);
}
