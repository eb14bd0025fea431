//! One answer as it is given: events come in, text and progress go out, a signal ends it.

use std::ops::ControlFlow;

use futures_util::StreamExt;
use paraphym_candle::signals::Signal;
use paraphym_candle::{Citation, FinishReason, TurnError, TurnEvent, TurnStream};

use crate::failure::Failure;
use crate::out::{note, quietly};
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

/// Shows an answer to its end. With `json`, one object a line.
pub(crate) async fn show(
    stage: &mut Stage,
    mut stream: TurnStream,
    json: bool,
) -> Result<Ending, Failure> {
    let mut answer = Answer::new(stage.out.terminal);
    let mut progress = Progress::new(stage.out.error_terminal);
    let mut looked_up = Vec::new();
    loop {
        let event = tokio::select! {
            event = stream.next() => event,
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

/// Shows one event to a person.
async fn show_event(
    stage: &mut Stage,
    answer: &mut Answer,
    progress: &mut Progress,
    looked_up: &mut Vec<Citation>,
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
        TurnEvent::Recalled { citations } => looked_up.clone_from(citations),
        TurnEvent::Compacted { .. }
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
            if let Some(line) = steps::sources(looked_up) {
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
