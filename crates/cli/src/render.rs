//! What a person or a program sees of an answer. Pure: text goes in, text comes out.

use domain::{Citation, ToolCall, ToolOutcome, TurnEvent};
use model_store::PullEvent;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::history::is_harmless;

/// The text of one answer on its way out.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// Whether control characters would be obeyed by whoever reads.
    terminal: bool,
    began: bool,
    open_line: bool,
}

impl Answer {
    /// For a terminal, or for a pipe or file.
    pub(crate) const fn new(terminal: bool) -> Self {
        Self {
            terminal,
            began: false,
            open_line: false,
        }
    }

    /// What to write for a piece of text. White space before the first word is left out; on a terminal, so is
    /// everything a model could move the cursor, change the title or turn the direction of a line with.
    pub(crate) fn text(&mut self, piece: &str) -> String {
        let piece = if self.began {
            piece
        } else {
            piece.trim_start()
        };
        let shown: String = piece
            .chars()
            .filter(|c| !self.terminal || matches!(c, '\n' | '\t') || is_harmless(*c))
            .collect();
        if !shown.is_empty() {
            self.began = true;
            self.open_line = !shown.ends_with('\n');
        }
        shown
    }

    /// What to write at the end: the last line is always ended.
    pub(crate) fn end(&mut self) -> &'static str {
        if std::mem::take(&mut self.open_line) {
            "\n"
        } else {
            ""
        }
    }

    /// Whether anything was written.
    pub(crate) const fn began(&self) -> bool {
        self.began
    }
}

/// An event for programs.
pub(crate) fn event(event: &TurnEvent) -> Value {
    match event {
        TurnEvent::Queued { position } => json!({"event": "queued", "position": position}),
        TurnEvent::Loading { fraction } => json!({"event": "loading", "fraction": fraction}),
        TurnEvent::Prefill { done, total } => {
            json!({"event": "prefill", "done": done, "total": total})
        }
        TurnEvent::Text(text) => json!({"event": "text", "text": text}),
        TurnEvent::Recalled {
            citations,
            without_meaning,
        } => {
            let cited = |citation: &Citation| {
                json!({
                    "source": citation.source,
                    "excerpt": citation.excerpt,
                    "score": citation.score,
                })
            };
            let citations: Vec<Value> = citations.iter().map(cited).collect();
            json!({"event": "recalled", "citations": citations, "without_meaning": without_meaning})
        }
        TurnEvent::Compacted { left_out } => json!({"event": "compacted", "left_out": left_out}),
        TurnEvent::Steered { number, text } => {
            json!({"event": "steered", "number": number, "text": text})
        }
        TurnEvent::ModelCalled { number, of } => {
            json!({"event": "model_called", "number": number, "of": of})
        }
        TurnEvent::ApprovalNeeded { call, within_ms } => {
            with_call("approval_needed", call, Some(*within_ms))
        }
        TurnEvent::ToolStarted { call } => with_call("tool_started", call, None),
        TurnEvent::ToolEnded {
            id,
            name,
            outcome,
            took_ms,
        } => json!({
            "event": "tool_ended",
            "id": id.as_str(),
            "name": name,
            "outcome": outcome_word(outcome),
            "text": outcome.text(),
            "took_ms": took_ms,
        }),
        TurnEvent::Finished { reason, usage } => json!({
            "event": "finished",
            "reason": reason.as_str(),
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
        }),
        TurnEvent::Failed(error) => failed(&Failure::from(error.clone())),
    }
}

fn with_call(event: &str, call: &ToolCall, within_ms: Option<u64>) -> Value {
    let mut object = json!({
        "event": event,
        "id": call.id.as_str(),
        "name": call.name,
        "arguments": call.arguments,
    });
    if let (Some(within_ms), Some(fields)) = (within_ms, object.as_object_mut()) {
        fields.insert("within_ms".to_owned(), within_ms.into());
    }
    object
}

const fn outcome_word(outcome: &ToolOutcome) -> &'static str {
    match outcome {
        ToolOutcome::Ok { .. } => "ok",
        ToolOutcome::Failed(_) => "failed",
        ToolOutcome::Denied(_) => "denied",
        ToolOutcome::Unknown(_) => "unknown",
    }
}

/// The event of a failure.
pub(crate) fn failed(failure: &Failure) -> Value {
    match failure {
        Failure::Usage { error, hint }
        | Failure::Failed { error, hint }
        | Failure::Unreachable { error, hint } => failed_event(error, hint),
        Failure::Interrupted => failed_event("interrupted", ""),
        Failure::Terminated => failed_event("terminated", ""),
        Failure::HungUp => failed_event("hung up", ""),
        Failure::NobodyReads => failed_event("nobody reads", ""),
        Failure::Abandoned => failed_event("it ended, and something was not finished", ""),
    }
}

/// The event of a failure in words; the hint is left out where there is none.
pub(crate) fn failed_event(error: &str, hint: &str) -> Value {
    if hint.is_empty() {
        json!({"event": "failed", "error": error})
    } else {
        json!({"event": "failed", "error": error, "hint": hint})
    }
}

/// The event of something a stop left undone.
pub(crate) fn abandoned(child: &str, what: &str) -> Value {
    json!({"event": "abandoned", "child": child, "what": what})
}

/// A pull's event for programs.
pub(crate) fn pull_event(event: &PullEvent) -> Value {
    match event {
        PullEvent::Trying { source } => json!({"event": "trying", "source": source}),
        PullEvent::Downloading { done, total } => {
            json!({"event": "downloading", "done": done.0, "total": total.map(|t| t.0)})
        }
        PullEvent::Unpacking { done, total } => {
            json!({"event": "unpacking", "done": done.0, "total": total.0})
        }
        PullEvent::Checking => json!({"event": "checking"}),
        PullEvent::SourceFailed { source, error } => {
            json!({"event": "source_failed", "source": source, "error": error.to_string()})
        }
        PullEvent::AlreadyHere => json!({"event": "already_here"}),
        PullEvent::Installed { path } => json!({"event": "installed", "path": path}),
    }
}

/// A table with its columns aligned by characters and two spaces between; the last column is not padded.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns)
        .map(|i| {
            let cells = rows.iter().filter_map(|row| row.get(i));
            cells
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or_default()
        })
        .collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths);
        let cells: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        let line = cells.join("  ");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use domain::{Bytes, FinishReason, GenerationError, Usage};

    use super::*;

    fn shown(terminal: bool, pieces: &[&str]) -> String {
        let mut answer = Answer::new(terminal);
        let mut all: String = pieces.iter().map(|p| answer.text(p)).collect();
        all.push_str(answer.end());
        all
    }

    #[test]
    fn an_answer_ends_with_exactly_one_line_break_of_ours() {
        for (pieces, expected) in [
            (&["Hello", " you"][..], "Hello you\n"),
            (&[" ", "\n", " Hello"], "Hello\n"),
            (&["Hello\n"], "Hello\n"),
            (&["Hello\n", "\n"], "Hello\n\n"),
            (&[], ""),
            (&[" "], ""),
        ] {
            assert_eq!(shown(false, pieces), expected, "{pieces:?}");
        }
    }

    #[test]
    fn a_terminal_never_obeys_the_model() {
        let trick = "a\u{1b}]0;title\u{7}b\r\u{9b}31mc\td\n";
        assert_eq!(shown(true, &[trick]), "a]0;titleb31mc\td\n");
        assert_eq!(shown(false, &[trick]), trick);
    }

    #[test]
    fn events_are_json_objects() {
        let usage = Usage {
            prompt_tokens: 3,
            cached_tokens: 0,
            completion_tokens: 4,
        };
        let reason = FinishReason::Stop;
        for (given, expected) in [
            (
                TurnEvent::Queued { position: 2 },
                r#"{"event":"queued","position":2}"#,
            ),
            (
                TurnEvent::Loading { fraction: 0.5 },
                r#"{"event":"loading","fraction":0.5}"#,
            ),
            (
                TurnEvent::Prefill { done: 1, total: 9 },
                r#"{"done":1,"event":"prefill","total":9}"#,
            ),
            (
                TurnEvent::Text("a\"b".into()),
                r#"{"event":"text","text":"a\"b"}"#,
            ),
            (
                TurnEvent::Steered {
                    number: 1,
                    text: "in French".into(),
                },
                r#"{"event":"steered","number":1,"text":"in French"}"#,
            ),
            (
                TurnEvent::Finished { reason, usage },
                r#"{"completion_tokens":4,"event":"finished","prompt_tokens":3,"reason":"stop"}"#,
            ),
            (
                TurnEvent::Failed(GenerationError::Cancelled.into()),
                r#"{"error":"cancelled","event":"failed"}"#,
            ),
        ] {
            let expected: Value = serde_json::from_str(expected).unwrap();
            assert_eq!(event(&given), expected);
        }
    }

    #[test]
    fn a_pull_is_json_too() {
        let event = PullEvent::Downloading {
            done: Bytes(5),
            total: None,
        };
        let expected = json!({"event": "downloading", "done": 5, "total": null});
        assert_eq!(pull_event(&event), expected);
    }

    #[test]
    fn tables_are_aligned() {
        let rows = [["ü", "b", "last"], ["longer", "", "x"]].map(|r| r.map(String::from).to_vec());
        assert_eq!(table(&rows), "ü       b  last\nlonger     x\n");
    }
}
