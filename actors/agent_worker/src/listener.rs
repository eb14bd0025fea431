//! Shell: the channel to whoever asked, with one place kept free so that the last event never has to wait for a slow reader.

use domain::{FieldError, TurnEvent};
use tokio::sync::mpsc::{self, OwnedPermit};
use tracing::Span;

use crate::turns::Listener;

/// Who hears a turn.
#[derive(Debug)]
pub(crate) struct Asker {
    events: mpsc::Sender<TurnEvent>,
    last: OwnedPermit<TurnEvent>,
    /// The turn's span. It outlives a crash with the turn.
    turn: Span,
}

impl Asker {
    /// Keeps a place for the last event.
    ///
    /// # Errors
    /// `events` when the channel has no room for it and one other.
    pub(crate) fn new(events: mpsc::Sender<TurnEvent>, turn: Span) -> Result<Self, FieldError> {
        let refuse = |room: usize| {
            let allowed = "an open channel with room for at least 2 events";
            Err(FieldError::new(
                "events",
                format!("room for {room}"),
                allowed,
            ))
        };
        if events.capacity() < 2 {
            return refuse(events.capacity());
        }
        match events.clone().try_reserve_owned() {
            Ok(last) => Ok(Self { events, last, turn }),
            Err(_) => refuse(0),
        }
    }

    /// The way for all events but the last.
    pub(crate) fn events(&self) -> &mpsc::Sender<TurnEvent> {
        &self.events
    }

    /// The span that whatever is done for the turn is logged in.
    pub(crate) fn turn(&self) -> &Span {
        &self.turn
    }

    /// The last event. Never waits.
    pub(crate) fn end(self, event: TurnEvent) {
        let ended = match &event {
            TurnEvent::Failed(_) => "failed",
            _ => "ended",
        };
        self.turn.in_scope(|| tracing::debug!("{ended}"));
        self.last.send(event);
    }
}

impl Listener for Asker {
    fn is_gone(&self) -> bool {
        self.events.is_closed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_event_finds_its_place_in_a_full_channel() {
        let (sender, mut events) = mpsc::channel(2);
        let asker = Asker::new(sender, Span::none()).unwrap();
        asker
            .events()
            .try_send(TurnEvent::Queued { position: 1 })
            .unwrap();
        assert!(
            asker
                .events()
                .try_send(TurnEvent::Queued { position: 2 })
                .is_err()
        );
        let last = TurnEvent::Failed(domain::GenerationError::Cancelled.into());
        asker.end(last.clone());
        assert_eq!(events.try_recv(), Ok(TurnEvent::Queued { position: 1 }));
        assert_eq!(events.try_recv(), Ok(last));
        assert_eq!(
            events.try_recv(),
            Err(mpsc::error::TryRecvError::Disconnected)
        );
    }

    #[test]
    fn a_channel_without_room_is_refused() {
        let (small, _events) = mpsc::channel(1);
        assert_eq!(
            Asker::new(small, Span::none()).map_err(|e| e.field).err(),
            Some("events")
        );
        let (closed, events) = mpsc::channel(4);
        drop(events);
        assert_eq!(
            Asker::new(closed, Span::none()).map_err(|e| e.field).err(),
            Some("events")
        );
    }

    #[test]
    fn a_dropped_reader_is_gone() {
        let (sender, events) = mpsc::channel(2);
        let asker = Asker::new(sender, Span::none()).unwrap();
        assert!(!asker.is_gone());
        drop(events);
        assert!(asker.is_gone());
    }
}
