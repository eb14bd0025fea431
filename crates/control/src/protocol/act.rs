//! The methods that change something, and the one thing they are answered with.
//!
//! Every one takes `dry_run`: then everything is looked at as if, nothing is done, and the answer says what would be.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What was done, or would be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Acted {
    /// Whether something was done; false after a dry run.
    pub done: bool,
    /// What, in a sentence.
    pub what: String,
    /// Whether the audit log has it. A store that cannot be written keeps nobody from mending the host; what needs the level
    /// admin is refused then.
    pub audited: bool,
}

/// A message about one actor.
macro_rules! about_an_actor {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            /// Its path, such as `root/model_host`, or the end of it if only one has that.
            pub actor: String,
            /// Only say what would be done.
            #[serde(default)]
            pub dry_run: bool,
        }
    };
}

about_an_actor! {
    /// Stops an actor in order, keeps what waits for it, and starts it again; answered when it is up.
    Restart
}
about_an_actor! {
    /// Stops an actor; it stays down until it is started.
    Stop
}
about_an_actor! {
    /// Starts an actor that is down.
    Start
}
about_an_actor! {
    /// Drops what an actor does where it stands, as a crash would: that message is lost, those that wait are not.
    Kill
}
about_an_actor! {
    /// What waits for an actor goes on waiting, until `resume` or a stop.
    Pause
}
about_an_actor! {
    /// An actor that was paused goes on.
    Resume
}

/// A fault on purpose, to see what the tree makes of it. Refused unless the server was started with it allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Chaos {
    /// Whose: a path such as `root/model_host`, or the end of it if only one actor has that.
    pub actor: String,
    /// Which.
    pub fault: Fault,
    /// How much later each message is handled, in milliseconds, at most 10 000; 100 if not said. Of `slow` alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// For how long, in milliseconds, at most 600 000; 10 000 if not said. Of `stall` and `slow`; 0 ends a `slow`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_ms: Option<u64>,
    /// Only say what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

/// Faults that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The next message that was queued crashes it.
    Crash,
    /// It takes no message for a time.
    Stall,
    /// It handles each message later, for a time.
    Slow,
}

/// A message about one model.
macro_rules! about_a_model {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            /// Its name, as requests use it.
            pub model: String,
            /// Only say what would be done.
            #[serde(default)]
            pub dry_run: bool,
        }
    };
}

about_a_model! {
    /// Loads a model; answered when it is in memory. Hanging up cancels the load.
    LoadModel
}
about_a_model! {
    /// Lets an idle model go.
    UnloadModel
}
about_a_model! {
    /// Keeps a model in memory whatever happens.
    PinModel
}
about_a_model! {
    /// Takes a pin back.
    UnpinModel
}

/// Changes a limit until the settings change it again, or the process ends. `config.set` changes it for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// Which one.
    pub what: Limited,
    /// The new limit: bytes of memory, requests that may wait for each model, or open connections. Null takes the limit of
    /// memory away, so that host and cgroup alone decide.
    pub value: Option<u64>,
    /// Only say what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

/// What can be limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Limited {
    /// The most bytes that may be leased.
    Memory,
    /// Requests that may wait for each model.
    Queue,
    /// Connections to the server for requests that may be open. A lower limit closes nobody: nobody new is let in until there
    /// is room.
    Connections,
}

/// Ends what waits or runs under a name, whoever asked for it: answers of the server for requests by either of their names, a
/// request of the model host, a turn. Of an answer the client hears an error with the code `cancelled`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cancel {
    /// Its id: as in `x-request-id`, which may mean several, the answer's own such as `chatcmpl-1`, or `NAME/turn-1`.
    pub id: String,
    /// Only say what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

/// Changes settings, all of them or none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigSet {
    /// What to set, in order; at least one.
    pub changes: Vec<Change>,
    /// Refuse if another revision holds than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<u64>,
    /// Only say what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

/// One setting's new value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Its path.
    pub key: String,
    /// Its value as text, read as on the command line: `0.5`, `90s`, `dark`.
    pub value: String,
}

/// Changes what is logged, at once and for a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// Which actor's lines: those of its kind, because a line knows its code and not its actor. Not said: everything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// How loud; `reset` goes back to what the settings say.
    pub level: Loudness,
    /// For how many seconds; 600 if not said, 0 until it is reset or the process ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_s: Option<u64>,
    /// Only say what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

/// How loud.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Loudness {
    /// Nothing.
    Off,
    /// What went wrong.
    Error,
    /// What may have gone wrong.
    Warn,
    /// What happens.
    Info,
    /// And how.
    Debug,
    /// Everything.
    Trace,
    /// What the settings say.
    Reset,
}

impl Loudness {
    /// The word on the wire, and in filters.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
            Self::Reset => "reset",
        }
    }
}

/// Takes nothing new: a request for an answer is refused with 503 `draining`, `/readyz` says so, and answers under way go on for
/// as long as they take. It holds until the process ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Drain {
    /// Only say what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

/// Ends the server in order. Answered when it begins to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Shutdown {
    /// How long running answers and everything else may take; 5000 if not said, at most 3 600 000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// Only say what would be done.
    #[serde(default)]
    pub dry_run: bool,
}
