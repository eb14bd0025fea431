//! How a tool reads its arguments: by name, with an error that the model can act on.

use serde_json::{Map, Value};

use crate::schema::name_of;
use crate::tool_error::ToolError;

/// The arguments of one call of one tool.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    tool: &'a str,
    values: Option<&'a Map<String, Value>>,
}

impl<'a> Fields<'a> {
    /// Those of a call of `tool`. What is not an object has no fields.
    pub fn of(tool: &'a str, arguments: &'a Value) -> Self {
        Self {
            tool,
            values: arguments.as_object(),
        }
    }

    /// A value that is there and not null.
    pub fn get(&self, field: &str) -> Option<&'a Value> {
        self.values?.get(field).filter(|value| !value.is_null())
    }

    /// A text that has to be there.
    ///
    /// # Errors
    /// [`ToolError::BadArguments`] when it is missing or no text.
    pub fn text(&self, field: &str) -> Result<&'a str, ToolError> {
        self.optional_text(field)?
            .ok_or_else(|| self.missing(field, "a text"))
    }

    /// A text that may be missing.
    ///
    /// # Errors
    /// [`ToolError::BadArguments`] when it is no text.
    pub fn optional_text(&self, field: &str) -> Result<Option<&'a str>, ToolError> {
        self.read(field, "a text", Value::as_str)
    }

    /// A whole number that may be missing.
    ///
    /// # Errors
    /// [`ToolError::BadArguments`] when it is no whole number.
    pub fn optional_integer(&self, field: &str) -> Result<Option<i64>, ToolError> {
        self.read(field, "a whole number", Value::as_i64)
    }

    fn read<T>(
        &self,
        field: &str,
        what: &str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, ToolError> {
        let Some(value) = self.get(field) else {
            return Ok(None);
        };
        let problem = || format!("is {}", name_of(value));
        read(value)
            .map(Some)
            .ok_or_else(|| ToolError::bad_argument(self.tool, field, problem(), what))
    }

    fn missing(&self, field: &str, what: &str) -> ToolError {
        ToolError::bad_argument(
            self.tool,
            field,
            "is missing",
            format!("{what} as `{field}`"),
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_wrong_argument_is_named_with_the_way_out() {
        let arguments = json!({"a": "text", "n": 3, "f": 1.5, "z": null});
        let fields = Fields::of("t", &arguments);
        assert_eq!(fields.text("a").unwrap(), "text");
        assert_eq!(fields.optional_text("z").unwrap(), None);
        assert_eq!(fields.optional_integer("n").unwrap(), Some(3));
        let cases = [
            (
                fields.text("n").unwrap_err(),
                "`n` is a number. Call it again with a text",
            ),
            (
                fields.text("z").unwrap_err(),
                "`z` is missing. Call it again with a text as `z`",
            ),
            (
                fields.optional_integer("f").unwrap_err(),
                "`f` is a number. Call it again with a whole number",
            ),
            (
                Fields::of("t", &json!([])).text("a").unwrap_err(),
                "`a` is missing. Call it again with a text as `a`",
            ),
        ];
        for (error, expected) in cases {
            assert_eq!(error.to_string(), format!("`t` was not called: {expected}"));
        }
    }
}
