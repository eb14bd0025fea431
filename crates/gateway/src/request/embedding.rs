//! The body of `POST /v1/embeddings`.

use domain::ModelName;
use model_host::embedding::{MOST_BYTES, MOST_TEXT_BYTES, MOST_TEXTS};
use serde_json::Value;

use crate::error::ApiError;
use crate::request::Fields;
use crate::request::common::model;

/// The fields of a request that are understood.
pub(crate) const FIELDS: &[&str] = &["model", "input", "encoding_format", "dimensions", "user"];

/// How vectors are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// As arrays of numbers.
    Float,
    /// As the base64 of their numbers' bytes, each four, the least significant first.
    Base64,
}

/// Texts whose vectors can be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddingRequest {
    /// Which model; `None` leaves it to us.
    pub model: Option<ModelName>,
    /// The texts: 1 to 2048, none empty.
    pub texts: Vec<String>,
    /// How the vectors are written.
    pub encoding: Encoding,
    /// How many numbers the client wants in each, which the model must have.
    pub dimensions: Option<u32>,
}

/// Reads a request for vectors.
///
/// # Errors
/// 400, naming the field as `param`.
pub fn embedding_request(body: &[u8]) -> Result<EmbeddingRequest, ApiError> {
    let fields = Fields::of_body(body)?;
    fields.refuse_unknown(FIELDS)?;
    // Who asks changes nothing of the answer, and is not kept.
    fields.text("user")?;
    Ok(EmbeddingRequest {
        model: model(&fields)?,
        texts: texts(&fields)?,
        encoding: encoding(&fields)?,
        dimensions: dimensions(&fields)?,
    })
}

fn encoding(fields: &Fields) -> Result<Encoding, ApiError> {
    match fields.text("encoding_format")? {
        None | Some("float") => Ok(Encoding::Float),
        Some("base64") => Ok(Encoding::Base64),
        Some(_) => Err(fields.refused("encoding_format", "float or base64")),
    }
}

fn dimensions(fields: &Fields) -> Result<Option<u32>, ApiError> {
    let Some(dimensions) = fields.whole("dimensions")? else {
        return Ok(None);
    };
    let dimensions = u32::try_from(dimensions).ok().filter(|n| *n > 0);
    let refused = || fields.refused("dimensions", "as many as the model has, or leave it out");
    dimensions.map(Some).ok_or_else(refused)
}

/// A text, or an array of them.
fn texts(fields: &Fields) -> Result<Vec<String>, ApiError> {
    let texts = match fields.get("input") {
        Some(Value::String(text)) => vec![(fields.path("input"), text.as_str())],
        Some(Value::Array(texts)) => {
            let one = |(at, text)| {
                let path = format!("{}[{at}]", fields.path("input"));
                one_of(path, text)
            };
            texts
                .iter()
                .enumerate()
                .map(one)
                .collect::<Result<_, _>>()?
        }
        _ => return Err(fields.expected("input", "a text or an array of texts")),
    };
    if !(1..=MOST_TEXTS).contains(&texts.len()) {
        return Err(fields.expected("input", "1 to 2048 texts"));
    }
    let texts: Vec<String> = texts.into_iter().map(sound).collect::<Result<_, _>>()?;
    if texts.iter().map(String::len).sum::<usize>() > MOST_BYTES {
        return Err(fields.expected("input", "at most 4 MiB together: send several requests"));
    }
    Ok(texts)
}

fn one_of(path: String, value: &Value) -> Result<(String, &str), ApiError> {
    match value {
        Value::String(text) => Ok((path, text)),
        Value::Number(_) | Value::Array(_) => {
            let message = format!("{path} is not supported yet: send texts, not tokens");
            Err(ApiError::invalid("input", message))
        }
        _ => {
            let message = format!("{path} must be a text");
            Err(ApiError::invalid(path, message))
        }
    }
}

/// A text that is not empty and not beyond what the model host takes. Of nothing there is nothing to say: a vector of it
/// would be near to whatever else says little.
fn sound((path, text): (String, &str)) -> Result<String, ApiError> {
    let wrong = match text.len() {
        0 => "must not be empty: leave it out",
        bytes if bytes > MOST_TEXT_BYTES => "has more than 65536 bytes: cut it into passages",
        _ => return Ok(text.to_owned()),
    };
    let message = format!("{path} {wrong}");
    Err(ApiError::invalid(path, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(body: &str) -> Result<EmbeddingRequest, ApiError> {
        embedding_request(body.as_bytes())
    }

    #[test]
    fn what_is_asked_is_heard() {
        let least = EmbeddingRequest {
            model: None,
            texts: vec!["a".into()],
            encoding: Encoding::Float,
            dimensions: None,
        };
        for body in [
            r#"{"input":"a"}"#,
            r#"{"input":["a"],"encoding_format":"float","user":"u"}"#,
            r#"{"input":"a","model":null,"encoding_format":null,"dimensions":null,"user":null}"#,
        ] {
            assert_eq!(of(body), Ok(least.clone()), "{body}");
        }
        let all = r#"{"model":"e","input":["a","b"],"encoding_format":"base64","dimensions":3}"#;
        let expected = EmbeddingRequest {
            model: Some(ModelName::new("e")),
            texts: vec!["a".into(), "b".into()],
            encoding: Encoding::Base64,
            dimensions: Some(3),
        };
        assert_eq!(of(all), Ok(expected));
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        let long = "x".repeat(MOST_TEXT_BYTES);
        let one = |text: &str| format!(r#"{{"input":{text}}}"#);
        let with = |fields: &str| format!(r#"{{"input":"a",{fields}}}"#);
        let many = |count, text: &str| format!(r#"{{"input":{:?}}}"#, vec![text; count]);
        assert!(of(&one(&format!("{long:?}"))).is_ok());
        assert!(of(&many(MOST_TEXTS, "x")).is_ok());
        assert!(of(&many(64, &long)).is_ok());
        for (body, param) in [
            ("{}".into(), "input"),
            (one("null"), "input"),
            (one("7"), "input"),
            (one("[]"), "input"),
            (one("[1,2]"), "input"),
            (one("[[1],[2]]"), "input"),
            (one(r#""""#), "input"),
            (one(r#"["a",""]"#), "input[1]"),
            (one(r#"["a",true]"#), "input[1]"),
            (one(&format!(r#"["a","{long}x"]"#)), "input[1]"),
            (many(MOST_TEXTS + 1, "x"), "input"),
            (many(65, &long), "input"),
            (with(r#""model":"""#), "model"),
            (with(r#""model":7"#), "model"),
            (with(r#""encoding_format":"int8""#), "encoding_format"),
            (with(r#""encoding_format":1"#), "encoding_format"),
            (with(r#""dimensions":0"#), "dimensions"),
            (with(r#""dimensions":-1"#), "dimensions"),
            (with(r#""dimensions":1.5"#), "dimensions"),
            (with(r#""user":1"#), "user"),
            (with(r#""truncate":true"#), "truncate"),
        ] {
            let error = of(&body).expect_err(param);
            assert_eq!((error.status, error.param.as_deref()), (400, Some(param)));
        }
    }
}
