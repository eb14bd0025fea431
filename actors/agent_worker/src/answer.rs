//! Shell: one answer on its way from the model to its listener, apart from the worker's inbox so that neither stalls the
//! other. It owns nothing: dropping it drops the model's stream, and compute stops within one step.

use std::future::Future;

use domain::{GenerationError, GenerationEvent, TurnEvent};
use futures_util::{Stream, StreamExt};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::turn::Ending;

/// Passes on all but the last event and tells how the answer ended. It ends early, at whatever it is waiting for, when
/// `halt` is cancelled or nobody listens any more. `heard` gets each text that was delivered.
pub(crate) async fn pass_on<S>(
    opening: impl Future<Output = Result<S, GenerationError>>,
    listener: &mpsc::Sender<TurnEvent>,
    halt: &CancellationToken,
    heard: impl Fn(&str),
) -> Ending
where
    S: Stream<Item = GenerationEvent> + Unpin,
{
    tokio::select! {
        biased;
        () = halt.cancelled() => Ending::Stopped,
        () = listener.closed() => Ending::Stopped,
        ending = relay(opening, listener, heard) => ending,
    }
}

async fn relay<S>(
    opening: impl Future<Output = Result<S, GenerationError>>,
    listener: &mpsc::Sender<TurnEvent>,
    heard: impl Fn(&str),
) -> Ending
where
    S: Stream<Item = GenerationEvent> + Unpin,
{
    let mut answer = match opening.await {
        Ok(answer) => answer,
        Err(error) => return Ending::Failed(error.into()),
    };
    while let Some(event) = answer.next().await {
        match event {
            GenerationEvent::Finished { reason, usage } => {
                return Ending::Finished { reason, usage };
            }
            GenerationEvent::Failed(error) => return Ending::Failed(error.into()),
            event => {
                // A token's life, stop 13: past the conversation, which remembers it.
                // The permit first: a text that was never taken was never said.
                let Ok(place) = listener.reserve().await else {
                    return Ending::Stopped;
                };
                if let GenerationEvent::Text(text) = &event {
                    heard(text);
                }
                if let Some(event) = TurnEvent::of_generation(event) {
                    place.send(event);
                }
            }
        }
    }
    let reason = "its answer broke off; ask again".into();
    let part = "model_host".into();
    Ending::Failed(GenerationError::Unavailable { part, reason }.into())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::pin::pin;
    use std::task::Poll;

    use domain::{FinishReason, TurnError, Usage};
    use futures_util::{poll, stream};

    use super::*;

    fn text(text: &str) -> GenerationEvent {
        GenerationEvent::Text(text.into())
    }

    fn finished() -> (GenerationEvent, Ending) {
        let (reason, usage) = (FinishReason::Stop, Usage::default());
        let event = GenerationEvent::Finished { reason, usage };
        (event, Ending::Finished { reason, usage })
    }

    #[tokio::test]
    async fn all_but_the_last_event_are_passed_on() {
        let (listener, mut ears) = mpsc::channel(8);
        let (last, ending) = finished();
        let events = vec![
            GenerationEvent::Queued { position: 1 },
            text("a"),
            text("b"),
            last,
        ];
        let said = RefCell::new(String::new());
        let ended = pass_on(
            async { Ok(stream::iter(events)) },
            &listener,
            &CancellationToken::new(),
            |text| said.borrow_mut().push_str(text),
        )
        .await;
        assert_eq!(ended, ending);
        assert_eq!(said.into_inner(), "ab");
        drop(listener);
        let mut heard = Vec::new();
        while let Some(event) = ears.recv().await {
            heard.push(event);
        }
        assert_eq!(
            heard,
            [
                TurnEvent::Queued { position: 1 },
                TurnEvent::Text("a".into()),
                TurnEvent::Text("b".into()),
            ]
        );
    }

    #[tokio::test]
    async fn refusals_and_breaks_are_failures() {
        let (listener, _ears) = mpsc::channel(8);
        let halt = CancellationToken::new();
        let refused = async { Err::<stream::Empty<_>, _>(GenerationError::Cancelled) };
        let ended = pass_on(refused, &listener, &halt, |_| {}).await;
        assert_eq!(ended, Ending::Failed(GenerationError::Cancelled.into()));
        let broken = async { Ok(stream::iter(vec![text("a")])) };
        let ended = pass_on(broken, &listener, &halt, |_| {}).await;
        assert!(
            matches!(
                ended,
                Ending::Failed(TurnError::Generation(GenerationError::Unavailable { .. }))
            ),
            "{ended:?}"
        );
    }

    #[tokio::test]
    async fn a_silent_model_does_not_hide_that_nobody_listens() {
        let (listener, ears) = mpsc::channel(8);
        let halt = CancellationToken::new();
        let silent = async { Ok(stream::pending()) };
        let mut answer = pin!(pass_on(silent, &listener, &halt, |_| {}));
        assert_eq!(poll!(&mut answer), Poll::Pending);
        drop(ears);
        assert_eq!(poll!(&mut answer), Poll::Ready(Ending::Stopped));
    }

    #[tokio::test]
    async fn a_full_listener_does_not_stall_a_halt_and_what_it_never_took_was_not_said() {
        let (listener, _ears) = mpsc::channel(1);
        let halt = CancellationToken::new();
        let said = RefCell::new(String::new());
        let events = async { Ok(stream::iter(vec![text("a"), text("b")])) };
        let mut answer = pin!(pass_on(events, &listener, &halt, |text| said
            .borrow_mut()
            .push_str(text)));
        assert_eq!(poll!(&mut answer), Poll::Pending);
        halt.cancel();
        assert_eq!(poll!(&mut answer), Poll::Ready(Ending::Stopped));
        assert_eq!(*said.borrow(), "a");
    }
}
