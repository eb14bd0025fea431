//! Conversations from the command line: listed, read, searched, brought elsewhere and back, removed. No model is loaded, and
//! a server that runs may go on writing.

pub(crate) mod export;
mod import;
mod show;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use domain::ConversationId;
use paraphym_candle::conversation_store::client::ask;
use paraphym_candle::conversation_store::messages::{
    Hit, Import, LISTED, ListConversations, Overview, ReadConversation, ReadMessages,
    RemoveConversation, Search,
};
use paraphym_candle::conversation_store::{StoreConfig, StoreError};
use paraphym_candle::{History, HistoryError, history_now};
use serde_json::json;
use tokio::io::AsyncReadExt;

use crate::args::{Export, HistoryAction};
use crate::failure::Failure;
use crate::out::note;
use crate::render;
use crate::stage::Stage;
use export::{Format, Whole, written};
pub(crate) use show::{is_harmless, safe};

/// Messages in one question to the store.
const PAGE: usize = 1000;
/// The largest file that is imported: more than a store takes in one request, and less than a machine has.
const LARGEST: u64 = 256 << 20;

/// Does one of the actions. With `--json` the last line of a failure is its event, as of every command.
pub(crate) async fn run(stage: &mut Stage, action: &HistoryAction) -> Result<(), Failure> {
    let result = done(stage, action).await;
    if let Err(failure) = &result
        && as_json(action)
    {
        stage.out.json(&render::failed(failure)).await?;
    }
    result
}

const fn as_json(action: &HistoryAction) -> bool {
    match action {
        HistoryAction::List { json, .. }
        | HistoryAction::Show { json, .. }
        | HistoryAction::Search { json, .. }
        | HistoryAction::Import { json, .. }
        | HistoryAction::Rm { json, .. } => *json,
        HistoryAction::Export(export) => export.json,
    }
}

async fn done(stage: &mut Stage, action: &HistoryAction) -> Result<(), Failure> {
    let config = StoreConfig::in_data_folder(|name| std::env::var_os(name))?;
    // Looking leaves nothing behind.
    let writes = matches!(action, HistoryAction::Import { .. });
    if !writes && config.file().is_some_and(|file| !file.exists()) {
        return nothing_yet(stage, action).await;
    }
    let read = match action {
        // What is wrong with a file is said before anything is opened.
        HistoryAction::Import { file, .. } => Some(read_import(stage, file).await?),
        _ => None,
    };
    let opened = stage.unless_signalled(History::open(config)).await?;
    let history = opened?;
    let carried = match (action, read) {
        (HistoryAction::Import { json, .. }, Some(read)) => {
            import(stage, &history, read, *json).await
        }
        _ => carry_out(stage, &history, action).await,
    };
    history.close().await;
    carried
}

/// The same where nothing was stored yet.
async fn nothing_yet(stage: &mut Stage, action: &HistoryAction) -> Result<(), Failure> {
    match action {
        HistoryAction::List { json, .. } => list(stage, &[], false, *json).await,
        HistoryAction::Search { json, .. } => found(stage, &[], *json).await,
        HistoryAction::Export(export) if export.all => write_out(stage, &[], export).await,
        HistoryAction::Show { id, .. } => Err(missing(id).into()),
        HistoryAction::Export(Export { ids, .. }) | HistoryAction::Rm { ids, .. } => {
            let id = ids.first().map(String::as_str).unwrap_or_default();
            Err(missing(id).into())
        }
        HistoryAction::Import { .. } => Ok(()),
    }
}

fn missing(id: &str) -> StoreError {
    StoreError::NoConversation(ConversationId::new(id))
}

async fn carry_out(
    stage: &mut Stage,
    history: &History,
    action: &HistoryAction,
) -> Result<(), Failure> {
    match action {
        HistoryAction::List { limit, json } => {
            let (all, more) = overviews(history, *limit).await?;
            list(stage, &all, more, *json).await
        }
        HistoryAction::Show { id, last, json } => {
            let mut whole = whole(history, id).await?;
            let left = last.map_or(0, |last| whole.messages.len().saturating_sub(last));
            whole.messages.drain(..left);
            let text = show::one(&whole, *json, stage.out.terminal);
            stage.out.text(&text).await
        }
        HistoryAction::Search { text, limit, json } => {
            let text = text.join(" ");
            let hits = ask(
                history.store(),
                Search {
                    text,
                    limit: *limit,
                },
            )
            .await?;
            found(stage, &hits, *json).await
        }
        HistoryAction::Export(export) => {
            let ids = if export.all {
                let (all, _) = overviews(history, usize::MAX).await?;
                all.iter()
                    .rev()
                    .map(|one| one.conversation.as_str().to_owned())
                    .collect()
            } else {
                export.ids.clone()
            };
            let mut all = Vec::new();
            for id in &ids {
                all.push(whole(history, id).await?);
            }
            write_out(stage, &all, export).await
        }
        HistoryAction::Rm { ids, yes, json } => remove(stage, history, ids, *yes, *json).await,
        HistoryAction::Import { .. } => Ok(()),
    }
}

async fn list(stage: &mut Stage, all: &[Overview], more: bool, json: bool) -> Result<(), Failure> {
    stage.out.text(&show::list(all, more, json)).await?;
    if json {
        return Ok(());
    }
    if all.is_empty() {
        note("nothing was stored yet");
    } else if more {
        note("there are more: --limit N shows them");
    }
    Ok(())
}

async fn found(stage: &mut Stage, hits: &[Hit], json: bool) -> Result<(), Failure> {
    let text = show::hits(hits, json, stage.out.terminal && stage.out.has_colours());
    stage.out.text(&text).await?;
    if hits.is_empty() && !json {
        note("nothing was found: all words have to be in one message");
    }
    Ok(())
}

/// The latest conversations, and whether there are more.
async fn overviews(history: &History, most: usize) -> Result<(Vec<Overview>, bool), Failure> {
    let (mut all, mut before) = (Vec::new(), None);
    loop {
        let limit = most.saturating_sub(all.len()).min(LISTED);
        let page = ask(history.store(), ListConversations { limit, before }).await?;
        all.extend(page.conversations);
        before = page.next;
        if before.is_none() || all.len() >= most {
            return Ok((all, before.is_some()));
        }
    }
}

/// A conversation with all its messages.
async fn whole(history: &History, id: &str) -> Result<Whole, Failure> {
    let conversation = ConversationId::new(id);
    let about = ReadConversation {
        conversation: conversation.clone(),
    };
    let overview = ask(history.store(), about).await?;
    let (mut messages, mut after) = (Vec::new(), 0);
    loop {
        let page = ReadMessages {
            conversation: conversation.clone(),
            after,
            limit: PAGE,
        };
        let page = ask(history.store(), page).await?;
        after = page.messages.last().map_or(after, |last| last.number);
        messages.extend(page.messages);
        if !page.more {
            break;
        }
    }
    Ok(Whole {
        id: id.to_owned(),
        title: overview.title,
        messages,
    })
}

/// Writes conversations to standard output or a new file.
async fn write_out(stage: &mut Stage, all: &[Whole], export: &Export) -> Result<(), Failure> {
    let by_name = || {
        export
            .output
            .as_ref()
            .and_then(|path| Format::of_name(&path.to_string_lossy()))
    };
    let json = export
        .json
        .then_some(Format::Json)
        .filter(|_| export.output.is_none());
    let format = export
        .format
        .or(json)
        .or_else(by_name)
        .unwrap_or(Format::Md);
    let (text, guarded) = written(all, format);
    if guarded > 0 {
        note(&format!(
            "{guarded} cells begin as formulas do; they got an apostrophe, so that no spreadsheet runs them"
        ));
    }
    let Some(path) = &export.output else {
        return stage.out.text(&text).await;
    };
    write_new(path.clone(), text, export.force).await?;
    let messages: usize = all.iter().map(|one| one.messages.len()).sum();
    let (count, file) = (all.len(), path.display().to_string());
    if export.json {
        let written = json!({"conversations": count, "messages": messages, "file": file});
        return stage.out.json(&written).await;
    }
    let said = format!("{count} conversations with {messages} messages are in {file}");
    stage.out.text(&format!("{said}\n")).await
}

/// Only who runs the command may read it, as the store itself.
async fn write_new(path: PathBuf, text: String, force: bool) -> Result<(), Failure> {
    let shown = path.display().to_string();
    let work = move || {
        let mut options = std::fs::OpenOptions::new();
        options
            .write(true)
            .truncate(true)
            .create(true)
            .create_new(!force);
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&path)?.write_all(text.as_bytes())
    };
    let result = tokio::task::spawn_blocking(work).await;
    result
        .unwrap_or_else(|error| Err(std::io::Error::other(error)))
        .map_err(|error| {
            let hint = match error.kind() {
                std::io::ErrorKind::AlreadyExists => {
                    "name another file, or write over it with --force"
                }
                _ => "check the path",
            };
            Failure::failed(format_args!("{shown} cannot be written: {error}"), hint)
        })
}

/// A file of conversations, checked; `-` is standard input.
async fn read_import(stage: &mut Stage, file: &Path) -> Result<Vec<import::Read>, Failure> {
    let shown = file.display().to_string();
    let failed = |error: &dyn std::fmt::Display| {
        Failure::failed(
            format_args!("{shown} cannot be read: {error}"),
            "check the path",
        )
    };
    let read = async {
        let mut text = String::new();
        if file.as_os_str() == "-" {
            let mut input = tokio::io::stdin().take(LARGEST + 1);
            input.read_to_string(&mut text).await?;
        } else {
            let mut input = tokio::fs::File::open(file).await?.take(LARGEST + 1);
            input.read_to_string(&mut text).await?;
        }
        Ok::<_, std::io::Error>(text)
    };
    let text = stage
        .unless_signalled(read)
        .await?
        .map_err(|error| failed(&error))?;
    if text.len() as u64 > LARGEST {
        return Err(failed(&"it has more than 256 MiB"));
    }
    import::read(&text)
        .map_err(|wrong| Failure::usage(wrong, format!("nothing of {shown} was stored")))
}

/// Stores all conversations or none: none of their names may be taken, and what was stored of a file that fails half way is
/// taken back.
async fn import(
    stage: &mut Stage,
    history: &History,
    all: Vec<import::Read>,
    json: bool,
) -> Result<(), Failure> {
    let store = history.store();
    for one in &all {
        let conversation = one.id.clone();
        match ask(store, ReadConversation { conversation }).await {
            Err(StoreError::NoConversation(_)) => {}
            Ok(_) => return Err(StoreError::ConversationExists(one.id.clone()).into()),
            Err(error) => return Err(error.into()),
        }
    }
    let (mut stored, mut messages) = (Vec::new(), 0);
    for one in all {
        let conversation = one.id.clone();
        messages += one.messages.len();
        let import = Import {
            conversation: one.id,
            messages: one.messages,
            now_ms: history_now(),
        };
        if let Err(error) = ask(store, import).await {
            // `Unknown` may have been carried out.
            let own = matches!(error, StoreError::Unknown { .. }).then_some(conversation);
            for conversation in stored.into_iter().chain(own) {
                let _ = ask(store, RemoveConversation { conversation }).await;
            }
            return Err(error.into());
        }
        stored.push(conversation);
    }
    if json {
        let ids: Vec<&str> = stored.iter().map(ConversationId::as_str).collect();
        return stage
            .out
            .json(&json!({"imported": ids, "messages": messages}))
            .await;
    }
    let said = format!(
        "stored {} conversations with {messages} messages\n",
        stored.len()
    );
    stage.out.text(&said).await
}

/// Removes conversations, once somebody said that they mean it.
async fn remove(
    stage: &mut Stage,
    history: &History,
    ids: &[String],
    yes: bool,
    json: bool,
) -> Result<(), Failure> {
    let mut there = Vec::new();
    for id in ids {
        let conversation = ConversationId::new(id);
        there.push(ask(history.store(), ReadConversation { conversation }).await?);
    }
    if !yes && !sure(stage, &there).await? {
        return Err(Failure::failed("nothing was removed", ""));
    }
    let mut messages = 0;
    for one in there {
        let conversation = one.conversation;
        messages += ask(history.store(), RemoveConversation { conversation })
            .await?
            .messages;
    }
    if json {
        return stage
            .out
            .json(&json!({"removed": ids, "messages": messages}))
            .await;
    }
    let said = format!(
        "removed {} conversations with {messages} messages\n",
        ids.len()
    );
    stage.out.text(&said).await
}

/// Asks whoever is at the terminal; without one nothing is taken for granted.
async fn sure(stage: &mut Stage, there: &[Overview]) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage(
            "removing cannot be undone, and there is no terminal to ask at",
            "say that you mean it with --yes",
        ));
    }
    for one in there {
        let (id, title) = (
            show::safe(one.conversation.as_str()),
            show::safe(&one.title),
        );
        note(&format!("{id}: {} messages, {title}", one.messages));
    }
    note("remove for good? [y/N]");
    crate::question::yes(stage).await
}

impl From<HistoryError> for Failure {
    fn from(error: HistoryError) -> Self {
        match error {
            HistoryError::Store(error) => error.into(),
            HistoryError::Tree(error) => Self::failed(error, "try again with --log debug"),
        }
    }
}

impl From<StoreError> for Failure {
    /// The store's errors say themselves what to do.
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Invalid(_) => Self::usage(error, "--help tells what each option takes"),
            StoreError::NoConversation(id) => Self::failed(
                format_args!("there is no conversation {id}"),
                "`paraphym history list` tells which there are",
            ),
            _ => Self::failed(error, ""),
        }
    }
}
