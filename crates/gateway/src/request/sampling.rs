//! How tokens are chosen and when an answer ends: the fields that every path which makes text has.

use domain::{FieldError, Sampling};
use serde_json::Value;

use crate::error::ApiError;
use crate::request::Fields;

/// The longest stop text, in bytes: it is searched for at every token.
const STOP_BYTES: usize = 1024;

/// What a request says of how tokens are chosen, and the defaults where it says nothing. For every path that makes text: how
/// likely tokens were and what form an answer has is asked for differently on each, and read there.
///
/// # Errors
/// 400, naming the field as the client wrote it.
pub(crate) fn sampling(fields: &Fields, defaults: Sampling) -> Result<Sampling, ApiError> {
    let max_tokens = match (
        fields.whole("max_tokens")?,
        fields.whole("max_completion_tokens")?,
    ) {
        (Some(old), Some(new)) if old != new => {
            return Err(fields.expected(
                "max_tokens",
                "the same as max_completion_tokens, or leave it out",
            ));
        }
        // What fits no u32 is out of range as 0 is, and reported as it was written.
        (old, new) => new.or(old).map(|n| u32::try_from(n).unwrap_or(0)),
    };
    let sampling = Sampling {
        temperature: fields
            .number("temperature")?
            .unwrap_or(defaults.temperature),
        top_p: fields.number("top_p")?.unwrap_or(defaults.top_p),
        max_tokens: max_tokens.unwrap_or(defaults.max_tokens),
        seed: seed(fields)?.unwrap_or(defaults.seed),
        stop: stop(fields)?.unwrap_or(defaults.stop),
        presence_penalty: fields
            .number("presence_penalty")?
            .unwrap_or(defaults.presence_penalty),
        frequency_penalty: fields
            .number("frequency_penalty")?
            .unwrap_or(defaults.frequency_penalty),
        ..defaults
    };
    sampling
        .validate()
        .map_err(|error| as_written(error, fields))?;
    Ok(sampling)
}

fn seed(fields: &Fields) -> Result<Option<u64>, ApiError> {
    let Some(seed) = fields.whole("seed")? else {
        return Ok(None);
    };
    let seed = u64::try_from(seed);
    let refused = |_| fields.refused("seed", "a whole number from 0 to 18446744073709551615");
    seed.map(Some).map_err(refused)
}

/// A field and its number are named as the client wrote them.
fn as_written(error: FieldError, fields: &Fields) -> ApiError {
    let new = "max_completion_tokens";
    let field = if error.field == "max_tokens" && fields.get(new).is_some() {
        new
    } else {
        error.field
    };
    if fields.get(field).is_some_and(Value::is_number) {
        return fields.refused(field, error.allowed);
    }
    error.into()
}

fn stop(fields: &Fields) -> Result<Option<Vec<String>>, ApiError> {
    let expected = || fields.expected("stop", "a text or an array of at most 16 texts");
    let stop = match fields.get("stop") {
        None => return Ok(None),
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(many)) => {
            let texts = many.iter().map(|text| text.as_str().map(str::to_owned));
            texts.collect::<Option<_>>().ok_or_else(expected)?
        }
        Some(_) => return Err(expected()),
    };
    if stop.iter().any(|text| text.len() > STOP_BYTES) {
        return Err(fields.expected("stop", "texts of at most 1024 bytes"));
    }
    Ok(Some(stop))
}

#[cfg(test)]
#[path = "sampling_tests.rs"]
mod tests;
