//! The chat template a model was trained with, run as the untrusted program it is: fuel, output and source are bounded.
//!
//! Settings follow what model authors test with (`apply_chat_template` of Hugging Face transformers): blocks are
//! trimmed, Python's string and dict methods exist, `raise_exception` fails. There is no clock: templates that ask
//! `strftime_now is defined` hear no. `tojson` writes JSON as Python does, which is not minijinja's way.

use std::io;
use std::sync::OnceLock;

use engine::{TextError, ToolSyntax};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde, Value};
use minijinja::{Environment, Error, ErrorKind};
use serde_json::json;

use crate::tool_prompt::write_json;

/// The longest template read; real ones stay under 20 KB.
const MAX_SOURCE_BYTES: usize = 1 << 20;
/// Instructions a template may run. A message takes about a hundred, so this is about 100 000 messages.
const FUEL: u64 = 10_000_000;
/// The longest conversation rendered: far beyond any context.
const MAX_RENDERED_BYTES: usize = 64 << 20;

/// `ChatML`, which most small chat models follow; for files without a template.
const CHATML: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/// A compiled template.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    begin: String,
    end: String,
    calls: Option<ToolSyntax>,
    refuses_system: OnceLock<bool>,
}

impl ChatTemplate {
    /// Compiles `source`, or `ChatML` without one. `begin` and `end` are the texts of the tokens that begin and end a
    /// text, which templates write out.
    ///
    /// # Errors
    /// What the template language does not know, with its line.
    pub fn new(source: Option<&str>, begin: &str, end: &str) -> Result<Self, String> {
        let source = source.unwrap_or(CHATML);
        if source.len() > MAX_SOURCE_BYTES {
            return Err(format!(
                "it is {} bytes long; at most {MAX_SOURCE_BYTES} are read",
                source.len()
            ));
        }
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()
            .map_err(|error| told(&error))?;
        let mut environment = Environment::new();
        environment.set_syntax(syntax);
        environment.set_fuel(Some(FUEL));
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", raise_exception);
        environment.add_filter("tojson", to_json);
        let calls = syntax_of(source);
        environment
            .add_template_owned(NAME, source.to_owned())
            .map_err(|error| told(&error))?;
        Ok(Self {
            environment,
            begin: begin.to_owned(),
            end: end.to_owned(),
            calls,
            refuses_system: OnceLock::new(),
        })
    }

    /// Whether a conversation that begins with a system message fails, where the same without it does not: tried out when it is
    /// asked for the first time.
    pub fn refuses_system(&self) -> bool {
        *self.refuses_system.get_or_init(|| {
            let user = json!({ "role": "user", "content": "." });
            let system = json!({ "role": "system", "content": "." });
            let takes = |messages: &[_]| self.render(messages, &[]).is_ok();
            takes(std::slice::from_ref(&user)) && !takes(&[system, user])
        })
    }

    /// How calls are said, if it knows of tools.
    pub const fn calls(&self) -> Option<ToolSyntax> {
        self.calls
    }

    /// The conversation as the model expects it, with the assistant's turn opened; `tools` are not there if they are
    /// empty. Messages and tools are as `tool_prompt` makes them.
    ///
    /// # Errors
    /// `Template`: what it raised, or which bound it broke.
    pub fn render(
        &self,
        messages: &[serde_json::Value],
        tools: &[serde_json::Value],
    ) -> Result<String, TextError> {
        let list = |values: &[serde_json::Value]| -> Vec<Value> {
            values
                .iter()
                .map(|value| Value::from(Serde(value)))
                .collect()
        };
        let tools = (!tools.is_empty()).then(|| ("tools", Value::from(list(tools))));
        let context = Value::from_pairs(
            [
                ("messages", Value::from(list(messages))),
                ("add_generation_prompt", Value::from(true)),
                ("bos_token", Value::from(self.begin.as_str())),
                ("eos_token", Value::from(self.end.as_str())),
            ]
            .into_iter()
            .chain(tools),
        );
        let mut page = Page::default();
        self.environment
            .get_template(NAME)
            .and_then(|template| template.render_captured_to(context, &mut page).map(|_| ()))
            .map_err(|error| TextError::Template(told(&error)))?;
        String::from_utf8(page.bytes).map_err(|error| TextError::Template(error.to_string()))
    }
}

const NAME: &str = "chat";

fn raise_exception(reason: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, reason))
}

/// The two ways that templates show; any other is not known here, and such a template is told of tools in words.
fn syntax_of(source: &str) -> Option<ToolSyntax> {
    let knows = |word: &str| source.contains(word);
    if !knows("tools") {
        None
    } else if knows(ToolSyntax::OPEN) {
        Some(ToolSyntax::Tagged)
    } else if knows("\"parameters\": ") {
        Some(ToolSyntax::Bare)
    } else {
        None
    }
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "a filter is given its arguments so"
)]
fn to_json(value: &Value, indent: Option<usize>, rest: Kwargs) -> Result<Value, Error> {
    let indent = match indent {
        Some(indent) => Some(indent),
        None => rest.get("indent")?,
    };
    // Python's other ways to write it change nothing that is read here.
    let mut page = Page::default();
    write_json(&mut page, value, indent)
        .map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))?;
    let text = String::from_utf8_lossy(&page.bytes).into_owned();
    Ok(Value::from(text))
}

/// The error in words, with its line.
fn told(error: &Error) -> String {
    let what = error.detail().map_or_else(
        || error.kind().to_string(),
        |detail| format!("{}: {detail}", error.kind()),
    );
    match error.line() {
        Some(line) => format!("{what} (line {line})"),
        None => what,
    }
}

/// Output of bounded length.
#[derive(Debug, Default)]
struct Page {
    bytes: Vec<u8>,
}

impl io::Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len().saturating_add(bytes.len()) > MAX_RENDERED_BYTES {
            return Err(io::Error::other(format!(
                "the template wrote more than {MAX_RENDERED_BYTES} bytes"
            )));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[path = "template_tests.rs"]
mod tests;
