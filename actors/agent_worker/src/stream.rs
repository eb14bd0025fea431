//! Shell: what the asker of a turn holds: a stream that always ends with exactly one terminal event, also when the worker is
//! gone. Dropping it cancels the turn; it can be cancelled from elsewhere, too, and read as a whole.

use std::pin::Pin;
use std::task::{Context, Poll};

use domain::{GenerationError, RequestId, TurnError, TurnEvent, Unfinished};
use futures_util::Stream;
use model_host::reader::{Canceller, Read, Reader};
use tokio::sync::mpsc;

use crate::answer::{Heard, TurnAnswer};

/// The events of one turn. Dropping it cancels the turn, and compute stops within one step.
#[derive(Debug)]
pub struct TurnStream {
    id: RequestId,
    events: Reader<TurnEvent>,
    /// Something was heard but its place: it runs, and says itself how it ends.
    runs: bool,
    ended: bool,
}

impl TurnStream {
    pub(crate) fn new(id: RequestId, events: mpsc::Receiver<TurnEvent>) -> Self {
        Self {
            id,
            events: Reader::new(events),
            runs: false,
            ended: false,
        }
    }

    /// The turn's name; what `Agents::steer` and `Agents::cancel` take.
    pub fn id(&self) -> &RequestId {
        &self.id
    }

    /// The next event; `None` after the terminal one. Cancel safe.
    pub async fn next(&mut self) -> Option<TurnEvent> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// The whole turn, from here to its end; what was read before is not in it. Who has to allow tools reads the events instead:
    /// here nobody answers. Dropping the future cancels.
    ///
    /// # Errors
    /// Why it failed, with all that was said before: `?` into a [`TurnError`] leaves that out.
    pub async fn collect(mut self) -> Result<TurnAnswer, Unfinished<TurnError>> {
        let mut heard = Heard::default();
        while let Some(event) = self.next().await {
            if let Some(answer) = heard.hear(event) {
                return answer;
            }
        }
        // Its end was read before.
        let error = gone("its end was read already").into();
        let text = String::new();
        Err(Unfinished { error, text })
    }

    /// Cancels this turn from elsewhere, another task for example. The stream of a turn that runs ends when what it was doing has
    /// stopped and what was said of it is remembered; that of one that waits, at once.
    pub fn canceller(&self) -> Canceller {
        self.events.canceller()
    }

    /// Stops the turn, as [`Canceller::cancel`]; what was said before can still be read.
    pub fn cancel(&self) -> bool {
        self.canceller().cancel()
    }
}

impl Stream for TurnStream {
    type Item = TurnEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<TurnEvent>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let event = match std::task::ready!(self.events.poll(self.runs, cx)) {
            Read::Event(event) => event,
            Read::Cancelled => TurnEvent::Failed(GenerationError::Cancelled.into()),
            Read::Gone => {
                TurnEvent::Failed(gone("it was stopped during this turn; ask again").into())
            }
        };
        self.runs |= !matches!(event, TurnEvent::Queued { .. });
        if event.is_terminal() {
            self.ended = true;
            self.events.end();
        }
        Poll::Ready(Some(event))
    }
}

fn gone(reason: &str) -> GenerationError {
    GenerationError::Unavailable {
        part: "agent_worker".to_owned(),
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use domain::FinishReason;
    use futures_util::StreamExt;

    use super::*;

    fn text() -> TurnEvent {
        TurnEvent::Text("a".into())
    }

    fn cancelled() -> TurnEvent {
        TurnEvent::Failed(GenerationError::Cancelled.into())
    }

    #[tokio::test]
    async fn exactly_one_terminal_event_whatever_is_sent() {
        for (sent, heard) in [
            (vec![text(), cancelled()], 2),
            (vec![text()], 2),
            (vec![], 1),
            (vec![cancelled(), text(), cancelled()], 1),
        ] {
            let (sender, events) = mpsc::channel(8);
            for event in sent {
                sender.try_send(event).unwrap();
            }
            drop(sender);
            let stream = TurnStream::new(RequestId::new("t"), events);
            let all: Vec<_> = StreamExt::collect(stream).await;
            assert_eq!(all.len(), heard);
            assert_eq!(all.iter().filter(|e| e.is_terminal()).count(), 1);
            assert!(all.last().is_some_and(TurnEvent::is_terminal));
        }
    }

    /// One that waits has nothing to put away; one that runs says itself how it ended.
    #[tokio::test]
    async fn a_cancelled_turn_that_waits_ends_at_once_and_one_that_runs_when_it_says_so() {
        let (sender, events) = mpsc::channel(8);
        let last = sender.clone().try_reserve_owned().unwrap();
        sender.try_send(TurnEvent::Queued { position: 1 }).unwrap();
        let mut waits = TurnStream::new(RequestId::new("t"), events);
        assert!(waits.cancel());
        assert_eq!(waits.next().await, Some(TurnEvent::Queued { position: 1 }));
        assert_eq!(waits.next().await, Some(cancelled()));
        assert_eq!(waits.next().await, None);
        drop(last);

        let (sender, events) = mpsc::channel(8);
        let last = sender.clone().try_reserve_owned().unwrap();
        sender.try_send(text()).unwrap();
        let runs = TurnStream::new(RequestId::new("t"), events);
        let canceller = runs.canceller();
        let ends = async {
            assert!(canceller.cancel());
            tokio::task::yield_now().await;
            let (reason, usage) = (FinishReason::Stop, domain::Usage::default());
            // It had ended just before.
            last.send(TurnEvent::Finished { reason, usage });
        };
        let (answer, ()) = tokio::join!(runs.collect(), ends);
        assert_eq!(answer.map(|answer| answer.text), Ok("a".to_owned()));
        assert!(!canceller.cancel());
    }

    #[tokio::test]
    async fn a_running_turn_whose_worker_is_gone_ends_as_it_was_wished() {
        let (sender, events) = mpsc::channel(8);
        sender.try_send(text()).unwrap();
        drop(sender);
        let stream = TurnStream::new(RequestId::new("t"), events);
        stream.cancel();
        let unfinished = stream.collect().await.unwrap_err();
        assert_eq!(unfinished.text, "a");
        assert_eq!(unfinished.error, GenerationError::Cancelled.into());
    }
}
