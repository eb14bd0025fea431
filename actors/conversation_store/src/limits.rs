//! How much a request may carry, and how that is refused. Each bound says why.

use domain::{ConversationId, FieldError, Message, RequestId};

use crate::messages::PAGE;

/// The longest name of a conversation, a turn or a call, in bytes: names are shown in lists and logs.
pub const NAME: usize = 200;
/// The longest message, its calls included, in bytes: far more than any context window reads.
pub const MESSAGE: usize = 16 << 20;
/// The most bytes of one request: the longest message with room, or some thousand usual ones.
pub const REQUEST: usize = 64 << 20;

pub(crate) fn name(field: &'static str, value: &str) -> Result<(), FieldError> {
    let fits = (1..=NAME).contains(&value.len()) && !value.chars().any(char::is_control);
    let refused = || FieldError::new(field, value, "1 to 200 bytes without control characters");
    fits.then_some(()).ok_or_else(refused)
}

pub(crate) fn conversation(id: &ConversationId) -> Result<(), FieldError> {
    name("conversation", id.as_str())
}

pub(crate) fn turn(id: &RequestId) -> Result<(), FieldError> {
    name("turn", id.as_str())
}

pub(crate) fn between(
    field: &'static str,
    value: usize,
    most: usize,
    allowed: &'static str,
) -> Result<(), FieldError> {
    let refused = || FieldError::new(field, value, allowed);
    (1..=most)
        .contains(&value)
        .then_some(())
        .ok_or_else(refused)
}

/// What a message weighs.
pub(crate) fn weight(message: &Message) -> usize {
    let calls = message.tool_calls.iter();
    let calls: usize = calls
        .map(|call| call.id.as_str().len() + call.name.len() + call.arguments.len())
        .sum();
    message.content.len() + calls
}

/// What messages weigh together.
pub(crate) fn weight_of(messages: &[Message]) -> usize {
    messages.iter().map(weight).sum()
}

pub(crate) fn message(one: &Message) -> Result<(), FieldError> {
    let bytes = weight(one);
    if bytes > MESSAGE {
        return Err(FieldError::new("message", bytes, "at most 16 MiB of text"));
    }
    let calls = one.tool_calls.iter().map(|call| &call.id);
    let mut names = calls.chain(&one.answers);
    names.try_for_each(|call| name("tool call", call.as_str()))
}

pub(crate) fn messages<'a>(
    all: impl ExactSizeIterator<Item = &'a Message>,
) -> Result<(), FieldError> {
    if all.len() > PAGE {
        return Err(FieldError::new("messages", all.len(), "at most 10000"));
    }
    let mut bytes = 0;
    for one in all {
        message(one)?;
        bytes += weight(one);
    }
    let refused = || FieldError::new("messages", bytes, "at most 64 MiB of text in one request");
    (bytes <= REQUEST).then_some(()).ok_or_else(refused)
}
