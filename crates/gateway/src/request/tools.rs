//! What the model may call, and whether it does. What a schema may say, and how many tools there may be, the model host
//! knows and refuses by the same names.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::{ToolChoice, ToolSpec, Tools};
use serde_json::Value;

use crate::error::ApiError;
use crate::request::Fields;

/// What a tool takes that says nothing of it: no arguments, as the API has it.
const NO_PARAMETERS: &str = r#"{"type":"object","properties":{},"additionalProperties":false}"#;

/// What a tool may be called.
pub(crate) const NAMES: &str = "1 to 64 letters, digits, `_` and `-`";

/// The tools of a request; none if it names none.
///
/// # Errors
/// 400, naming the tool and its field.
pub(crate) fn tools(fields: &Fields) -> Result<Tools, ApiError> {
    let specs = match fields.get("tools") {
        None => Vec::new(),
        Some(Value::Array(list)) => {
            let one = |(at, value): (usize, &Value)| {
                spec(&Fields::within(&format!("tools[{at}]"), value)?)
            };
            let specs: Vec<ToolSpec> =
                list.iter().enumerate().map(one).collect::<Result<_, _>>()?;
            each_once(fields, &specs)?;
            specs
        }
        Some(_) => return Err(fields.expected("tools", "an array of tools")),
    };
    let choice = choice(fields, &specs)?;
    Ok(Tools {
        specs: specs.into(),
        choice,
        one_call: fields.boolean("parallel_tool_calls")? == Some(false),
    })
}

fn spec(fields: &Fields) -> Result<ToolSpec, ApiError> {
    if fields.text("type")? != Some("function") {
        return Err(fields.not_supported("type", "only tools of type \"function\""));
    }
    fields.refuse_unknown(&["type", "function"])?;
    let function = fields.object("function")?;
    let function = function.ok_or_else(|| fields.expected("function", "an object with a name"))?;
    function.refuse_unknown(&["name", "description", "parameters", "strict"])?;
    // Arguments follow their schema whatever it says.
    function.boolean("strict")?;
    let name = function.text("name")?;
    let name = name.ok_or_else(|| function.expected("name", NAMES))?;
    if !is_name(name) {
        return Err(function.refused("name", NAMES));
    }
    let parameters = match function.get("parameters") {
        None => Arc::from(NO_PARAMETERS),
        Some(schema @ Value::Object(_)) => Arc::from(schema.to_string()),
        Some(_) => return Err(function.expected("parameters", "a JSON Schema of type object")),
    };
    Ok(ToolSpec {
        name: name.to_owned(),
        description: function.text("description")?.unwrap_or_default().to_owned(),
        parameters,
    })
}

fn each_once(fields: &Fields, specs: &[ToolSpec]) -> Result<(), ApiError> {
    let mut names = BTreeSet::new();
    let twice = |spec: &ToolSpec| !names.insert(spec.name.clone());
    match specs.iter().position(twice) {
        None => Ok(()),
        Some(at) => {
            let field = format!("tools[{at}].function.name");
            Err(fields.expected(&field, "another one than that of the tools before"))
        }
    }
}

/// Whether this may name a tool or a form.
pub(crate) fn is_name(name: &str) -> bool {
    let is_sound = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    (1..=64).contains(&name.len()) && name.chars().all(is_sound)
}

fn choice(fields: &Fields, specs: &[ToolSpec]) -> Result<ToolChoice, ApiError> {
    const CHOICES: &str =
        "\"none\", \"auto\", \"required\" or {\"type\":\"function\",\"function\":{\"name\":…}}";
    let choice = match fields.get("tool_choice") {
        None => return Ok(ToolChoice::Auto),
        Some(Value::String(word)) => match word.as_str() {
            "none" => ToolChoice::None,
            "auto" => ToolChoice::Auto,
            "required" => ToolChoice::Required,
            _ => return Err(fields.refused("tool_choice", CHOICES)),
        },
        Some(value @ Value::Object(_)) => named(value)?,
        Some(_) => return Err(fields.expected("tool_choice", CHOICES)),
    };
    match &choice {
        ToolChoice::Named(name) if specs.iter().all(|spec| spec.name != *name) => {
            Err(fields.expected("tool_choice.function.name", "the name of one of the tools"))
        }
        ToolChoice::Required if specs.is_empty() => Err(fields.expected(
            "tool_choice",
            "\"none\" or \"auto\" where there are no tools",
        )),
        _ => Ok(choice),
    }
}

fn named(value: &Value) -> Result<ToolChoice, ApiError> {
    let fields = Fields::within("tool_choice", value)?;
    if fields.text("type")? != Some("function") {
        return Err(fields.not_supported("type", "only a choice of type \"function\""));
    }
    fields.refuse_unknown(&["type", "function"])?;
    let function = fields.object("function")?;
    let function = function.ok_or_else(|| fields.expected("function", "an object with a name"))?;
    function.refuse_unknown(&["name"])?;
    let name = function.text("name")?;
    let name = name.ok_or_else(|| function.expected("name", "the name of one of the tools"))?;
    Ok(ToolChoice::Named(name.to_owned()))
}
