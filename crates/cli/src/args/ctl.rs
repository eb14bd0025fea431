//! What `paraphym ctl` takes: a verb for each method of the control protocol.
#![allow(
    clippy::doc_markdown,
    reason = "these comments are shown as help, where backticks would be noise"
)]

use std::path::PathBuf;
use std::time::Duration;

use chat_config::Span;
use clap::{Args, Subcommand, ValueEnum};
use paraphym_candle::control::protocol::act::Loudness;

use super::count;

/// Every verb has an example here, and every example is run by a test.
pub(crate) const EXAMPLES: &str = "\
Examples:
  paraphym ctl status
  paraphym ctl tree
  paraphym ctl ps
  paraphym ctl inspect model_host
  paraphym ctl events --filter actor=model_host --filter event=crashed
  paraphym ctl events --follow
  paraphym ctl why model_host
  paraphym ctl restart memory_governor
  paraphym ctl stop cache_janitor
  paraphym ctl start cache_janitor
  paraphym ctl kill cache_janitor
  paraphym ctl pause cache_janitor
  paraphym ctl resume cache_janitor
  paraphym ctl tap memory_governor --for 2s
  paraphym ctl limit memory 2GiB
  paraphym ctl limit queue 32
  paraphym ctl limit connections 256
  paraphym ctl load smollm2-135m-instruct
  paraphym ctl pin smollm2-135m-instruct
  paraphym ctl unpin smollm2-135m-instruct
  paraphym ctl unload smollm2-135m-instruct
  paraphym ctl connections
  paraphym ctl connections kick --dry-run 1
  paraphym ctl cancel --dry-run req-1
  paraphym ctl conversations
  paraphym ctl config get model.temperature
  paraphym ctl config set --dry-run model.temperature=0.7
  paraphym ctl config set model.temperature=0.7
  paraphym ctl log model_host debug --for 1m
  paraphym ctl log reset
  paraphym ctl audit
  paraphym ctl chaos stall memory_governor --for 1s
  paraphym ctl chaos slow memory_governor --by 50ms --for 1s
  paraphym ctl chaos crash memory_governor
  paraphym ctl drain
  paraphym ctl shutdown --deadline 5s

What changes something takes --dry-run. An actor is a path of `paraphym ctl tree`, or the end of one.

Exit status: 0 done, 1 refused or failed, 2 bad usage, 3 no server there, 4 ended with something
unfinished, 130 interrupted.";

#[derive(Debug, Args)]
pub(crate) struct Ctl {
    /// The server's socket [default: $XDG_RUNTIME_DIR/paraphym/control.sock, or /tmp/paraphym-UID/control.sock]
    #[arg(long, value_name = "PATH", global = true)]
    pub(crate) socket: Option<PathBuf>,
    /// As one line of JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// The host at a glance
    Status,
    /// Every actor, and how it is
    Tree,
    /// The models: how far each is, what it takes, when it goes
    Ps,
    /// Everything about one actor
    Inspect {
        /// An actor
        actor: String,
    },
    /// What happened in the tree
    Events {
        /// And what happens from now on, until Ctrl-C
        #[arg(short, long)]
        follow: bool,
        /// Only some: actor=NAME (and below it), event=crashed; may be given several times
        #[arg(long, value_name = "KEY=VALUE")]
        filter: Vec<String>,
        /// At most so many of the past
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = count)]
        limit: usize,
    },
    /// Why something was restarted, evicted, refused or changed
    Why {
        /// An actor, a model, a request: whatever is named in a reason [default: everything]
        subject: Option<String>,
        /// At most so many reasons, the latest
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = count)]
        limit: usize,
    },
    /// Stop an actor in order and start it again; what waits for it is kept
    Restart(OnActor),
    /// Stop an actor; it stays down until it is started
    Stop(OnActor),
    /// Start an actor that is down
    Start(OnActor),
    /// Drop what an actor does where it stands, as a crash would
    Kill(OnActor),
    /// Let what waits for an actor go on waiting
    Pause(OnActor),
    /// Let an actor that was paused go on
    Resume(OnActor),
    /// Look at the messages an actor handles: their names and times, never what is in them
    Tap {
        /// An actor
        actor: String,
        /// For how long, such as 90s, at most 10m
        #[arg(long = "for", value_name = "TIME", default_value = "1m", value_parser = span)]
        time: Duration,
        /// End after so many messages
        #[arg(long, value_name = "N", default_value_t = 1000)]
        messages: u64,
        /// Show at most so many in a second; others are counted
        #[arg(long, value_name = "N", default_value_t = 50)]
        rate: u32,
    },
    /// Make an actor fail on purpose, where the server was started with --allow-chaos
    Chaos {
        /// What it is to do
        fault: Fault,
        /// An actor
        actor: String,
        /// How much later each message is handled, at most 10s [of slow, default: 100ms]
        #[arg(long, value_name = "TIME", value_parser = span)]
        by: Option<Duration>,
        /// For how long, at most 10m [of stall and slow, default: 10s]
        #[arg(long = "for", value_name = "TIME", value_parser = span)]
        time: Option<Duration>,
        #[command(flatten)]
        dry: Dry,
    },
    /// Change a limit until the settings change it again
    Limit {
        /// What to limit
        what: Limited,
        /// Memory such as 2GiB, or off; requests that may wait for each model; connections that may be open
        value: String,
        #[command(flatten)]
        dry: Dry,
    },
    /// Load a model, and wait until it is in memory
    Load(OnModel),
    /// Let an idle model go
    Unload(OnModel),
    /// Keep a model in memory whatever happens
    Pin(OnModel),
    /// Take a pin back
    Unpin(OnModel),
    /// End an answer or a turn, waiting or running, whoever asked for it
    Cancel {
        /// Its id: as in x-request-id, the answer's own such as chatcmpl-1, or NAME/turn-1
        id: String,
        #[command(flatten)]
        dry: Dry,
    },
    /// The conversations, live and at rest
    Conversations {
        /// At most so many of those at rest
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = count)]
        limit: usize,
    },
    /// The open connections of the server for requests, and how many there may be
    #[command(args_conflicts_with_subcommands = true)]
    Connections {
        #[command(subcommand)]
        action: Option<CtlConnections>,
    },
    /// The settings of the running server, shown and changed
    #[command(arg_required_else_help = true)]
    Config {
        #[command(subcommand)]
        action: CtlConfig,
    },
    /// Change what is logged, at once and for a time
    Log {
        /// An actor, if only its kind's lines are meant, and off, error, warn, info, debug, trace or reset
        #[arg(value_name = "[ACTOR] LEVEL", required = true, num_args = 1..=2)]
        words: Vec<String>,
        /// For how long, such as 90s or 10m; 0s until it is reset
        #[arg(long = "for", value_name = "TIME", default_value = "10m", value_parser = span)]
        time: Duration,
        #[command(flatten)]
        dry: Dry,
    },
    /// Who changed what, and when
    Audit {
        /// At most so many acts, the latest
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = count)]
        limit: usize,
    },
    /// Take nothing new and let running answers finish; for this process's life
    Drain(Dry),
    /// End the server in order
    Shutdown {
        /// How long running answers may take, such as 30s
        #[arg(long, value_name = "TIME", default_value = "5s", value_parser = span)]
        deadline: Duration,
        #[command(flatten)]
        dry: Dry,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum CtlConnections {
    /// Close a connection at once; its answers end as when a client leaves
    Kick {
        /// Its number, as `connections` shows it
        id: u64,
        #[command(flatten)]
        dry: Dry,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum CtlConfig {
    /// Show settings, and where each value comes from
    Get {
        /// A setting such as model.temperature, or a section such as model [default: all]
        key: Option<String>,
    },
    /// Change settings for good, all of them or none
    Set {
        /// What to set, such as model.temperature=0.7
        #[arg(value_name = "KEY=VALUE", required = true)]
        changes: Vec<String>,
        /// Refuse if another revision than this one holds
        #[arg(long, value_name = "REVISION")]
        expect: Option<u64>,
        #[command(flatten)]
        dry: Dry,
    },
}

#[derive(Clone, Copy, Debug, Default, Args)]
pub(crate) struct Dry {
    /// Only say what would be done
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct OnActor {
    /// An actor
    pub(crate) actor: String,
    #[command(flatten)]
    pub(crate) dry: Dry,
}

#[derive(Debug, Args)]
pub(crate) struct OnModel {
    /// A model, as requests name it
    pub(crate) model: String,
    #[command(flatten)]
    pub(crate) dry: Dry,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Limited {
    /// The most that models may take
    Memory,
    /// Requests that may wait for each model
    Queue,
    /// Connections of the server for requests that may be open
    Connections,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Fault {
    /// Crash at the next message
    Crash,
    /// Take no message for a time
    Stall,
    /// Handle each message later, for a time
    Slow,
}

/// A time as settings have it.
pub(super) fn span(text: &str) -> Result<Duration, String> {
    let read = text.parse::<Span>().map_err(|error| error.to_string())?;
    Ok(Duration::from_millis(read.as_millis()))
}

/// How loud; none if it is no such word.
pub(crate) fn loudness(word: &str) -> Option<Loudness> {
    let all = [
        Loudness::Off,
        Loudness::Error,
        Loudness::Warn,
        Loudness::Info,
        Loudness::Debug,
        Loudness::Trace,
        Loudness::Reset,
    ];
    all.into_iter().find(|level| level.as_str() == word)
}
