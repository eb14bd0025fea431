//! `remember` and `recall` as a model calls them. Each belongs to one agent's space, which the model cannot name: what it
//! may read and write is decided where the tools are made.

use std::sync::Arc;

use conversation_store::memories::{MemoryId, MemoryKind, Scope};
use domain::ToolSpec;
use serde_json::Value;
use toolbox::{Fields, Tool, ToolContext, ToolError, ToolFuture, ToolOutput};

use crate::error::RetrievalError;
use crate::found::Answer;
use crate::retrieval::{Note, Retrieval};

const REMEMBER: &str = "remember";
const RECALL: &str = "recall";
const REMEMBER_PARAMETERS: &str = r#"{"type":"object","properties":{"text":{"type":"string","minLength":1,"maxLength":1000,"description":"What to remember, as one or two whole sentences that make sense without this conversation."},"importance":{"type":"number","minimum":0,"maximum":1,"description":"How much it matters, from 0 to 1. Left out: 0.5."},"kind":{"type":"string","enum":["semantic","episodic","procedural"],"description":"A fact, something that happened, or how something is done. Left out: semantic."}},"required":["text"],"additionalProperties":false}"#;
const RECALL_PARAMETERS: &str = r#"{"type":"object","properties":{"query":{"type":"string","minLength":1,"maxLength":200,"description":"What to look for, in words."},"limit":{"type":"integer","minimum":1,"maximum":20,"description":"How many at most. Left out: 5."}},"required":["query"],"additionalProperties":false}"#;
/// As important as anything, when the model does not say.
const IMPORTANCE: f32 = 0.5;
/// A model that asks for more has not read what it got.
const MOST: i64 = 20;
/// What fits into an answer beside all else.
const FEW: i64 = 5;

/// Tells the wall clock, in milliseconds since 1970.
pub type NowMs = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The tool `remember`.
pub struct RememberTool {
    spec: ToolSpec,
    retrieval: Retrieval,
    space: String,
    now_ms: NowMs,
}

impl RememberTool {
    /// Remembers in this space.
    pub fn new(retrieval: Retrieval, space: impl Into<String>, now_ms: NowMs) -> Self {
        let description = "Keeps a fact for later conversations. Use it when the user tells something worth knowing next time.";
        Self {
            spec: spec(REMEMBER, description, REMEMBER_PARAMETERS),
            retrieval,
            space: space.into(),
            now_ms,
        }
    }

    async fn remember(&self, arguments: &Value) -> Result<ToolOutput, ToolError> {
        let fields = Fields::of(REMEMBER, arguments);
        let note = Note {
            space: self.space.clone(),
            text: fields.text("text")?.to_owned(),
            kind: kind(&fields)?,
            importance: importance(&fields)?,
        };
        let noted = self.retrieval.remember(note, (self.now_ms)()).await;
        let noted = noted.map_err(|error| failed(REMEMBER, &error))?;
        let id = noted.id.0;
        let done = if noted.is_new {
            format!("Remembered as memory {id}.")
        } else {
            format!("That was known as memory {id}, and is fresh again.")
        };
        Ok(ToolOutput::new(match noted.without_meaning {
            None => done,
            Some(why) => format!("{done} It is found by its words alone for now: {why}."),
        }))
    }
}

impl Tool for RememberTool {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn call(&self, arguments: Value, _: ToolContext) -> ToolFuture<'_> {
        Box::pin(async move { self.remember(&arguments).await })
    }

    /// The same content twice is one memory.
    fn is_idempotent(&self) -> bool {
        true
    }
}

/// The tool `recall`.
pub struct RecallTool {
    spec: ToolSpec,
    retrieval: Retrieval,
    scope: Scope,
    now_ms: NowMs,
}

impl RecallTool {
    /// Looks in this scope.
    pub fn new(retrieval: Retrieval, scope: Scope, now_ms: NowMs) -> Self {
        let description = "Looks up what was remembered in earlier conversations, and in the documents at hand. Cite what \
            you use by what stands in brackets.";
        Self {
            spec: spec(RECALL, description, RECALL_PARAMETERS),
            retrieval,
            scope,
            now_ms,
        }
    }

    async fn recall(&self, arguments: &Value) -> Result<ToolOutput, ToolError> {
        let fields = Fields::of(RECALL, arguments);
        let query = fields.text("query")?;
        let limit = limit(&fields)?;
        let now_ms = (self.now_ms)();
        let answer = self
            .retrieval
            .recall(self.scope.clone(), query, limit, now_ms)
            .await;
        let answer = answer.map_err(|error| failed(RECALL, &error))?;
        let ids: Vec<MemoryId> = answer.found.iter().map(|found| found.id).collect();
        if let Err(error) = self.retrieval.used(ids, now_ms).await {
            // Found all the same; they only look older than they are.
            tracing::warn!(%error, "it could not be noted that memories were of use");
        }
        Ok(ToolOutput::new(written(&answer)))
    }
}

impl Tool for RecallTool {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn call(&self, arguments: Value, _: ToolContext) -> ToolFuture<'_> {
        Box::pin(async move { self.recall(&arguments).await })
    }

    /// No memory's content changes.
    fn is_read_only(&self) -> bool {
        true
    }
}

/// As a model reads it: each find with its citation, then how it was looked for.
pub fn written(answer: &Answer) -> String {
    let mut lines: Vec<String> = answer
        .found
        .iter()
        .map(|found| format!("[{}] {}", found.citation(), found.text.trim()))
        .collect();
    if lines.is_empty() {
        lines.push("Nothing was found.".to_owned());
    }
    lines.push(format!("({})", answer.basis));
    lines.join("\n")
}

fn spec(name: &str, description: &str, parameters: &str) -> ToolSpec {
    ToolSpec {
        name: name.to_owned(),
        description: description.to_owned(),
        parameters: Arc::from(parameters),
    }
}

fn kind(fields: &Fields<'_>) -> Result<MemoryKind, ToolError> {
    let Some(name) = fields.optional_text("kind")? else {
        return Ok(MemoryKind::Semantic);
    };
    MemoryKind::named(name).ok_or_else(|| {
        let problem = format!("is {:?}", name.chars().take(40).collect::<String>());
        ToolError::bad_argument(
            REMEMBER,
            "kind",
            problem,
            "semantic, episodic or procedural",
        )
    })
}

fn importance(fields: &Fields<'_>) -> Result<f32, ToolError> {
    let Some(value) = fields.get("importance") else {
        return Ok(IMPORTANCE);
    };
    let number = value.as_f64().filter(|number| (0.0..=1.0).contains(number));
    number.map(|number| number as f32).ok_or_else(|| {
        let problem = format!(
            "is {}",
            value.to_string().chars().take(40).collect::<String>()
        );
        ToolError::bad_argument(REMEMBER, "importance", problem, "a number from 0 to 1")
    })
}

fn limit(fields: &Fields<'_>) -> Result<usize, ToolError> {
    let limit = fields.optional_integer("limit")?.unwrap_or(FEW);
    let fits = (1..=MOST).contains(&limit);
    let refused = || ToolError::bad_argument(RECALL, "limit", format!("is {limit}"), "1 to 20");
    fits.then_some(limit as usize).ok_or_else(refused)
}

fn failed(tool: &str, error: &RetrievalError) -> ToolError {
    ToolError::failed(tool, error.to_string())
}
