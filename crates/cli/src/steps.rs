//! The steps of a turn in words: what was looked up, which tools ran and how they ended. Pure: an event goes in, a line
//! comes out.

use domain::{Citation, ToolCall, ToolOutcome, TurnEvent};

use crate::history::safe;

/// The longest part of a call or a result in a line, in characters: a line of a terminal.
const SHOWN: usize = 100;
/// Sources in the list at the end.
const SOURCES: usize = 10;

/// The line that a step is worth, for standard error; none for what is seen in other ways.
pub(crate) fn line(event: &TurnEvent) -> Option<String> {
    match event {
        TurnEvent::ToolStarted { call } => Some(format!("· {}", called(call))),
        TurnEvent::ToolEnded {
            name,
            outcome,
            took_ms,
            ..
        } => Some(format!(
            "· {} {} ({took_ms} ms)",
            safe(name),
            ended(outcome)
        )),
        TurnEvent::Compacted { left_out } => Some(format!(
            "· the {left_out} oldest messages do not fit the model's window and are left out"
        )),
        TurnEvent::Steered { text, .. } => Some(format!("· taken in: {}", cut(text))),
        _ => None,
    }
}

/// A call, as the model wrote it.
pub(crate) fn called(call: &ToolCall) -> String {
    format!("{} {}", safe(&call.name), cut(&call.arguments))
}

fn ended(outcome: &ToolOutcome) -> String {
    let word = match outcome {
        ToolOutcome::Ok { .. } => "=",
        ToolOutcome::Failed(_) => "failed:",
        ToolOutcome::Denied(_) => "was not run:",
        ToolOutcome::Unknown(_) => "may have run:",
    };
    format!("{word} {}", cut(outcome.text()))
}

fn cut(text: &str) -> String {
    let line = safe(text);
    let line = line.trim();
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line.to_owned(),
    }
}

/// Where an answer's sources are from, each once, the best first, and why they were looked for by words alone if they were;
/// none if there was nothing to tell.
pub(crate) fn sources(citations: &[Citation], without_meaning: Option<&str>) -> Option<String> {
    let mut names: Vec<String> = Vec::new();
    for citation in citations {
        let name = safe(&citation.source);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let more = names.len().saturating_sub(SOURCES);
    names.truncate(SOURCES);
    if more > 0 {
        names.push(format!("{more} more"));
    }
    let how = without_meaning.map_or_else(String::new, |why| {
        format!(" (by words alone: {})", safe(why))
    });
    match (names.is_empty(), without_meaning) {
        (true, None) => None,
        (true, Some(why)) => Some(format!("looked up nothing: {}", safe(why))),
        (false, _) => Some(format!("looked up{how}: {}", names.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use domain::ToolCallId;

    use super::*;

    #[test]
    fn a_step_is_one_line_that_no_terminal_obeys() {
        let call = ToolCall {
            id: ToolCallId::new("c1"),
            name: "calculate".to_owned(),
            arguments: "{\"expression\":\n \"6*7\u{1b}[31m\"}".to_owned(),
        };
        let ended = |outcome| TurnEvent::ToolEnded {
            id: ToolCallId::new("c1"),
            name: "calculate".to_owned(),
            outcome,
            took_ms: 3,
        };
        let text = "4".repeat(101);
        for (event, expected) in [
            (
                TurnEvent::ToolStarted { call },
                Some("· calculate {\"expression\":  \"6*7[31m\"}".to_owned()),
            ),
            (
                ended(ToolOutcome::Ok {
                    text: "42\n".to_owned(),
                    cut: false,
                }),
                Some("· calculate = 42 (3 ms)".to_owned()),
            ),
            (
                ended(ToolOutcome::Ok { text, cut: false }),
                Some(format!("· calculate = {}… (3 ms)", "4".repeat(100))),
            ),
            (
                ended(ToolOutcome::Failed("no".to_owned())),
                Some("· calculate failed: no (3 ms)".to_owned()),
            ),
            (
                ended(ToolOutcome::Denied("no".to_owned())),
                Some("· calculate was not run: no (3 ms)".to_owned()),
            ),
            (
                TurnEvent::Steered {
                    number: 1,
                    text: "no, in\nFrench\u{1b}[31m".to_owned(),
                },
                Some("· taken in: no, in French[31m".to_owned()),
            ),
            (TurnEvent::Text("x".to_owned()), None),
        ] {
            assert_eq!(line(&event), expected);
        }
    }

    #[test]
    fn each_source_is_named_once() {
        let from = |source: &str| Citation {
            source: source.to_owned(),
            excerpt: String::new(),
            score: 1.0,
        };
        assert_eq!(sources(&[], None), None);
        let some = [from("notes.md"), from("memory"), from("notes.md")];
        assert_eq!(
            sources(&some, None).as_deref(),
            Some("looked up: notes.md, memory")
        );
        assert_eq!(
            sources(&some, Some("no\nmodel")).as_deref(),
            Some("looked up (by words alone: no model): notes.md, memory")
        );
        assert_eq!(
            sources(&[], Some("too late")).as_deref(),
            Some("looked up nothing: too late")
        );
        let many: Vec<Citation> = (0..12).map(|n| from(&n.to_string())).collect();
        assert!(sources(&many, None).unwrap().ends_with("8, 9, 2 more"));
    }
}
