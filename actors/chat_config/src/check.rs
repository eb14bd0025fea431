//! The one door to [`Settings`]: every value is read and validated by itself, so that all that is wrong is told at once.

use std::collections::BTreeMap;

use garde::Validate;
use serde::Deserialize;
use serde_json::Value;

use crate::catalogue::Catalogue;
use crate::flat::{Flat, nest};
use crate::refusal::{Origin, Refusal, Refusals};
use crate::settings::Settings;

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
        let mut paths: Vec<String> = report
            .iter()
            .map(|(path, _)| setting_of(&path.to_string()))
            .collect();
        paths.dedup();
        for path in paths {
            if let Some((value, origin)) = given.get(&path) {
                refusals.push(refused(catalogue, &path, value, origin));
            }
        }
    }
    match Refusals::of(refusals) {
        Some(refusals) => Err(refusals),
        None => Ok(settings),
    }
}

/// `model.stop` of `model.stop[3]`.
fn setting_of(path: &str) -> String {
    let end = path.find('[').unwrap_or(path.len());
    path.get(..end).unwrap_or(path).to_owned()
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
        let example = catalogue.in_section(path).next().unwrap_or_default();
        format!("it is a section, of settings such as {example}")
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
            ("realtime.bind", "0.0.0.0:80".into()),
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
