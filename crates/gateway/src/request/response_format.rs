//! What the answer has to look like: any text, any JSON object, or JSON of a schema. Whether a schema can be kept to the
//! model host decides, and refuses by the same name.

use std::sync::Arc;

use domain::Constraint;
use serde_json::Value;

use crate::error::ApiError;
use crate::request::Fields;
use crate::request::tools::{NAMES, is_name};

/// The form that is asked for; `None` leaves it free.
///
/// # Errors
/// 400, naming the field.
pub(crate) fn response_format(fields: &Fields) -> Result<Option<Constraint>, ApiError> {
    let Some(format) = fields.object("response_format")? else {
        return Ok(None);
    };
    let kinds = "\"text\", \"json_object\" or \"json_schema\"";
    match format.text("type")? {
        Some("text") => {
            format.refuse_unknown(&["type"])?;
            Ok(None)
        }
        Some("json_object") => {
            format.refuse_unknown(&["type"])?;
            Ok(Some(Constraint::JsonObject))
        }
        Some("json_schema") => {
            format.refuse_unknown(&["type", "json_schema"])?;
            schema(&format).map(Some)
        }
        None => Err(format.expected("type", kinds)),
        Some(_) => Err(format.refused("type", kinds)),
    }
}

fn schema(format: &Fields) -> Result<Constraint, ApiError> {
    let named = format.object("json_schema")?;
    let named = named
        .ok_or_else(|| format.expected("json_schema", "an object with a name and a schema"))?;
    named.refuse_unknown(&["name", "description", "schema", "strict"])?;
    match named.text("name")? {
        Some(name) if is_name(name) => {}
        Some(_) => return Err(named.refused("name", NAMES)),
        None => return Err(named.expected("name", NAMES)),
    }
    // The answer follows the schema whatever these say.
    named.text("description")?;
    named.boolean("strict")?;
    match named.get("schema") {
        // Without one, any JSON.
        None => Ok(Constraint::JsonSchema(Arc::from("{}"))),
        Some(schema @ Value::Object(_)) => {
            Ok(Constraint::JsonSchema(Arc::from(schema.to_string())))
        }
        Some(_) => Err(named.expected("schema", "a JSON Schema")),
    }
}
