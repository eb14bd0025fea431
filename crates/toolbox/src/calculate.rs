//! Arithmetic: what a language model guesses, a calculator knows.

use std::sync::Arc;

use domain::ToolSpec;
use serde_json::Value;

use crate::expression::evaluate;
use crate::fields::Fields;
use crate::tool::{Tool, ToolContext, ToolFuture, ToolOutput};
use crate::tool_error::ToolError;

const NAME: &str = "calculate";
/// What an expression is made of stands in it as a pattern: a small model held to it cannot lose its way in the text.
const PARAMETERS: &str = r#"{"type":"object","properties":{"expression":{"type":"string","pattern":"^[-+*/%^!(),.0-9A-Za-z_ ]{1,200}$","description":"For example (17 + 3) * 2^10 / sqrt(2)"}},"required":["expression"],"additionalProperties":false}"#;
const DESCRIPTION: &str = "The value of an arithmetic expression; whole numbers are exact. Operators: + - * / % (remainder) ^ (power) ! \
     (factorial). Functions: sqrt, cbrt, abs, sign, floor, ceil, round(x, digits), trunc, min, max, exp, ln, log10, log2, \
     log(x, base), sin, cos, tan, asin, acos, atan, atan2, hypot, gcd, lcm; angles in radians. Constants: pi, e, tau.";

/// The tool `calculate`.
pub struct Calculate {
    spec: ToolSpec,
}

impl Default for Calculate {
    fn default() -> Self {
        Self {
            spec: ToolSpec {
                name: NAME.to_owned(),
                description: DESCRIPTION.to_owned(),
                parameters: Arc::from(PARAMETERS),
            },
        }
    }
}

fn calculate(arguments: &Value) -> Result<ToolOutput, ToolError> {
    let expression = Fields::of(NAME, arguments).text("expression")?;
    evaluate(expression).map(ToolOutput::new).map_err(|wrong| {
        let problem = format!("has no value, {wrong}");
        ToolError::bad_argument(NAME, "expression", problem, "a corrected expression")
    })
}

impl Tool for Calculate {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn call(&self, arguments: Value, _: ToolContext) -> ToolFuture<'_> {
        Box::pin(std::future::ready(calculate(&arguments)))
    }

    fn is_read_only(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn it_computes_and_says_where_it_cannot() {
        let value = calculate(&json!({"expression": "2^10 + 1"})).unwrap();
        assert_eq!(value, ToolOutput::new("1025"));
        let refused = calculate(&json!({"expression": "1 / 0"})).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "`calculate` was not called: `expression` has no value, at character 3: `/` divides by zero. Call it again with a \
             corrected expression"
        );
        assert!(Calculate::default().is_read_only());
    }
}
