//! The list itself. Counters end in `_total`, times in `_seconds`, sizes in `_bytes`, shares in `_ratio`.

use crate::family::{Family, Kind, Topic, Unit};

macro_rules! families {
    ($($topic:literal { $(
        $name:ident = $kind:ident $metric:literal $unit:ident [$($label:literal),*] $help:literal $(once $once:literal)?;
    )* })*) => {
        $($(
            #[doc = $help]
            #[allow(clippy::doc_markdown, reason = "Prometheus shows help as it is")]
            pub const $name: &str = $metric;
        )*)*

        /// Every family, by topic.
        pub const TOPICS: &[Topic] = &[$(Topic {
            name: $topic,
            families: &[$(Family {
                name: $name,
                kind: Kind::$kind,
                unit: Unit::$unit,
                labels: &[$($label),*],
                help: $help,
                once: families!(@once $($once)?),
            },)*],
        },)*];
    };
    (@once) => { None };
    (@once $once:literal) => { Some($once) };
}

families! {
    "Actors and their supervisors" {
        MESSAGES = Counter "paraphym_supervision_messages_total" Count ["child"]
            "Messages handled to their end";
        HANDLING_SECONDS = Histogram "paraphym_supervision_handling_seconds" Seconds ["child"]
            "How long messages were handled: handlers that wait, from their first wait; of the others one in 64 stands for all"
            once "a message was timed";
        QUEUE_DEPTH = Gauge "paraphym_supervision_queue_depth" Count ["child"]
            "Messages queued";
        QUEUE_CAPACITY = Gauge "paraphym_supervision_queue_capacity" Count ["child"]
            "Messages that may be queued";
        PAUSED = Gauge "paraphym_supervision_paused" Count ["child"]
            "Children whose queue was told to wait";
        HEALTH = Gauge "paraphym_supervision_health" Count ["child", "state"]
            "Children by how they are: starting, up, backing_off, stuck, draining, down";
        CHILDREN = Gauge "paraphym_supervision_children" Count ["supervisor", "state"]
            "Children of a supervisor, by the same states";
        RESTARTS = Counter "paraphym_supervision_restarts_total" Count ["child", "reason"]
            "Restarts begun, by reason: crashed, killed, start_failed, finished, group, asked"
            once "a child was restarted";
        CRASHES = Counter "paraphym_supervision_crashes_total" Count ["child", "reason"]
            "Lives that ended by a crash, and starts that failed, by reason: crashed, killed, start_failed"
            once "a child crashed";
        BACKOFF_SECONDS = Histogram "paraphym_supervision_backoff_seconds" Seconds ["child"]
            "Rests chosen before a restart; the sum is the time in backoff, unless a rest was cut short"
            once "a child crashed";
        ESCALATIONS = Counter "paraphym_supervision_escalations_total" Count ["child"]
            "Supervisors that gave up"
            once "a supervisor gave up";
        STUCK = Counter "paraphym_supervision_stuck_total" Count ["child"]
            "Messages found handled for longer than their child's budget"
            once "a handler took too long";
    }
    "Memory" {
        LIMIT_BYTES = Gauge "paraphym_memory_limit_bytes" Bytes []
            "The memory budget";
        LEASED_BYTES = Gauge "paraphym_memory_leased_bytes" Bytes ["purpose"]
            "Bytes leased from the budget, by what for"
            once "something was leased";
        PRESSURE = Gauge "paraphym_memory_pressure" Count []
            "How scarce memory is: 0 low, 1 normal, 2 high, 3 critical";
        IN_USE = Gauge "paraphym_memory_in_use_ratio" Ratio ["of"]
            "The share in use of the budget, the cgroup's limit, the host's RAM; the largest makes the pressure, unless tasks stall";
        USED_BYTES = Gauge "paraphym_memory_used_bytes" Bytes ["of"]
            "Bytes really in use in the cgroup and on the host, when the governor last looked"
            once "the governor could read them";
        STALLED = Gauge "paraphym_memory_stalled_ratio" Ratio []
            "The share of ten seconds in which some task waited for memory (PSI some avg10), when the governor last looked"
            once "the kernel tells of it";
        RESERVATIONS_WAITING = Gauge "paraphym_memory_waiting" Count []
            "Reservations waiting in line for memory";
        LEASES_REFUSED = Counter "paraphym_memory_refused_total" Count []
            "Leases refused, those included who waited in vain"
            once "a lease was refused";
        CACHE_SWEPT = Counter "paraphym_cache_swept_total" Count ["cache"]
            "Entries swept out of a cache"
            once "a cache was swept";
        CACHE_FREED_BYTES = Counter "paraphym_cache_freed_bytes_total" Bytes ["cache"]
            "Bytes of what was swept"
            once "a cache was swept";
        CACHE_SWEEP_SECONDS = Histogram "paraphym_cache_sweep_seconds" Seconds ["cache"]
            "From a sweep's order to its answer"
            once "a cache was swept";
        CACHE_UNANSWERED = Counter "paraphym_cache_unanswered_total" Count ["cache"]
            "Orders to sweep that were not carried out"
            once "a cache did not answer";
    }
    "Models" {
        RESIDENT_BYTES = Gauge "paraphym_model_resident_bytes" Bytes ["model"]
            "Bytes leased for the weights of a model in memory"
            once "a model was loaded";
        SEQUENCES_ACTIVE = Gauge "paraphym_sequences_active" Count ["model"]
            "Sequences being answered"
            once "a model was loaded";
        SEQUENCES_WAITING = Gauge "paraphym_sequences_waiting" Count ["model"]
            "Requests waiting in the model's queue"
            once "a model was loaded";
        QUEUE_WAIT_SECONDS = Histogram "paraphym_queue_wait_seconds" Seconds ["model"]
            "From a request's acceptance to its seat in the batch, loading included"
            once "a request was answered";
        TOKENS_PROMPT = Counter "paraphym_tokens_prompt_total" Count ["model"]
            "Prompt tokens read (prefill)"
            once "a model was loaded";
        TOKENS_GENERATED = Counter "paraphym_tokens_generated_total" Count ["model"]
            "Tokens generated (decode)"
            once "a model was loaded";
        FIRST_TOKEN_SECONDS = Histogram "paraphym_time_to_first_token_seconds" Seconds ["model"]
            "From a request's acceptance to its first token"
            once "a request was answered";
        INTER_TOKEN_SECONDS = Histogram "paraphym_inter_token_seconds" Seconds ["model"]
            "Between two tokens of one answer, a crash and its recovery included"
            once "a request was answered";
        STEP_SECONDS = Histogram "paraphym_step_seconds" Seconds ["model"]
            "One engine step"
            once "a request was answered";
        BATCH_SEQUENCES = Histogram "paraphym_batch_sequences" Count ["model"]
            "Sequences in one engine step"
            once "a request was answered";
        PREFIX_LOOKUPS = Counter "paraphym_prefix_lookups_total" Count ["model", "reason"]
            "Sequences that began, by reason: hit (with tokens that were kept) or miss"
            once "a model was loaded";
        PREFIX_TOKENS_REUSED = Counter "paraphym_prefix_tokens_reused_total" Count ["model"]
            "Prompt tokens that were kept and need not be read again"
            once "a model was loaded";
        PREFIX_BYTES = Gauge "paraphym_prefix_bytes" Bytes ["model"]
            "KV memory kept of prompts and their answers"
            once "a model was loaded";
        TOKENISED_LOOKUPS = Counter "paraphym_tokenised_lookups_total" Count ["model", "reason"]
            "Pieces of chats that were to be encoded, by reason: hit (their tokens were known) or miss"
            once "a model was loaded";
        TOKENISED_BYTES = Gauge "paraphym_tokenised_bytes" Bytes ["model"]
            "Memory kept of pieces of chats and their tokens"
            once "a model was loaded";
        ENGINE_CRASHES = Counter "paraphym_engine_crashes_total" Count ["model"]
            "Engine steps and embedding batches that crashed"
            once "a model was loaded";
        ENGINE_RECOVERIES = Counter "paraphym_engine_recoveries_total" Count ["model"]
            "Crashed engines that were built anew and came home from a step again"
            once "a model was loaded";
        ENGINE_STUCK = Counter "paraphym_engine_stuck_total" Count ["model"]
            "Engine steps and loads that came to a stand"
            once "a model was loaded";
        REQUESTS_REFUSED = Counter "paraphym_requests_refused_total" Count ["reason"]
            "Requests refused, by the kind of error"
            once "a request was refused";
        REQUESTS_CANCELLED = Counter "paraphym_requests_cancelled_total" Count ["model"]
            "Answers that were cancelled, or whose reader left, once they had their seat"
            once "a model was loaded";
        TEXTS_EMBEDDED = Counter "paraphym_texts_embedded_total" Count ["model"]
            "Texts that an embedding model made vectors of"
            once "a text was embedded";
        CONVERSATIONS = Gauge "paraphym_conversations" Count []
            "Conversations with a live worker"
            once "a conversation was held";
        MCP_STARTS = Counter "paraphym_mcp_starts_total" Count ["server"]
            "Starts of MCP servers"
            once "an MCP server was started";
        MCP_CALLS = Counter "paraphym_mcp_calls_total" Count ["server", "outcome"]
            "Calls of MCP servers' tools"
            once "such a tool was called";
    }
    "HTTP" {
        HTTP_REQUESTS = Counter "paraphym_http_requests_total" Count ["path", "status"]
            "Requests whose answer's head was made"
            once "a request was answered";
        HTTP_SECONDS = Histogram "paraphym_http_request_duration_seconds" Seconds ["path"]
            "From a request's head to the last byte of its answer, or until its client has gone"
            once "a request was answered";
        HTTP_IN_FLIGHT = Gauge "paraphym_http_requests_in_flight" Count []
            "Requests being answered";
        HTTP_CONNECTIONS = Gauge "paraphym_http_connections" Count ["state"]
            "Open connections, by state: answering (an answer of a model is being made) or idle";
        HTTP_CONNECTIONS_LIMIT = Gauge "paraphym_http_connections_limit" Count []
            "Connections that may be open";
        HTTP_CONNECTIONS_REFUSED = Counter "paraphym_http_connections_refused_total" Count ["reason"]
            "Connections sent away, by reason: full (no seat was free) or silent (too many of that address had asked nothing)"
            once "a connection was sent away";
    }
    "Real time" {
        REALTIME_CONNECTIONS = Gauge "paraphym_realtime_connections" Count ["state"]
            "Sessions of clients, by state: connected, reconnecting, away"
            once "a client connected";
        REALTIME_RESUMES = Counter "paraphym_realtime_resumes_total" Count ["outcome"]
            "Clients that came back: resumed, or not_resumable"
            once "a client came back";
        REALTIME_CLOSES = Counter "paraphym_realtime_closes_total" Count ["reason"]
            "Connections the server closed, by the word of the close code"
            once "a client was closed";
        REALTIME_MERGED = Counter "paraphym_realtime_merged_total" Count []
            "Frames joined with, or replaced by, the next on the way to a slow reader"
            once "a client read slowly";
    }
    "Typing" {
        TYPING = Gauge "paraphym_typing_people" Count []
            "People and agents that type now; one counts once for each conversation"
            once "somebody typed";
        TYPING_EDGES = Counter "paraphym_typing_edges_total" Count ["reason"]
            "Beginnings and ends of typing, by reason: began, stopped, expired, left, returned"
            once "somebody typed";
        TYPING_REFUSED = Counter "paraphym_typing_refused_total" Count []
            "Keystrokes of who is not shown, because too many type"
            once "too many typed";
    }
    "Process" {
        THREADS = Gauge "paraphym_threads" Count ["role"]
            "Threads of the process";
        CLOCK_STALENESS_SECONDS = Gauge "paraphym_clock_staleness_seconds" Seconds []
            "How old a reading of the coarse clock may be";
        PROCESS_CPU_SECONDS = Counter "process_cpu_seconds_total" Seconds []
            "Time on processors, in user and system mode";
        PROCESS_RESIDENT_BYTES = Gauge "process_resident_memory_bytes" Bytes []
            "Resident memory";
        PROCESS_VIRTUAL_BYTES = Gauge "process_virtual_memory_bytes" Bytes []
            "Virtual memory";
        PROCESS_OPEN_FDS = Gauge "process_open_fds" Count []
            "Open file descriptors";
        PROCESS_MAX_FDS = Gauge "process_max_fds" Count []
            "File descriptors that may be open; 0 if there is no limit";
        PROCESS_START_SECONDS = Gauge "process_start_time_seconds" Seconds []
            "When the process was started, in seconds since 1970";
    }
}
