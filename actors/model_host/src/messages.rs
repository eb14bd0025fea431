//! What the model host can be asked: the whole inbox in one file, so that callers compile against it alone.
//!
//! `Generate` and `Warm` carry the sender of a bounded channel; [`crate::client`] makes both ends and gives the reader's
//! end as a stream. The sender never waits for the reader: what a slow reader has not taken is merged, not lost.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::{
    Bytes, ContextPolicy, GenerationError, GenerationEvent, KeepAlive, ModelName, Prompt,
    RequestId, Sampling, Tools,
};
use engine::ModelCard;
use kameo::Reply;
use tokio::sync::mpsc;

use crate::breaker::BreakerState;
use crate::config::ModelLimits;

/// Asks for an answer. Accepted or refused at once (`Result<(), GenerationError>`): a field out of range, an unknown
/// model or a full queue is refused here and nothing is sent; everything later comes as an event, exactly one of them
/// terminal. Dropping the receiver cancels, and compute stops within one step.
#[derive(Debug)]
pub struct Generate {
    /// What `Cancel` and the stop report call it.
    pub id: RequestId,
    /// Which model; it is loaded if it is not resident.
    pub model: ModelName,
    /// What it continues.
    pub prompt: Prompt,
    /// How tokens are chosen and when to end.
    pub sampling: Sampling,
    /// What to do if the prompt is longer than the model's window.
    pub context: ContextPolicy,
    /// How long the model stays after it; the last accepted request's wish holds, and the configured time where it has
    /// none.
    pub keep_alive: Option<KeepAlive>,
    /// What the model may call; not together with a constraint of the answer, unless the choice is none.
    pub tools: Tools,
    /// Where the events go.
    pub events: mpsc::Sender<GenerationEvent>,
}

/// Loads a model without asking it anything. Answered like `Generate`; the events are `Loading`, then `Finished` with
/// an empty usage, or `Failed`. Dropping the receiver cancels the load if nobody else waits for it.
#[derive(Debug)]
pub struct Warm {
    /// What `Cancel` calls it.
    pub id: RequestId,
    /// Which model.
    pub model: ModelName,
    /// As in `Generate`.
    pub keep_alive: Option<KeepAlive>,
    /// Where the events go.
    pub events: mpsc::Sender<GenerationEvent>,
}

/// Cancels the request of that id wherever it is: waiting, loading or answering. Its stream ends with
/// `Failed(Cancelled)` within one step. Answered with whether there was one.
#[derive(Clone, Debug)]
pub struct Cancel {
    /// Which request.
    pub id: RequestId,
}

/// Lets a resident model go. Answered with `Result<(), UnloadError>` once its memory is free.
#[derive(Clone, Debug)]
pub struct Unload {
    /// Which model.
    pub model: ModelName,
}

/// Why a model was not unloaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnloadError {
    /// It is not in memory.
    #[error("model {model} is not loaded: there is nothing to unload")]
    NotLoaded {
        /// The model.
        model: ModelName,
    },
    /// It is pinned.
    #[error("model {model} is pinned and stays: unpin it first")]
    Pinned {
        /// The model.
        model: ModelName,
    },
    /// It is answering or loading.
    #[error(
        "model {model} is busy ({active} answering, {waiting} waiting): cancel them or try again later"
    )]
    Busy {
        /// The model.
        model: ModelName,
        /// Answers in progress.
        active: usize,
        /// Requests waiting.
        waiting: usize,
    },
    /// The part that holds it does not answer.
    #[error("model {model} could not be unloaded: {reason}; try again")]
    Unavailable {
        /// The model.
        model: ModelName,
        /// Why.
        reason: String,
    },
}

/// Keeps a model: it is loaded and stays, whatever `keep_alive` says and however scarce memory is, until `Unpin`. Answered
/// with `Result<(), PinError>` when it is pinned; the load may be under way, and one that fails is tried again. Pinning
/// twice is pinning once. It outlives crashes, not the tree.
#[derive(Clone, Debug)]
pub struct Pin {
    /// Which model.
    pub model: ModelName,
}

/// Takes a pin back, under whatever name of the file. The model then goes as others do. Answered with
/// `Result<(), PinError>`.
#[derive(Clone, Debug)]
pub struct Unpin {
    /// Which model.
    pub model: ModelName,
}

/// Why a model was not pinned or unpinned.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PinError {
    /// There is no such pin.
    #[error("model {model} is not pinned: there is nothing to unpin")]
    NotPinned {
        /// The model.
        model: ModelName,
    },
    /// As many are pinned as there are places for models.
    #[error(
        "model {model} cannot be pinned: {most} models are, which is the limit; unpin one, or raise max_models"
    )]
    TooMany {
        /// The model.
        model: ModelName,
        /// The limit.
        most: usize,
    },
    /// It is not here, or there is no place for it.
    #[error(transparent)]
    Refused(#[from] GenerationError),
}

/// Changes limits while everything runs; `None` leaves one as it is. In force at once: who waits and now has room is let
/// in, and an idle model that now stays too long is let go. A limit that falls takes nothing from those who are in:
/// it holds for who comes next. Answered with `Result<(), FieldError>`; a value out of its range changes nothing at all.
/// It outlives crashes, not the tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetLimits {
    /// `HostConfig::max_batch`, from 1.
    pub max_batch: Option<usize>,
    /// `HostConfig::queue`, from 1.
    pub queue: Option<usize>,
    /// `HostConfig::prefill_chunk`, from 1.
    pub prefill_chunk: Option<usize>,
    /// `HostConfig::keep_alive`.
    pub keep_alive: Option<KeepAlive>,
    /// `HostConfig::crash_budget`.
    pub crash_budget: Option<u32>,
    /// `HostConfig::max_models`, from 1.
    pub max_models: Option<usize>,
    /// `HostConfig::models`: all of them, those that are not named have none of their own any more. At most 1000, each
    /// number from 1.
    pub models: Option<BTreeMap<ModelName, ModelLimits>>,
}

/// Asks what a model takes, without loading it: its header is read. Answered with `Result<Footprint, GenerationError>`.
#[derive(Clone, Debug)]
pub struct Inspect {
    /// Which model.
    pub model: ModelName,
    /// For a conversation of so many tokens, 1 to the model's window; `None` for the whole window.
    pub context_tokens: Option<u32>,
}

/// What a model takes, and whether there is room for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Footprint {
    /// What it is.
    pub card: ModelCard,
    /// What stays in memory once it is loaded, without conversations.
    pub weights_bytes: Bytes,
    /// The most it takes while it is loaded.
    pub load_bytes: Bytes,
    /// KV memory for each token, leased in pages.
    pub kv_bytes_per_token: Bytes,
    /// The length of the conversation in question.
    pub context_tokens: u32,
    /// KV memory for it, in whole pages.
    pub kv_bytes: Bytes,
    /// Whether the weights are leased already.
    pub resident: bool,
    /// What could be leased now, without anyone letting anything go.
    pub available: Bytes,
    /// The whole budget now.
    pub limit: Bytes,
    /// Whether what is missing of the model and the conversation is available.
    pub fits_now: bool,
    /// Whether it fits into the whole budget, with everything else let go.
    pub fits_ever: bool,
}

/// Asks for the state of every model this host knows of.
#[derive(Clone, Copy, Debug)]
pub struct Status;

/// The models, by name.
#[derive(Clone, Debug, Default, PartialEq, Reply)]
pub struct HostStatus {
    /// Those with a lane: loaded, loading, or lately used.
    pub models: Vec<ModelStatus>,
}

/// One model's lane.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelStatus {
    /// Its name as it was first asked for; other names of its file lead to it, too.
    pub name: ModelName,
    /// What it is; known from the moment its header was read.
    pub card: Option<ModelCard>,
    /// How far it is.
    pub state: ModelState,
    /// Bytes leased for it now, conversations apart: its weights, its tokenizer, what it works in; while it loads, the
    /// most that takes.
    pub weights_bytes: Bytes,
    /// Bytes leased for the KV memory of its live sequences now.
    pub kv_leased: Bytes,
    /// Earlier prompts and their answers that are kept, so that who goes on need not wait for them to be read again.
    pub prefixes: usize,
    /// Bytes leased for what is kept of earlier prompts and answers now.
    pub kv_kept: Bytes,
    /// Answers in progress.
    pub active: usize,
    /// Requests waiting.
    pub waiting: usize,
    /// How long it has had nothing to do; `None` while it has, or while it is not loaded.
    pub idle_for: Option<Duration>,
    /// How long it stays with nothing to do: what the last request wished, or what is configured.
    pub keep_alive: KeepAlive,
    /// Whether it is pinned: then it stays.
    pub pinned: bool,
    /// When it is let go if nobody asks for it; `None` while it has something to do, is not loaded, or is to stay.
    pub expires_in: Option<Duration>,
    /// Whether requests are let in, after failures.
    pub breaker: BreakerState,
    /// Engine crashes since the lane began.
    pub crashes: u32,
    /// What it has done since the lane began.
    pub totals: Totals,
    /// Who is answered, then who waits; no more than its batch and its queue hold.
    pub requests: Vec<RequestStatus>,
}

/// What a lane has done. Nothing here goes back while there is a lane; one that is begun anew begins at zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Tokens of prompts that were read; what was kept of an earlier prompt is not read again.
    pub prompt_tokens: u64,
    /// Tokens that were generated.
    pub generated_tokens: u64,
    /// Answers that had a first token.
    pub first_tokens: u64,
    /// How long those had waited for it since they were asked for, all together.
    pub first_token_after: Duration,
}

impl Totals {
    pub(crate) fn add(&mut self, more: &Self) {
        self.prompt_tokens += more.prompt_tokens;
        self.generated_tokens += more.generated_tokens;
        self.first_tokens += more.first_tokens;
        self.first_token_after = self
            .first_token_after
            .saturating_add(more.first_token_after);
    }

    pub(crate) fn first(&mut self, after: Duration) {
        self.first_tokens += 1;
        self.first_token_after = self.first_token_after.saturating_add(after);
    }
}

/// A request under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestStatus {
    /// What `Cancel` calls it.
    pub id: RequestId,
    /// Whether it is being answered; else it waits.
    pub answering: bool,
    /// How long ago it was asked.
    pub since: Duration,
    /// Tokens of its answer so far.
    pub generated: u32,
}

/// How far a model is.
#[derive(Clone, Debug, PartialEq)]
pub enum ModelState {
    /// Not in memory; the next request loads it.
    Unloaded,
    /// Being read.
    Loading {
        /// Share of the weights read, 0 to 1.
        fraction: f32,
    },
    /// In memory.
    Ready,
    /// Its last load failed; until `retry_in` has passed, requests are refused with the same reason at once.
    LoadFailed {
        /// What was wrong.
        reason: String,
        /// When the next request tries again.
        retry_in: Duration,
    },
    /// Its engine crashed again and again; until `retry_in` has passed, requests are refused at once.
    CircuitOpen {
        /// What was wrong last.
        reason: String,
        /// When a request is let in to try.
        retry_in: Duration,
    },
    /// A step, or its load, has made no progress for longer than `HostConfig::step_budget`.
    Stuck {
        /// For how long.
        elapsed: Duration,
    },
    /// Its engine crashed and is waiting to be started anew.
    BackingOff,
    /// Being stopped.
    Stopping,
}

impl ModelState {
    /// Of one that is not tried for now: what was wrong, and when it is tried again, in words.
    pub fn refusing(&self) -> Option<String> {
        let (Self::LoadFailed { reason, retry_in } | Self::CircuitOpen { reason, retry_in }) = self
        else {
            return None;
        };
        Some(match retry_in.as_secs_f64().ceil() {
            0.0 => format!("{reason}; the next request tries it again"),
            seconds => format!("{reason}; the next try is due in {seconds} s"),
        })
    }
}
