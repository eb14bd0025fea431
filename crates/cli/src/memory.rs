//! What agents remember, from the command line: listed, looked for, added, forgotten. No model is loaded but the one that says
//! what texts mean, and a server that runs may go on writing.

mod show;

use std::io::IsTerminal;

use domain::ModelName;
use paraphym_candle::retrieval::{
    Forget, ListMemories, MemoryId, MemoryKind, Note, RetrievalError, Scope,
};
use paraphym_candle::{Paraphym, history_now};
use serde_json::json;

use crate::args::{MemoryAction, Whose};
use crate::equip::bring_meanings;
use crate::failure::Failure;
use crate::history::safe;
use crate::out::note;
use crate::render;
use crate::stage::{Kept, Stage};

/// As important as anything.
const IMPORTANCE: f32 = 0.5;
/// The most that one question to the store may ask for.
const MOST: usize = 1000;

/// Does one of the actions. With `--json` the last line of a failure is its event, as of every command.
pub(crate) async fn run(stage: &mut Stage, action: &MemoryAction) -> Result<(), Failure> {
    let result = started(stage, action).await;
    if let Err(failure) = &result
        && as_json(action)
    {
        stage.out.json(&render::failed(failure)).await?;
    }
    result
}

const fn as_json(action: &MemoryAction) -> bool {
    match action {
        MemoryAction::List { json, .. }
        | MemoryAction::Search { json, .. }
        | MemoryAction::Add { json, .. }
        | MemoryAction::Rm { json, .. }
        | MemoryAction::Documents { json } => *json,
    }
}

async fn started(stage: &mut Stage, action: &MemoryAction) -> Result<(), Failure> {
    let model: ModelName = stage.named(None);
    let builder = stage.builder(&model, Kept::Memories);
    let host = builder.without_servers_of_settings().start().await?;
    let done = carry_out(stage, &host, action).await;
    stage.drain(&host, None).await;
    done
}

async fn carry_out(
    stage: &mut Stage,
    host: &Paraphym,
    action: &MemoryAction,
) -> Result<(), Failure> {
    let memory = host.retrieval();
    match action {
        MemoryAction::List { whose, limit, json } => {
            let wish = ListMemories {
                space: whose.agent.clone(),
                limit: (*limit).min(MOST),
                before: None,
            };
            let text = show::list(&memory.list(wish).await?, *json);
            say(stage, &text, "nothing is remembered yet").await
        }
        MemoryAction::Search {
            text,
            whose,
            limit,
            json,
        } => {
            bring_meanings(stage, host).await?;
            let (scope, text) = (Scope::space(&whose.agent), text.join(" "));
            let looking = memory.recall(scope, &text, *limit, history_now());
            let answer = stage.unless_signalled(looking).await??;
            if !json {
                note(&answer.basis.to_string());
            }
            let text = show::found(&answer, *json);
            say(stage, &text, "nothing was found").await
        }
        MemoryAction::Add { text, whose, json } => {
            bring_meanings(stage, host).await?;
            add(stage, host, text.join(" "), whose, *json).await
        }
        MemoryAction::Rm {
            ids,
            all,
            document,
            whose,
            yes,
            json,
        } => {
            let agent = &whose.agent;
            let (forget, what) = if let Some(path) = document {
                let forget = vec![Forget::Document(path.clone())];
                (forget, format!("the document {path}"))
            } else if *all {
                let forget = vec![Forget::Space(agent.clone())];
                (forget, format!("all that the agent {agent} remembers"))
            } else {
                for id in ids {
                    check(host, agent, *id).await?;
                }
                let forget = ids.iter().map(|id| Forget::Memory(MemoryId(*id)));
                let what = format!("{} memories of the agent {agent}", ids.len());
                (forget.collect(), what)
            };
            if !*yes {
                sure(stage, &what).await?;
            }
            remove(stage, host, forget, *json).await
        }
        MemoryAction::Documents { json } => {
            let text = show::documents(&memory.documents(MOST).await?, *json);
            say(stage, &text, "no document was made findable yet").await
        }
    }
}

/// A table of one line is its head.
async fn say(stage: &mut Stage, text: &str, nothing: &str) -> Result<(), Failure> {
    if text.is_empty() {
        note(nothing);
        return Ok(());
    }
    stage.out.text(text).await
}

async fn add(
    stage: &mut Stage,
    host: &Paraphym,
    text: String,
    whose: &Whose,
    json: bool,
) -> Result<(), Failure> {
    let wish = Note {
        space: whose.agent.clone(),
        text,
        kind: MemoryKind::Semantic,
        importance: IMPORTANCE,
    };
    let remembering = host.retrieval().remember(wish, history_now());
    let noted = stage.unless_signalled(remembering).await??;
    if json {
        let object = json!({
            "id": noted.id.0,
            "is_new": noted.is_new,
            "without_meaning": noted.without_meaning,
        });
        return stage.out.json(&object).await;
    }
    if let Some(why) = noted.without_meaning {
        note(&format!("it is found by its words alone for now: {why}"));
    }
    let said = if noted.is_new {
        format!("remembered as {}\n", noted.id.0)
    } else {
        format!("that was known as {}, and is fresh again\n", noted.id.0)
    };
    stage.out.text(&said).await
}

/// Refuses a memory that this agent does not have.
async fn check(host: &Paraphym, agent: &str, id: i64) -> Result<(), Failure> {
    let wish = ListMemories {
        space: agent.to_owned(),
        limit: 1,
        before: Some(MemoryId(id.saturating_add(1))),
    };
    let found = host.retrieval().list(wish).await?;
    if found.first().is_some_and(|memory| memory.id.0 == id) {
        return Ok(());
    }
    Err(Failure::failed(
        format_args!("the agent {agent} has no memory {id}"),
        format!("`paraphym memory list --agent {agent}` lists them"),
    ))
}

/// Asks whoever is at the terminal; without one nothing is taken for granted.
async fn sure(stage: &mut Stage, what: &str) -> Result<(), Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage(
            "forgetting cannot be undone, and there is no terminal to ask at",
            "say that you mean it with --yes",
        ));
    }
    note(&format!("forget {} for good? [y/N]", safe(what)));
    if crate::question::yes(stage).await? {
        return Ok(());
    }
    Err(Failure::failed("nothing was forgotten", ""))
}

async fn remove(
    stage: &mut Stage,
    host: &Paraphym,
    forget: Vec<Forget>,
    json: bool,
) -> Result<(), Failure> {
    let mut gone = 0;
    for one in forget {
        gone += host.retrieval().forget(one).await?;
    }
    if gone == 0 {
        let hint = "`paraphym memory list` and `paraphym memory documents` tell what there is";
        return Err(Failure::failed("there was nothing to forget", hint));
    }
    if json {
        return stage.out.json(&json!({"forgotten": gone})).await;
    }
    stage.out.text(&format!("forgot {gone}\n")).await
}

impl From<RetrievalError> for Failure {
    fn from(error: RetrievalError) -> Self {
        match error {
            RetrievalError::Store(error) => error.into(),
            error @ RetrievalError::TimedOut { .. } => Self::failed(error, "try again"),
        }
    }
}
