//! From bytes of a stranger to a frame, or to an error that names the field, the value and the way out.
//!
//! Invariants: nothing here panics, whatever comes; work and memory are bounded by the size of the frame, and nesting by
//! the parser (128); a token is in no error.

use serde_json::{Map, Value};

use super::client::ClientFrame;

/// The longest name of a conversation, in bytes.
pub(crate) const NAME_BYTES: usize = 128;
/// The longest name of a person, in characters.
pub(crate) const USER_CHARS: usize = 64;
/// The longest name that a client makes up, in bytes.
pub(crate) const NONCE_BYTES: usize = 64;
/// The most of a wrong value that is said back, in characters.
const SHOWN: usize = 60;

/// Why a frame was not understood. The connection goes on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// It is not JSON.
    #[error(
        "the frame is not JSON ({why}): send one object, such as {{\"op\":\"heartbeat\",\"seq\":0}}"
    )]
    NotJson {
        /// The parser's words.
        why: String,
    },
    /// It is JSON, and no object.
    #[error(
        "the frame is {what}, not an object: send one such as {{\"op\":\"heartbeat\",\"seq\":0}}"
    )]
    NotAnObject {
        /// What it is.
        what: &'static str,
    },
    /// Its `op` is missing or none of those.
    #[error("op = {op} is none of {}", ClientFrame::OPS.join(", "))]
    Op {
        /// What was there.
        op: String,
    },
    /// A field is missing.
    #[error("{op}.{field} is missing: it takes {allowed}")]
    Missing {
        /// The frame's `op`.
        op: &'static str,
        /// Which.
        field: &'static str,
        /// What it takes.
        allowed: &'static str,
    },
    /// A field has a value it does not take.
    #[error("{op}.{field} = {value} is not accepted: it takes {allowed}")]
    Value {
        /// The frame's `op`.
        op: &'static str,
        /// Which.
        field: &'static str,
        /// The value, cut.
        value: String,
        /// What it takes.
        allowed: &'static str,
    },
    /// There is no such field.
    #[error("{op}.{field} is no field: {op} has {known}")]
    Field {
        /// The frame's `op`.
        op: &'static str,
        /// Which.
        field: String,
        /// Those there are.
        known: String,
    },
}

impl FrameError {
    /// A word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotJson { .. } => "not_json",
            Self::NotAnObject { .. } => "not_an_object",
            Self::Op { .. } => "unknown_op",
            Self::Missing { .. } => "missing_field",
            Self::Value { .. } => "wrong_value",
            Self::Field { .. } => "unknown_field",
        }
    }

    /// The frame's `op`, where it is known.
    pub fn about(&self) -> Option<&'static str> {
        match self {
            Self::Missing { op, .. } | Self::Value { op, .. } | Self::Field { op, .. } => Some(op),
            _ => None,
        }
    }

    /// The field it is about.
    pub fn field(&self) -> Option<String> {
        match self {
            Self::Op { .. } => Some("op".to_owned()),
            Self::Missing { field, .. } | Self::Value { field, .. } => Some((*field).to_owned()),
            Self::Field { field, .. } => Some(field.clone()),
            _ => None,
        }
    }
}

/// One frame.
///
/// # Errors
/// [`FrameError`], which names what is wrong and what would be accepted.
pub fn decode(text: &str) -> Result<ClientFrame, FrameError> {
    if let Some(beat) = beat(text) {
        return Ok(beat);
    }
    let value: Value = serde_json::from_str(text).map_err(|error| FrameError::NotJson {
        why: error.to_string(),
    })?;
    let Value::Object(mut map) = value else {
        let what = kind(&value);
        return Err(FrameError::NotAnObject { what });
    };
    let found = match map.remove("op") {
        Some(Value::String(op)) => op,
        Some(other) => return Err(FrameError::Op { op: shown(&other) }),
        None => {
            return Err(FrameError::Op {
                op: "nothing".to_owned(),
            });
        }
    };
    let Some(op) = ClientFrame::OPS.into_iter().find(|op| *op == found) else {
        let op = shown(&Value::String(found));
        return Err(FrameError::Op { op });
    };
    let mut fields = Fields {
        op,
        map,
        known: Vec::new(),
    };
    let frame = read(op, &mut fields)?;
    fields.end()?;
    Ok(frame)
}

/// A heartbeat as nearly all of them are, without the detour: most of what ten thousand idle clients say. What is odd about
/// one is said by the detour.
fn beat(text: &str) -> Option<ClientFrame> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Beat<'a> {
        op: &'a str,
        seq: u64,
    }
    // To the parser a list would be one, too.
    let object = text.starts_with('{').then_some(text)?;
    let Beat { op, seq } = serde_json::from_str(object).ok()?;
    (op == "heartbeat" && seq <= LARGEST).then_some(ClientFrame::Heartbeat { seq })
}

fn read(op: &'static str, fields: &mut Fields) -> Result<ClientFrame, FrameError> {
    Ok(match op {
        "identify" => ClientFrame::Identify {
            user: fields.optional("user", USER, is_user)?,
            token: fields.optional("token", TOKEN, |_| true)?,
        },
        "resume" => ClientFrame::Resume {
            session: fields.text("session", NAME, is_short)?,
            epoch: fields.text("epoch", NAME, is_short)?,
            seq: fields.number("seq")?,
            token: fields.optional("token", TOKEN, |_| true)?,
        },
        "heartbeat" => ClientFrame::Heartbeat {
            seq: fields.number("seq")?,
        },
        "join" => ClientFrame::Join {
            conversation: fields.conversation()?,
            after: fields.optional_number("after")?,
        },
        "messages" => ClientFrame::Messages {
            conversation: fields.conversation()?,
            before: fields.number("before")?,
        },
        "leave" => ClientFrame::Leave {
            conversation: fields.conversation()?,
        },
        "say" => ClientFrame::Say {
            conversation: fields.conversation()?,
            text: fields.text("text", "a text that is not empty", |text| {
                !text.trim().is_empty()
            })?,
            nonce: fields.text("nonce", NONCE, is_nonce)?,
            model: fields.optional("model", NAME, is_short)?,
            temperature: fields.temperature()?,
        },
        "stop" => ClientFrame::Stop {
            conversation: fields.conversation()?,
        },
        "typing" => ClientFrame::Typing {
            conversation: fields.conversation()?,
            typing: fields.truth("typing")?,
        },
        "tree" => ClientFrame::Tree {
            watch: fields.truth("watch")?,
        },
        _ => ClientFrame::Conversations {
            watch: fields.optional_truth("watch")?,
        },
    })
}

const NAME: &str = "1 to 128 bytes";
const CONVERSATION: &str = "1 to 128 bytes of letters, digits and - _ . : @";
const USER: &str = "1 to 64 characters, none of them a control character or one that is not seen, no space at an end, and \
     not assistant, the agent's name";
const TOKEN: &str = "a bearer token";
const NONCE: &str = "1 to 64 bytes that the client makes up";
const NUMBER: &str = "a whole number from 0 to 9007199254740991";
const TEMPERATURE: &str = "a number from 0 to 2";
const TRUTH: &str = "true or false";
/// The largest whole number that every JSON parser reads exactly: 2^53 − 1.
pub(crate) const LARGEST: u64 = (1 << 53) - 1;

fn is_short(text: &str) -> bool {
    (1..=NAME_BYTES).contains(&text.len())
}

fn is_nonce(text: &str) -> bool {
    (1..=NONCE_BYTES).contains(&text.len())
}

fn is_user(text: &str) -> bool {
    text.trim() == text
        && (1..=USER_CHARS).contains(&text.chars().count())
        && !text
            .chars()
            .any(|one| one.is_control() || is_deceiving(one))
        && text.chars().any(|one| !is_joiner(one))
        // Nobody else is called so.
        && !text.eq_ignore_ascii_case(room::AGENT)
}

/// What is not seen, or turns around what is: a name with it looks like another one. Source: Unicode's bidirectional controls
/// and its format characters without a use in names.
fn is_deceiving(one: char) -> bool {
    matches!(
        one,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
    )
}

/// Some scripts, and pictures of people, are written with these between letters; alone they are not seen.
fn is_joiner(one: char) -> bool {
    matches!(one, '\u{200c}' | '\u{200d}')
}

/// As a conversation's worker is named.
fn is_conversation(text: &str) -> bool {
    is_short(text)
        && text
            .chars()
            .all(|one| one.is_alphanumeric() || "-_.:@".contains(one))
}

/// What is left to read of a frame.
struct Fields {
    op: &'static str,
    map: Map<String, Value>,
    known: Vec<&'static str>,
}

impl Fields {
    /// Absent and null are the same.
    fn take(&mut self, field: &'static str) -> Option<Value> {
        self.known.push(field);
        self.map.remove(field).filter(|value| !value.is_null())
    }

    fn wrong(&self, field: &'static str, value: &Value, allowed: &'static str) -> FrameError {
        let hidden = field == "token";
        FrameError::Value {
            op: self.op,
            field,
            value: if hidden {
                "(hidden)".to_owned()
            } else {
                shown(value)
            },
            allowed,
        }
    }

    fn missing(&self, field: &'static str, allowed: &'static str) -> FrameError {
        let op = self.op;
        FrameError::Missing { op, field, allowed }
    }

    fn optional(
        &mut self,
        field: &'static str,
        allowed: &'static str,
        fits: impl Fn(&str) -> bool,
    ) -> Result<Option<String>, FrameError> {
        match self.take(field) {
            None => Ok(None),
            Some(Value::String(text)) if fits(&text) => Ok(Some(text)),
            Some(other) => Err(self.wrong(field, &other, allowed)),
        }
    }

    fn text(
        &mut self,
        field: &'static str,
        allowed: &'static str,
        fits: impl Fn(&str) -> bool,
    ) -> Result<String, FrameError> {
        let found = self.optional(field, allowed, fits)?;
        found.ok_or_else(|| self.missing(field, allowed))
    }

    fn conversation(&mut self) -> Result<String, FrameError> {
        self.text("conversation", CONVERSATION, is_conversation)
    }

    fn optional_number(&mut self, field: &'static str) -> Result<Option<u64>, FrameError> {
        let Some(value) = self.take(field) else {
            return Ok(None);
        };
        let number = value.as_u64().filter(|number| *number <= LARGEST);
        let number = number.ok_or_else(|| self.wrong(field, &value, NUMBER))?;
        Ok(Some(number))
    }

    fn number(&mut self, field: &'static str) -> Result<u64, FrameError> {
        let found = self.optional_number(field)?;
        found.ok_or_else(|| self.missing(field, NUMBER))
    }

    fn optional_truth(&mut self, field: &'static str) -> Result<Option<bool>, FrameError> {
        match self.take(field) {
            None => Ok(None),
            Some(Value::Bool(truth)) => Ok(Some(truth)),
            Some(other) => Err(self.wrong(field, &other, TRUTH)),
        }
    }

    fn truth(&mut self, field: &'static str) -> Result<bool, FrameError> {
        let found = self.optional_truth(field)?;
        found.ok_or_else(|| self.missing(field, TRUTH))
    }

    #[allow(
        clippy::cast_possible_truncation,
        reason = "a temperature is an f32 everywhere"
    )]
    fn temperature(&mut self) -> Result<Option<f32>, FrameError> {
        let field = "temperature";
        let Some(value) = self.take(field) else {
            return Ok(None);
        };
        let fits = value.as_f64().filter(|one| (0.0..=2.0).contains(one));
        let fits = fits.ok_or_else(|| self.wrong(field, &value, TEMPERATURE))?;
        Ok(Some(fits as f32))
    }

    /// Nothing else may be there: a field that is not understood would be ignored in silence.
    fn end(self) -> Result<(), FrameError> {
        let Some(field) = self.map.keys().next() else {
            return Ok(());
        };
        Err(FrameError::Field {
            op: self.op,
            field: field.chars().take(SHOWN).collect(),
            known: self.known.join(", "),
        })
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// A value as an error says it back.
fn shown(value: &Value) -> String {
    let whole = value.to_string();
    let mut cut: String = whole.chars().take(SHOWN).collect();
    if cut.len() < whole.len() {
        cut.push('…');
    }
    cut
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
