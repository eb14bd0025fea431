//! Models on this machine: pull, list, show, remove.

mod show;

use domain::{Bytes, ModelName};
use model_store::{DEFAULT_MODEL, Entry, Installed, Source, Store};
use paraphym_candle::kept_copies;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::args::ModelAction;
use crate::failure::Failure;
use crate::fetch;
use crate::render::{failed_event, pull_event, table};
use crate::stage::Stage;

pub(crate) use show::verdict_words;

/// Does one of the actions.
pub(crate) async fn run(stage: &mut Stage, action: &ModelAction) -> Result<(), Failure> {
    let store = stage.store()?;
    match action {
        ModelAction::Pull { name, json } => {
            let name = stage.named(name.as_ref());
            pull(stage, &store, &name, *json).await
        }
        ModelAction::List { json } => list(stage, &store, *json).await,
        ModelAction::Show { name, json } => show::show(stage, &store, name, *json).await,
        ModelAction::Rm { name, json } => {
            let gone = store.remove(name).await?;
            tidy_copies(stage).await;
            if *json {
                return stage.out.json(&json!({"removed": gone.path})).await;
            }
            let line = format!("removed {} ({})\n", gone.path.display(), gone.size);
            stage.out.text(&line).await
        }
    }
}

/// A packed copy goes with its model.
async fn tidy_copies(stage: &Stage) {
    if let Some(copies) = kept_copies(&stage.first()) {
        // A copy that stays is tidied when the next is made.
        let _ = tokio::task::spawn_blocking(move || copies.tidy()).await;
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
    let end = end.unwrap_or_else(|error| failed_event(&error.to_string(), &error.hint()));
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
    let mut rows = vec![row(["NAME", "KIND", "SIZE", "WHERE"])];
    for found in &here {
        let name = found.name.as_str();
        rows.push(row([
            name,
            found.kind.as_str(),
            &found.size.to_string(),
            &found.path.display().to_string(),
        ]));
    }
    for entry in missing {
        let size = entry.size.to_string();
        rows.push(row([
            &entry.name,
            entry.kind.as_str(),
            &size,
            &not_here(entry),
        ]));
    }
    stage.out.text(&table(&rows)).await
}

/// How it comes here. The default model needs no name.
fn not_here(entry: &Entry) -> String {
    if entry.name == DEFAULT_MODEL {
        return "not here; `paraphym model pull` brings it".to_owned();
    }
    format!("not here; `paraphym model pull {}` brings it", entry.name)
}

fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

fn installed_json(found: &Installed) -> Value {
    let Bytes(size) = found.size;
    json!({
        "name": found.name.as_str(),
        "kind": found.kind.as_str(),
        "path": found.path,
        "size_bytes": size,
        "record": found.record,
    })
}

fn entry_json(entry: &Entry) -> Value {
    let Bytes(size) = entry.size;
    json!({
        "name": entry.name,
        "kind": entry.kind.as_str(),
        "aliases": entry.aliases,
        "file": entry.file,
        "size_bytes": size,
        "sha256": entry.sha256,
        "beside": entry.companions.iter().map(|beside| &*beside.file).collect::<Vec<_>>(),
        "summary": entry.summary,
        "sources": entry.sources.iter().map(Source::to_string).collect::<Vec<_>>(),
    })
}
