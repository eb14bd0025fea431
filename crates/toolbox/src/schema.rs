//! A cheap look at a call's arguments, before the tool sees them: what is required is there, the top level's types and
//! choices are right, and nothing unknown comes along if the schema is closed. What is deeper is the tool's own to check:
//! a whole JSON Schema validator would be bigger than everything else here.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::tool_error::ToolError;

/// What is known of a tool's arguments.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Schema {
    required: BTreeSet<String>,
    properties: BTreeMap<String, Property>,
    is_closed: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Property {
    /// JSON Schema's names of types; none: any.
    types: Vec<String>,
    /// The values it may have; none: any.
    choices: Vec<Value>,
}

impl Schema {
    /// `parameters` is a JSON Schema of an object.
    pub(crate) fn read(parameters: &str) -> Result<Self, String> {
        let schema: Value = serde_json::from_str(parameters)
            .map_err(|error| format!("its parameters are not JSON: {error}"))?;
        let Some(schema) = schema.as_object() else {
            return Err("its parameters are not a JSON object".to_owned());
        };
        if schema.get("type").is_some_and(|kind| kind != "object") {
            return Err("the type of its parameters is not \"object\"".to_owned());
        }
        let texts = |value: Option<&Value>| -> Vec<String> {
            let items = value.and_then(Value::as_array).into_iter().flatten();
            items.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let properties = schema.get("properties").and_then(Value::as_object);
        let property = |(name, value): (&String, &Value)| {
            let types = match value.get("type") {
                Some(Value::String(one)) => vec![one.clone()],
                many => texts(many),
            };
            let choices = value.get("enum").and_then(Value::as_array);
            let choices = choices.cloned().unwrap_or_default();
            (name.clone(), Property { types, choices })
        };
        Ok(Self {
            required: texts(schema.get("required")).into_iter().collect(),
            properties: properties.into_iter().flatten().map(property).collect(),
            is_closed: schema.get("additionalProperties") == Some(&Value::Bool(false))
                && !schema.contains_key("patternProperties"),
        })
    }

    pub(crate) fn check(
        &self,
        tool: &str,
        arguments: &Map<String, Value>,
    ) -> Result<(), ToolError> {
        for name in &self.required {
            if !arguments.contains_key(name) {
                let wanted = self.properties.get(name).map_or_else(
                    || format!("`{name}`"),
                    |property| format!("{} as `{name}`", property.wanted()),
                );
                return Err(ToolError::bad_argument(tool, name, "is missing", wanted));
            }
        }
        for (name, value) in arguments {
            match self.properties.get(name) {
                Some(property) => property.check(tool, name, value)?,
                None if self.is_closed => {
                    let known: Vec<&str> = self.properties.keys().map(String::as_str).collect();
                    let allowed = if known.is_empty() {
                        "no arguments".to_owned()
                    } else {
                        format!("nothing but {}", known.join(", "))
                    };
                    return Err(ToolError::bad_argument(tool, name, "is unknown", allowed));
                }
                None => {}
            }
        }
        Ok(())
    }
}

impl Property {
    fn check(&self, tool: &str, name: &str, value: &Value) -> Result<(), ToolError> {
        if !self.types.is_empty() && !self.types.iter().any(|kind| is_of(value, kind)) {
            let problem = format!("is {}", name_of(value));
            return Err(ToolError::bad_argument(tool, name, problem, self.wanted()));
        }
        if !self.choices.is_empty() && !self.choices.contains(value) {
            let given: String = value.to_string().chars().take(80).collect();
            return Err(ToolError::bad_argument(
                tool,
                name,
                format!("is {given}"),
                self.wanted(),
            ));
        }
        Ok(())
    }

    fn wanted(&self) -> String {
        if !self.choices.is_empty() {
            let shown = self.choices.iter().take(20).map(Value::to_string);
            return format!("one of {}", shown.collect::<Vec<_>>().join(", "));
        }
        let name = |kind: &String| match kind.as_str() {
            "string" => "a text".to_owned(),
            "integer" => "a whole number".to_owned(),
            "number" => "a number".to_owned(),
            "boolean" => "true or false".to_owned(),
            "array" => "a list".to_owned(),
            "object" => "an object".to_owned(),
            other => other.to_owned(),
        };
        if self.types.is_empty() {
            return "a value".to_owned();
        }
        self.types.iter().map(name).collect::<Vec<_>>().join(" or ")
    }
}

/// Unknown names of types are not this crate's to refuse.
fn is_of(value: &Value, kind: &str) -> bool {
    match kind {
        "string" => value.is_string(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        _ => true,
    }
}

/// What a value is, in the words the model reads.
pub(crate) fn name_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(schema: &Value, arguments: &Value) -> Result<(), String> {
        let schema = Schema::read(&schema.to_string()).unwrap();
        schema
            .check("t", arguments.as_object().unwrap())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_top_level_is_checked_and_the_rest_is_the_tools_own() {
        let schema = json!({
            "type": "object",
            "properties": {
                "text": {"type": "string"},
                "count": {"type": ["integer", "null"]},
                "unit": {"enum": ["c", "f"]},
                "deep": {"type": "object", "required": ["x"]},
                "any": true,
            },
            "required": ["text"],
            "additionalProperties": false,
        });
        let cases = [
            (
                json!({"text": "a", "count": 3, "unit": "c", "deep": {}, "any": [1]}),
                None,
            ),
            (json!({"text": "a", "count": 3.0}), None),
            (json!({"text": "a", "count": null}), None),
            (
                json!({}),
                Some("`text` is missing. Call it again with a text as `text`"),
            ),
            (
                json!({"text": 1}),
                Some("`text` is a number. Call it again with a text"),
            ),
            (
                json!({"text": "a", "count": 1.5}),
                Some("`count` is a number. Call it again with a whole number or null"),
            ),
            (
                json!({"text": "a", "unit": "k"}),
                Some("`unit` is \"k\". Call it again with one of \"c\", \"f\""),
            ),
            (
                json!({"text": "a", "x": 1}),
                Some("`x` is unknown. Call it again with nothing but any, count, deep, text, unit"),
            ),
        ];
        for (arguments, expected) in cases {
            let expected =
                expected.map_or(Ok(()), |text| Err(format!("`t` was not called: {text}")));
            assert_eq!(check(&schema, &arguments), expected, "{arguments}");
        }
        assert_eq!(check(&json!({}), &json!({"anything": 1})), Ok(()));
        let open = json!({"additionalProperties": false, "patternProperties": {"^x": {}}});
        assert_eq!(check(&open, &json!({"x": 1})), Ok(()));
        let none = json!({"additionalProperties": false});
        assert!(
            check(&none, &json!({"x": 1}))
                .unwrap_err()
                .ends_with("with no arguments")
        );
    }

    #[test]
    fn parameters_that_are_no_object_are_refused() {
        for (bad, why) in [
            ("", "not JSON"),
            ("[]", "not a JSON object"),
            ("{\"type\": \"string\"}", "not \"object\""),
        ] {
            let refused = Schema::read(bad).unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
    }
}
