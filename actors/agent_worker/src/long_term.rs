//! Shell: long-term memory and documents, as a turn asks them: what is found is shown and cited, what was said is kept.

use std::sync::Arc;

use conversation_store::memories::{MemoryKind, Scope};
use domain::{Citation, ConversationId};
use futures_util::future::BoxFuture;
use retrieval::{Found, Note, RecallTool, RememberTool, Retrieval};
use toolbox::Tool;

use crate::keeper::WallClock;
use crate::recalls::{Recalls, Recollection};
use crate::settings::MemorySettings;

/// How much of a finding is cited, in characters.
const EXCERPT: usize = 200;
/// How much of each side of an exchange is remembered, in characters; the store takes 16 KiB, and a character may have four
/// bytes.
const SIDE: usize = 1900;
/// An exchange matters less than a fact that somebody asked to be remembered.
const IMPORTANCE: f32 = 0.3;

/// Long-term memory and documents.
#[derive(Clone)]
pub struct LongTerm {
    retrieval: Retrieval,
    clock: WallClock,
}

impl LongTerm {
    /// What `retrieval` finds and keeps.
    pub fn new(retrieval: Retrieval, clock: WallClock) -> Self {
        Self { retrieval, clock }
    }
}

impl Recalls for LongTerm {
    fn recall(
        &self,
        _: &ConversationId,
        text: &str,
        settings: &MemorySettings,
    ) -> BoxFuture<'static, Result<Recollection, String>> {
        let (retrieval, now_ms) = (self.retrieval.clone(), (self.clock)());
        let (text, settings) = (text.to_owned(), settings.clone());
        let scope = scope(&settings);
        Box::pin(async move {
            let retrieval = retrieval.within(settings.within);
            let asked = retrieval.recall(scope, &text, settings.hits, now_ms);
            let answer = asked.await.map_err(|error| error.to_string())?;
            let tokens = usize::try_from(settings.tokens).unwrap_or(usize::MAX);
            let found = retrieval::within(answer.found, tokens, |t| t.chars().count().div_ceil(4));
            Ok(Recollection {
                without_meaning: answer.basis.without_meaning().map(str::to_owned),
                ..shown(&found)
            })
        })
    }

    fn remember(
        &self,
        _: &ConversationId,
        text: &str,
        answer: &str,
        settings: &MemorySettings,
    ) -> BoxFuture<'static, Result<(), String>> {
        let Some(space) = settings.space.clone() else {
            return Box::pin(std::future::ready(Ok(())));
        };
        let (retrieval, now_ms) = (self.retrieval.clone(), (self.clock)());
        let side = |text: &str| text.chars().take(SIDE).collect::<String>();
        let note = Note {
            space,
            text: format!(
                "The user said: {}\nThe answer was: {}",
                side(text),
                side(answer)
            ),
            kind: MemoryKind::Episodic,
            importance: IMPORTANCE,
        };
        Box::pin(async move {
            let noted = retrieval.remember(note, now_ms).await;
            noted.map(drop).map_err(|error| error.to_string())
        })
    }

    fn tools(&self, settings: &MemorySettings) -> Vec<Arc<dyn Tool>> {
        let (retrieval, clock) = (&self.retrieval, &self.clock);
        let recall = RecallTool::new(retrieval.clone(), scope(settings), Arc::clone(clock));
        let mut tools: Vec<Arc<dyn Tool>> = vec![Arc::new(recall)];
        if let Some(space) = &settings.space {
            let remember = RememberTool::new(retrieval.clone(), space, Arc::clone(clock));
            tools.push(Arc::new(remember));
        }
        tools
    }
}

/// What a turn with these settings may find.
fn scope(settings: &MemorySettings) -> Scope {
    Scope {
        space: settings.space.clone(),
        documents: settings.documents.clone(),
    }
}

/// What was found, numbered as it is cited.
fn shown(found: &[Found]) -> Recollection {
    let cited = |one: &Found| Citation {
        source: one.citation(),
        excerpt: one.text.chars().take(EXCERPT).collect(),
        #[allow(clippy::cast_possible_truncation, reason = "from 0 to 1")]
        score: one.score as f32,
    };
    let line =
        |(at, one): (usize, &Found)| format!("[{}] {}: {}", at + 1, one.citation(), one.text);
    let lines: Vec<String> = found.iter().enumerate().map(line).collect();
    let head = "What may help, from memory and documents; it may be out of date:";
    Recollection {
        citations: found.iter().map(cited).collect(),
        text: if lines.is_empty() {
            String::new()
        } else {
            format!("{head}\n{}", lines.join("\n"))
        },
        without_meaning: None,
    }
}
