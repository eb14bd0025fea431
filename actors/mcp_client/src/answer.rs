//! What a server answers to a call, as the model reads it.

use std::error::Error;

use rmcp::model::{CallToolResponse, CallToolResult, ContentBlock, ResourceContents};
use rmcp::service::{ClientInitializeError, ServiceError};
use toolbox::{ToolError, ToolOutput};

use crate::board::Epitaph;
use crate::http::refused;

/// A server's answer.
pub(crate) fn read(tool: &str, answer: CallToolResponse) -> Result<ToolOutput, ToolError> {
    match answer {
        CallToolResponse::Complete(result) => complete(tool, result),
        CallToolResponse::InputRequired(_) => Err(ToolError::failed(
            tool,
            "it wants to ask a person something, which is not possible here. Go on without it",
        )),
        _ => Err(ToolError::failed(
            tool,
            "it answered with a task to be looked at later, which is not possible here. Go on without it",
        )),
    }
}

fn complete(tool: &str, result: CallToolResult) -> Result<ToolOutput, ToolError> {
    let mut parts: Vec<String> = result.content.into_iter().map(shown).collect();
    if parts.is_empty() {
        parts.extend(result.structured_content.map(|value| value.to_string()));
    }
    let text = parts.join("\n");
    if result.is_error == Some(true) {
        let silent = "it says that it failed, and not why".to_owned();
        let why = if text.is_empty() { silent } else { text };
        return Err(ToolError::failed(tool, why));
    }
    if text.is_empty() {
        return Ok(ToolOutput::new("done, without a result"));
    }
    Ok(ToolOutput::new(text))
}

/// A model here reads text only: of everything else it learns that it is there.
fn shown(block: ContentBlock) -> String {
    let unseen = |kind: &str, of: &str, bytes: usize| {
        format!("[{kind} ({of}, {bytes} bytes of base64) that cannot be shown here]")
    };
    let unknown = || "[something that cannot be shown here]".to_owned();
    match block {
        ContentBlock::Text(text) => text.text,
        ContentBlock::Image(image) => unseen("an image", &image.mime_type, image.data.len()),
        ContentBlock::Audio(audio) => unseen("a sound", &audio.mime_type, audio.data.len()),
        ContentBlock::Resource(embedded) => match embedded.resource {
            ResourceContents::TextResourceContents { text, .. } => text,
            ResourceContents::BlobResourceContents {
                uri,
                mime_type,
                blob,
                ..
            } => {
                let of = mime_type.unwrap_or(uri);
                unseen("a file", &of, blob.len())
            }
            _ => unknown(),
        },
        ContentBlock::ResourceLink(link) => format!("[{}: {}]", link.name, link.uri),
        _ => unknown(),
    }
}

/// A call without an answer.
pub(crate) fn failed(
    tool: &str,
    server: &str,
    error: &ServiceError,
    epitaph: &Epitaph,
) -> ToolError {
    let tool = tool.to_owned();
    match error {
        ServiceError::McpError(error) => ToolError::Failed {
            tool,
            why: error.message.to_string(),
        },
        ServiceError::TransportSend(cause) => {
            let why = format!("the server `{server}`: {}", chain(cause.error.as_ref()));
            if refused(cause.error.as_ref()) {
                return ToolError::Unavailable { tool, why };
            }
            ToolError::Interrupted { tool, why }
        }
        ServiceError::TransportClosed => {
            let why = epitaph.read().unwrap_or("it ended");
            ToolError::Interrupted {
                tool,
                why: format!("the server `{server}` was lost: {why}"),
            }
        }
        other => ToolError::Interrupted {
            tool,
            why: format!("the server `{server}` gave no result: {other}"),
        },
    }
}

/// Why a server could not be greeted, without the names of rmcp's types.
pub(crate) fn not_greeted(error: &ClientInitializeError) -> String {
    match error {
        ClientInitializeError::TransportError { error, .. } => chain(error.error.as_ref()),
        other => chain(other),
    }
}

/// Why a question had no answer, without the names of rmcp's types.
pub(crate) fn not_answered(error: &ServiceError) -> String {
    match error {
        ServiceError::TransportSend(error) => chain(error.error.as_ref()),
        other => chain(other),
    }
}

/// An error with its causes.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let more = next.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = next.source();
    }
    text
}
