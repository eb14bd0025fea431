//! What was said, found again by its words.
//!
//! Invariant: nothing in a text is syntax. Each term reaches FTS5 as a quoted string, whatever it holds.

use domain::{ConversationId, FieldError};
use rusqlite::{Row, params};

use crate::archive::{Archive, Failure};
use crate::conversations::{at_most, counted};
use crate::error::StoreError;
use crate::limits;
use crate::messages::{HITS, Hit, Search, Snippet};
use crate::wire;
use crate::work::Work;

/// The longest text to search for, in bytes: a paragraph.
pub const TEXT: usize = 1000;
/// Words of a snippet, about; FTS5 allows up to 64.
const SNIPPET_WORDS: i64 = 24;
/// Set around a word by FTS5, and taken out again here. Text may hold them, too: then nothing is lost but themselves.
const OPEN: char = '\u{2}';
const CLOSE: char = '\u{3}';

/// The text as FTS5 reads it: all terms, the last of them as the beginning of a word. Nothing if no term has a letter or
/// a digit.
pub fn query(text: &str) -> Option<String> {
    let means = |term: &&str| term.chars().any(char::is_alphanumeric);
    let parts = text.split(|c: char| c.is_whitespace() || c.is_control());
    let terms: Vec<String> = parts
        .filter(means)
        .map(|term| format!("\"{}\"", term.replace('"', "\"\"")))
        .collect();
    (!terms.is_empty()).then(|| format!("{}*", terms.join(" ")))
}

/// Takes the marks out, and says where they were.
fn unmarked(marked: &str) -> Snippet {
    let mut snippet = Snippet::default();
    let mut begun = None;
    for c in marked.chars() {
        let here = snippet.text.len();
        match c {
            OPEN => begun = Some(here),
            CLOSE => {
                let word = begun.take().map(|from| from..here);
                snippet.words.extend(word.filter(|word| !word.is_empty()));
            }
            other => snippet.text.push(other),
        }
    }
    snippet
}

impl Work for Search {
    type Answer = Vec<Hit>;
    const WRITES: bool = false;

    fn check(&self) -> Result<(), StoreError> {
        let text = &self.text;
        if text.len() > TEXT || query(text).is_none() {
            let allowed = "1 to 1000 bytes with a letter or a digit in them";
            return Err(FieldError::new("text", text, allowed).into());
        }
        Ok(limits::between("limit", self.limit, HITS, "1 to 1000")?)
    }

    fn carry_out(&self, archive: &Archive) -> Result<Vec<Hit>, Failure> {
        let Some(query) = query(&self.text) else {
            return Ok(Vec::new());
        };
        // The best first are chosen before their snippets are made.
        let mut statement = archive.connection.prepare_cached(
            "SELECT c.name, m.number, m.role, m.said_ms, f.score,
                    snippet(message_words, 0, ?3, ?4, '…', ?5)
             FROM (SELECT rowid AS id, bm25(message_words) AS score FROM message_words
                   WHERE message_words MATCH ?1 ORDER BY score, rowid DESC LIMIT ?2) f
             JOIN message_words ON message_words.rowid = f.id AND message_words MATCH ?1
             JOIN messages m ON m.id = f.id
             JOIN conversations c ON c.id = m.conversation
             ORDER BY f.score, m.id DESC",
        )?;
        let given = params![
            query,
            at_most(self.limit),
            OPEN.to_string(),
            CLOSE.to_string(),
            SNIPPET_WORDS
        ];
        let hits: rusqlite::Result<_> = statement.query_map(given, hit)?.collect();
        Ok(hits?)
    }
}

fn hit(row: &Row<'_>) -> rusqlite::Result<Hit> {
    let (name, role): (String, String) = (row.get(0)?, row.get(2)?);
    let score: f64 = row.get(4)?;
    let marked: String = row.get(5)?;
    Ok(Hit {
        conversation: ConversationId::new(name),
        number: counted(row.get(1)?),
        role: wire::role(&role)?,
        said_ms: row.get(3)?,
        snippet: unmarked(&marked),
        // FTS5's is better the lower it is.
        score: -score,
    })
}
