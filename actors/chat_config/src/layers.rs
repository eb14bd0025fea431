//! Who wins: defaults, then the file, then the environment, then flags. Where each value came from is kept.
//!
//! Nothing is read here: text comes in, values go out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use figment::value::{Dict, Map, Value as Layered};
use figment::{Figment, Metadata, Profile, Provider};
use serde_json::Value;

use crate::catalogue::Catalogue;
use crate::check::{Given, check, unknown};
use crate::flat::{Flat, nest};
use crate::refusal::{Origin, Refusal, Refusals};

/// How names of environment variables begin. Those with a double underscore are settings: `PARAPHYM_LIMITS__ANSWERS` is
/// `limits.answers`. So are a few short ones, such as `PARAPHYM_MODEL`.
pub const ENVIRONMENT_PREFIX: &str = "PARAPHYM_";

/// Variables with a name of their own, from before there were sections. They win over the long names.
const SHORT_NAMES: [(&str, &str); 13] = [
    ("PARAPHYM_BIND", "realtime.bind"),
    ("PARAPHYM_LOG", "telemetry.log"),
    ("PARAPHYM_MAX_TOKENS", "model.max_tokens"),
    ("PARAPHYM_MEMORY_LIMIT", "memory.limit"),
    ("PARAPHYM_MIN_P", "model.min_p"),
    ("PARAPHYM_MODEL", "model.name"),
    ("PARAPHYM_MODELS_DIR", "model.models_dir"),
    ("PARAPHYM_REPETITION_PENALTY", "model.repetition_penalty"),
    ("PARAPHYM_SEED", "model.seed"),
    ("PARAPHYM_SYSTEM", "chat.system"),
    ("PARAPHYM_TEMPERATURE", "model.temperature"),
    ("PARAPHYM_TOP_K", "model.top_k"),
    ("PARAPHYM_TOP_P", "model.top_p"),
];

/// What lies above the file and never changes while the process runs, and where the file is.
#[derive(Clone, Debug)]
pub struct Layers {
    file: PathBuf,
    /// The environment, then the flags: later ones win. Each holds one value.
    above: Vec<(Origin, String, Value)>,
}

impl Layers {
    /// Reads `environment` (all of it: other variables are passed over) and `flags`, each `key=value`.
    ///
    /// # Errors
    /// All names that are no setting, all values that are not accepted, and flags without `=`.
    pub fn new(
        catalogue: &Catalogue,
        file: PathBuf,
        environment: impl IntoIterator<Item = (String, String)>,
        flags: &[String],
    ) -> Result<Self, Refusals> {
        let mut refusals = Vec::new();
        let mut above: Vec<_> = environment
            .into_iter()
            .filter_map(|(name, text)| {
                let path = path_of(&name)?;
                let value = value(catalogue, &path, &text);
                Some((Origin::Environment(name), path, value))
            })
            .collect();
        above.sort_by_key(|(origin, ..)| (is_short(origin), origin.clone()));
        for flag in flags {
            match flag.split_once('=') {
                Some((key, text)) => {
                    let path = key.trim().to_owned();
                    let value = value(catalogue, &path, text);
                    above.push((Origin::Flag(path.clone()), path, value));
                }
                None => refusals.push(Refusal::Unreadable {
                    origin: Origin::Flag(flag.chars().take(80).collect()),
                    reason: "write it as key=value, such as model.temperature=0.5".to_owned(),
                }),
            }
        }
        // One by one, so that one that a later one hides is refused as well.
        for (origin, path, value) in &above {
            let alone = Given::from([(path.clone(), (value.clone(), origin.clone()))]);
            if let Err(wrong) = check(catalogue, &alone) {
                refusals.extend(wrong.iter().cloned());
            }
        }
        match Refusals::of(refusals) {
            Some(refusals) => Err(refusals),
            None => Ok(Self { file, above }),
        }
    }

    /// Where the file is, or would be.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// What holds this setting above the file, if anything does: a change in the file would not be seen.
    pub fn held(&self, path: &str) -> Option<&Origin> {
        let mut newest_first = self.above.iter().rev();
        newest_first
            .find(|(_, held, _)| held == path)
            .map(|(origin, ..)| origin)
    }

    /// What a file with this text sets.
    ///
    /// # Errors
    /// Text that is no TOML, and all that is wrong in it by field.
    pub fn read(&self, catalogue: &Catalogue, text: &str) -> Result<Flat, Refusals> {
        let origin = Origin::File(self.file.clone());
        let table: toml::Table = toml::from_str(text).map_err(|error| Refusal::Unreadable {
            origin: origin.clone(),
            reason: unreadable(&error, text),
        })?;
        let tree = serde_json::to_value(table).unwrap_or_default();
        let (own, strange) = flatten(&tree);
        let given: Given = own
            .iter()
            .map(|(path, value)| (path.clone(), (value.clone(), origin.clone())))
            .collect();
        let mut refusals: Vec<_> = strange
            .iter()
            .map(|path| unknown(catalogue, path, &origin))
            .collect();
        if let Err(wrong) = check(catalogue, &given) {
            refusals.extend(wrong.iter().cloned());
        }
        match Refusals::of(refusals) {
            Some(refusals) => Err(refusals),
            None => Ok(own),
        }
    }

    /// All values that hold when the file sets `own`, each with where it came from.
    pub(crate) fn merge(&self, catalogue: &Catalogue, own: &Flat, own_origin: &Origin) -> Given {
        let defaults: Flat = catalogue
            .iter()
            .map(|(path, entry)| (path.to_owned(), entry.default.clone()))
            .collect();
        let mut merged = Figment::new()
            .merge(Layer::new(&Origin::Default, &defaults))
            .merge(Layer::new(own_origin, own));
        for (origin, path, value) in &self.above {
            let one = Flat::from([(path.clone(), value.clone())]);
            merged = merged.merge(Layer::new(origin, &one));
        }
        let names: BTreeMap<String, &Origin> = self
            .above
            .iter()
            .map(|(origin, ..)| origin)
            .chain([own_origin, &Origin::Default])
            .map(|origin| (origin.to_string(), origin))
            .collect();
        let whole = merged.data().unwrap_or_default();
        let mut given = Given::new();
        for (section, fields) in whole.into_values().flatten() {
            for (key, value) in fields.into_dict().unwrap_or_default() {
                let origin = merged
                    .get_metadata(value.tag())
                    .and_then(|layer| names.get(layer.name.as_ref()));
                let origin = origin.map_or(Origin::Default, |origin| (*origin).clone());
                let value = serde_json::to_value(value).unwrap_or_default();
                given.insert(format!("{section}.{key}"), (value, origin));
            }
        }
        given
    }
}

/// The parser's words and the line, without the line itself: it may be a secret.
fn unreadable(error: &toml::de::Error, text: &str) -> String {
    let start = error.span().map_or(0, |span| span.start);
    let before = text.get(..start).unwrap_or_default();
    let line = before.matches('\n').count().saturating_add(1);
    format!("line {line} is no TOML: {}", error.message())
}

/// `limits.answers` of `PARAPHYM_LIMITS__ANSWERS`; `None` for what is no setting.
fn path_of(name: &str) -> Option<String> {
    if let Some((_, path)) = SHORT_NAMES.iter().find(|(short, _)| *short == name) {
        return Some((*path).to_owned());
    }
    let (section, key) = name.strip_prefix(ENVIRONMENT_PREFIX)?.split_once("__")?;
    Some(format!("{section}.{}", key.replace("__", ".")).to_lowercase())
}

fn is_short(origin: &Origin) -> bool {
    matches!(origin, Origin::Environment(name) if SHORT_NAMES.iter().any(|(short, _)| short == name))
}

/// The value that `text` is for this setting: text where text is wanted, else whatever TOML takes it for.
pub(crate) fn value(catalogue: &Catalogue, path: &str, text: &str) -> Value {
    if !catalogue.get(path).is_some_and(|entry| entry.is_text) {
        let table = toml::from_str::<toml::Table>(&format!("value = {text}"));
        if let Some(value) = table.ok().and_then(|mut table| table.remove("value")) {
            return serde_json::to_value(value).unwrap_or_default();
        }
    }
    Value::String(text.to_owned())
}

/// The settings of a tree, and the paths of what cannot be one: it lies too deep, or its key has a dot.
fn flatten(tree: &Value) -> (Flat, Vec<String>) {
    let (mut flat, mut strange) = (Flat::new(), Vec::new());
    for (section, fields) in tree.as_object().into_iter().flatten() {
        let Value::Object(fields) = fields else {
            strange.push(section.clone());
            continue;
        };
        for (key, value) in fields {
            if section.contains('.') || key.contains('.') {
                strange.push(format!("{section:?}.{key:?}"));
            } else {
                flat.insert(format!("{section}.{key}"), value.clone());
            }
        }
    }
    (flat, strange)
}

/// One layer, as figment wants it.
struct Layer {
    name: String,
    values: Dict,
}

impl Layer {
    fn new(origin: &Origin, flat: &Flat) -> Self {
        let values = Layered::serialize(nest(flat)).ok();
        Self {
            name: origin.to_string(),
            values: values.and_then(Layered::into_dict).unwrap_or_default(),
        }
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(environment: &[(&str, &str)], flags: &[&str]) -> Result<Layers, Refusals> {
        let environment = environment
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        Layers::new(
            &Catalogue::new(),
            "/etc/config.toml".into(),
            environment,
            &flags,
        )
    }

    #[test]
    fn later_layers_win_and_each_value_knows_its_origin() {
        let catalogue = Catalogue::new();
        let layers = layers(
            &[
                ("PARAPHYM_LIMITS__ANSWERS", "5"),
                ("PARAPHYM_MODEL__NAME", "7"),
                ("PARAPHYM_CHAT__IDLE", "90s"),
                ("PARAPHYM_TEST_MODEL", "not a setting"),
                ("PARAPHYM_TEMPERATURE", "0.5"),
                ("PARAPHYM_MODEL__TEMPERATURE", "0.6"),
                ("PATH", "/bin"),
            ],
            &["limits.answers=6", "model.stop=[\"a\"]"],
        )
        .unwrap();
        let own = layers.read(&catalogue, "[limits]\nanswers = 4\nconnections = 9\n");
        let origin = Origin::File(layers.file().to_owned());
        let given = layers.merge(&catalogue, &own.unwrap(), &origin);
        for (path, value, origin) in [
            ("limits.answers", 6.into(), "from the flag limits.answers"),
            ("limits.connections", 9.into(), "from file /etc/config.toml"),
            ("model.name", "7".into(), "from PARAPHYM_MODEL__NAME"),
            ("chat.idle", "90s".into(), "from PARAPHYM_CHAT__IDLE"),
            (
                "model.stop",
                serde_json::json!(["a"]),
                "from the flag model.stop",
            ),
            ("model.temperature", 0.5.into(), "from PARAPHYM_TEMPERATURE"),
            ("ui.font_px", 14.into(), "by default"),
        ] {
            let (found, from) = &given[path];
            assert_eq!(
                (found, from.to_string().as_str()),
                (&value, origin),
                "{path}"
            );
        }
        let settings = check(&catalogue, &given).unwrap();
        assert_eq!(
            (settings.limits.answers, settings.limits.connections),
            (6, 9)
        );
        assert_eq!(settings.chat.idle.as_millis(), 90_000);
        assert!(
            layers.held("limits.answers").is_some() && layers.held("limits.head_time").is_none()
        );
    }

    #[test]
    fn a_bad_environment_and_bad_flags_are_refused_all_at_once() {
        let wrong = layers(
            &[
                ("PARAPHYM_LIMITS__ANSWER", "5"),
                ("PARAPHYM_UI__THEME", "pink"),
            ],
            &["model.top_k", "model.top_k=-1", "model.top_k=1"],
        );
        let text = wrong.unwrap_err().to_string();
        for part in [
            "limits.answer (from PARAPHYM_LIMITS__ANSWER) is no setting: did you mean limits.answers?",
            "ui.theme = \"pink\" (from PARAPHYM_UI__THEME)",
            "from the flag model.top_k: write it as key=value",
            "model.top_k = -1 (from the flag model.top_k) is not accepted: use a whole number from 0",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert_eq!(text.lines().count(), 4);
    }

    #[test]
    fn a_bad_file_is_refused_by_field_and_unreadable_text_by_line() {
        let (catalogue, layers) = (Catalogue::new(), layers(&[], &[]).unwrap());
        let text =
            "chat = 1\n\"ui.theme\" = \"dark\"\n[model]\ntop_p = nan\nstop.x = 1\n\"a.b\" = 1\n";
        let wrong = layers.read(&catalogue, text).unwrap_err();
        let mut fields: Vec<_> = wrong.iter().filter_map(Refusal::field).collect();
        fields.sort_unstable();
        assert_eq!(
            fields,
            [
                "\"model\".\"a.b\"",
                "chat",
                "model.stop",
                "model.top_p",
                "ui.theme"
            ]
        );
        let broken = layers.read(&catalogue, "[model]\ntop_k = \n").unwrap_err();
        assert!(broken.to_string().contains("line 2"), "{broken}");
        let broken = layers.read(&catalogue, "chat.system = \"hush").unwrap_err();
        assert!(!broken.to_string().contains("hush"), "{broken}");
        assert_eq!(layers.read(&catalogue, ""), Ok(Flat::new()));
    }
}
