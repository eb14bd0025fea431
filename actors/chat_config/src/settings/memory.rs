//! The section `memory`: what the governor of bytes may promise.

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::{Size, Span};

/// How much memory is used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Validate, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Memory {
    /// The most memory models may take. 1MiB to 1024TiB; by default what the machine and the cgroup have.
    #[garde(range(min = 1_048_576, max = 1_125_899_906_842_624_u64))]
    pub limit: Option<Size>,
    /// How often real use is looked at where the kernel tells no pressure. 100ms to 1h; 5s by default.
    #[garde(range(min = 100, max = 3_600_000))]
    pub poll: Span,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            limit: None,
            poll: Span::from_secs(5),
        }
    }
}
