//! A look at the messages that one actor handles, on the wire: their names and times, never what is in them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Asks for the messages that an actor handles from now on, as notifications `tapped`. Answered with the number that they
/// will carry. It ends by itself, with a notification `tap_over`, or by `unsubscribe`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tap {
    /// Whose: a path such as `root/model_host`, or the end of it if only one actor has that.
    pub actor: String,
    /// For how many seconds, 1 to 600; 60 if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_s: Option<u64>,
    /// How many messages, 1 to 100 000; 1000 if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages: Option<u64>,
    /// How many of them in a second, 1 to 1000; 50 if not said. What comes faster is left out and counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_second: Option<u32>,
}

/// A notification `tapped`: one message that was handled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tapped {
    /// Which look.
    pub subscription: u64,
    /// When its handling ended, in milliseconds since 1970.
    pub at_ms: i64,
    /// The message's name.
    pub message: String,
    /// In which life of the actor.
    pub life: u64,
    /// How long it was queued, in microseconds; not said of what was not, or before anybody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waited_us: Option<u64>,
    /// How long it was handled, in microseconds.
    pub took_us: u64,
    /// How that ended: handled, crashed or killed.
    pub outcome: String,
    /// Messages that were left out since the one before, because they came faster than was asked for or read.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub missed: u64,
}

/// A notification `tap_over`: the time or the count is over, or the actor is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TapOver {
    /// Which look.
    pub subscription: u64,
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}
