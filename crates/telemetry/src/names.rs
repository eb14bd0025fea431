//! Every metric name, once. A name that is not here is not ours.
//!
//! Counters end in `_total`, times in `_seconds`, sizes in `_bytes` (Prometheus naming conventions). Labels: `child` and
//! `supervisor` are paths in the tree, `model` a model's name, `cache` a cache's name, `reason` a word from a closed
//! list, `role` a thread's role.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Restarts, by `child` and `reason`: crashed, killed, `start_failed`, finished, group, asked.
pub const RESTARTS: &str = "paraphym_supervision_restarts_total";
/// Crashes and failed starts, by `child` and `reason`: crashed, killed, `start_failed`.
pub const CRASHES: &str = "paraphym_supervision_crashes_total";
/// Rests before a restart, by `child`.
pub const BACKOFF_SECONDS: &str = "paraphym_supervision_backoff_seconds";
/// Supervisors that gave up, by `child`.
pub const ESCALATIONS: &str = "paraphym_supervision_escalations_total";
/// Messages handled to their end, by `child`. This and the next five are read out of the tree when somebody looks.
pub const MESSAGES: &str = "paraphym_supervision_messages_total";
/// How long messages were handled, by `child`: handlers that wait from their first wait, of the others one in 64 for all.
pub const HANDLING_SECONDS: &str = "paraphym_supervision_handling_seconds";
/// Messages queued, by `child`.
pub const QUEUE_DEPTH: &str = "paraphym_supervision_queue_depth";
/// Messages that may be queued, by `child`.
pub const QUEUE_CAPACITY: &str = "paraphym_supervision_queue_capacity";
/// Children whose queue was told to wait, by `child`.
pub const PAUSED: &str = "paraphym_supervision_paused";
/// Children, by `child` and `state` as in `CHILDREN`.
pub const HEALTH: &str = "paraphym_supervision_health";
/// Messages found stuck: handled for longer than their child's handler budget. By `child`.
pub const STUCK: &str = "paraphym_supervision_stuck_total";
/// Children of a supervisor, by `supervisor` (a path in the tree) and `state`: starting, up, `backing_off`, stuck,
/// draining, down.
pub const CHILDREN: &str = "paraphym_supervision_children";
/// Threads of the process, by `role`: main, worker, blocking, host, foreign.
pub const THREADS: &str = "paraphym_threads";
/// How old a reading of the coarse clock may be.
pub const CLOCK_STALENESS_SECONDS: &str = "paraphym_clock_staleness_seconds";
/// Bytes leased from the memory budget.
pub const LEASED_BYTES: &str = "paraphym_memory_leased_bytes";
/// The memory budget.
pub const LIMIT_BYTES: &str = "paraphym_memory_limit_bytes";
/// How scarce memory is: 0 low, 1 normal, 2 high, 3 critical.
pub const PRESSURE: &str = "paraphym_memory_pressure";
/// The share in use, 1 being all of it, by `of`: the ledger's budget, the cgroup's limit, the host's RAM. The largest
/// makes the pressure, unless tasks stall.
pub const IN_USE: &str = "paraphym_memory_in_use_ratio";
/// Reservations waiting in line for memory.
pub const RESERVATIONS_WAITING: &str = "paraphym_memory_waiting";
/// Leases refused, those included who waited in vain.
pub const LEASES_REFUSED: &str = "paraphym_memory_refused_total";
/// Entries swept, by `cache`.
pub const CACHE_SWEPT: &str = "paraphym_cache_swept_total";
/// Bytes of what was swept, by `cache`.
pub const CACHE_FREED_BYTES: &str = "paraphym_cache_freed_bytes_total";
/// From a sweep's order to its answer, by `cache`.
pub const CACHE_SWEEP_SECONDS: &str = "paraphym_cache_sweep_seconds";
/// Orders to sweep that were not carried out, by `cache`.
pub const CACHE_UNANSWERED: &str = "paraphym_cache_unanswered_total";
/// Tokens generated, by `model`.
pub const TOKENS_GENERATED: &str = "paraphym_tokens_generated_total";
/// Prompt tokens read, by `model`.
pub const TOKENS_PROMPT: &str = "paraphym_tokens_prompt_total";
/// One engine step, by `model`.
pub const STEP_SECONDS: &str = "paraphym_step_seconds";
/// From acceptance to the first token, by `model`.
pub const FIRST_TOKEN_SECONDS: &str = "paraphym_time_to_first_token_seconds";
/// Crashed engine steps, by `model`.
pub const ENGINE_CRASHES: &str = "paraphym_engine_crashes_total";
/// Engine steps and loads that came to a stand, by `model`.
pub const ENGINE_STUCK: &str = "paraphym_engine_stuck_total";
/// Requests refused, by `reason`.
pub const REQUESTS_REFUSED: &str = "paraphym_requests_refused_total";
/// Sequences being answered, by `model`.
pub const SEQUENCES_ACTIVE: &str = "paraphym_sequences_active";
/// Requests waiting, by `model`.
pub const SEQUENCES_WAITING: &str = "paraphym_sequences_waiting";
/// Sequences that began, by `model` and `reason`: hit (with tokens that were kept) or miss.
pub const PREFIX_LOOKUPS: &str = "paraphym_prefix_lookups_total";
/// Prompt tokens that were kept and need not be read again, by `model`.
pub const PREFIX_TOKENS_REUSED: &str = "paraphym_prefix_tokens_reused_total";
/// KV memory kept of prompts and their answers, by `model`.
pub const PREFIX_BYTES: &str = "paraphym_prefix_bytes";
/// Pieces of chats that were to be encoded, by `model` and `reason`: hit (their tokens were known) or miss.
pub const TOKENISED_LOOKUPS: &str = "paraphym_tokenised_lookups_total";
/// Memory kept of pieces of chats and their tokens, by `model`.
pub const TOKENISED_BYTES: &str = "paraphym_tokenised_bytes";
/// Conversations with a live worker.
pub const CONVERSATIONS: &str = "paraphym_conversations";
/// HTTP requests, by `path` (the route's pattern) and `status`.
pub const HTTP_REQUESTS: &str = "paraphym_http_requests_total";
/// HTTP requests being answered.
pub const HTTP_IN_FLIGHT: &str = "paraphym_http_requests_in_flight";

/// Starts of MCP servers, by `server`.
pub const MCP_STARTS: &str = "paraphym_mcp_starts_total";
/// Calls of MCP servers' tools, by `server` and `outcome`: done, or a kind of error.
pub const MCP_CALLS: &str = "paraphym_mcp_calls_total";

/// Gives each name its help text and unit.
pub(crate) fn describe() {
    describe_counters();
    describe_gauges();
    describe_histogram!(
        CACHE_SWEEP_SECONDS,
        Unit::Seconds,
        "From a sweep's order to its answer"
    );
    describe_histogram!(
        BACKOFF_SECONDS,
        Unit::Seconds,
        "Rests of a child before its restart"
    );
    describe_histogram!(STEP_SECONDS, Unit::Seconds, "One engine step");
    describe_histogram!(
        FIRST_TOKEN_SECONDS,
        Unit::Seconds,
        "From acceptance to the first token"
    );
}

fn describe_counters() {
    for (name, help) in [
        (RESTARTS, "Restarts of a supervised child"),
        (CRASHES, "Crashes and failed starts of a supervised child"),
        (ESCALATIONS, "Supervisors that gave up"),
        (
            STUCK,
            "Messages handled for longer than their child's budget",
        ),
        (LEASES_REFUSED, "Leases the memory budget refused"),
        (CACHE_SWEPT, "Entries swept out of a cache"),
        (
            CACHE_UNANSWERED,
            "Orders to sweep a cache that it did not carry out",
        ),
        (TOKENS_GENERATED, "Tokens generated"),
        (TOKENS_PROMPT, "Prompt tokens read"),
        (
            PREFIX_LOOKUPS,
            "Sequences that began with kept tokens, or without",
        ),
        (PREFIX_TOKENS_REUSED, "Prompt tokens that were kept"),
        (
            TOKENISED_LOOKUPS,
            "Pieces of chats whose tokens were known, or not",
        ),
        (ENGINE_CRASHES, "Engine steps that crashed"),
        (ENGINE_STUCK, "Engine steps and loads that came to a stand"),
        (REQUESTS_REFUSED, "Requests refused, by reason"),
        (HTTP_REQUESTS, "HTTP requests answered"),
        (MCP_STARTS, "Starts of MCP servers"),
        (MCP_CALLS, "Calls of MCP servers' tools, by outcome"),
    ] {
        describe_counter!(name, help);
    }
    describe_counter!(
        CACHE_FREED_BYTES,
        Unit::Bytes,
        "Bytes of what was swept out of a cache"
    );
}

fn describe_gauges() {
    for (name, help) in [
        (CHILDREN, "Children of a supervisor, by state"),
        (THREADS, "Threads of the process, by role"),
        (
            RESERVATIONS_WAITING,
            "Reservations waiting in line for memory",
        ),
        (SEQUENCES_ACTIVE, "Sequences being answered"),
        (SEQUENCES_WAITING, "Requests waiting for a sequence"),
        (CONVERSATIONS, "Conversations with a live worker"),
        (
            IN_USE,
            "The share in use of the budget, the cgroup's limit, the host's RAM",
        ),
        (
            PRESSURE,
            "How scarce memory is: 0 low, 1 normal, 2 high, 3 critical",
        ),
        (HTTP_IN_FLIGHT, "HTTP requests being answered"),
    ] {
        describe_gauge!(name, help);
    }
    describe_gauge!(
        CLOCK_STALENESS_SECONDS,
        Unit::Seconds,
        "How old a stamp may be when it is made"
    );
    describe_gauge!(
        LEASED_BYTES,
        Unit::Bytes,
        "Bytes leased from the memory budget"
    );
    describe_gauge!(
        PREFIX_BYTES,
        Unit::Bytes,
        "KV memory kept of prompts and answers"
    );
    describe_gauge!(
        TOKENISED_BYTES,
        Unit::Bytes,
        "Memory kept of chats and their tokens"
    );
    describe_gauge!(LIMIT_BYTES, Unit::Bytes, "The memory budget");
}
