//! The tools of one turn: a set that never changes, and the one way to call into it.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use domain::{ToolCall, ToolSpec};
use futures_util::FutureExt;
use serde_json::{Map, Value};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::cut::{cut, head};
use crate::filter::ToolFilter;
use crate::limits::{Limits, MAX_TIMEOUT};
use crate::schema::Schema;
use crate::tool::{Tool, ToolContext, ToolOutput};
use crate::tool_error::ToolError;

/// How many tools a model may be shown at once: as many as the OpenAI API takes.
pub const MAX_TOOLS: usize = 128;
/// How long a tool's name may be: as long as the OpenAI API takes.
pub const MAX_NAME: usize = 64;

/// Whether a model can call a tool of this name: 1 to 64 of letters, digits, `_` and `-`.
pub fn is_tool_name(name: &str) -> bool {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(is_good)
}

/// Why a tool is not in the box.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ToolboxError {
    /// Two of one name.
    #[error("there are two tools `{name}`: rename one, or leave it out")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// A name no model could call.
    #[error("a tool may not be called {name:?}: use 1 to {MAX_NAME} of letters, digits, _ and -")]
    BadName {
        /// As it was given (cut to 80 characters).
        name: String,
    },
    /// Parameters that describe no object.
    #[error("the tool `{name}` cannot be called: {why}. Use a JSON Schema of type object")]
    BadParameters {
        /// The tool.
        name: String,
        /// What is wrong with them.
        why: String,
    },
    /// More than [`MAX_TOOLS`].
    #[error("the tool `{name}` is one more than {MAX_TOOLS}: leave some out, with an allow-list")]
    TooMany {
        /// The first that does not fit.
        name: String,
    },
}

/// Tools by name. Cheap to clone; what is in it never changes.
#[derive(Clone, Default)]
pub struct Toolbox {
    entries: Arc<BTreeMap<String, Entry>>,
    specs: Arc<[ToolSpec]>,
    limits: Limits,
}

#[derive(Clone)]
struct Entry {
    tool: Arc<dyn Tool>,
    schema: Schema,
}

/// A toolbox to which more were added.
#[derive(Clone, Debug)]
pub struct Merged {
    /// With all that fit.
    pub toolbox: Toolbox,
    /// Why the others were left out.
    pub skipped: Vec<ToolboxError>,
}

impl fmt::Debug for Toolbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.entries.keys()).finish()
    }
}

impl Toolbox {
    /// All of these.
    ///
    /// # Errors
    /// The first that cannot be in one box with those before it.
    pub fn new(tools: impl IntoIterator<Item = Arc<dyn Tool>>) -> Result<Self, ToolboxError> {
        let merged = Self::default().merged(tools);
        match merged.skipped.into_iter().next() {
            Some(error) => Err(error),
            None => Ok(merged.toolbox),
        }
    }

    /// The same with other limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// What bounds every call.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// These and more, for example those that other programs offer now. What does not fit is left out: who came first stays.
    pub fn merged(&self, more: impl IntoIterator<Item = Arc<dyn Tool>>) -> Merged {
        let mut entries = (*self.entries).clone();
        let mut skipped = Vec::new();
        for tool in more {
            if let Err(error) = add(&mut entries, tool) {
                skipped.push(error);
            }
        }
        let toolbox = Self::of(entries, self.limits);
        Merged { toolbox, skipped }
    }

    /// Those that `filter` lets through.
    #[must_use]
    pub fn only(&self, filter: &ToolFilter) -> Self {
        let kept = self.entries.iter().filter(|(name, _)| filter.lets(name));
        let kept = kept.map(|(name, entry)| (name.clone(), entry.clone()));
        Self::of(kept.collect(), self.limits)
    }

    fn of(entries: BTreeMap<String, Entry>, limits: Limits) -> Self {
        let specs = entries.values().map(|entry| entry.tool.spec().clone());
        Self {
            specs: specs.collect(),
            entries: Arc::new(entries),
            limits,
        }
    }

    /// What the model sees, by name.
    pub fn specs(&self) -> Arc<[ToolSpec]> {
        self.specs.clone()
    }

    /// The tool of that name.
    pub fn get(&self, name: &str) -> Option<&Arc<dyn Tool>> {
        self.entries.get(name).map(|entry| &entry.tool)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether this call could be made: there is such a tool, and the arguments are what it takes. For asking somebody's
    /// approval only of what can be done.
    ///
    /// # Errors
    /// [`ToolError::UnknownTool`], [`ToolError::BadArguments`] or [`ToolError::TooLarge`].
    pub fn check(&self, call: &ToolCall) -> Result<(), ToolError> {
        self.prepare(call).map(|_| ())
    }

    /// Makes the call, once. It ends when the tool does, when its time is over, or when `cancelled` is; in the latter two
    /// the tool's future is dropped. To drop this future is to cancel as well.
    ///
    /// # Errors
    /// See [`ToolError`]: each is one call's failure and says what to do.
    pub async fn call(
        &self,
        call: &ToolCall,
        cancelled: &CancellationToken,
    ) -> Result<ToolOutput, ToolError> {
        let (tool, arguments) = self.prepare(call)?;
        let timeout = tool
            .timeout()
            .map_or(self.limits.timeout, |own| own.min(MAX_TIMEOUT));
        let deadline = Instant::now() + timeout;
        // Whatever the tool left elsewhere hears that nobody waits any more, however this call ends.
        let token = cancelled.child_token();
        let _ended = token.clone().drop_guard();
        let context = ToolContext {
            call: call.id.clone(),
            cancelled: token.clone(),
            deadline,
            timeout,
        };
        // The call itself, not only its future, may panic.
        let work = AssertUnwindSafe(async { tool.call(arguments, context).await }).catch_unwind();
        let ended = tokio::select! {
            biased;
            () = cancelled.cancelled() => return Err(ToolError::Cancelled { tool: call.name.clone() }),
            ended = timeout_at(deadline, work) => ended,
        };
        match ended {
            Ok(Ok(Ok(output))) => Ok(cut(output, self.limits.max_output_bytes)),
            Ok(Ok(Err(error))) => Err(self.short(error)),
            Ok(Err(panic)) => {
                let why = what_it_said(panic.as_ref());
                tracing::error!(tool = call.name, why, "a tool panicked");
                Err(ToolError::failed(
                    &call.name,
                    "it has a bug. Go on without it",
                ))
            }
            Err(_) => Err(ToolError::TimedOut {
                tool: call.name.clone(),
                after: timeout,
            }),
        }
    }

    fn prepare(&self, call: &ToolCall) -> Result<(&dyn Tool, Value), ToolError> {
        let Some(entry) = self.entries.get(&call.name) else {
            return Err(ToolError::UnknownTool {
                name: call.name.chars().take(80).collect(),
                known: self.entries.keys().cloned().collect(),
            });
        };
        let (bytes, limit) = (call.arguments.len(), self.limits.max_argument_bytes);
        if bytes > limit {
            let tool = call.name.clone();
            return Err(ToolError::TooLarge { tool, bytes, limit });
        }
        let arguments = parse(&call.name, &call.arguments)?;
        entry.schema.check(&call.name, &arguments)?;
        Ok((entry.tool.as_ref(), Value::Object(arguments)))
    }

    /// A tool's own words are as long as it likes.
    fn short(&self, mut error: ToolError) -> ToolError {
        match &mut error {
            ToolError::Failed { why, .. }
            | ToolError::Interrupted { why, .. }
            | ToolError::Unavailable { why, .. }
            | ToolError::Denied { why, .. } => {
                let whole = ToolOutput::new(std::mem::take(why));
                *why = cut(whole, self.limits.max_output_bytes).text;
            }
            _ => {}
        }
        error
    }
}

fn add(entries: &mut BTreeMap<String, Entry>, tool: Arc<dyn Tool>) -> Result<(), ToolboxError> {
    let spec = tool.spec();
    let name = spec.name.clone();
    if !is_tool_name(&name) {
        let name = name.chars().take(80).collect();
        return Err(ToolboxError::BadName { name });
    }
    if entries.contains_key(&name) {
        return Err(ToolboxError::Duplicate { name });
    }
    if entries.len() >= MAX_TOOLS {
        return Err(ToolboxError::TooMany { name });
    }
    match Schema::read(&spec.parameters) {
        Ok(schema) => {
            entries.insert(name, Entry { tool, schema });
            Ok(())
        }
        Err(why) => Err(ToolboxError::BadParameters { name, why }),
    }
}

/// No arguments at all are an empty object: many models say nothing then.
fn parse(tool: &str, arguments: &str) -> Result<Map<String, Value>, ToolError> {
    let refuse = |problem: String| {
        let allowed = "one JSON object, for example {\"name\": \"value\"}";
        Err(ToolError::bad_argument(tool, "arguments", problem, allowed))
    };
    if arguments.trim().is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_str(arguments) {
        Ok(Value::Object(arguments)) => Ok(arguments),
        Ok(other) => refuse(format!(
            "is {}, not an object",
            crate::schema::name_of(&other)
        )),
        Err(error) => refuse(format!("is not JSON ({error})")),
    }
}

fn what_it_said(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    head(text.unwrap_or("no text"), 1000)
}

#[cfg(test)]
#[path = "toolbox_tests.rs"]
mod tests;
