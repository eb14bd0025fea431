//! How much a client may do: to look, to run the host, to change what it is.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a client may do; each level may do what those before it may.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Look, and change nothing.
    Observe,
    /// Run the host: restart, load, limit, cancel.
    Operate,
    /// Change its settings and end it.
    Admin,
}

impl Level {
    /// All of them, the least first.
    pub const ALL: [Self; 3] = [Self::Observe, Self::Operate, Self::Admin];

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Observe => "observe",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_level_is_above_those_before_it_and_has_one_word() {
        assert!(Level::Observe < Level::Operate && Level::Operate < Level::Admin);
        for level in Level::ALL {
            assert_eq!(serde_json::to_value(level).unwrap(), level.as_str());
        }
    }
}
