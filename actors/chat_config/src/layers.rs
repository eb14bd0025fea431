//! Who wins: defaults, then the file, then the environment, then flags. Where each value came from is kept.
//!
//! Nothing is read here: text comes in, values go out.

use std::path::{Path, PathBuf};

use figment::Figment;
use serde_json::Value;

use crate::catalogue::Catalogue;
use crate::check::{Given, check, check_together, unknown};
use crate::flat::Flat;
use crate::provenance::{self, Layer};
use crate::refusal::{Origin, Refusal, Refusals};

/// How names of environment variables begin. Those with a double underscore are settings: `PARAPHYM_LIMITS__ANSWERS` is
/// `limits.answers`. So are a few short ones, such as `PARAPHYM_MODEL`.
pub const ENVIRONMENT_PREFIX: &str = "PARAPHYM_";

/// Variables with a name of their own, from before there were sections. They win over the long names.
const SHORT_NAMES: [(&str, &str); 14] = [
    ("PARAPHYM_BIND", "realtime.bind"),
    ("PARAPHYM_LOG", "telemetry.log"),
    ("PARAPHYM_LOG_FORMAT", "telemetry.log_format"),
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
    /// The environment, then the flags: later ones win.
    above: Figment,
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
            None => Ok(Self {
                file,
                above: stacked(&above),
            }),
        }
    }

    /// Where the file is, or would be.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// What holds this setting above the file, if anything does: a change in the file would not be seen.
    pub fn held(&self, path: &str) -> Option<Origin> {
        let held = provenance::given(&self.above).remove(path);
        held.map(|(_, origin)| origin)
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
        let (own, strange) = catalogue.flatten(&tree);
        let given: Given = own
            .iter()
            .map(|(path, value)| (path.clone(), (value.clone(), origin.clone())))
            .collect();
        let mut refusals: Vec<_> = strange
            .iter()
            .map(|path| unknown(catalogue, path, &origin))
            .collect();
        let together = |settings| check_together(&settings, &origin);
        if let Err(wrong) = check(catalogue, &given).and_then(together) {
            refusals.extend(wrong.iter().cloned());
        }
        match Refusals::of(refusals) {
            Some(refusals) => Err(refusals),
            None => Ok(own),
        }
    }

    /// All values that hold when the file sets `own`, each with where it came from.
    pub(crate) fn merge(&self, catalogue: &Catalogue, own: &Flat, own_origin: &Origin) -> Given {
        let own = own.iter().map(|(path, value)| (path.as_str(), value));
        let set = Figment::new()
            .merge(Layer::new(own_origin, own))
            .merge(&self.above);
        provenance::given(&catalogue.lowest().clone().merge(set))
    }
}

/// A layer for each value, later ones upon earlier ones.
fn stacked(values: &[(Origin, String, Value)]) -> Figment {
    let layers = values
        .iter()
        .map(|(origin, path, value)| Layer::new(origin, [(path.as_str(), value)]));
    layers.fold(Figment::new(), Figment::merge)
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;
    use proptest::test_runner::TestRunner;
    use proptest::{collection, num};

    use super::*;
    use crate::paths::ANY;
    use crate::settings::Approval;

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

    #[test]
    fn what_is_made_by_name_is_read_from_every_layer() {
        let catalogue = Catalogue::new();
        let layers = layers(
            &[("PARAPHYM_AGENTS__CODER__SYSTEM", "You write Rust.")],
            &[
                "agents.coder.temperature=0",
                "tools.mcp.git.env={A.B=\"c\"}",
            ],
        );
        let wrong = layers.unwrap_err().to_string();
        assert!(wrong.contains("tools.mcp.git.env = (secret)"), "{wrong}");
        let layers = super::tests::layers(
            &[("PARAPHYM_AGENTS__CODER__SYSTEM", "You write Rust.")],
            &["agents.coder.temperature=0", "tools.mcp.git.env={A=\"c\"}"],
        )
        .unwrap();
        let text = "[agents.coder]\nmodel = \"qwen\"\ntemperature = 1\n[agents.default]\nmemory = true\n\
            [tools.overrides]\ncurrent_time = \"auto\"\n[tools.mcp.git]\ncommand = \"git-mcp\"\nenv = {\"A\" = \"b\", D = \"e\"}\n";
        let own = layers.read(&catalogue, text).unwrap();
        let again: Flat = layers
            .read(&catalogue, &crate::to_toml(&own).unwrap())
            .unwrap();
        assert_eq!(own, again);
        let origin = Origin::File(layers.file().to_owned());
        let settings = check(&catalogue, &layers.merge(&catalogue, &own, &origin)).unwrap();
        let coder = settings.agent("coder").unwrap();
        assert_eq!(coder.system.as_deref(), Some("You write Rust."));
        assert_eq!(
            (coder.temperature, coder.model.as_deref()),
            (Some(0.0), Some("qwen"))
        );
        assert!(settings.agent("default").unwrap().memory);
        assert_eq!(settings.agent("nobody"), None);
        assert_eq!(settings.tools.overrides["current_time"], Approval::Auto);
        // A later layer wins as a whole.
        let env = &settings.tools.mcp["git"].env;
        assert_eq!(
            env.iter().collect::<Vec<_>>(),
            [(&"A".to_owned(), &"c".to_owned())]
        );
    }

    #[test]
    fn what_is_made_by_name_is_refused_by_its_name() {
        let (catalogue, layers) = (Catalogue::new(), layers(&[], &[]).unwrap());
        for (text, part) in [
            (
                "[agents.coder]\ntemperature = 9\n",
                "agents.coder.temperature = 9 (from file /etc/config.toml) is not accepted: use a number from 0.0 to 2.0",
            ),
            (
                "[agents.coder]\nsistem = \"x\"\n",
                "did you mean agents.coder.system?",
            ),
            (
                "[agents.\"my coder\"]\nsystem = \"x\"\n",
                "\"my coder\" is no name: use 1 to 64 letters",
            ),
            (
                "[agents.coder]\n",
                "agents.coder (from file /etc/config.toml) is no setting: it is a section",
            ),
            ("[agents]\ncoder = 1\n", "agents.coder (from file"),
            (
                "[agents.coder]\nstop = [\"\"]\n",
                "agents.coder.stop = [\"\"]",
            ),
            (
                "[agents.coder]\ntools = [\"a*b\"]\n",
                "agents.coder.tools = [\"a*b\"] (from file /etc/config.toml) is not accepted: use a list of at most 256 names",
            ),
            (
                "[tools.mcp.a]\ncommand = \"x\"\ntools = [\"a b\"]\n",
                "tools.mcp.a.tools = [\"a b\"]",
            ),
            (
                "[tools.overrides]\nrm = \"perhaps\"\n",
                "tools.overrides.rm = \"perhaps\"",
            ),
            (
                "[tools.mcp.My_Server]\ncommand = \"x\"\n",
                "use a name of 1 to 24 lower-case letters",
            ),
            (
                "[tools.mcp.a]\nargs = [\"x\"]\n",
                "tools.mcp.a = neither command nor url",
            ),
            (
                "[tools.mcp.a]\ncommand = \"x\"\nurl = \"http://a\"\n",
                "tools.mcp.a = command and url",
            ),
            (
                "[tools.mcp.a]\nurl = \"http://a\"\nheaders = {A = \"hush\\n\"}\n",
                "tools.mcp.a.headers = (secret)",
            ),
        ] {
            let wrong = layers.read(&catalogue, text).unwrap_err().to_string();
            assert!(wrong.contains(part), "{part} is not in {wrong}");
            assert_eq!(wrong.lines().count(), 1, "{wrong}");
            assert!(!wrong.contains("hush"), "{wrong}");
        }
        let many: Vec<String> = (0..65)
            .map(|n| format!("[agents.a{n}]\nmemory = true\n"))
            .collect();
        let many = many.concat();
        let wrong = layers.read(&catalogue, &many).unwrap_err().to_string();
        assert!(
            wrong.starts_with("agents = what is there (from file") && wrong.contains("64"),
            "{wrong}"
        );
    }

    /// Any value, in the range of what JSON can say, with texts and keys that somebody may take for something else.
    fn anything() -> impl Strategy<Value = Value> {
        let texts = vec![
            "",
            "90s",
            "1e3",
            "18446744073709551615",
            "___figment_value_id",
        ];
        let text = prop_oneof![select(texts).prop_map(str::to_owned), ".{0,9}"];
        let float = num::f64::NORMAL | num::f64::SUBNORMAL | num::f64::ZERO;
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            prop_oneof![Just(u64::MAX), any::<u64>()].prop_map(Value::from),
            prop_oneof![Just(i64::MIN), any::<i64>()].prop_map(Value::from),
            prop_oneof![Just(f64::MAX), Just(5e-324), float].prop_map(Value::from),
            text.clone().prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 12, 4, move |inner| {
            let key = prop_oneof![Just("A".to_owned()), Just("A.B".to_owned()), text.clone()];
            prop_oneof![
                collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                collection::vec((key, inner), 0..4).prop_map(|all| all.into_iter().collect()),
            ]
        })
    }

    /// Every setting that is there, and each that is made by name twice.
    fn paths(catalogue: &Catalogue) -> Vec<String> {
        let made = catalogue.patterns();
        let made = made.flat_map(|(path, _)| ["x", "git-2"].map(|name| path.replace(ANY, name)));
        let known = catalogue.iter().map(|(path, _)| path.to_owned());
        known.chain(made).collect()
    }

    fn origins() -> impl Strategy<Value = Origin> {
        prop_oneof![
            "[A-Z_]{0,4}".prop_map(Origin::Environment),
            ".{0,4}".prop_map(Origin::Flag),
            ".{0,4}".prop_map(Origin::Change),
            "[a-z/]{0,4}".prop_map(|path| Origin::File(path.into())),
        ]
    }

    #[test]
    fn of_any_layers_the_last_one_that_names_a_setting_has_all_of_it() {
        let catalogue = Catalogue::new();
        // Few paths now and then, so that layers meet.
        let path = || {
            prop_oneof![
                select(paths(&catalogue)),
                select(vec!["tools.mcp.x.env".to_owned(), "model.stop".to_owned()])
            ]
        };
        let own = collection::btree_map(path(), anything(), 0..20);
        let above = collection::vec((origins(), path(), anything()), 0..12);
        let check = |(own, own_origin, above): (Flat, Origin, Vec<(Origin, String, Value)>)| {
            let layers = Layers {
                file: PathBuf::new(),
                above: stacked(&above),
            };
            let mut expected: Given = catalogue
                .iter()
                .map(|(path, entry)| (path.to_owned(), (entry.default.clone(), Origin::Default)))
                .collect();
            for (path, value) in &own {
                expected.insert(path.clone(), (value.clone(), own_origin.clone()));
            }
            for (origin, path, value) in &above {
                expected.insert(path.clone(), (value.clone(), origin.clone()));
            }
            for path in expected.keys() {
                let last = above.iter().rfind(|(_, held, _)| held == path);
                prop_assert_eq!(layers.held(path), last.map(|(origin, ..)| origin.clone()));
            }
            prop_assert_eq!(layers.merge(&catalogue, &own, &own_origin), expected);
            Ok(())
        };
        TestRunner::new(ProptestConfig::with_cases(256))
            .run(&(own, origins(), above), check)
            .unwrap();
    }
}
