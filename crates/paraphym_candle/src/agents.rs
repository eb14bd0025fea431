//! Agents of the settings in the words of turns: what a role says differently, and what holds where it says nothing.

use agent_worker::settings::{Approvals, MemorySettings, ToolFilter, TurnLimits, TurnSettings};
use chat_config::settings::{
    Agent, Approval as Rule, DEFAULT_AGENT, Settings, ToolChoice as Choice,
};
use domain::{Approval, ModelName, Sampling, ToolChoice};

use crate::settings::{count, sampling, turn};

/// There is no agent of this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no agent {name}: there are {}", there.join(", "))]
pub struct NoAgent {
    /// The name that was asked for.
    pub name: String,
    /// The names there are.
    pub there: Vec<String>,
}

/// The names of all agents, the default one first.
pub(crate) fn names(settings: &Settings) -> Vec<String> {
    let others = settings.agents.keys().filter(|name| *name != DEFAULT_AGENT);
    std::iter::once(DEFAULT_AGENT.to_owned())
        .chain(others.cloned())
        .collect()
}

/// What a turn of this agent is run with where its asker says nothing.
///
/// # Errors
/// No such agent.
pub(crate) fn turn_of(
    settings: &Settings,
    name: &str,
    model: &ModelName,
) -> Result<TurnSettings, NoAgent> {
    let agent = settings.agent(name).ok_or_else(|| NoAgent {
        name: name.to_owned(),
        there: names(settings),
    })?;
    let model = agent
        .model
        .as_ref()
        .map_or_else(|| model.clone(), ModelName::new);
    let mut own = settings.clone();
    own.chat.system = agent.system.clone().or(own.chat.system);
    Ok(TurnSettings {
        agent: (name != DEFAULT_AGENT).then(|| name.to_owned()),
        sampling: own_sampling(&agent, sampling(settings)),
        tools: tools(&agent.tools),
        tool_choice: match agent.tool_choice {
            Choice::Auto => ToolChoice::Auto,
            Choice::Required => ToolChoice::Required,
            Choice::None => ToolChoice::None,
        },
        approvals: approvals(settings, &agent),
        limits: limits(settings, &agent),
        memory: memory(settings, name, &agent),
        ..turn(&own, model)
    })
}

fn own_sampling(agent: &Agent, usual: Sampling) -> Sampling {
    let real = |own: Option<f64>, usual: f32| own.map_or(usual, |own| own as f32);
    Sampling {
        temperature: real(agent.temperature, usual.temperature),
        top_k: agent.top_k.unwrap_or(usual.top_k),
        top_p: real(agent.top_p, usual.top_p),
        min_p: real(agent.min_p, usual.min_p),
        repetition_penalty: real(agent.repetition_penalty, usual.repetition_penalty),
        repetition_window: agent.repetition_window.unwrap_or(usual.repetition_window),
        seed: agent.seed.unwrap_or(usual.seed),
        max_tokens: agent.max_tokens.unwrap_or(usual.max_tokens),
        stop: agent.stop.clone().unwrap_or(usual.stop),
        ..usual
    }
}

fn tools(names: &[String]) -> ToolFilter {
    if names.iter().any(|name| name == "*") {
        ToolFilter::All
    } else if names.is_empty() {
        ToolFilter::None
    } else {
        ToolFilter::Only(names.to_vec())
    }
}

fn approvals(settings: &Settings, agent: &Agent) -> Approvals {
    let own = settings.tools.overrides.iter();
    Approvals {
        rule: approval(settings.tools.approval),
        tools: own
            .map(|(tool, rule)| (tool.clone(), approval(*rule)))
            .collect(),
        wish: agent.approval.map_or(Approval::Auto, approval),
        wait: settings.tools.approval_wait.duration(),
    }
}

const fn approval(rule: Rule) -> Approval {
    match rule {
        Rule::Auto => Approval::Auto,
        Rule::Ask => Approval::Ask,
        Rule::Deny => Approval::Deny,
    }
}

fn limits(settings: &Settings, agent: &Agent) -> TurnLimits {
    let tools = &settings.tools;
    TurnLimits {
        max_turns: agent.max_turns,
        tokens: agent.turn_tokens.into(),
        time: agent.turn_time.duration(),
        tool_calls: agent.turn_tool_calls,
        tools_at_once: count(tools.parallel),
        tool_time: tools.timeout.duration(),
        result_bytes: usize::try_from(tools.output_bytes.as_bytes()).unwrap_or(usize::MAX),
    }
}

fn memory(settings: &Settings, name: &str, agent: &Agent) -> Option<MemorySettings> {
    (agent.memory && settings.recall.enabled).then(|| MemorySettings {
        remember: agent.remember,
        space: Some(name.to_owned()),
        ..looking(settings)
    })
}

/// How much is looked up, and how long that may take.
pub(crate) fn looking(settings: &Settings) -> MemorySettings {
    let recall = &settings.recall;
    MemorySettings {
        hits: count(recall.hits),
        tokens: recall.max_tokens,
        within: recall.deadline.duration(),
        ..MemorySettings::default()
    }
}

/// The files an agent answers from.
///
/// # Errors
/// No such agent.
#[cfg(feature = "memory")]
pub(crate) fn documents_of(settings: &Settings, name: &str) -> Result<Vec<String>, NoAgent> {
    let agent = settings.agent(name);
    agent.map(|agent| agent.documents).ok_or_else(|| NoAgent {
        name: name.to_owned(),
        there: names(settings),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::SystemTime;

    use chat_config::{Author, Catalogue, Layers, Revisions};

    use super::*;

    fn settings(flags: &[&str]) -> Arc<Settings> {
        let catalogue = Arc::new(Catalogue::new());
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let layers = Layers::new(&catalogue, "x".into(), [], &flags).unwrap();
        let author = Author {
            who: "test".to_owned(),
            at: SystemTime::UNIX_EPOCH,
        };
        let revisions = Revisions::start(catalogue, layers, "", author).unwrap();
        Arc::clone(&revisions.current().settings)
    }

    #[test]
    fn the_default_agent_is_what_a_turn_is_by_default() {
        let model = ModelName::new("m");
        let found = turn_of(&Settings::default(), DEFAULT_AGENT, &model);
        assert_eq!(found, Ok(TurnSettings::new(model.clone())));
        let memory = settings(&["agents.default.memory=true"]);
        let found = turn_of(&memory, DEFAULT_AGENT, &model).unwrap();
        assert_eq!(found.memory, Some(MemorySettings::default()));
        let off = settings(&["agents.default.memory=true", "recall.enabled=false"]);
        assert_eq!(turn_of(&off, DEFAULT_AGENT, &model).unwrap().memory, None);
        assert!(found.validate().is_ok());
    }

    #[test]
    fn an_agent_says_what_is_different_and_the_rest_is_as_it_is() {
        let settings = settings(&[
            "chat.system=Be kind.",
            "personality.tone=casual",
            "model.top_k=7",
            "tools.overrides.calculate=auto",
            "agents.coder.system=You write Rust.",
            "agents.coder.model=qwen",
            "agents.coder.temperature=0",
            "agents.coder.tools=[\"calculate\", \"git__*\"]",
            "agents.coder.approval=deny",
            "agents.all.tools=[\"*\"]",
        ]);
        let model = ModelName::new("m");
        let coder = turn_of(&settings, "coder", &model).unwrap();
        assert_eq!(coder.agent.as_deref(), Some("coder"));
        assert_eq!(
            coder.system.as_deref(),
            Some("You write Rust.\n\nUse a casual tone.")
        );
        assert_eq!(
            (
                coder.model.as_str(),
                coder.sampling.temperature,
                coder.sampling.top_k
            ),
            ("qwen", 0.0, 7)
        );
        let only = ["calculate", "git__*"].map(str::to_owned).to_vec();
        assert_eq!(coder.tools, ToolFilter::Only(only));
        assert_eq!(coder.approvals.of("calculate", true), Approval::Deny);
        let all = turn_of(&settings, "all", &model).unwrap();
        assert_eq!(
            all.system.as_deref(),
            Some("Be kind.\n\nUse a casual tone.")
        );
        assert_eq!((all.model, all.tools), (model.clone(), ToolFilter::All));
        assert_eq!(all.approvals.of("calculate", true), Approval::Auto);
        let nobody = turn_of(&settings, "nobody", &model).unwrap_err();
        assert_eq!(
            nobody.to_string(),
            "there is no agent nobody: there are default, all, coder"
        );
    }

    /// Each setting of an agent, of tools and of recall that a turn is run with changes something.
    #[test]
    fn no_setting_of_an_agent_is_lost_on_its_way() {
        let model = ModelName::new("m");
        let usual =
            |flags: &[&str]| format!("{:?}", turn_of(&settings(flags), "x", &model).unwrap());
        for flag in [
            "agents.x.system=a",
            "agents.x.model=a",
            "agents.x.temperature=1",
            "agents.x.top_k=1",
            "agents.x.top_p=0.5",
            "agents.x.min_p=0.5",
            "agents.x.repetition_penalty=1.5",
            "agents.x.repetition_window=1",
            "agents.x.seed=1",
            "agents.x.max_tokens=1",
            "agents.x.stop=[\"a\"]",
            "agents.x.tools=[\"a\"]",
            "agents.x.tool_choice=required",
            "agents.x.approval=deny",
            "agents.x.memory=false",
            "agents.x.remember=true",
            "agents.x.max_turns=1",
            "agents.x.turn_tokens=1",
            "agents.x.turn_time=1s",
            "agents.x.turn_tool_calls=1",
            "tools.approval=deny",
            "tools.overrides.a=deny",
            "tools.approval_wait=1s",
            "tools.timeout=1s",
            "tools.output_bytes=1KiB",
            "tools.parallel=1",
            "recall.enabled=false",
            "recall.hits=1",
            "recall.max_tokens=1",
            "recall.deadline=1s",
        ] {
            let base = ["agents.x.memory=true"];
            assert_ne!(
                usual(&[base[0], flag]),
                usual(&base),
                "{flag} changes nothing"
            );
        }
    }
}
