//! Requests made from operations, and what every response to any of them must be.

use serde_json::Value;

use super::document::{Document, Operation};
use super::instances::{Instances, Wish};
use crate::support::Response;
use crate::support::chance::Chance;

/// One request as it goes over the wire, on a connection that stays open.
#[derive(Debug)]
pub struct Made {
    pub raw: Vec<u8>,
    /// Which operation, and how wrong it was to be.
    pub operation: usize,
    pub wish: Wish,
}

/// Makes requests from every operation of a document, in turn.
pub struct Requests<'a> {
    operations: Vec<Operation>,
    instances: Instances<'a>,
    chance: Chance,
    made: usize,
}

impl<'a> Requests<'a> {
    /// `known` are texts that mean something to the server.
    pub fn new(document: &'a Document, known: &'a [&'a str], seed: u64) -> Self {
        Self {
            operations: document.operations(),
            instances: Instances::new(document, known),
            chance: Chance(seed),
            made: 0,
        }
    }

    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// What costs nothing is asked for less often: three of four requests have a body.
    fn operation(&mut self) -> usize {
        let with_body = !self.made.is_multiple_of(4);
        let fits = |one: &Operation| one.body.is_some() == with_body;
        let all = self.operations.iter().enumerate();
        let fitting: Vec<usize> = all.filter(|(_, one)| fits(one)).map(|(at, _)| at).collect();
        if fitting.is_empty() {
            return self.chance.below(self.operations.len());
        }
        *self.chance.pick(&fitting)
    }

    fn next(&mut self) -> Made {
        let at = self.operation();
        self.made += 1;
        let wish = *self
            .chance
            .pick(&[Wish::Valid, Wish::Almost, Wish::Almost, Wish::Wild]);
        let (operation, chance) = (&self.operations[at], &mut self.chance);
        let (mut path, mut query, mut headers) =
            (operation.path.clone(), Vec::new(), String::new());
        for (name, place, required, schema) in &operation.parameters {
            if !required && chance.one_in(2) {
                continue;
            }
            let value = self.instances.make(schema, wish, chance);
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            match place.as_str() {
                "path" => path = path.replace(&format!("{{{name}}}"), &escaped(&value)),
                "query" => query.push(format!("{}={}", escaped(name), escaped(&value))),
                "header" => headers.extend([name, ": ", &escaped(&value), "\r\n"]),
                other => panic!("a parameter in {other}"),
            }
        }
        if !query.is_empty() {
            path = format!("{path}?{}", query.join("&"));
        }
        let mut body = Vec::new();
        if let Some(schema) = &operation.body {
            body = self
                .instances
                .make(schema, wish, chance)
                .to_string()
                .into_bytes();
            if wish == Wish::Wild {
                break_bytes(&mut body, chance);
            }
            let kind = if wish == Wish::Wild && chance.one_in(8) {
                "text/plain"
            } else {
                "application/json"
            };
            let length = body.len().to_string();
            headers.extend([
                "content-type: ",
                kind,
                "\r\ncontent-length: ",
                &length,
                "\r\n",
            ]);
        }
        let method = if wish == Wish::Wild && chance.one_in(20) {
            "PUT"
        } else {
            &operation.method
        };
        let mut raw =
            format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n").into_bytes();
        raw.extend(body);
        Made {
            raw,
            operation: at,
            wish,
        }
    }
}

impl Iterator for Requests<'_> {
    type Item = Made;

    /// Never ends.
    fn next(&mut self) -> Option<Made> {
        Some(Self::next(self))
    }
}

/// Now and then what is sent is no JSON, or no UTF-8.
fn break_bytes(body: &mut Vec<u8>, chance: &mut Chance) {
    if body.is_empty() || !chance.one_in(5) {
        return;
    }
    let at = chance.below(body.len());
    match chance.below(3) {
        0 => body.truncate(at),
        1 => body[at] = 0xff,
        _ => body.insert(at, *chance.pick(b"{}[],:\"\\0\n")),
    }
}

/// What is not a plain letter is escaped, also where a header could not say it.
fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let one = |byte: u8| {
        if plain(byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    let text: String = text.bytes().take(500).map(one).collect();
    if text.is_empty() {
        "-".to_owned()
    } else {
        text
    }
}

/// What holds for every response: it has a name, fails only by being full, and a refusal is the exact envelope.
///
/// # Errors
/// What does not hold.
pub fn check(response: &Response) -> Result<(), String> {
    let status = response.status;
    if status >= 500 && status != 503 {
        return Err(format!("{status} is a failure of ours"));
    }
    if response.header("x-request-id").is_none_or(str::is_empty) {
        return Err("it has no x-request-id".into());
    }
    if status < 400 {
        return Ok(());
    }
    if response.header("content-type") != Some("application/json") {
        return Err("a refusal is JSON".into());
    }
    let body: Value = serde_json::from_str(&response.body).map_err(|error| error.to_string())?;
    let whole = body.as_object().filter(|body| body.len() == 1);
    let error = whole
        .and_then(|body| body.get("error")?.as_object())
        .filter(|error| error.len() == 4);
    let error = error.ok_or("the envelope is not exact")?;
    let text = |key: &str| {
        error
            .get(key)
            .and_then(Value::as_str)
            .is_some_and(|text| !text.is_empty())
    };
    let text_or_null = |key: &str| text(key) || error.get(key).is_some_and(Value::is_null);
    if text("message") && text("type") && text_or_null("param") && text_or_null("code") {
        return Ok(());
    }
    Err("a field of the envelope is not as it must be".into())
}
