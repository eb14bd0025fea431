//! What the model host counts, under the names telemetry gives. Handles are made once per lane: a step must not pay for
//! looking names up.

use std::time::Duration;

use domain::{Bytes, GenerationError};
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

pub use telemetry::names::{
    BATCH_SEQUENCES, ENGINE_CRASHES, ENGINE_RECOVERIES, ENGINE_STUCK, FIRST_TOKEN_SECONDS,
    INTER_TOKEN_SECONDS, PREFIX_BYTES, PREFIX_LOOKUPS, PREFIX_TOKENS_REUSED, QUEUE_WAIT_SECONDS,
    REQUESTS_CANCELLED, REQUESTS_REFUSED, RESIDENT_BYTES, SEQUENCES_ACTIVE, SEQUENCES_WAITING,
    STEP_SECONDS, TEXTS_EMBEDDED, TOKENISED_BYTES, TOKENISED_LOOKUPS, TOKENS_GENERATED,
    TOKENS_PROMPT,
};

/// One lane's meters.
pub(crate) struct Meters {
    generated: Counter,
    prompt: Counter,
    crashes: Counter,
    recoveries: Counter,
    cancelled: Counter,
    stuck: Counter,
    step: Histogram,
    batch: Histogram,
    queue_wait: Histogram,
    first_token: Histogram,
    inter_token: Histogram,
    resident: Gauge,
    prefix_hits: Counter,
    prefix_misses: Counter,
    prefix_tokens: Counter,
    prefix_bytes: Gauge,
    tokenised_hits: Counter,
    tokenised_misses: Counter,
    tokenised_bytes: Gauge,
    active: Gauge,
    waiting: Gauge,
}

impl Meters {
    pub(crate) fn new(label: &str) -> Self {
        let model = label.to_owned();
        Self {
            generated: counter!(TOKENS_GENERATED, "model" => model.clone()),
            prompt: counter!(TOKENS_PROMPT, "model" => model.clone()),
            crashes: counter!(ENGINE_CRASHES, "model" => model.clone()),
            recoveries: counter!(ENGINE_RECOVERIES, "model" => model.clone()),
            cancelled: counter!(REQUESTS_CANCELLED, "model" => model.clone()),
            stuck: counter!(ENGINE_STUCK, "model" => model.clone()),
            step: histogram!(STEP_SECONDS, "model" => model.clone()),
            batch: histogram!(BATCH_SEQUENCES, "model" => model.clone()),
            queue_wait: histogram!(QUEUE_WAIT_SECONDS, "model" => model.clone()),
            first_token: histogram!(FIRST_TOKEN_SECONDS, "model" => model.clone()),
            inter_token: histogram!(INTER_TOKEN_SECONDS, "model" => model.clone()),
            resident: gauge!(RESIDENT_BYTES, "model" => model.clone()),
            prefix_hits: counter!(PREFIX_LOOKUPS, "model" => model.clone(), "reason" => "hit"),
            prefix_misses: counter!(PREFIX_LOOKUPS, "model" => model.clone(), "reason" => "miss"),
            prefix_tokens: counter!(PREFIX_TOKENS_REUSED, "model" => model.clone()),
            prefix_bytes: gauge!(PREFIX_BYTES, "model" => model.clone()),
            tokenised_hits: counter!(TOKENISED_LOOKUPS, "model" => model.clone(), "reason" => "hit"),
            tokenised_misses: counter!(TOKENISED_LOOKUPS, "model" => model.clone(), "reason" => "miss"),
            tokenised_bytes: gauge!(TOKENISED_BYTES, "model" => model.clone()),
            active: gauge!(SEQUENCES_ACTIVE, "model" => model.clone()),
            waiting: gauge!(SEQUENCES_WAITING, "model" => model),
        }
    }

    /// A step of so many sequences came home.
    pub(crate) fn step(&self, took: Duration, batch: usize, generated: u64, prompt: u64) {
        self.step.record(took.as_secs_f64());
        self.batch.record(batch as f64);
        self.generated.increment(generated);
        self.prompt.increment(prompt);
    }

    pub(crate) fn first_token(&self, after: Duration) {
        self.first_token.record(after.as_secs_f64());
    }

    /// One more token of an answer.
    pub(crate) fn next_token(&self, after: Duration) {
        self.inter_token.record(after.as_secs_f64());
    }

    /// A request has its seat.
    pub(crate) fn seated(&self, after: Duration) {
        self.queue_wait.record(after.as_secs_f64());
    }

    pub(crate) fn crash(&self) {
        self.crashes.increment(1);
    }

    /// The engine that was built after a crash came home.
    pub(crate) fn recovered(&self) {
        self.recoveries.increment(1);
    }

    /// Nobody wants that answer any more.
    pub(crate) fn cancelled(&self) {
        self.cancelled.increment(1);
    }

    /// A sequence begins with so many tokens that need not be read.
    pub(crate) fn begins(&self, tokens: u32) {
        if tokens == 0 {
            self.prefix_misses.increment(1);
        } else {
            self.prefix_hits.increment(1);
            self.prefix_tokens.increment(u64::from(tokens));
        }
    }

    pub(crate) fn kept(&self, bytes: Bytes) {
        self.prefix_bytes.set(bytes.0 as f64);
    }

    /// A chat was encoded, of which so many pieces were known and so many were not.
    pub(crate) fn encoded(&self, known: u64, new: u64) {
        self.tokenised_hits.increment(known);
        self.tokenised_misses.increment(new);
    }

    /// Set by whoever keeps the tokens: they come and go without the lane.
    pub(crate) fn tokenised_bytes(&self) -> Gauge {
        self.tokenised_bytes.clone()
    }

    /// A step or a load came to a stand.
    pub(crate) fn stuck(&self) {
        self.stuck.increment(1);
    }

    pub(crate) fn load(&self, active: usize, waiting: usize, weights: Bytes) {
        self.active.set(active as f64);
        self.waiting.set(waiting as f64);
        self.resident.set(weights.0 as f64);
    }
}

/// A lane that is gone has nothing under way.
impl Drop for Meters {
    fn drop(&mut self) {
        self.load(0, 0, Bytes::ZERO);
        self.kept(Bytes::ZERO);
        self.tokenised_bytes.set(0.0);
    }
}

/// The meters of an embedding model in memory.
pub(crate) struct EmbedderMeters {
    texts: Counter,
    crashes: Counter,
    resident: Gauge,
}

impl EmbedderMeters {
    pub(crate) fn new(label: &str, weights: Bytes) -> Self {
        let model = label.to_owned();
        let resident = gauge!(RESIDENT_BYTES, "model" => model.clone());
        resident.set(weights.0 as f64);
        Self {
            texts: counter!(TEXTS_EMBEDDED, "model" => model.clone()),
            crashes: counter!(ENGINE_CRASHES, "model" => model),
            resident,
        }
    }

    pub(crate) fn embedded(&self, texts: usize) {
        self.texts.increment(texts as u64);
    }

    pub(crate) fn crash(&self) {
        self.crashes.increment(1);
    }
}

impl Drop for EmbedderMeters {
    fn drop(&mut self) {
        self.resident.set(0.0);
    }
}

/// A request was not accepted, or failed before its first step.
pub(crate) fn refused(error: &GenerationError) {
    counter!(REQUESTS_REFUSED, "reason" => kind_of(error)).increment(1);
}

/// What kind of failure it is, in a word.
pub(crate) fn kind_of(error: &GenerationError) -> &'static str {
    match error {
        GenerationError::Invalid(_) => "invalid",
        GenerationError::ModelNotFound { .. } => "model_not_found",
        GenerationError::LoadFailed { .. } => "load_failed",
        GenerationError::CircuitOpen { .. } => "circuit_open",
        GenerationError::Overloaded { .. } => "overloaded",
        GenerationError::MemoryExhausted { .. } => "memory_exhausted",
        GenerationError::ContextOverflow { .. } => "context_overflow",
        GenerationError::EngineCrashed { .. } => "engine_crashed",
        GenerationError::EngineStuck { .. } => "engine_stuck",
        GenerationError::Unavailable { .. } => "unavailable",
        GenerationError::Cancelled => "cancelled",
    }
}
