//! A JSON object as fields that are asked for one by one: each refusal names the field by its whole path, the value and
//! what is allowed.

use serde_json::{Map, Value};

use crate::error::ApiError;

/// The fields of one JSON object. `null` is the same as absent.
pub(crate) struct Fields {
    path: String,
    object: Map<String, Value>,
}

impl Fields {
    /// The object that a whole body is.
    pub(crate) fn of_body(body: &[u8]) -> Result<Self, ApiError> {
        let value: Value = serde_json::from_slice(body)
            .map_err(|error| ApiError::bad_request(format!("the body is not JSON: {error}")))?;
        let Value::Object(object) = value else {
            return Err(ApiError::bad_request("the body must be a JSON object"));
        };
        let path = String::new();
        Ok(Self { path, object })
    }

    pub(crate) fn within(path: &str, value: &Value) -> Result<Self, ApiError> {
        let Value::Object(object) = value else {
            return Err(ApiError::invalid(
                path,
                format!("{path} must be a JSON object"),
            ));
        };
        Ok(Self {
            path: path.to_owned(),
            object: object.clone(),
        })
    }

    pub(crate) fn path(&self, field: &str) -> String {
        if self.path.is_empty() {
            return field.to_owned();
        }
        format!("{}.{field}", self.path)
    }

    pub(crate) fn expected(&self, field: &str, allowed: &str) -> ApiError {
        let path = self.path(field);
        let message = format!("{path} is not accepted as it is: it must be {allowed}");
        ApiError::invalid(path, message)
    }

    /// As `expected`, for values that are short.
    pub(crate) fn refused(&self, field: &str, allowed: &str) -> ApiError {
        let path = self.path(field);
        let value = match self.get(field) {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => "null".into(),
        };
        let value: String = value.chars().take(80).collect();
        let message = format!("{path} = {value} is not accepted: use {allowed}");
        ApiError::invalid(path, message)
    }

    pub(crate) fn not_supported(&self, field: &str, allowed: &str) -> ApiError {
        let path = self.path(field);
        let message = format!("{path} is not supported yet: {allowed}");
        ApiError::invalid(path, message)
    }

    pub(crate) fn refuse_unknown(&self, known: &[&str]) -> Result<(), ApiError> {
        let unknown = |(field, value): &(&String, &Value)| {
            !value.is_null() && !known.contains(&field.as_str())
        };
        let Some((field, _)) = self.object.iter().find(unknown) else {
            return Ok(());
        };
        let field: String = field.chars().take(80).collect();
        Err(self.not_supported(&field, "leave it out"))
    }

    pub(crate) fn get(&self, field: &str) -> Option<&Value> {
        self.object.get(field).filter(|value| !value.is_null())
    }

    pub(crate) fn text(&self, field: &str) -> Result<Option<&str>, ApiError> {
        match self.get(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.expected(field, "a text")),
        }
    }

    pub(crate) fn boolean(&self, field: &str) -> Result<Option<bool>, ApiError> {
        self.typed(field, "true or false", Value::as_bool)
    }

    pub(crate) fn number(&self, field: &str) -> Result<Option<f32>, ApiError> {
        self.typed(field, "a number", |value| value.as_f64().map(|n| n as f32))
    }

    /// Wide enough for both `i64` and `u64`.
    pub(crate) fn whole(&self, field: &str) -> Result<Option<i128>, ApiError> {
        self.typed(field, "a whole number", |value| {
            let signed = value.as_i64().map(i128::from);
            signed.or_else(|| value.as_u64().map(i128::from))
        })
    }

    pub(crate) fn object(&self, field: &str) -> Result<Option<Self>, ApiError> {
        let path = self.path(field);
        self.get(field)
            .map(|value| Self::within(&path, value))
            .transpose()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.object.is_empty()
    }

    fn typed<T>(
        &self,
        field: &str,
        allowed: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<T>, ApiError> {
        let value = self.get(field);
        value
            .map(|value| read(value).ok_or_else(|| self.refused(field, allowed)))
            .transpose()
    }
}
