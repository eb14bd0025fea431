//! Shell: what the asker of a turn holds: a stream that always ends with exactly one terminal event, also when the worker is
//! gone. Dropping it cancels the turn.

use std::pin::Pin;
use std::task::{Context, Poll};

use domain::{GenerationError, RequestId, TurnEvent};
use futures_util::Stream;
use tokio::sync::mpsc;

/// The events of one turn.
#[derive(Debug)]
pub struct TurnStream {
    id: RequestId,
    events: mpsc::Receiver<TurnEvent>,
    ended: bool,
}

impl TurnStream {
    pub(crate) fn new(id: RequestId, events: mpsc::Receiver<TurnEvent>) -> Self {
        Self {
            id,
            events,
            ended: false,
        }
    }

    /// The turn's name; what `Agents::cancel` takes.
    pub fn id(&self) -> &RequestId {
        &self.id
    }
}

impl Stream for TurnStream {
    type Item = TurnEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<TurnEvent>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let event = std::task::ready!(self.events.poll_recv(cx)).unwrap_or_else(|| {
            let reason = "it was stopped during this turn; ask again".into();
            let part = "agent_worker".into();
            TurnEvent::Failed(GenerationError::Unavailable { part, reason }.into())
        });
        self.ended = event.is_terminal();
        Poll::Ready(Some(event))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    #[tokio::test]
    async fn exactly_one_terminal_event_whatever_is_sent() {
        let text = || TurnEvent::Text("a".into());
        let cancelled = || TurnEvent::Failed(GenerationError::Cancelled.into());
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
            let all: Vec<_> = TurnStream::new(RequestId::new("t"), events).collect().await;
            assert_eq!(all.len(), heard);
            assert_eq!(all.iter().filter(|e| e.is_terminal()).count(), 1);
            assert!(all.last().is_some_and(TurnEvent::is_terminal));
        }
    }
}
