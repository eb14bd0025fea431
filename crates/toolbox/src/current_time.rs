//! What time it is: a model does not know, and is asked all the time.
//!
//! UTC, and any fixed offset from it. Names of time zones are not known: their rules are a database that changes several
//! times a year, and the offset of now is known to whoever asks.

use std::sync::Arc;

use domain::ToolSpec;
use serde_json::Value;

use crate::calendar::{offset, written};
use crate::fields::Fields;
use crate::tool::{Tool, ToolContext, ToolFuture, ToolOutput};
use crate::tool_error::ToolError;

const NAME: &str = "current_time";
const PARAMETERS: &str = r#"{"type":"object","properties":{"utc_offset":{"type":"string","pattern":"^(Z|[-+][0-9]{2}:[0-9]{2})$","description":"How far the wanted clock is ahead of UTC, for example +02:00 or -05:30. Left out: UTC."}},"additionalProperties":false}"#;

/// The tool `current_time`.
pub struct CurrentTime {
    spec: ToolSpec,
    now_ms: Box<dyn Fn() -> i64 + Send + Sync>,
}

impl CurrentTime {
    /// `now_ms` tells the milliseconds since 1970-01-01 UTC.
    pub fn new(now_ms: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        let description =
            "The current date, time and day of the week, in UTC or at an offset from it.";
        Self {
            spec: ToolSpec {
                name: NAME.to_owned(),
                description: description.to_owned(),
                parameters: Arc::from(PARAMETERS),
            },
            now_ms: Box::new(now_ms),
        }
    }

    fn tell(&self, arguments: &Value) -> Result<ToolOutput, ToolError> {
        let ahead = match Fields::of(NAME, arguments).optional_text("utc_offset")? {
            None => 0,
            Some(text) => offset(text).ok_or_else(|| {
                let given: String = text.chars().take(40).collect();
                let allowed = "an offset such as +02:00 or -05:30, or without it for UTC";
                ToolError::bad_argument(NAME, "utc_offset", format!("is {given:?}"), allowed)
            })?,
        };
        let (time, weekday) = written((self.now_ms)().div_euclid(1000), ahead);
        Ok(ToolOutput::new(format!("{time} ({weekday})")))
    }
}

impl Tool for CurrentTime {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn call(&self, arguments: Value, _: ToolContext) -> ToolFuture<'_> {
        Box::pin(std::future::ready(self.tell(&arguments)))
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
    fn the_time_is_the_clocks_and_the_offset_the_callers() {
        let tool = CurrentTime::new(|| 1_700_000_000_999);
        let tell = |arguments| tool.tell(&arguments).map(|output| output.text);
        assert_eq!(tell(json!({})).unwrap(), "2023-11-14T22:13:20Z (Tuesday)");
        assert_eq!(
            tell(json!({"utc_offset": "+02:00"})).unwrap(),
            "2023-11-15T00:13:20+02:00 (Wednesday)"
        );
        let refused = tell(json!({"utc_offset": "CET"})).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "`current_time` was not called: `utc_offset` is \"CET\". Call it again with an offset such as +02:00 or -05:30, \
             or without it for UTC"
        );
        assert!(tool.is_read_only() && tool.is_idempotent());
    }
}
