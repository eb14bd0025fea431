//! A conversation as text: for the eye, or for a file.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use domain::{Message, Role};
use serde_json::{Value, json};

use crate::render::Answer;

const fn speaker(role: Role) -> &'static str {
    match role {
        Role::User => "you",
        Role::Assistant => "model",
        Role::System => "instructions",
        Role::Tool => "tool",
    }
}

/// For the eye: who said what, a blank line between. On a terminal the model's control characters are left out.
pub(super) fn plain(history: &[Message], terminal: bool) -> String {
    let each = history.iter().map(|message| {
        let said = Answer::new(terminal).text(&message.content);
        format!("{}: {}\n", speaker(message.role), said.trim_end())
    });
    each.collect::<Vec<_>>().join("\n")
}

/// For a file: JSON if its name ends so, Markdown otherwise.
pub(super) fn for_file(history: &[Message], path: &Path) -> String {
    let is_json = path
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    if is_json {
        let all: Vec<Value> = history
            .iter()
            .map(|m| json!({"role": m.role.as_str(), "content": m.content}))
            .collect();
        return format!("{:#}\n", Value::Array(all));
    }
    let each = history
        .iter()
        .map(|m| format!("**{}:** {}\n", speaker(m.role), m.content.trim()));
    each.collect::<Vec<_>>().join("\n")
}

/// Writes the file on a blocking thread. One that is there already is only written over if `again`.
pub(super) async fn write(path: PathBuf, text: String, again: bool) -> Result<(), String> {
    let work = move || {
        let mut options = OpenOptions::new();
        let options = options
            .write(true)
            .create_new(!again)
            .create(true)
            .truncate(true);
        let written = options
            .open(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => {
                format!("{} is there already; choose another name", path.display())
            }
            _ => format!("{}: {error}", path.display()),
        })
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history() -> Vec<Message> {
        vec![Message::user("Hi"), Message::assistant(" Hello\nthere\n")]
    }

    #[test]
    fn a_conversation_is_text() {
        assert_eq!(plain(&history(), true), "you: Hi\n\nmodel: Hello\nthere\n");
        let markdown = for_file(&history(), Path::new("a.md"));
        assert_eq!(markdown, "**you:** Hi\n\n**model:** Hello\nthere\n");
    }

    #[test]
    fn or_json() {
        let text = for_file(&history(), Path::new("a.JSON"));
        let value: Value = serde_json::from_str(&text).unwrap();
        let expected = json!([
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": " Hello\nthere\n"},
        ]);
        assert_eq!(value, expected);
    }

    #[tokio::test]
    async fn a_file_of_someone_elses_is_not_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("my talk.md");
        assert_eq!(write(path.clone(), "one".into(), false).await, Ok(()));
        let refused = write(path.clone(), "two".into(), false).await.unwrap_err();
        assert!(refused.contains("is there already"), "{refused}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one");
        assert_eq!(write(path.clone(), "3".into(), true).await, Ok(()));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "3");
    }
}
