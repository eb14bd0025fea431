//! Conversations in words and in JSON. Pure, but for what the store has read.

use anstyle::Style;
use paraphym_candle::conversation_store::messages::{Hit, Overview};
use serde_json::{Value, json};

use super::export::{Whole, message_json, moment, plain, speaker};
use crate::render::{Answer, table};

/// The list, the latest first.
pub(super) fn list(all: &[Overview], more: bool, as_json: bool) -> String {
    if as_json {
        let all: Vec<Value> = all.iter().map(overview_json).collect();
        return format!("{}\n", json!({"conversations": all, "more": more}));
    }
    let mut rows = vec![
        ["ID", "LAST", "MESSAGES", "TITLE"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for one in all {
        rows.push(vec![
            safe(one.conversation.as_str()),
            moment(one.updated_ms),
            one.messages.to_string(),
            safe(&one.title),
        ]);
    }
    table(&rows)
}

fn overview_json(one: &Overview) -> Value {
    json!({
        "id": one.conversation.as_str(),
        "title": one.title,
        "messages": one.messages,
        "created": moment(one.created_ms),
        "created_ms": one.created_ms,
        "updated": moment(one.updated_ms),
        "updated_ms": one.updated_ms,
    })
}

/// One conversation: who said what. On a terminal nothing in it is obeyed.
pub(super) fn one(whole: &Whole, as_json: bool, terminal: bool) -> String {
    if as_json {
        let messages: Vec<Value> = whole.messages.iter().map(message_json).collect();
        let object = json!({"id": whole.id, "title": whole.title, "messages": messages});
        return format!("{object}\n");
    }
    let mut shown = Answer::new(terminal);
    let text = shown.text(&plain(whole));
    format!("{text}{}", shown.end())
}

/// What was found, the best first; on a terminal the words are marked.
pub(super) fn hits(hits: &[Hit], as_json: bool, colours: bool) -> String {
    if as_json {
        let hits: Vec<Value> = hits.iter().map(hit_json).collect();
        return format!("{}\n", json!({"hits": hits}));
    }
    let lines = hits.iter().map(|hit| {
        let (id, who) = (safe(hit.conversation.as_str()), speaker(hit.role));
        let snippet = marked(hit, colours);
        format!("{id}  {}  {who}\n    {snippet}\n", moment(hit.said_ms))
    });
    lines.collect()
}

fn hit_json(hit: &Hit) -> Value {
    json!({
        "id": hit.conversation.as_str(),
        "number": hit.number,
        "role": hit.role.as_str(),
        "said": moment(hit.said_ms),
        "said_ms": hit.said_ms,
        "snippet": hit.snippet.text,
        "score": hit.score,
    })
}

/// The snippet in one line.
fn marked(hit: &Hit, colours: bool) -> String {
    let (text, mut at, mut line) = (&hit.snippet.text, 0, String::new());
    let bold = Style::new().bold();
    for word in &hit.snippet.words {
        let (Some(before), Some(found)) = (text.get(at..word.start), text.get(word.clone())) else {
            continue;
        };
        line.push_str(&safe(before));
        let found = safe(found);
        line.extend(if colours {
            [
                bold.render().to_string(),
                found,
                bold.render_reset().to_string(),
            ]
        } else {
            [String::new(), found, String::new()]
        });
        at = word.end;
    }
    line.push_str(&safe(text.get(at..).unwrap_or_default()));
    line
}

/// In one line, and without what a terminal would obey.
pub(crate) fn safe(text: &str) -> String {
    let one_line = text
        .chars()
        .map(|c| if c.is_whitespace() { ' ' } else { c });
    one_line.filter(|c| is_harmless(*c)).collect()
}

/// Whether a terminal only shows a character: it obeys none, and turns no line around so that it reads as something else.
pub(crate) fn is_harmless(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use domain::{ConversationId, Role};
    use paraphym_candle::conversation_store::messages::Snippet;

    use super::*;

    #[test]
    fn a_list_is_a_table_that_no_title_can_break() {
        let one = Overview {
            conversation: ConversationId::new("a"),
            title: "Hi\u{1b}[31m\nyou".to_owned(),
            messages: 2,
            created_ms: 0,
            updated_ms: 1_772_366_400_000,
        };
        let text = list(std::slice::from_ref(&one), false, false);
        assert_eq!(
            text,
            "ID  LAST                  MESSAGES  TITLE\na   2026-03-01T12:00:00Z  2         Hi[31m you\n"
        );
        let json: Value = serde_json::from_str(&list(&[one], true, true)).unwrap();
        assert_eq!(
            (&json["more"], &json["conversations"][0]["messages"]),
            (&true.into(), &2.into())
        );
    }

    #[test]
    fn what_was_found_is_marked() {
        let hit = Hit {
            conversation: ConversationId::new("a"),
            number: 3,
            role: Role::User,
            said_ms: 0,
            snippet: Snippet {
                text: "… a blue\nwhale".to_owned(),
                words: vec![6..10, 99..100],
            },
            score: 1.0,
        };
        let text = hits(std::slice::from_ref(&hit), false, false);
        assert_eq!(text, "a  1970-01-01T00:00:00Z  you\n    … a blue whale\n");
        let coloured = hits(&[hit], false, true);
        assert!(coloured.contains("\u{1b}[1mblue\u{1b}[0m"), "{coloured:?}");
    }
}
