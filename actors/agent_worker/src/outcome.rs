//! A tool's outcome as the turn log keeps it: JSON, so that a newer program can still read it.

use domain::ToolOutcome;
use serde_json::{Value, json};

/// As it is written down.
pub fn written(outcome: &ToolOutcome) -> String {
    let kind = match outcome {
        ToolOutcome::Ok { .. } => "ok",
        ToolOutcome::Failed(_) => "failed",
        ToolOutcome::Denied(_) => "denied",
        ToolOutcome::Unknown(_) => "unknown",
    };
    let cut = matches!(outcome, ToolOutcome::Ok { cut: true, .. });
    json!({"outcome": kind, "text": outcome.text(), "cut": cut}).to_string()
}

/// What was written down; what cannot be read is an outcome that is not known.
pub fn read(json: &str) -> ToolOutcome {
    let value: Value = serde_json::from_str(json).unwrap_or_default();
    let field = |name| value.get(name).and_then(Value::as_str);
    let text = field("text").unwrap_or_default().to_owned();
    let cut = value.get("cut").and_then(Value::as_bool).unwrap_or(false);
    match field("outcome") {
        Some("ok") => ToolOutcome::Ok { text, cut },
        Some("failed") => ToolOutcome::Failed(text),
        Some("denied") => ToolOutcome::Denied(text),
        Some("unknown") => ToolOutcome::Unknown(text),
        _ => ToolOutcome::Unknown("its result cannot be read any more".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_read_back_and_nonsense_is_unknown() {
        let text = || "a \"b\"\n☃".to_owned();
        for outcome in [
            ToolOutcome::Ok {
                text: text(),
                cut: true,
            },
            ToolOutcome::Failed(text()),
            ToolOutcome::Denied(text()),
            ToolOutcome::Unknown(text()),
        ] {
            assert_eq!(read(&written(&outcome)), outcome);
        }
        for nonsense in ["", "[]", "{\"outcome\":\"fine\"}"] {
            assert!(matches!(read(nonsense), ToolOutcome::Unknown(_)));
        }
    }
}
