//! What a turn needs beside its settings, before it is asked: the documents, the model that says what texts mean, and the
//! servers whose tools it may call. What is missing is said, and the turn goes on without.

use std::cell::RefCell;
use std::time::Duration;

use chat_config::settings::DEFAULT_AGENT;
use paraphym_candle::mcp_client::ServerState;
use paraphym_candle::retrieval::{Added, Progress as Adding};
use paraphym_candle::{ModelName, Paraphym, ToolFilter, TurnSettings};
use tokio::time::Instant;

use crate::args::{Choices, Documents};
use crate::failure::Failure;
use crate::fetch::ensure;
use crate::history::safe;
use crate::out::note;
use crate::progress::{Progress, SILENCE};
use crate::stage::Stage;

/// How long servers may take to start before the turn goes on without their tools: some are fetched first.
const SERVERS: Duration = Duration::from_secs(30);

/// Whether an agent of these may call a tool of an MCP server.
pub(crate) fn calls_servers(tools: &[String]) -> bool {
    tools
        .iter()
        .any(|tool| tool.contains("__") || tool.ends_with('*'))
}

/// What the documents of an agent and those that were named came to.
#[derive(Debug, Default)]
pub(crate) struct Equipment {
    added: Option<Added>,
}

impl Equipment {
    /// Sees to all of it, for an agent; `remembers` says whether its memory is used at all.
    pub(crate) async fn gather(
        stage: &mut Stage,
        host: &Paraphym,
        choices: &Choices,
        named: &Documents,
        remembers: bool,
    ) -> Result<Self, Failure> {
        let agent = choices.agent.as_deref().unwrap_or(DEFAULT_AGENT);
        let mut wanted = host.agent_documents(agent)?;
        wanted.extend(named.documents.iter().cloned());
        let turn = host.agent_settings(agent)?;
        if (remembers && turn.memory.is_some()) || !wanted.is_empty() {
            bring_meanings(stage, host).await?;
        }
        let added = if wanted.is_empty() {
            None
        } else {
            Some(add(stage, host, &wanted).await?)
        };
        wait_for_servers(stage, host, &turn).await?;
        Ok(Self { added })
    }

    /// The settings of a turn that looks in the documents, too.
    pub(crate) fn on(&self, host: &Paraphym, turn: TurnSettings) -> TurnSettings {
        match &self.added {
            Some(added) => host.with_documents(turn, added),
            None => turn,
        }
    }
}

/// The model that says what texts mean, if it can be had; words alone are searched without.
pub(crate) async fn bring_meanings(stage: &mut Stage, host: &Paraphym) -> Result<(), Failure> {
    let model = ModelName::new(&host.settings().settings.recall.model);
    match ensure(stage, host.store(), &model).await {
        Err(Failure::Failed { error, .. }) => {
            note(&format!(
                "memories and documents are searched by words alone: {error}"
            ));
            note(&format!(
                "hint: `paraphym model pull {model}` brings what finds them by meaning, when online; \
                 recall.model names another"
            ));
            Ok(())
        }
        other => other,
    }
}

async fn add(stage: &mut Stage, host: &Paraphym, wanted: &[String]) -> Result<Added, Failure> {
    let progress = RefCell::new(Progress::new(stage.out.error_terminal));
    let adding = host.add_documents(wanted, |how_far| {
        let mut progress = progress.borrow_mut();
        match how_far {
            Adding::Read { done, total } => progress.documents("reading documents", done, total),
            Adding::Embedded { done, total } => {
                progress.documents("learning what they mean", done, total);
            }
        }
    });
    let added = stage.unless_signalled(adding).await?;
    drop(progress);
    let added =
        added.map_err(|error| Failure::failed(error, "the rest works without --document"))?;
    for refused in &added.refused {
        note(&format!("not read: {}", safe(&refused.to_string())));
    }
    for path in &added.dropped {
        note(&format!("made room for others: {}", safe(path)));
    }
    if added.documents.is_empty() {
        return Err(Failure::usage(
            "none of the documents can be read",
            "name text files, such as --document README.md",
        ));
    }
    Ok(added)
}

/// A turn that may call servers' tools begins when they are there, or are known not to be.
async fn wait_for_servers(
    stage: &mut Stage,
    host: &Paraphym,
    turn: &TurnSettings,
) -> Result<(), Failure> {
    let servers = host.servers();
    let status = || {
        let all = servers.status().into_iter();
        all.filter(|server| is_called(&turn.tools, &server.name))
    };
    let starting = || -> Vec<String> {
        let starting = status().filter(|server| server.state == ServerState::Starting);
        starting.map(|server| server.name).collect()
    };
    let began = Instant::now();
    let mut told = false;
    while !starting().is_empty() && began.elapsed() < SERVERS {
        stage.unless_signalled(servers.settled(SILENCE)).await?;
        if !told && !starting().is_empty() {
            told = true;
            note(&format!(
                "waiting for the tools of {}",
                starting().join(", ")
            ));
        }
    }
    for server in status() {
        let why = match (server.state, server.last_error) {
            (ServerState::Up, _) => continue,
            (ServerState::Starting, None) => "it has not started yet".to_owned(),
            (_, why) => why.unwrap_or_else(|| "it is not up".to_owned()),
        };
        let name = server.name;
        note(&format!(
            "the tools of {name} are not there: {}",
            safe(&why)
        ));
    }
    Ok(())
}

/// Whether a turn with these tools may call one of this server's.
fn is_called(tools: &ToolFilter, server: &str) -> bool {
    let begins = format!("{server}__");
    let may_be = |pattern: &String| match pattern.strip_suffix('*') {
        Some(start) => begins.starts_with(start) || start.starts_with(&begins),
        None => pattern.starts_with(&begins),
    };
    match tools {
        ToolFilter::None => false,
        ToolFilter::All => true,
        ToolFilter::Only(tools) => tools.iter().any(may_be),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_called_by_their_names_or_by_all() {
        for (tools, calls) in [
            (&[][..], false),
            (&["calculate", "recall"], false),
            (&["calculate", "git__log"], true),
            (&["git__*"], true),
            (&["*"], true),
            (&["gi*"], true),
        ] {
            let tools: Vec<String> = tools.iter().map(|tool| (*tool).to_owned()).collect();
            assert_eq!(calls_servers(&tools), calls, "{tools:?}");
        }
    }

    #[test]
    fn only_servers_whose_tools_may_be_called_are_waited_for() {
        for (tools, called) in [
            (&["*"][..], true),
            (&["git__*"], true),
            (&["git__log"], true),
            (&["git__lo*"], true),
            (&["gi*"], true),
            (&["github__*", "calculate", "g"], false),
        ] {
            let tools = tools.iter().map(|tool| (*tool).to_owned()).collect();
            let tools = ToolFilter::Only(tools);
            assert_eq!(is_called(&tools, "git"), called, "{tools:?}");
        }
        assert!(is_called(&ToolFilter::All, "git") && !is_called(&ToolFilter::None, "git"));
    }
}
