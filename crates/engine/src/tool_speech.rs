//! From an answer's text to what the model says and what it calls: whole calls only, and text at once.
//!
//! It stands behind [`Speech`](crate::Speech): what comes in is final text. Text waits here only while it may be the
//! beginning of a call, and what turns out to be no call is text after all: nothing the model said is lost.
//!
//! Invariants: however the text is cut into pieces, what comes out is the same; a call's id is a function of its request
//! and its place, so that whoever says the answer again after a crash says the same ids.

use domain::{RequestId, ToolCall, ToolCallId};
use serde_json::{Map, Value};

use crate::ToolSyntax;

/// A part of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Text; never empty.
    Text(String),
    /// A whole call.
    Call(ToolCall),
}

/// The calls of one answer.
#[derive(Clone, Debug)]
pub struct ToolSpeech {
    syntax: ToolSyntax,
    request: RequestId,
    calls: u32,
    held: String,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Nothing was said yet but space: the whole answer may be one call.
    Start,
    Text,
    /// Behind a call: space is nothing to say.
    Between,
    /// Behind the opening tag; `seen` bytes of what is held have no closing one.
    Call {
        seen: usize,
    },
}

/// What a body between two tags turned out to be.
enum Read {
    Calls(Vec<(String, String)>),
    /// It ends in the middle: the closing tag may be part of a text in it.
    Unfinished,
    Nothing,
}

impl ToolSpeech {
    /// Nothing was said yet.
    pub fn new(syntax: ToolSyntax, request: RequestId) -> Self {
        Self {
            syntax,
            request,
            calls: 0,
            held: String::new(),
            place: match syntax {
                ToolSyntax::Bare => Place::Start,
                ToolSyntax::Tagged | ToolSyntax::TaggedList => Place::Text,
            },
        }
    }

    /// How many calls were made so far.
    pub const fn calls(&self) -> u32 {
        self.calls
    }

    /// Takes the next text of the answer.
    pub fn push(&mut self, text: &str) -> Vec<Piece> {
        self.held.push_str(text);
        let mut pieces = Vec::new();
        match self.syntax {
            ToolSyntax::Bare => self.bare(&mut pieces),
            ToolSyntax::Tagged | ToolSyntax::TaggedList => while self.tagged(&mut pieces) {},
        }
        pieces
    }

    /// The end of the answer: what waited is a call if it is whole, else text.
    pub fn finish(&mut self) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let rest = std::mem::take(&mut self.held);
        let place = std::mem::replace(&mut self.place, Place::Text);
        if matches!(place, Place::Call { .. }) {
            let tag = match self.syntax {
                ToolSyntax::Bare => "",
                ToolSyntax::Tagged | ToolSyntax::TaggedList => ToolSyntax::OPEN,
            };
            match read(&rest) {
                Read::Calls(calls) => self.call(calls, &mut pieces),
                Read::Unfinished | Read::Nothing => say([tag, &rest].concat(), &mut pieces),
            }
        } else if place != Place::Between || !rest.trim().is_empty() {
            say(rest, &mut pieces);
        }
        pieces
    }

    /// One call is the whole answer, or there is none.
    fn bare(&mut self, pieces: &mut Vec<Piece>) {
        if self.place == Place::Start {
            match self.held.trim_start().chars().next() {
                None => return,
                Some('{') => self.place = Place::Call { seen: 0 },
                Some(_) => self.place = Place::Text,
            }
        }
        if self.place == Place::Text {
            say(std::mem::take(&mut self.held), pieces);
        }
    }

    /// Goes on to the next tag; false if there is none yet.
    fn tagged(&mut self, pieces: &mut Vec<Piece>) -> bool {
        if let Place::Call { seen } = self.place {
            return self.close(seen, pieces);
        }
        if let Some(at) = self.held.find(ToolSyntax::OPEN) {
            let rest = self.held.split_off(at + ToolSyntax::OPEN.len());
            let mut text = std::mem::replace(&mut self.held, rest);
            text.truncate(at);
            if self.place != Place::Between || !text.trim().is_empty() {
                say(text, pieces);
            }
            self.place = Place::Call { seen: 0 };
            return true;
        }
        let sayable = self.held.len() - beginning_of(ToolSyntax::OPEN, &self.held);
        let text = self.held.get(..sayable).unwrap_or_default();
        if self.place == Place::Between && text.trim().is_empty() {
            return false;
        }
        self.place = Place::Text;
        let waiting = self.held.split_off(sayable);
        say(std::mem::replace(&mut self.held, waiting), pieces);
        false
    }

    /// Looks for the end of a call, from `seen` on.
    fn close(&mut self, seen: usize, pieces: &mut Vec<Piece>) -> bool {
        let from = self.held.floor_char_boundary(seen);
        let found = self
            .held
            .get(from..)
            .and_then(|rest| rest.find(ToolSyntax::CLOSE));
        let Some(at) = found.map(|at| at + from) else {
            let waiting = beginning_of(ToolSyntax::CLOSE, &self.held);
            let seen = self.held.len() - waiting;
            self.place = Place::Call { seen };
            return false;
        };
        let end = at + ToolSyntax::CLOSE.len();
        match read(self.held.get(..at).unwrap_or_default()) {
            Read::Unfinished => {
                self.place = Place::Call { seen: end };
                return true;
            }
            Read::Calls(calls) => {
                self.held = self.held.split_off(end);
                self.place = Place::Between;
                self.call(calls, pieces);
            }
            Read::Nothing => {
                let rest = self.held.split_off(end);
                let body = std::mem::replace(&mut self.held, rest);
                self.place = Place::Text;
                say([ToolSyntax::OPEN, &body].concat(), pieces);
            }
        }
        true
    }

    fn call(&mut self, calls: Vec<(String, String)>, pieces: &mut Vec<Piece>) {
        for (name, arguments) in calls {
            let id = ToolCallId::new(format!("call-{}-{}", self.request, self.calls));
            self.calls = self.calls.saturating_add(1);
            pieces.push(Piece::Call(ToolCall {
                id,
                name,
                arguments,
            }));
        }
    }
}

/// Appends text, to the text before it if there is some.
fn say(text: String, pieces: &mut Vec<Piece>) {
    if text.is_empty() {
        return;
    }
    if let Some(Piece::Text(before)) = pieces.last_mut() {
        before.push_str(&text);
    } else {
        pieces.push(Piece::Text(text));
    }
}

/// One call or a list of them, with arguments that are objects.
fn read(body: &str) -> Read {
    let written = match serde_json::from_str(body) {
        Ok(Value::Array(calls)) => calls,
        Ok(one) => vec![one],
        Err(error) if error.is_eof() => return Read::Unfinished,
        Err(_) => return Read::Nothing,
    };
    let calls: Option<Vec<(String, String)>> = written.into_iter().map(call_of).collect();
    calls
        .filter(|calls| !calls.is_empty())
        .map_or(Read::Nothing, Read::Calls)
}

/// `{"name": …, "arguments": {…}}`, or `parameters` instead; without either the tool takes none.
fn call_of(written: Value) -> Option<(String, String)> {
    let Value::Object(mut fields) = written else {
        return None;
    };
    let arguments = fields
        .remove("arguments")
        .or_else(|| fields.remove("parameters"));
    let arguments = arguments.unwrap_or_else(|| Value::Object(Map::new()));
    match fields.remove("name")? {
        Value::String(name) if arguments.is_object() => Some((name, arguments.to_string())),
        _ => None,
    }
}

/// Bytes at the end of `text` that may be the beginning of `tag`.
fn beginning_of(tag: &str, text: &str) -> usize {
    (1..tag.len())
        .rev()
        .find(|&n| tag.get(..n).is_some_and(|front| text.ends_with(front)))
        .unwrap_or(0)
}

#[cfg(test)]
#[path = "tool_speech_tests.rs"]
mod tests;
