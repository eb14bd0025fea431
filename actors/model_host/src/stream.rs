//! Shell: what the asker of one answer holds: a stream that always ends with exactly one terminal event, also when the host is
//! gone. It can be read as a whole, and cancelled from elsewhere.

use std::pin::Pin;
use std::task::{Context, Poll};

use domain::{GenerationError, GenerationEvent, Unfinished};
use futures_util::Stream;
use tokio::sync::mpsc;

use crate::actor::CHILD_ID;
use crate::answer::{Answer, Heard};
use crate::reader::{Canceller, Read, Reader};

/// One answer, event by event. It ends after exactly one terminal event. Dropping it cancels the request, and compute
/// stops within one step.
#[derive(Debug)]
pub struct GenerationStream {
    events: Reader<GenerationEvent>,
    ended: bool,
}

impl GenerationStream {
    pub(crate) fn new(events: mpsc::Receiver<GenerationEvent>) -> Self {
        Self {
            events: Reader::new(events),
            ended: false,
        }
    }

    /// The next event; `None` after the terminal one. Cancel safe.
    pub async fn next(&mut self) -> Option<GenerationEvent> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// The whole answer, from here to its end; what was read before is not in it. Dropping the future cancels.
    ///
    /// # Errors
    /// Why it failed, with what was said before: `?` into a [`GenerationError`] leaves that out.
    pub async fn collect(mut self) -> Result<Answer, Unfinished<GenerationError>> {
        let mut heard = Heard::default();
        while let Some(event) = self.next().await {
            if let Some(answer) = heard.hear(event) {
                return answer;
            }
        }
        // Its end was read before.
        let error = gone("its end was read already");
        let text = String::new();
        Err(Unfinished { error, text })
    }

    /// Cancels this answer from elsewhere, another task for example.
    pub fn canceller(&self) -> Canceller {
        self.events.canceller()
    }

    /// Stops the answer, as [`Canceller::cancel`]; what was said before can still be read.
    pub fn cancel(&self) -> bool {
        self.canceller().cancel()
    }
}

impl Stream for GenerationStream {
    type Item = GenerationEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<GenerationEvent>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let event = match std::task::ready!(self.events.poll(false, cx)) {
            Read::Event(event) => event,
            Read::Cancelled => GenerationEvent::Failed(GenerationError::Cancelled),
            // A writer that went without a word is an end, too.
            Read::Gone => {
                GenerationEvent::Failed(gone("it stopped before the answer was complete"))
            }
        };
        if event.is_terminal() {
            self.ended = true;
            self.events.end();
        }
        Poll::Ready(Some(event))
    }
}

fn gone(reason: &str) -> GenerationError {
    GenerationError::Unavailable {
        part: CHILD_ID.to_owned(),
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use domain::{FinishReason, Usage};

    use super::*;

    fn channel() -> (mpsc::Sender<GenerationEvent>, GenerationStream) {
        let (sender, events) = mpsc::channel(8);
        (sender, GenerationStream::new(events))
    }

    fn text(text: &str) -> GenerationEvent {
        GenerationEvent::Text(text.to_owned())
    }

    fn cancelled() -> GenerationEvent {
        GenerationEvent::Failed(GenerationError::Cancelled)
    }

    #[tokio::test]
    async fn ends_after_exactly_one_terminal_event() {
        let (sender, mut stream) = channel();
        for event in [text("a"), cancelled(), text("a")] {
            sender.send(event).await.unwrap();
        }
        assert_eq!(stream.next().await, Some(text("a")));
        assert_eq!(stream.next().await, Some(cancelled()));
        assert_eq!(stream.next().await, None);
    }

    #[tokio::test]
    async fn a_silent_end_is_said() {
        let (sender, mut stream) = channel();
        drop(sender);
        let end = stream.next().await;
        assert!(
            matches!(
                end,
                Some(GenerationEvent::Failed(GenerationError::Unavailable { .. }))
            ),
            "{end:?}"
        );
        assert_eq!(stream.next().await, None);
    }

    #[tokio::test]
    async fn a_cancelled_answer_says_what_it_had_and_one_end() {
        let (sender, mut stream) = channel();
        sender.send(text("a")).await.unwrap();
        let canceller = stream.canceller();
        assert!(stream.cancel());
        assert!(!canceller.cancel());
        assert!(sender.send(text("b")).await.is_err());
        assert_eq!(stream.next().await, Some(text("a")));
        assert_eq!(stream.next().await, Some(cancelled()));
        assert_eq!(stream.next().await, None);
    }

    #[tokio::test]
    async fn an_end_that_was_sent_before_the_cancel_stays_what_it_is() {
        let (sender, stream) = channel();
        let (reason, usage) = (FinishReason::Stop, Usage::default());
        sender.send(text("a")).await.unwrap();
        let finished = GenerationEvent::Finished { reason, usage };
        sender.send(finished).await.unwrap();
        stream.cancel();
        let answer = stream.collect().await.unwrap();
        assert_eq!((answer.text.as_str(), answer.reason), ("a", reason));
    }

    #[tokio::test]
    async fn what_is_over_has_nothing_to_collect() {
        let (sender, mut stream) = channel();
        sender.send(cancelled()).await.unwrap();
        assert_eq!(stream.next().await, Some(cancelled()));
        let collected = stream.collect().await.unwrap_err();
        assert_eq!(collected.text, "");
        let said = "model_host is not available: its end was read already";
        assert_eq!(collected.to_string(), said);
    }
}
