//! Settings, shown and changed. Secrets are shown to nobody here, and not written into the audit log.

use chat_config::{Catalogue, Change, Changed, ConfigError, PlanError, Update, client};
use serde_json::{Value, json};

use super::parts::shown;
use super::{Desk, Who, done, would};
use crate::protocol::act::{Acted, ConfigSet};
use crate::protocol::look::{ConfigAnswer, Setting};
use crate::protocol::rpc::{Code, RpcError};
use crate::protocol::table::Call;

impl Desk {
    pub(super) async fn config_get(&self, key: Option<&str>) -> Result<ConfigAnswer, RpcError> {
        let (keeper, store) = &self.deps.settings;
        let catalogue = store.catalogue();
        if let Some(key) = key {
            known(&catalogue, key)?;
        }
        let revision = client::get(keeper).await.map_err(refused)?;
        let flat = catalogue.flat(&revision.settings);
        let wanted = |path: &str| {
            let under = |key: &str| {
                let rest = path.strip_prefix(key);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            key.is_none_or(under)
        };
        let settings = flat.iter().filter(|(path, _)| wanted(path));
        let settings = settings.filter_map(|(path, value)| {
            let entry = catalogue.get(path)?;
            let hidden = entry.secret && !value.is_null();
            Some(Setting {
                key: path.clone(),
                value: if hidden { Value::Null } else { value.clone() },
                hidden,
                origin: revision.origin(path).to_string(),
                takes: entry.allowed.clone(),
                felt: entry.effect.to_string(),
            })
        });
        Ok(ConfigAnswer {
            revision: revision.number,
            settings: settings.collect(),
        })
    }

    pub(super) async fn config_set(&self, wish: ConfigSet, who: &Who) -> Result<Acted, RpcError> {
        let (keeper, store) = &self.deps.settings;
        let catalogue = store.catalogue();
        if wish.changes.is_empty() {
            let what = "changes = is empty: name at least one setting";
            return Err(RpcError::new(Code::Params, what));
        }
        for change in &wish.changes {
            known(&catalogue, &change.key)?;
        }
        let changes = wish.changes.into_iter().map(|one| Change::Text {
            key: one.key,
            text: one.value,
        });
        let before = store.current().number;
        let update = Update {
            who: who.0.clone(),
            expected: wish.expected,
            changes: changes.collect(),
        };
        if wish.dry_run {
            let outlook = client::rehearse(keeper, update).await.map_err(refused)?;
            return Ok(would(match outlook.made {
                None => unchanged(outlook.holds.number),
                Some(made) => {
                    let (said, number) = (said(&catalogue, &made.changed), made.number);
                    format!("would set {said}; revision {number} would hold")
                }
            }));
        }
        let made = client::update(keeper, update).await.map_err(refused)?;
        if made.number == before {
            return Ok(done(unchanged(before)));
        }
        let (said, number) = (said(&catalogue, &made.changed), made.number);
        Ok(done(format!("{said}; revision {number} holds")))
    }

    /// A call's parameters as the audit log may have them.
    pub(super) fn shown(&self, call: &Call) -> Value {
        let Call::ConfigSet(wish) = call else {
            return call.params();
        };
        let catalogue = self.deps.settings.1.catalogue();
        let changes = wish.changes.iter().map(|one| {
            // What is not known may be a secret with a slip in its name.
            let hidden = catalogue.get(&one.key).is_none_or(|entry| entry.secret);
            let value = if hidden {
                "(hidden)"
            } else {
                one.value.as_str()
            };
            json!({"key": one.key, "value": value})
        });
        json!({
            "changes": changes.collect::<Vec<_>>(),
            "expected": wish.expected,
            "dry_run": wish.dry_run,
        })
    }
}

/// Refuses what is no setting and no section.
fn known(catalogue: &Catalogue, key: &str) -> Result<(), RpcError> {
    if catalogue.get(key).is_some() || catalogue.is_section(key) {
        return Ok(());
    }
    let meant = catalogue.nearest(key);
    let meant = meant.map_or_else(String::new, |meant| format!(": did you mean {meant}?"));
    let what = format!("key = {} is no setting{meant}", shown(key));
    Err(RpcError::new(Code::NotFound, what))
}

fn unchanged(number: u64) -> String {
    format!("nothing to change: revision {number} holds")
}

/// Each setting with its old and its new value, and when it is felt.
fn said(catalogue: &Catalogue, changed: &[Changed]) -> String {
    if changed.is_empty() {
        return "what holds already, in the file too".to_owned();
    }
    let lines = changed.iter().map(|one| {
        let felt = catalogue.get(&one.field).map(|entry| entry.effect);
        let felt = felt.map_or_else(String::new, |felt| format!(" ({felt})"));
        format!("{}: {} -> {}{felt}", one.field, one.from, one.to)
    });
    lines.collect::<Vec<_>>().join("; ")
}

fn refused(error: ConfigError) -> RpcError {
    let code = match &error {
        ConfigError::Plan(PlanError::Refused(_)) | ConfigError::TooMany { .. } => Code::Params,
        ConfigError::Plan(PlanError::NoRevision { .. }) => Code::NotFound,
        ConfigError::Plan(_) | ConfigError::File(_) => Code::Refused,
        ConfigError::Busy { .. } => Code::Busy,
        ConfigError::Unavailable { .. } => Code::Unavailable,
    };
    RpcError::new(code, error)
}
