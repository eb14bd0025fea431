//! Settings and their history in words and in JSON. Pure, but for what the store has read.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use chat_config::{Catalogue, Cause, Changed, Entry, Flat, Origin, Revision, Store};
use model_store::record::rfc3339;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::render::table;

/// All settings, those of a section, or one with all there is to know about it.
pub(super) fn settings(store: &Store, key: Option<&str>, as_json: bool) -> Result<String, Failure> {
    let (catalogue, revision) = (store.catalogue(), store.current());
    if let Some(key) = key
        && catalogue.get(key).is_none()
        && !catalogue.is_section(key)
    {
        let meant = catalogue.nearest(key);
        let hint = meant.map_or_else(
            || "`paraphym config get` lists all there are".to_owned(),
            |meant| format!("did you mean {meant}?"),
        );
        return Err(Failure::usage(format_args!("{key} is no setting"), hint));
    }
    let values = catalogue.flat(&revision.settings);
    let shown = shown(&catalogue, &values, key);
    // Whoever names a secret wants to see it; a list of everything is for anybody's eyes.
    let named = |path: &str| key == Some(path);
    if as_json {
        let settings = shown.iter().map(|(path, entry, value)| {
            let hidden = entry.secret && (entry.sealed || !named(path)) && !value.is_null();
            let value = if hidden { &Value::Null } else { value };
            setting_json(path, entry, value, hidden, revision.origin(path))
        });
        let settings: Vec<Value> = settings.collect();
        return Ok(format!(
            "{}\n",
            json!({"revision": revision.number, "settings": settings})
        ));
    }
    if let [(path, entry, value)] = shown.as_slice()
        && named(path)
    {
        let value = if entry.sealed {
            catalogue.show(path, value)
        } else {
            plain(value)
        };
        return Ok(one(path, entry, &value, revision.origin(path)));
    }
    let rows: Vec<Vec<String>> = shown
        .iter()
        .map(|(path, _, value)| {
            let origin = revision.origin(path).to_string();
            vec![(*path).to_owned(), catalogue.show(path, value), origin]
        })
        .collect();
    Ok(table(&rows))
}

/// The settings that are looked at: all, those under `key`, or `key` itself. Of what is made by name and is not there yet,
/// what it could be.
fn shown<'a>(
    catalogue: &'a Catalogue,
    values: &'a Flat,
    key: Option<&'a str>,
) -> Vec<(&'a str, &'a Entry, &'a Value)> {
    let wanted = |path: &str| {
        let under = |key: &str| {
            path.strip_prefix(key)
                .map(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        key.is_none_or(|key| under(key) == Some(true))
    };
    let set = values.iter().filter(|(path, _)| wanted(path));
    let set = set.filter_map(|(path, value)| Some((path.as_str(), catalogue.get(path)?, value)));
    let set: Vec<_> = set.collect();
    match key {
        Some(key) if set.is_empty() => {
            let alone = catalogue.get(key).map(|entry| (key, entry, &Value::Null));
            let patterns = catalogue.patterns().filter(|(path, _)| wanted(path));
            let patterns = patterns.map(|(path, entry)| (path, entry, &entry.default));
            alone.map_or_else(|| patterns.collect(), |one| vec![one])
        }
        _ => set,
    }
}

/// One setting with everything there is to know about it.
fn one(path: &str, entry: &Entry, value: &str, origin: &Origin) -> String {
    let rows = [
        ("origin", origin.to_string()),
        ("default", plain(&entry.default)),
        ("takes", entry.allowed.clone()),
        ("is felt", entry.effect.to_string()),
    ];
    let rows = rows.map(|(name, text)| vec![format!("  {name}"), text]);
    format!("{path} = {value}\n{}  {}\n", table(&rows), entry.help)
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "(not set)".to_owned(),
        other => other.to_string(),
    }
}

fn setting_json(path: &str, entry: &Entry, value: &Value, hidden: bool, origin: &Origin) -> Value {
    let (kind, name) = match origin {
        Origin::Default => ("default", None),
        Origin::File(path) => ("file", Some(path.display().to_string())),
        Origin::Environment(name) => ("environment", Some(name.clone())),
        Origin::Flag(key) => ("flag", Some(key.clone())),
        Origin::Change(who) => ("change", Some(who.clone())),
    };
    json!({
        "key": path,
        "value": value,
        "hidden": hidden,
        "origin": {"kind": kind, "name": name},
        "default": entry.default,
        "takes": entry.allowed,
        "felt": entry.effect.as_str(),
        "help": entry.help,
    })
}

/// What changed, a line each, with when it is felt.
pub(super) fn changed_text(catalogue: &Catalogue, changed: &[Changed]) -> String {
    let rows: Vec<Vec<String>> = changed
        .iter()
        .map(|one| {
            let felt = catalogue
                .get(&one.field)
                .map(|entry| format!("({})", entry.effect));
            let arrow = format!("{} -> {}", one.from, one.to);
            vec![one.field.clone(), arrow, felt.unwrap_or_default()]
        })
        .collect();
    table(&rows)
}

/// The same for programs.
pub(super) fn changed_json(catalogue: &Catalogue, changed: &[Changed]) -> Vec<Value> {
    let json = |one: &Changed| {
        let felt = catalogue.get(&one.field).map(|entry| entry.effect.as_str());
        json!({"key": one.field, "from": one.from, "to": one.to, "felt": felt})
    };
    changed.iter().map(json).collect()
}

/// What a change came to, or would: `made` is the revision `before` where there is nothing to change.
pub(super) fn made(
    catalogue: &Catalogue,
    before: u64,
    made: &Revision,
    dry_run: bool,
    as_json: bool,
) -> String {
    let nothing = made.number == before;
    let changed: &[Changed] = if nothing { &[] } else { &made.changed };
    if as_json {
        let (revision, changed) = (made.number, changed_json(catalogue, changed));
        let json = if dry_run {
            json!({"revision": revision, "changed": changed, "dry_run": true})
        } else {
            json!({"revision": revision, "changed": changed})
        };
        return format!("{json}\n");
    }
    if nothing {
        return format!("nothing to change: revision {} holds\n", made.number);
    }
    let lines = changed_text(catalogue, changed);
    let would = if dry_run { "would be " } else { "" };
    format!("{would}revision {}\n{lines}", made.number)
}

/// What is different between two revisions: without names, what the last change did.
pub(super) fn diff(
    store: &Store,
    from: Option<u64>,
    to: Option<u64>,
    as_json: bool,
) -> Result<String, Failure> {
    let to = to.unwrap_or(store.current().number);
    let before = store
        .history()
        .iter()
        .rev()
        .find(|revision| revision.number < to)
        .map_or(to, |revision| revision.number);
    let from = from.unwrap_or(before);
    let changed = store.diff(from, to).map_err(|error| {
        Failure::usage(error, "`paraphym config history` lists those that are kept")
    })?;
    let catalogue = store.catalogue();
    Ok(if as_json {
        let changed = changed_json(&catalogue, &changed);
        format!("{}\n", json!({"from": from, "to": to, "changed": changed}))
    } else if changed.is_empty() {
        format!("nothing is different between revisions {from} and {to}\n")
    } else {
        changed_text(&catalogue, &changed)
    })
}

/// Every revision that is kept, the latest first.
pub(super) fn history(store: &Store, as_json: bool) -> String {
    let history = store.history();
    if as_json {
        let catalogue = store.catalogue();
        let revisions: Vec<Value> = history
            .iter()
            .rev()
            .map(|revision| revision_json(&catalogue, revision))
            .collect();
        return format!("{}\n", json!({"revisions": revisions}));
    }
    let mut rows = vec![
        ["REVISION", "WHEN", "WHO", "WHY", "CHANGED"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for revision in history.iter().rev() {
        let fields: Vec<&str> = revision
            .changed
            .iter()
            .map(|one| one.field.as_str())
            .collect();
        rows.push(vec![
            revision.number.to_string(),
            rfc3339(revision.at),
            // A name is someone's text: no control character of it reaches the terminal.
            revision.who.chars().filter(|c| !c.is_control()).collect(),
            cause(&revision.cause),
            fields.join(" "),
        ]);
    }
    table(&rows)
}

fn cause(cause: &Cause) -> String {
    match cause {
        Cause::Started => "first seen".to_owned(),
        Cause::Updated => "changed".to_owned(),
        Cause::RolledBack { to } => format!("back to {to}"),
        Cause::Reloaded => "found in the file".to_owned(),
    }
}

fn revision_json(catalogue: &Catalogue, revision: &Arc<Revision>) -> Value {
    let (cause, to) = match revision.cause {
        Cause::Started => ("started", None),
        Cause::Updated => ("updated", None),
        Cause::RolledBack { to } => ("rolled_back", Some(to)),
        Cause::Reloaded => ("reloaded", None),
    };
    let at = revision.at.duration_since(UNIX_EPOCH).unwrap_or_default();
    json!({
        "revision": revision.number,
        "at": rfc3339(revision.at),
        "at_ms": u64::try_from(at.as_millis()).unwrap_or(u64::MAX),
        "who": revision.who,
        "cause": cause,
        "to": to,
        "changed": changed_json(catalogue, &revision.changed),
    })
}
