//! How far the server's ending is: told to every connection, as notifications `ending`, until there is nobody left to tell.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The steps of an ending, in their order.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Nothing new is taken.
    Draining,
    /// Running answers finish, as long as there is time.
    Answers,
    /// The actors stop, the last one first.
    Actors,
    /// All of them have ended but those that tell of it: what is listed now is all that was not finished. Last; a server
    /// that hangs up without it was cut off.
    Runtime,
}

impl Phase {
    /// The word on the wire, and in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::Answers => "answers",
            Self::Actors => "actors",
            Self::Runtime => "runtime",
        }
    }
}

/// A notification `ending`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ending {
    /// Which step it is at.
    pub phase: Phase,
    /// What is still under way: answers by their requests, then actors by their paths.
    pub under_way: Vec<String>,
    /// How much time is left, in milliseconds.
    pub left_ms: u64,
    /// What was not finished so far: whose it was, and what.
    pub abandoned: Vec<String>,
    /// Actors that did not stop in time and were killed.
    pub killed: Vec<String>,
}

impl Ending {
    /// Whether nothing follows it.
    pub fn is_last(&self) -> bool {
        self.phase == Phase::Runtime
    }
}
