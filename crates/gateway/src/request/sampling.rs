//! How tokens are chosen and when to end, as every path that generates names it.

use domain::{FieldError, Sampling};
use serde_json::Value;

use crate::error::ApiError;
use crate::request::Fields;

/// The longest stop text, in bytes: it is searched for at every token.
const STOP_BYTES: usize = 1024;

/// What a request says of it, on top of `defaults`.
///
/// # Errors
/// 400, naming the field.
pub(crate) fn sampling(fields: &Fields, defaults: Sampling) -> Result<Sampling, ApiError> {
    let number = |field, usual| Ok::<_, ApiError>(fields.number(field)?.unwrap_or(usual));
    let sampling = Sampling {
        temperature: number("temperature", defaults.temperature)?,
        top_p: number("top_p", defaults.top_p)?,
        presence_penalty: number("presence_penalty", defaults.presence_penalty)?,
        frequency_penalty: number("frequency_penalty", defaults.frequency_penalty)?,
        max_tokens: max_tokens(fields)?.unwrap_or(defaults.max_tokens),
        seed: seed(fields)?.unwrap_or(defaults.seed),
        stop: stop(fields)?.unwrap_or(defaults.stop),
        ..defaults
    };
    sampling
        .validate()
        .map_err(|error| as_written(error, fields))?;
    Ok(sampling)
}

/// That a field with this name changes nothing.
///
/// # Errors
/// 400, if it would.
pub(crate) fn no_bias(fields: &Fields) -> Result<(), ApiError> {
    match fields.object("logit_bias")? {
        Some(bias) if !bias.is_empty() => {
            Err(fields.not_supported("logit_bias", "leave it out or send {}"))
        }
        _ => Ok(()),
    }
}

/// That one answer is asked for.
///
/// # Errors
/// 400, if it is another number.
pub(crate) fn only_one(fields: &Fields, field: &str) -> Result<(), ApiError> {
    match fields.whole(field)? {
        None | Some(1) => Ok(()),
        Some(_) => Err(fields.not_supported(field, "one answer at a time: leave it out or send 1")),
    }
}

fn max_tokens(fields: &Fields) -> Result<Option<u32>, ApiError> {
    let (old, new) = (
        fields.whole("max_tokens")?,
        fields.whole("max_completion_tokens")?,
    );
    if old.is_some() && new.is_some() && old != new {
        let allowed = "the same as max_completion_tokens, or leave it out";
        return Err(fields.expected("max_tokens", allowed));
    }
    // What fits no u32 is out of range as 0 is, and reported as it was written.
    Ok(new.or(old).map(|n| u32::try_from(n).unwrap_or(0)))
}

fn seed(fields: &Fields) -> Result<Option<u64>, ApiError> {
    let Some(seed) = fields.whole("seed")? else {
        return Ok(None);
    };
    let seed = u64::try_from(seed);
    let refused = |_| fields.refused("seed", "a whole number from 0 to 18446744073709551615");
    seed.map(Some).map_err(refused)
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

#[cfg(test)]
#[path = "sampling_tests.rs"]
mod tests;
