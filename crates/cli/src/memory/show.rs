//! Memories and documents in words and in JSON. Pure.

use paraphym_candle::retrieval::{Answer, Document, Memory};
use serde_json::{Value, json};

use crate::history::export::moment;
use crate::history::safe;
use crate::render::table;

/// The list; nothing where there are none.
pub(super) fn list(all: &[Memory], as_json: bool) -> String {
    if as_json {
        let all: Vec<Value> = all.iter().map(memory_json).collect();
        return format!("{}\n", json!({"memories": all}));
    }
    let row = |one: &Memory| vec![one.id.0.to_string(), moment(one.used_ms), safe(&one.text)];
    rows(["NUMBER", "LAST", "TEXT"], all.iter().map(row))
}

fn memory_json(one: &Memory) -> Value {
    json!({
        "id": one.id.0,
        "kind": one.kind.name(),
        "text": one.text,
        "importance": one.importance,
        "made_ms": one.made_ms,
        "used_ms": one.used_ms,
        "times": one.times,
    })
}

/// What was found, the best first; nothing where nothing was.
pub(super) fn found(answer: &Answer, as_json: bool) -> String {
    if as_json {
        let found: Vec<Value> = answer
            .found
            .iter()
            .map(|one| {
                json!({
                    "id": one.id.0,
                    "text": one.text,
                    "score": one.score,
                    "similarity": one.similarity,
                })
            })
            .collect();
        let why = answer.basis.without_meaning();
        return format!("{}\n", json!({"found": found, "without_meaning": why}));
    }
    let row = answer.found.iter().map(|one| {
        vec![
            one.id.0.to_string(),
            format!("{:.2}", one.score),
            safe(&one.text),
        ]
    });
    rows(["NUMBER", "SCORE", "TEXT"], row)
}

/// The documents; nothing where there are none.
pub(super) fn documents(all: &[Document], as_json: bool) -> String {
    if as_json {
        let all: Vec<Value> = all
            .iter()
            .map(|one| {
                json!({
                    "path": one.path,
                    "pieces": one.pieces,
                    "made_ms": one.made_ms,
                    "used_ms": one.used_ms,
                })
            })
            .collect();
        return format!("{}\n", json!({"documents": all}));
    }
    let row = |one: &Document| vec![moment(one.used_ms), one.pieces.to_string(), safe(&one.path)];
    rows(["LAST", "PIECES", "PATH"], all.iter().map(row))
}

fn rows(head: [&str; 3], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut all = vec![head.map(str::to_owned).to_vec()];
    all.extend(rows);
    if all.len() == 1 {
        return String::new();
    }
    table(&all)
}

#[cfg(test)]
mod tests {
    use paraphym_candle::retrieval::{Basis, MemoryId, MemoryKind, Origin};

    use super::*;

    #[test]
    fn a_memory_is_a_line_and_none_are_nothing() {
        let memory = Memory {
            id: MemoryId(17),
            kind: MemoryKind::Semantic,
            text: "The cat\nis \u{1b}[31mred.".to_owned(),
            importance: 0.5,
            made_ms: 0,
            used_ms: 0,
            times: 1,
            origin: Origin::Space("default".to_owned()),
        };
        assert_eq!(
            list(&[memory], false),
            "NUMBER  LAST                  TEXT\n17      1970-01-01T00:00:00Z  The cat is [31mred.\n"
        );
        assert_eq!(
            (list(&[], false), documents(&[], false)),
            Default::default()
        );
        let nothing = Answer {
            found: Vec::new(),
            basis: Basis::Words {
                why: "no model".to_owned(),
            },
        };
        assert_eq!(found(&nothing, false), "");
        assert_eq!(
            found(&nothing, true),
            "{\"found\":[],\"without_meaning\":\"no model\"}\n"
        );
    }
}
