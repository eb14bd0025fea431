//! What moves, in one answer: present values, and counters from which whoever reads two answers makes rates.
//!
//! A counter of a label never goes back while the process lives, whatever is restarted. One of an actor that was started at
//! run time, or of a model's lane, ends with it: one that is smaller than before began anew.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::look::{Actor, Memory, Model};

/// Asks for everything that moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Vitals {}

/// Everything that moves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VitalsAnswer {
    /// The server's version.
    pub version: String,
    /// The server's process: counters of another one began anew.
    pub pid: u32,
    /// How long its control has been up: the clock that rates are made with.
    pub uptime_ms: u64,
    /// Every actor, in start order, each before those below it.
    pub actors: Vec<ActorVitals>,
    /// What was counted under each label, also of actors that are gone or cannot be seen now.
    pub labels: Vec<LabelVitals>,
    /// Memory; absent if the governor does not answer.
    pub memory: Option<Memory>,
    /// Those that are loaded, loading or were lately used; empty if the model host does not answer.
    pub models: Vec<ModelVitals>,
    /// Requests under way, by model, those that are answered first; at most 256.
    pub requests: Vec<RequestVitals>,
    /// Requests under way that are not listed.
    pub unlisted: usize,
    /// Threads by what they are for: main, worker, blocking, host, foreign.
    pub threads: BTreeMap<String, usize>,
    /// Parts that did not answer in time, and why.
    pub silent: Vec<String>,
}

/// One actor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ActorVitals {
    /// How it is.
    pub actor: Actor,
    /// Counter: messages handled to their end, over all its lives.
    pub messages: u64,
    /// Counter: messages whose time is known; of those whose handlers never wait one in 64 is timed and stands for all.
    pub timed: u64,
    /// Counter: how long those took, in microseconds.
    pub handling_us: u64,
}

/// All actors of one label: a path, with `*` in the place of what is started at run time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LabelVitals {
    /// The label, as in the metrics.
    pub label: String,
    /// Counter: messages handled to their end.
    pub messages: u64,
    /// Counter: messages whose time is known, as in [`ActorVitals`].
    pub timed: u64,
    /// Counter: how long those took, in microseconds.
    pub handling_us: u64,
}

/// One model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ModelVitals {
    /// How it is: leases, KV, who is answered and who waits.
    pub model: Model,
    /// Counter: tokens of prompts that were read.
    pub prompt_tokens: u64,
    /// Counter: tokens that were generated.
    pub generated_tokens: u64,
    /// Counter: answers that had a first token.
    pub first_tokens: u64,
    /// Counter: how long those had waited for it since they were asked for, in microseconds.
    pub first_token_us: u64,
}

/// A request under way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RequestVitals {
    /// What `cancel` calls it.
    pub id: String,
    /// Who answers it.
    pub model: String,
    /// Whether it is being answered; else it waits.
    pub answering: bool,
    /// How long ago it was asked.
    pub for_ms: u64,
    /// Tokens of its answer so far.
    pub generated_tokens: u64,
}
