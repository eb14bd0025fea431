//! Which JSON Schemas are followed at all: their size is bounded before anything is compiled, because a short schema can
//! ask for a grammar without end.
//!
//! What of JSON Schema is known is the compiler's to say; here is only what is too much of it.

use serde_json::{Value, json};

/// Values, keys and items of a schema. The largest in use (a whole FHIR resource) have more; they are not for small models.
const MAX_NODES: usize = 4096;
/// As deep as people write and far less than the stack is.
const MAX_DEPTH: usize = 32;
/// Counts and lengths: a longer answer than any window holds is not asked for.
const MAX_COUNT: f64 = 100_000.0;
/// Whole numbers that a double holds exactly.
const MAX_NUMBER: f64 = 9_007_199_254_740_991.0;
/// A pattern becomes an automaton.
const MAX_PATTERN: usize = 1000;
/// Alternatives multiply where they are nested; see `branches`.
const MAX_BRANCHES: usize = 1024;

/// Whether a schema is small enough to be followed.
///
/// # Errors
/// Which bound it breaks.
pub fn check(schema: &Value) -> Result<(), String> {
    let mut nodes = 0;
    walk(schema, 0, &mut nodes)?;
    let branches = branches(schema);
    if branches > MAX_BRANCHES {
        return Err(format!(
            "its alternatives multiply to more than {MAX_BRANCHES}"
        ));
    }
    Ok(())
}

/// Has JSON written without space but for one behind a comma or colon, so that a model cannot run off into blanks.
pub fn compact(schema: &mut Value) {
    let options = json!({
        "whitespace_flexible": false,
        "item_separator": ", ?",
        "key_separator": ": ?",
    });
    if let Some(fields) = schema.as_object_mut() {
        fields.insert("x-guidance".to_owned(), options);
    }
}

fn walk(value: &Value, depth: usize, nodes: &mut usize) -> Result<(), String> {
    *nodes += 1;
    if *nodes > MAX_NODES {
        return Err(format!("it has more than {MAX_NODES} parts"));
    }
    if depth > MAX_DEPTH {
        return Err(format!("it is nested deeper than {MAX_DEPTH}"));
    }
    match value {
        Value::Array(items) => items
            .iter()
            .try_for_each(|item| walk(item, depth + 1, nodes)),
        Value::Object(fields) => fields.iter().try_for_each(|(key, value)| {
            bounded(key, value)?;
            walk(value, depth + 1, nodes)
        }),
        _ => Ok(()),
    }
}

/// Keywords whose value alone makes a grammar large. A property may have such a name: its value is then a schema.
fn bounded(key: &str, value: &Value) -> Result<(), String> {
    let most = match key {
        "minItems" | "maxItems" | "minLength" | "maxLength" | "minProperties" | "maxProperties" => {
            MAX_COUNT
        }
        "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" => MAX_NUMBER,
        "multipleOf" => MAX_COUNT,
        "pattern" => {
            let long = value
                .as_str()
                .is_some_and(|pattern| pattern.len() > MAX_PATTERN);
            let refused = format!("its pattern is longer than {MAX_PATTERN} bytes");
            return if long { Err(refused) } else { Ok(()) };
        }
        _ => return Ok(()),
    };
    match value.as_f64() {
        Some(number) if number.abs() > most => Err(format!("{key} is beyond {most}")),
        _ => Ok(()),
    }
}

/// At most how many alternatives the compiler must look at: those of one `anyOf` are added, those of an `allOf` multiplied.
fn branches(value: &Value) -> usize {
    let list = |items: &[Value], all: bool| {
        let each = items.iter().map(branches);
        if all {
            each.fold(1, usize::saturating_mul)
        } else {
            each.fold(0, usize::saturating_add).max(1)
        }
    };
    match value {
        Value::Object(fields) => {
            let here = fields
                .iter()
                .map(|(key, value)| match (key.as_str(), value) {
                    ("anyOf" | "oneOf", Value::Array(items)) => list(items, false),
                    ("allOf", Value::Array(items)) => list(items, true),
                    _ => 1,
                });
            let product = here.fold(1, usize::saturating_mul);
            // What lies beside them (properties, items) does not multiply with them.
            let beside = fields
                .iter()
                .filter(|(key, _)| !matches!(key.as_str(), "anyOf" | "oneOf" | "allOf"));
            beside
                .map(|(_, value)| branches(value))
                .fold(product, usize::max)
        }
        Value::Array(items) => items.iter().map(branches).max().unwrap_or(1),
        _ => 1,
    }
}

#[cfg(test)]
#[allow(
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test may stop at the first surprise"
)]
mod tests {
    use super::*;

    fn any(n: usize) -> String {
        let one = r#"{"anyOf":[{"required":["a"]},{"required":["b"]},{"required":["c"]}]}"#;
        let all = vec![one; n].join(",");
        format!(r#"{{"type":"object","allOf":[{all}]}}"#)
    }

    #[test]
    fn what_is_too_much_is_refused_in_words() {
        let deep = format!("{}{}", r#"{"items":"#.repeat(40), "{}") + &"}".repeat(40);
        let wide = format!(r#"{{"enum":[{}0]}}"#, "0,".repeat(5000));
        let pattern = format!(r#"{{"pattern":"{}"}}"#, "a".repeat(1001));
        let cases = [
            (
                r#"{"type":"object","properties":{"minItems":{"type":"integer"}}}"#,
                None,
            ),
            (r#"{"maxItems":100000}"#, None),
            (&any(6), None),
            (&any(7), Some("multiply")),
            (r#"{"minItems":1000000000}"#, Some("minItems")),
            (r#"{"maxLength":1e300}"#, Some("maxLength")),
            (r#"{"minimum":-1e300}"#, Some("minimum")),
            (r#"{"multipleOf":1000000007}"#, Some("multipleOf")),
            (&deep, Some("nested")),
            (&wide, Some("parts")),
            (&pattern, Some("pattern")),
        ];
        for (text, expected) in cases {
            let schema = serde_json::from_str(text).unwrap();
            let refused = check(&schema).err();
            match (expected, &refused) {
                (None, None) => {}
                (Some(word), Some(reason)) => assert!(reason.contains(word), "{reason}"),
                _ => panic!("{text}: {refused:?}"),
            }
        }
    }

    #[test]
    fn space_is_bounded_whatever_the_schema_says_of_it() {
        let mut schema = json!({"type": "object", "x-guidance": {"whitespace_flexible": true}});
        compact(&mut schema);
        assert_eq!(schema["x-guidance"]["whitespace_flexible"], false);
    }
}
