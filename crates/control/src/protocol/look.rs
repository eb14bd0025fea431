//! The methods that look, and what they are answered with. Sizes are in bytes, times in milliseconds.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ending::Phase;

/// Asks how the host is, at a glance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Status {}

/// The host at a glance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostAnswer {
    /// The server's version.
    pub version: String,
    /// The server's process.
    pub pid: u32,
    /// How long its control has been up.
    pub uptime_ms: u64,
    /// Actors in the tree.
    pub actors: usize,
    /// Those that are neither up nor quietly down.
    pub unwell: Vec<Actor>,
    /// Those that were stopped by an order, and wait to be started.
    pub stopped: Vec<String>,
    /// Those whose queue waits until they are resumed.
    pub paused: Vec<String>,
    /// How far the end of the server is, once it has begun.
    pub ending: Option<Phase>,
    /// Memory; absent if the governor does not answer.
    pub memory: Option<Memory>,
    /// Models; absent if the model host does not answer.
    pub models: Option<Load>,
    /// Threads by what they are for: main, worker, blocking, host, foreign.
    pub threads: BTreeMap<String, usize>,
    /// Parts that did not answer in time, and why.
    pub silent: Vec<String>,
}

/// The memory budget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Memory {
    /// The budget.
    pub limit_bytes: u64,
    /// What is leased of it.
    pub leased_bytes: u64,
    /// What could be leased now.
    pub available_bytes: u64,
    /// What was configured, if anything.
    pub configured_bytes: Option<u64>,
    /// How scarce memory is, in a word.
    pub pressure: String,
    /// What that word comes from.
    pub pressure_source: String,
    /// Who waits for memory.
    pub waiting: usize,
}

/// The models together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Load {
    /// Models in memory.
    pub loaded: usize,
    /// Answers in progress.
    pub answering: usize,
    /// Requests that wait.
    pub waiting: usize,
}

/// Asks for the whole tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tree {}

/// The tree, each actor before those below it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TreeAnswer {
    /// Every actor, in start order.
    pub actors: Vec<Actor>,
}

/// One actor, as its supervisor sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Actor {
    /// Its path in the tree.
    pub actor: String,
    /// How far below the root.
    pub depth: usize,
    /// `supervisor`, `actor` or `task`.
    pub kind: String,
    /// A supervisor's strategy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<String>,
    /// How it is: starting, up, `backing_off`, stuck, draining or down.
    pub health: String,
    /// How long its present life has been up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up_ms: Option<u64>,
    /// Which life, from 1; 0 before the first.
    pub life: u64,
    /// Restarts under the present life of its supervisor.
    pub restarts: u64,
    /// Messages that wait.
    pub queued: usize,
    /// Messages that may wait; 0 for what has no queue.
    pub capacity: usize,
    /// What waits goes on waiting, because somebody said so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// The message being handled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handling: Option<String>,
    /// For how long it has been.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handling_ms: Option<u64>,
    /// Work under way, by its labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub work: Vec<String>,
    /// Why it last crashed or did not start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Why it is down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down: Option<String>,
    /// Why a supervisor's children are not shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub children_unknown: Option<String>,
}

/// Asks for the models that the host knows of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ps {}

/// The models.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PsAnswer {
    /// Those that are loaded, loading or were lately used.
    pub models: Vec<Model>,
}

/// One model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Model {
    /// Its name, as it was first asked for.
    pub model: String,
    /// unloaded, loading, ready, `load_failed`, `circuit_open`, stuck, `backing_off` or stopping.
    pub state: String,
    /// How far it is, or what is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What it takes without conversations.
    pub weights_bytes: u64,
    /// KV memory of the answers in progress.
    pub kv_bytes: u64,
    /// KV memory of what is kept of earlier prompts.
    pub kept_bytes: u64,
    /// Memory leases that are held for it.
    pub leases: usize,
    /// Answers in progress.
    pub answering: usize,
    /// Requests that wait.
    pub waiting: usize,
    /// How long it has had nothing to do; absent while it has, or is not loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_ms: Option<u64>,
    /// How long it stays with nothing to do; absent: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_alive_ms: Option<u64>,
    /// When it is let go; absent while it has something to do, is not loaded, or stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_ms: Option<u64>,
    /// Whether it is pinned.
    pub pinned: bool,
    /// Crashes of its engine.
    pub crashes: u32,
}

/// Asks for everything about one actor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Inspect {
    /// Its path, such as `root/model_host`, or the end of it if only one has that.
    pub actor: String,
}

/// Everything about one actor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InspectAnswer {
    /// How it is.
    pub actor: Actor,
    /// What its supervisor does with it; absent for the root and what is deeper than its children.
    pub spec: Option<Spec>,
    /// Actors below it.
    pub below: usize,
    /// Memory that it holds.
    pub leases: Vec<Lease>,
    /// What happened to it lately, oldest first; at most 20.
    pub events: Vec<super::events::Event>,
}

/// What a supervisor does with a child.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Spec {
    /// permanent, transient or temporary.
    pub restart: String,
    /// How long it may take to stop; absent: as long as it likes. 0: it is killed at once.
    pub shutdown_ms: Option<u64>,
    /// How long it may take to start; absent: as long as it likes.
    pub start_timeout_ms: Option<u64>,
    /// How long it may handle one message before it counts as stuck; absent: it is not watched.
    pub handler_budget_ms: Option<u64>,
    /// Whether its end may end its supervisor.
    pub significant: bool,
    /// Siblings that it is started after.
    pub depends_on: Vec<String>,
}

/// One memory lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Lease {
    /// What for.
    pub purpose: String,
    /// How many bytes.
    pub bytes: u64,
}

/// Asks why something is as it is: why it was restarted, evicted, refused or changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Why {
    /// An actor, a model, a request: whatever is named in a reason. Not said: everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// At most so many, the latest; 50 if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// The reasons.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WhyAnswer {
    /// Oldest first.
    pub reasons: Vec<Reason>,
    /// Older ones that are not kept any more, by all who were asked.
    pub forgotten: u64,
    /// Whether the audit log has entries older than the latest 200, which were not searched.
    #[serde(default)]
    pub unsearched: bool,
    /// Parts that did not answer in time, and why.
    pub silent: Vec<String>,
}

/// One thing that was decided or happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reason {
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// Who says so: `supervision`, `memory` or `control`.
    pub source: String,
    /// How often in a row.
    pub times: u64,
    /// What, with its figures.
    pub text: String,
}

/// Asks which conversations there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Conversations {
    /// At most so many of those that are kept, the latest; 100 if not said, 1000 at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// The conversations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConversationsAnswer {
    /// Those with an actor now.
    pub live: Vec<Live>,
    /// Those at rest, the latest first.
    pub kept: Vec<Kept>,
}

/// A conversation with an actor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Live {
    /// Its name.
    pub conversation: String,
    /// Its actor.
    pub actor: Actor,
}

/// A conversation at rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Kept {
    /// Its name.
    pub conversation: String,
    /// The first line of what was said first.
    pub title: String,
    /// Its messages.
    pub messages: u64,
    /// When it grew last, in milliseconds since 1970.
    pub updated_ms: i64,
}

/// Asks for settings. Secrets are not shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigGet {
    /// A setting such as `model.temperature`, or a section such as `model`. Not said: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// Settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigAnswer {
    /// The revision that holds.
    pub revision: u64,
    /// By their paths, in order.
    pub settings: Vec<Setting>,
}

/// One setting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Setting {
    /// Its path.
    pub key: String,
    /// Its value; null if it is not set, or hidden.
    pub value: Value,
    /// Whether it is a secret.
    pub hidden: bool,
    /// Where the value comes from, in words.
    pub origin: String,
    /// What it takes, in words.
    pub takes: String,
    /// When a change of it is felt, in words.
    pub felt: String,
}

/// Asks who changed what over this socket, and for changes of settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Audit {
    /// At most so many, the latest; 50 if not said, 1000 at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// The audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditAnswer {
    /// The latest first.
    pub acts: Vec<AuditedAct>,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditedAct {
    /// Counts up; never given twice.
    pub number: u64,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// Who.
    pub who: String,
    /// What.
    pub action: String,
    /// With which parameters, and what came of it.
    pub detail: String,
}
