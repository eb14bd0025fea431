//! What requests of every path say in the same words: who is asked, and what the end of a stream tells.

use domain::ModelName;

use crate::error::ApiError;
use crate::request::Fields;

pub(crate) fn model(fields: &Fields) -> Result<Option<ModelName>, ApiError> {
    match fields.text("model")? {
        Some("") => Err(fields.expected("model", "the name of a model, see GET /v1/models")),
        name => Ok(name.map(ModelName::new)),
    }
}

pub(crate) fn include_usage(fields: &Fields, stream: bool) -> Result<bool, ApiError> {
    let Some(options) = fields.object("stream_options")? else {
        return Ok(false);
    };
    if !stream {
        return Err(fields.expected("stream_options", "only together with \"stream\": true"));
    }
    options.refuse_unknown(&["include_usage", "include_obfuscation"])?;
    if options.boolean("include_obfuscation")? == Some(true) {
        return Err(options.not_supported("include_obfuscation", "leave it out or send false"));
    }
    Ok(options.boolean("include_usage")?.unwrap_or(false))
}
