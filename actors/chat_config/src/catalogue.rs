//! What can be set, read off the JSON Schema once: so that a refusal, the help and the schema can never disagree.

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::effect::{Effect, effect};
use crate::flat::{Flat, flatten_known};
use crate::settings::Settings;
use crate::units::{Size, Span};

/// Every setting there is.
#[derive(Debug)]
pub struct Catalogue {
    entries: BTreeMap<String, Entry>,
    schema: Value,
}

/// One setting.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// What it is, with unit, range and default.
    pub help: String,
    /// What is accepted, in words: `a whole number from 1 to 256`.
    pub allowed: String,
    /// Its value unless it is set; null if there is none.
    pub default: Value,
    /// When a change of it is felt.
    pub effect: Effect,
    /// Its values are shown nowhere but in the file and to those who run with them.
    pub secret: bool,
    /// It takes text and no number: `model.name=7` is the model named 7.
    pub(crate) is_text: bool,
}

impl Default for Catalogue {
    fn default() -> Self {
        Self::new()
    }
}

impl Catalogue {
    /// Reads the schema of [`Settings`].
    pub fn new() -> Self {
        let schema = SchemaSettings::draft2020_12()
            .with(|settings| settings.inline_subschemas = true)
            .into_generator()
            .into_root_schema_for::<Settings>()
            .to_value();
        let defaults = serde_json::to_value(Settings::default()).unwrap_or_default();
        let entries = flatten_known(&defaults)
            .into_iter()
            .map(|(path, default)| {
                let entry = entry(&path, at(&schema, &path), default);
                (path, entry)
            })
            .collect();
        Self { entries, schema }
    }

    /// The JSON Schema (draft 2020-12) of a settings file.
    pub fn schema(&self) -> &Value {
        &self.schema
    }

    /// One setting by its path, such as `limits.connections`.
    pub fn get(&self, path: &str) -> Option<&Entry> {
        self.entries.get(path)
    }

    /// Every setting by its path, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries
            .iter()
            .map(|(path, entry)| (path.as_str(), entry))
    }

    /// Whether there is a section of this name.
    pub fn is_section(&self, name: &str) -> bool {
        self.in_section(name).next().is_some()
    }

    /// The paths of a section's settings.
    pub fn in_section<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.entries
            .keys()
            .filter(move |path| path.split_once('.').is_some_and(|(head, _)| head == name))
            .map(String::as_str)
    }

    /// The setting or section whose name is closest to `wrong`, if any is close enough to have been meant.
    pub fn nearest(&self, wrong: &str) -> Option<String> {
        let wrong: String = wrong.chars().take(80).collect();
        self.entries
            .keys()
            .map(|path| (likeness(&wrong, path), path))
            .max_by(|(one, _), (other, _)| one.total_cmp(other))
            .filter(|(likeness, _)| *likeness >= 0.6)
            .map(|(_, path)| path.clone())
    }

    /// The values of a whole [`Settings`], by path; what is not set is null.
    pub fn flat(&self, settings: &Settings) -> Flat {
        flatten_known(&serde_json::to_value(settings).unwrap_or_default())
    }

    /// A value as it may be shown: secrets are not.
    pub fn show(&self, path: &str, value: &Value) -> String {
        if self.get(path).is_some_and(|entry| entry.secret) && !value.is_null() {
            return "(secret)".to_owned();
        }
        let text = match value {
            Value::Null => "(not set)".to_owned(),
            other => other.to_string(),
        };
        text.chars().take(80).collect()
    }
}

/// How alike two paths are, 0 to 1. The right setting in the wrong section counts as close.
fn likeness(wrong: &str, path: &str) -> f64 {
    let whole = strsim::normalized_damerau_levenshtein(wrong, path);
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    let alone = strsim::normalized_damerau_levenshtein(&last(wrong), &last(path));
    whole.max(alone * 0.95)
}

fn at<'a>(schema: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(schema, |schema, key| {
        schema
            .get("properties")
            .and_then(|properties| properties.get(key))
            .unwrap_or(&Value::Null)
    })
}

fn entry(path: &str, schema: &Value, default: Value) -> Entry {
    let text = |key: &str| schema.get(key).and_then(Value::as_str);
    let kinds = kinds(schema);
    Entry {
        help: text("description").unwrap_or_default().replace('\n', " "),
        allowed: text("x-allowed").map_or_else(|| allowed(schema, &kinds), str::to_owned),
        default,
        effect: effect(path).unwrap_or(Effect::NextStart),
        secret: schema.get("x-secret") == Some(&Value::Bool(true)),
        is_text: !words(schema).is_empty()
            || (kinds.contains(&"string") && !kinds.contains(&"integer")),
    }
}

fn kinds(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(kind)) => vec![kind],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// The words of a choice.
fn words(schema: &Value) -> Vec<&str> {
    let list = |key: &str| schema.get(key).and_then(Value::as_array);
    let plain = list("enum").into_iter().flatten().filter_map(Value::as_str);
    let described = list("oneOf").into_iter().flatten().flat_map(|one| {
        let constant = one.get("const").and_then(Value::as_str);
        constant.into_iter().chain(words(one))
    });
    plain.chain(described).collect()
}

fn allowed(schema: &Value, kinds: &[&str]) -> String {
    let words = words(schema);
    if !words.is_empty() {
        return format!("one of {}", words.join(", "));
    }
    let limit = |key: &str| schema.get(key).and_then(Value::as_u64);
    let most = |key: &str| limit(key).map_or_else(String::new, |most| format!(", at most {most}"));
    let unit = schema.get("x-unit").and_then(Value::as_str);
    let (low, high) = (limit("minimum"), limit("maximum"));
    match (unit, low, high) {
        (Some("ms"), Some(low), Some(high)) => {
            let (low, high) = (Span::from_millis(low), Span::from_millis(high));
            return format!("a time from {low} to {high}, such as 500ms or 1h30m");
        }
        (Some(_), Some(low), Some(high)) => {
            let (low, high) = (Size::from_bytes(low), Size::from_bytes(high));
            return format!("a size from {low} to {high}, such as 64KiB or 2GiB");
        }
        _ => {}
    }
    let number = |key: &str| schema.get(key).map(ToString::to_string).unwrap_or_default();
    let range = format!("from {} to {}", number("minimum"), number("maximum"));
    if kinds.contains(&"integer") {
        format!("a whole number {range}")
    } else if kinds.contains(&"number") {
        format!("a number {range}")
    } else if kinds.contains(&"array") {
        let inner = schema.get("items").unwrap_or(&Value::Null);
        let longest = inner.get("maxLength").and_then(Value::as_u64);
        let longest =
            longest.map_or_else(String::new, |most| format!(", each of 1 to {most} bytes"));
        format!("a list of texts{}{longest}", most("maxItems"))
    } else {
        format!("text that is not empty{}", most("maxLength"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_allowed_is_said_from_the_schema() {
        let catalogue = Catalogue::new();
        for (path, allowed) in [
            (
                "personality.tone",
                "one of formal, casual, friendly, professional, neutral",
            ),
            ("model.temperature", "a number from 0.0 to 2.0"),
            ("model.queue", "a whole number from 1 to 10000"),
            ("chat.idle", "a time from 1s to 30d, such as 500ms or 1h30m"),
            (
                "memory.limit",
                "a size from 1MiB to 1024TiB, such as 64KiB or 2GiB",
            ),
            (
                "model.stop",
                "a list of texts, at most 16, each of 1 to 1000 bytes",
            ),
            (
                "realtime.bind",
                "a loopback address with a port, such as 127.0.0.1:7007",
            ),
        ] {
            assert_eq!(catalogue.get(path).unwrap().allowed, allowed, "{path}");
        }
    }

    #[test]
    fn every_setting_says_its_default_and_what_is_allowed() {
        let catalogue = Catalogue::new();
        for (path, entry) in catalogue.iter() {
            assert!(entry.help.contains("default"), "{path}: {}", entry.help);
            assert!(
                !entry.allowed.contains("from  to"),
                "{path}: {}",
                entry.allowed
            );
        }
        let secret: Vec<_> = catalogue.iter().filter(|(_, entry)| entry.secret).collect();
        assert_eq!(secret.len(), 2);
        assert_eq!(catalogue.show("chat.system", &"hush".into()), "(secret)");
        assert!(
            !catalogue
                .show("ui.theme", &"dark".into())
                .contains("secret")
        );
    }

    #[test]
    fn the_nearest_name_is_suggested() {
        let catalogue = Catalogue::new();
        for (wrong, meant) in [
            ("model.temprature", Some("model.temperature")),
            ("chat.temperature", Some("model.temperature")),
            ("behavior.flow", Some("behaviour.flow")),
            ("limits.conections", Some("limits.connections")),
            ("ui.x", None),
            ("zzzzzzzz.qqqqqqqqq", None),
        ] {
            assert_eq!(catalogue.nearest(wrong).as_deref(), meant, "{wrong}");
        }
    }
}
