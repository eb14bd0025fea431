//! What can be set, read off the JSON Schema once: so that a refusal, the help and the schema can never disagree.

use std::collections::BTreeMap;

use figment::Figment;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::effect::{Effect, effect};
use crate::flat::Flat;
use crate::paths::{ANY, bad_name, filled, is_of, is_under, starts};
use crate::provenance::Layer;
use crate::refusal::Origin;
use crate::settings::Settings;
use crate::units::{Size, Span};

/// Every setting there is.
#[derive(Debug)]
pub struct Catalogue {
    entries: BTreeMap<String, Entry>,
    /// Those that are made by name, such as `agents.*.system`.
    patterns: BTreeMap<String, Entry>,
    schema: Value,
    /// The defaults of all entries, made once: every change lays the other layers upon them.
    lowest: Figment,
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
    /// Not even who asks for it by name is shown it.
    pub sealed: bool,
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
        let (mut entries, mut patterns) = (BTreeMap::new(), BTreeMap::new());
        for Leaf {
            path,
            schema: found,
            help,
        } in leaves(&schema)
        {
            let default = path
                .split('.')
                .try_fold(&defaults, |tree, part| tree.get(part));
            if path.contains(ANY) {
                let default = found.get("default").cloned().unwrap_or_default();
                patterns.insert(path.clone(), entry(&path, found, help, default));
            } else {
                let default = default.cloned().unwrap_or_default();
                entries.insert(path.clone(), entry(&path, found, help, default));
            }
        }
        let values = entries
            .iter()
            .map(|(path, entry)| (path.as_str(), &entry.default));
        let lowest = Figment::from(Layer::new(&Origin::Default, values));
        Self {
            entries,
            patterns,
            schema,
            lowest,
        }
    }

    /// The JSON Schema (draft 2020-12) of a settings file.
    pub fn schema(&self) -> &Value {
        &self.schema
    }

    /// The layer below the file.
    pub(crate) fn lowest(&self) -> &Figment {
        &self.lowest
    }

    /// One setting by its path, such as `limits.connections` or `agents.coder.system`.
    pub fn get(&self, path: &str) -> Option<&Entry> {
        let made = || {
            self.patterns
                .iter()
                .find(|(pattern, _)| is_of(path, pattern))
        };
        let known = self.entries.get(path);
        known.or_else(|| made().map(|(_, entry)| entry))
    }

    /// Every setting that is always there, by its path, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries
            .iter()
            .map(|(path, entry)| (path.as_str(), entry))
    }

    /// Every setting that is made by name, with `*` where its name stands, in order.
    pub fn patterns(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.patterns
            .iter()
            .map(|(path, entry)| (path.as_str(), entry))
    }

    /// Whether settings lie under this: `model`, `agents`, and `agents.coder`, whether there is one or not.
    pub fn is_section(&self, name: &str) -> bool {
        self.example(name).is_some()
    }

    /// The paths of a section's settings, without those that are made by name.
    pub fn in_section<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let paths = self.entries.keys().map(String::as_str);
        paths.filter(move |path| *path != name && is_under(path, name))
    }

    /// A setting of this section.
    pub(crate) fn example(&self, section: &str) -> Option<String> {
        let known = self.in_section(section).next().map(str::to_owned);
        known.or_else(|| {
            let inside = |pattern: &&String| starts(section, pattern) && !is_of(section, pattern);
            let pattern = self.patterns.keys().find(inside)?;
            Some(filled(pattern, section))
        })
    }

    /// What stands where a name should and is none.
    pub(crate) fn bad_name<'a>(&self, path: &'a str) -> Option<&'a str> {
        self.patterns
            .keys()
            .find_map(|pattern| bad_name(path, pattern))
    }

    /// The setting or section whose name is closest to `wrong`, if any is close enough to have been meant.
    pub fn nearest(&self, wrong: &str) -> Option<String> {
        let wrong: String = wrong.chars().take(80).collect();
        // In another section, or where the name comes last, anything would be near.
        let near = |pattern: &&String| {
            let (one, other) = (pattern.split('.').next(), wrong.split('.').next());
            let (one, other) = (one.unwrap_or_default(), other.unwrap_or_default());
            !pattern.ends_with(ANY) && strsim::normalized_damerau_levenshtein(one, other) > 0.6
        };
        let made = self.patterns.keys().filter(near);
        let made = made.map(|pattern| filled(pattern, &wrong));
        self.entries
            .keys()
            .cloned()
            .chain(made)
            .map(|path| (likeness(&wrong, &path), path))
            .max_by(|(one, _), (other, _)| one.total_cmp(other))
            .filter(|(likeness, _)| *likeness >= 0.6)
            .map(|(_, path)| path)
    }

    /// The values of a whole [`Settings`], by path; what is not set is null. What is made by name is there with all it
    /// could say.
    pub fn flat(&self, settings: &Settings) -> Flat {
        self.flatten(&serde_json::to_value(settings).unwrap_or_default())
            .0
    }

    /// The settings of a tree, and the paths of what cannot be one: it is not known, or its key has a dot, or a name
    /// with nothing under it.
    pub(crate) fn flatten(&self, tree: &Value) -> (Flat, Vec<String>) {
        let (mut flat, mut strange) = (Flat::new(), Vec::new());
        for (section, fields) in tree.as_object().into_iter().flatten() {
            if section.contains('.') {
                strange.push(section.clone());
                continue;
            }
            self.flatten_into(section.clone(), fields, &mut flat, &mut strange);
        }
        (flat, strange)
    }

    fn flatten_into(
        &self,
        path: String,
        value: &Value,
        flat: &mut Flat,
        strange: &mut Vec<String>,
    ) {
        if self.get(&path).is_some() {
            flat.insert(path, value.clone());
            return;
        }
        match value {
            Value::Object(fields) if self.is_section(&path) => {
                // A list of names may be empty, a name may not.
                let named = !self
                    .patterns
                    .keys()
                    .any(|one| one.starts_with(&format!("{path}.*")));
                if fields.is_empty() && named && self.in_section(&path).next().is_none() {
                    strange.push(path.clone());
                }
                for (key, value) in fields {
                    let inner = format!("{path}.{key}");
                    if key.contains('.') {
                        strange.push(format!("{path:?}.{key:?}"));
                    } else {
                        self.flatten_into(inner, value, flat, strange);
                    }
                }
            }
            _ => strange.push(path),
        }
    }

    /// A value as it may be shown: secrets are not.
    pub fn show(&self, path: &str, value: &Value) -> String {
        let secret = self.get(path).is_some_and(|entry| entry.secret);
        if secret && !is_nothing(value) {
            return "(secret)".to_owned();
        }
        let text = match value {
            Value::Null => "(not set)".to_owned(),
            other => other.to_string(),
        };
        text.chars().take(80).collect()
    }
}

/// Nothing to hide.
fn is_nothing(value: &Value) -> bool {
    value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty)
}

/// How alike two paths are, 0 to 1. The right setting in the wrong section counts as close.
fn likeness(wrong: &str, path: &str) -> f64 {
    let whole = strsim::normalized_damerau_levenshtein(wrong, path);
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    let alone = strsim::normalized_damerau_levenshtein(&last(wrong), &last(path));
    whole.max(alone * 0.95)
}

/// One setting of a schema.
struct Leaf<'a> {
    /// `*` stands where a name does.
    path: String,
    schema: &'a Value,
    help: &'a Value,
}

/// Every setting of a schema.
fn leaves(schema: &Value) -> Vec<Leaf<'_>> {
    let mut found = Vec::new();
    let sections = schema.get("properties").and_then(Value::as_object);
    for (name, section) in sections.into_iter().flatten() {
        leaves_under(name.clone(), section, section, &mut found);
    }
    found
}

/// What names are given to is described where their table is.
fn leaves_under<'a>(path: String, schema: &'a Value, help: &'a Value, found: &mut Vec<Leaf<'a>>) {
    let whole = schema.get("x-whole") == Some(&Value::Bool(true));
    let names = schema.get("additionalProperties").filter(|_| !whole);
    if let Some(fields) = schema.get("properties").and_then(Value::as_object) {
        for (key, field) in fields {
            leaves_under(format!("{path}.{key}"), field, field, found);
        }
    } else if let Some(named @ Value::Object(_)) = names {
        leaves_under(format!("{path}.{ANY}"), named, schema, found);
    } else {
        found.push(Leaf { path, schema, help });
    }
}

fn entry(path: &str, schema: &Value, help: &Value, default: Value) -> Entry {
    let text = |key: &str| schema.get(key).and_then(Value::as_str);
    let help = help.get("description").and_then(Value::as_str);
    let marked = |key: &str| schema.get(key) == Some(&Value::Bool(true));
    let kinds = kinds(schema);
    Entry {
        help: help.unwrap_or_default().replace('\n', " "),
        allowed: text("x-allowed").map_or_else(|| allowed(schema, &kinds), str::to_owned),
        default,
        effect: effect(path).unwrap_or(Effect::NextStart),
        secret: marked("x-secret"),
        sealed: marked("x-sealed"),
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
    let either = list("oneOf").into_iter().chain(list("anyOf"));
    let described = either.flatten().flat_map(|one| {
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
    if kinds.contains(&"boolean") {
        "true or false".to_owned()
    } else if kinds.contains(&"integer") {
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
    use crate::settings::{Agent, Approval, McpServer};

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
                "an address with a port, such as 127.0.0.1:7007",
            ),
            ("server.auth", "one of auto, required, off"),
            (
                "server.requests_per_minute",
                "a whole number from 1 to 1000000",
            ),
            ("agents.coder.temperature", "a number from 0.0 to 2.0"),
            ("agents.coder.memory", "true or false"),
            ("agents.coder.approval", "one of auto, ask, deny"),
            ("agents.coder.model", "text that is not empty"),
            (
                "agents.coder.turn_time",
                "a time from 1s to 1d, such as 500ms or 1h30m",
            ),
            ("tools.overrides.current_time", "one of auto, ask, deny"),
            (
                "tools.mcp.files.args",
                "a list of texts, at most 256, each of 1 to 4096 bytes",
            ),
            (
                "tools.mcp.files.env",
                "a table of at most 64 texts, such as {TOKEN = \"abc\"}",
            ),
        ] {
            assert_eq!(catalogue.get(path).unwrap().allowed, allowed, "{path}");
        }
    }

    #[test]
    fn every_setting_says_its_default_and_what_is_allowed() {
        let catalogue = Catalogue::new();
        for (path, entry) in catalogue.iter().chain(catalogue.patterns()) {
            assert!(entry.help.contains("default"), "{path}: {}", entry.help);
            assert!(
                !entry.allowed.contains("from  to"),
                "{path}: {}",
                entry.allowed
            );
        }
        let all = catalogue.iter().chain(catalogue.patterns());
        let secret = all.filter(|(_, entry)| entry.secret);
        let secret: Vec<(&str, bool)> = secret.map(|(path, entry)| (path, entry.sealed)).collect();
        assert_eq!(
            secret,
            [
                ("chat.system", false),
                ("personality.custom_instructions", false),
                ("agents.*.system", false),
                ("tools.mcp.*.env", true),
                ("tools.mcp.*.headers", true),
            ]
        );
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
            ("agents.coder.sistem", Some("agents.coder.system")),
            ("tools.mcp.files.comand", Some("tools.mcp.files.command")),
            ("ui.x", None),
            ("zzzzzzzz.qqqqqqqqq", None),
        ] {
            assert_eq!(catalogue.nearest(wrong).as_deref(), meant, "{wrong}");
        }
    }

    /// The defaults that the schema says are those that hold.
    #[test]
    fn what_is_made_by_name_has_the_defaults_of_its_kind() {
        let catalogue = Catalogue::new();
        let mut settings = Settings::default();
        settings.agents.insert("x".to_owned(), Agent::default());
        settings
            .tools
            .mcp
            .insert("x".to_owned(), McpServer::default());
        settings
            .tools
            .overrides
            .insert("x".to_owned(), Approval::Ask);
        let flat = catalogue.flat(&settings);
        for (pattern, entry) in catalogue.patterns() {
            let path = pattern.replace(ANY, "x");
            let value = flat
                .get(&path)
                .unwrap_or_else(|| panic!("{path} is not there"));
            if pattern != "tools.overrides.*" {
                assert_eq!(value, &entry.default, "{path}");
            }
        }
        assert_eq!(
            flat.len(),
            catalogue.iter().count() + catalogue.patterns().count()
        );
        for section in ["agents", "agents.x", "tools", "tools.mcp", "tools.mcp.x"] {
            assert!(catalogue.is_section(section), "{section}");
        }
        for section in [
            "agents.x.system",
            "agents.a b",
            "model.name",
            "nonsense",
            "",
        ] {
            assert!(!catalogue.is_section(section), "{section}");
        }
    }
}
