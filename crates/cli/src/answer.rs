//! One answer as it is given: events come in, text and progress go out, a signal ends it.

use std::ops::ControlFlow;

use paraphym_candle::signals::Signal;
use paraphym_candle::{
    Citation, ConversationId, FinishReason, GenerationError, Paraphym, ToolCallId, TurnError,
    TurnEvent, TurnStream,
};

use crate::failure::Failure;
use crate::out::{note, quietly};
use crate::permission::{Desk, Verdict};
use crate::progress::Progress;
use crate::render::{self, Answer};
use crate::stage::Stage;
use crate::steps;
use crate::unfinished::Unfinished;

/// How an answer ended.
pub(crate) enum Ending {
    /// It was given.
    Given,
    /// It failed; what was said before stays said.
    Failed(TurnError),
    /// Ctrl-C; the stream was dropped, which stops the model.
    Stopped,
    /// SIGTERM or SIGHUP; it may go on while the tree drains.
    Terminated(Unfinished),
}

/// Whose answer it is, and who is asked what it may do.
pub(crate) struct Asked<'a> {
    pub(crate) host: &'a Paraphym,
    pub(crate) conversation: &'a ConversationId,
    pub(crate) desk: &'a mut Desk,
}

/// Shows an answer to its end. With `json`, one object a line.
pub(crate) async fn show(
    stage: &mut Stage,
    mut asked: Asked<'_>,
    stream: TurnStream,
    json: bool,
) -> Result<Ending, Failure> {
    let ended = shown(stage, &mut asked, stream, json).await;
    asked.desk.clear();
    ended
}

async fn shown(
    stage: &mut Stage,
    asked: &mut Asked<'_>,
    mut stream: TurnStream,
    json: bool,
) -> Result<Ending, Failure> {
    let mut answer = Answer::new(stage.out.terminal);
    let mut progress = Progress::new(stage.out.error_terminal);
    let mut looked_up = LookedUp::default();
    loop {
        let event = tokio::select! {
            event = stream.next() => event,
            (call, verdict) = asked.desk.answer() => {
                asked.tell(&stream, &call.id, verdict != Verdict::No).await;
                continue;
            }
            signal = stage.signals.next() => {
                progress.clear();
                let why = stage.meaning_of(signal);
                if !matches!(signal, Signal::Interrupt { .. }) {
                    return Ok(Ending::Terminated(Unfinished::new(stream, answer, json, why)));
                }
                drop(stream);
                stage.out.text(answer.end()).await?;
                return Ok(Ending::Stopped);
            }
        };
        // A token's life, stop 14: on the screen.
        let Some(event) = event else {
            return Ok(Ending::Given);
        };
        if matches!(event, TurnEvent::ApprovalNeeded { .. }) && !json {
            stage.out.text(answer.end()).await?;
        }
        asked.hear(&stream, &event, &mut progress).await;
        let next = if json {
            stage.out.json(&render::event(&event)).await?;
            ending(event)
        } else {
            show_event(stage, &mut answer, &mut progress, &mut looked_up, event).await?
        };
        if let ControlFlow::Break(end) = next {
            return Ok(end);
        }
    }
}

impl Asked<'_> {
    /// Asks about a call that has to be allowed, and takes the question away when its time is over.
    async fn hear(&mut self, stream: &TurnStream, event: &TurnEvent, progress: &mut Progress) {
        match event {
            TurnEvent::ApprovalNeeded { call, .. } => {
                progress.clear();
                if let Some(granted) = self.desk.ask(call.clone()) {
                    self.tell(stream, &call.id, granted).await;
                }
            }
            TurnEvent::ToolEnded { id, .. } => self.desk.over(id),
            _ => {}
        }
    }

    /// Tells the turn. Where it did not wait for the answer any more, it has said so itself.
    async fn tell(&self, stream: &TurnStream, call: &ToolCallId, granted: bool) {
        let (agents, conversation) = (self.host.agents(), self.conversation);
        let told = agents
            .approve(conversation, stream.id(), call, granted)
            .await;
        if let Err(error @ GenerationError::Unavailable { .. }) = told {
            note(&format!("the answer was not heard: {error}"));
        }
    }
}

/// What an answer was looked up in.
#[derive(Default)]
struct LookedUp {
    citations: Vec<Citation>,
    without_meaning: Option<String>,
}

/// Shows one event to a person.
async fn show_event(
    stage: &mut Stage,
    answer: &mut Answer,
    progress: &mut Progress,
    looked_up: &mut LookedUp,
    event: TurnEvent,
) -> Result<ControlFlow<Ending>, Failure> {
    match &event {
        TurnEvent::Queued { position } => progress.queued(*position),
        TurnEvent::Loading { fraction } => progress.loading(*fraction),
        TurnEvent::Prefill { done, total } => progress.prefill(*done, *total),
        TurnEvent::Text(text) => {
            progress.clear();
            let shown = answer.text(text);
            stage.out.text(&shown).await?;
        }
        TurnEvent::Recalled {
            citations,
            without_meaning,
        } => {
            *looked_up = LookedUp {
                citations: citations.clone(),
                without_meaning: without_meaning.clone(),
            };
        }
        TurnEvent::Compacted { .. }
        | TurnEvent::Steered { .. }
        | TurnEvent::ToolStarted { .. }
        | TurnEvent::ToolEnded { .. } => {
            progress.clear();
            stage.out.text(answer.end()).await?;
            if let Some(line) = steps::line(&event) {
                quietly(&line);
            }
        }
        TurnEvent::ModelCalled { .. } | TurnEvent::ApprovalNeeded { .. } => {}
        TurnEvent::Finished { reason, .. } => {
            progress.clear();
            stage.out.text(answer.end()).await?;
            if *reason == FinishReason::Length && stage.out.error_terminal {
                note("(cut at the limit of tokens)");
            }
            if !answer.began() && stage.out.error_terminal {
                note("(the model said nothing)");
            }
            let why = looked_up.without_meaning.as_deref();
            if let Some(line) = steps::sources(&looked_up.citations, why) {
                quietly(&line);
            }
        }
        TurnEvent::Failed(_) => {
            progress.clear();
            stage.out.text(answer.end()).await?;
        }
    }
    Ok(ending(event))
}

/// Whether an event is the last.
fn ending(event: TurnEvent) -> ControlFlow<Ending> {
    match event {
        TurnEvent::Finished { .. } => ControlFlow::Break(Ending::Given),
        TurnEvent::Failed(error) => ControlFlow::Break(Ending::Failed(error)),
        _ => ControlFlow::Continue(()),
    }
}
