//! Shell: the writing end of one stream. It sends what there is room for and keeps the rest. It never waits. What is logged
//! of a request is logged in the span that came with it, whoever's message is being handled.

use domain::GenerationEvent;
use engine::Piece;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use tracing::Span;

use crate::live::Spoken;
use crate::meters::kind_of;
use crate::outbox::Outbox;

/// A reader's channel and what it has not taken.
#[derive(Debug)]
pub(crate) struct Outlet {
    events: mpsc::Sender<GenerationEvent>,
    outbox: Outbox,
    /// Whose turn it is.
    turn: Span,
}

impl Outlet {
    pub(crate) fn new(events: mpsc::Sender<GenerationEvent>, turn: Span) -> Self {
        Self {
            events,
            outbox: Outbox::default(),
            turn,
        }
    }

    /// The span of the turn that asks.
    pub(crate) fn turn(&self) -> &Span {
        &self.turn
    }

    /// Whether the reader has gone: that is how a request is cancelled.
    pub(crate) fn is_gone(&self) -> bool {
        self.events.is_closed()
    }

    pub(crate) fn progress(&mut self, event: GenerationEvent) {
        self.outbox.progress(event);
        self.flush();
    }

    pub(crate) fn say(&mut self, spoken: Spoken) {
        self.outbox.weigh(spoken.odds);
        for piece in spoken.pieces {
            match piece {
                Piece::Text(text) => self.outbox.say(&text),
                Piece::Call(call) => self.outbox.call(call),
            }
        }
        self.flush();
    }

    /// The end. Returns whether something is still to be delivered.
    pub(crate) fn end(&mut self, event: GenerationEvent) -> bool {
        self.log_end(&event);
        self.outbox.end(event);
        self.flush()
    }

    /// Sends what there is room for. Returns whether something is left and there is someone to read it.
    pub(crate) fn flush(&mut self) -> bool {
        while !self.outbox.is_empty() {
            match self.events.try_reserve() {
                Ok(room) => {
                    // A token's life, stop 12: into the stream, if its reader has room.
                    if let Some(event) = self.outbox.take() {
                        room.send(event);
                    }
                }
                Err(TrySendError::Full(())) => return true,
                Err(TrySendError::Closed(())) => return false,
            }
        }
        false
    }

    /// Field names by OpenTelemetry's semantic conventions for generative AI.
    fn log_end(&self, event: &GenerationEvent) {
        // Entered, not named as the parent: a log of objects shows the spans that are entered.
        let turn = &self.turn;
        let _turn = turn.enter();
        match event {
            GenerationEvent::Finished { reason, usage } => {
                turn.record("gen_ai.usage.input_tokens", usage.prompt_tokens);
                turn.record("gen_ai.usage.output_tokens", usage.completion_tokens);
                turn.record("gen_ai.response.finish_reasons", reason.as_str());
                tracing::debug!(
                    reason = reason.as_str(),
                    tokens = usage.completion_tokens,
                    "finished"
                );
            }
            GenerationEvent::Failed(error) => {
                turn.record("error.type", kind_of(error));
                tracing::debug!(kind = kind_of(error), "failed");
            }
            _ => {}
        }
    }
}
