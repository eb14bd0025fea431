//! The one door to [`Settings`]: every value is read and validated by itself, so that all that is wrong is told at once.

use std::collections::{BTreeMap, BTreeSet};

use garde::Validate;
use serde::Deserialize;
use serde_json::Value;

use crate::catalogue::Catalogue;
use crate::flat::{Flat, nest};
use crate::paths::{NAMES, is_under};
use crate::refusal::{Origin, Refusal, Refusals};
use crate::settings::{McpServer, Settings};

/// Values by path, each with where it came from.
pub(crate) type Given = BTreeMap<String, (Value, Origin)>;

/// The settings with `given` set and everything else at its default.
///
/// # Errors
/// Every name that is no setting and every value that is not accepted.
pub(crate) fn check(catalogue: &Catalogue, given: &Given) -> Result<Settings, Refusals> {
    let mut refusals = Vec::new();
    let mut good = Flat::new();
    for (path, (value, origin)) in given {
        if *origin == Origin::Default {
            continue;
        }
        if catalogue.get(path).is_none() {
            refusals.push(unknown(catalogue, path, origin));
            continue;
        }
        let alone = Flat::from([(path.clone(), value.clone())]);
        if !value.is_null() && Settings::deserialize(nest(&alone)).is_ok() {
            good.extend(alone);
        } else {
            refusals.push(refused(catalogue, path, value, origin));
        }
    }
    let settings = Settings::deserialize(nest(&good)).unwrap_or_default();
    if let Err(report) = settings.validate() {
        let mut told = BTreeSet::new();
        for (path, error) in report.iter() {
            let path = path.to_string();
            refusals.extend(breach(
                catalogue,
                given,
                &path,
                &error.to_string(),
                &mut told,
            ));
        }
    }
    match Refusals::of(refusals) {
        Some(refusals) => Err(refusals),
        None => Ok(settings),
    }
}

/// What settings say only together: each is accepted by itself, and a change may bring them one by one.
///
/// # Errors
/// Every MCP server that is neither a program nor an address, or both, or whose name its tools could not begin with.
pub(crate) fn check_together(settings: &Settings, origin: &Origin) -> Result<(), Refusals> {
    let refused = |name: &str, value: &str, allowed: &str| Refusal::Value {
        field: format!("tools.mcp.{name}"),
        value: value.to_owned(),
        origin: origin.clone(),
        allowed: allowed.to_owned(),
    };
    let mut refusals = Vec::new();
    for (name, server) in &settings.tools.mcp {
        if !server.is_whole() {
            let given = if server.url.is_some() {
                "command and url"
            } else {
                "neither command nor url"
            };
            let allowed = "either a command or a url, in the same file";
            refusals.push(refused(name, given, allowed));
        }
        if !McpServer::is_name(name) {
            let allowed = "a name of 1 to 24 lower-case letters, digits and -";
            refusals.push(refused(name, "what is called so", allowed));
        }
    }
    Refusals::of(refusals).map_or(Ok(()), Err)
}

/// One thing that was found wrong with values that can be read, told once a setting: of the setting it lies in, or, if
/// a whole list of names is wrong, of the list.
fn breach(
    catalogue: &Catalogue,
    given: &Given,
    path: &str,
    error: &str,
    told: &mut BTreeSet<String>,
) -> Option<Refusal> {
    // `model.stop` of `model.stop[3]`, `tools.mcp.x.env` of `tools.mcp.x.env.TOKEN`.
    let path = path.split('[').next().unwrap_or(path);
    let known = |setting: &&String| is_under(path, setting) && catalogue.get(setting).is_some();
    let setting = given.keys().find(known);
    if let Some(setting) = setting {
        let (value, origin) = given.get(setting)?;
        return told
            .insert(setting.clone())
            .then(|| refused(catalogue, setting, value, origin));
    }
    let mut inside = given.iter().filter(|(setting, _)| is_under(setting, path));
    let (_, (_, origin)) = inside.next_back()?;
    told.insert(path.to_owned()).then(|| Refusal::Value {
        field: path.to_owned(),
        value: "what is there".to_owned(),
        origin: origin.clone(),
        allowed: format!("fewer names: the {error}"),
    })
}

fn refused(catalogue: &Catalogue, path: &str, value: &Value, origin: &Origin) -> Refusal {
    Refusal::Value {
        field: path.to_owned(),
        value: catalogue.show(path, value),
        origin: origin.clone(),
        allowed: catalogue
            .get(path)
            .map(|entry| entry.allowed.clone())
            .unwrap_or_default(),
    }
}

pub(crate) fn unknown(catalogue: &Catalogue, path: &str, origin: &Origin) -> Refusal {
    let hint = if catalogue.is_section(path) {
        let example = catalogue.example(path).unwrap_or_default();
        format!("it is a section, of settings such as {example}")
    } else if let Some(name) = catalogue.bad_name(path) {
        let name: String = name.chars().take(80).collect();
        format!("{name:?} is no name: use {NAMES}")
    } else {
        match catalogue.nearest(path) {
            Some(nearest) => format!("did you mean {nearest}?"),
            None => "the schema lists all there are".to_owned(),
        }
    };
    Refusal::Unknown {
        field: path.chars().take(80).collect(),
        origin: origin.clone(),
        hint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(values: &[(&str, Value)]) -> Given {
        let flag = |path: &str| Origin::Flag(path.to_owned());
        values
            .iter()
            .map(|(path, value)| ((*path).to_owned(), (value.clone(), flag(path))))
            .collect()
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once_by_field() {
        let given = given(&[
            ("chat.idle", "500ms".into()),
            ("chat.system", "x".repeat(16_001).into()),
            ("limits.conections", 3.into()),
            ("limits.answers", 0.into()),
            ("memory.limit", "2GiB".into()),
            ("model", 3.into()),
            ("model.stop", serde_json::json!(["a", ""])),
            ("model.temperature", "hot".into()),
            ("model.top_p", Value::Null),
            ("realtime.bind", "0.0.0.0".into()),
            ("server.cors_origins", serde_json::json!(["app.example"])),
            ("ui.theme", "default".into()),
        ]);
        let refusals = check(&Catalogue::new(), &given).unwrap_err();
        let mut fields: Vec<_> = refusals.iter().filter_map(Refusal::field).collect();
        fields.sort_unstable();
        assert_eq!(
            fields,
            [
                "chat.idle",
                "chat.system",
                "limits.answers",
                "limits.conections",
                "model",
                "model.stop",
                "model.temperature",
                "model.top_p",
                "realtime.bind",
                "server.cors_origins",
                "ui.theme"
            ]
        );
        let text = refusals.to_string();
        for part in [
            "ui.theme = \"default\" (from the flag ui.theme) is not accepted: use one of system, light",
            "limits.conections (from the flag limits.conections) is no setting: did you mean limits.connections?",
            "model (from the flag model) is no setting: it is a section",
            "chat.system = (secret)",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }

    #[test]
    fn what_is_good_is_taken_and_the_rest_is_default() {
        let given = given(&[
            ("model.temperature", 1.into()),
            ("chat.idle", "1500ms".into()),
            ("model.name", "tiny".into()),
        ]);
        let settings = check(&Catalogue::new(), &given).unwrap();
        let mut expected = Settings::default();
        expected.model.temperature = 1.0;
        expected.chat.idle = crate::Span::from_millis(1500);
        expected.model.name = Some("tiny".to_owned());
        assert_eq!(settings, expected);
    }

    #[test]
    fn each_default_is_accepted_as_given() {
        let catalogue = Catalogue::new();
        for (path, entry) in catalogue
            .iter()
            .filter(|(_, entry)| !entry.default.is_null())
        {
            let given = given(&[(path, entry.default.clone())]);
            assert_eq!(check(&catalogue, &given), Ok(Settings::default()), "{path}");
        }
    }
}
