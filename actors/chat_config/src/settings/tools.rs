//! The section `tools`: what may run, how long and how much of its answer counts, and which MCP servers there are.

use std::collections::BTreeMap;

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::forms::{header_table, http_address, tool_patterns, variable_table};
use crate::units::{Size, Span};

/// What agents may do, and where their tools come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Validate, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tools {
    /// Whether a tool runs that nothing else is said of: auto (it runs), ask (the default; unanswered is no) or deny.
    #[garde(skip)]
    pub approval: Approval,
    /// The same for one tool by its name: auto, ask or deny; as `tools.approval` by default.
    #[garde(length(max = 1024))]
    pub overrides: BTreeMap<String, Approval>,
    /// How long it is waited for an answer to the question whether a tool may run; then it may not. 1s to 1h; 2m by
    /// default.
    #[garde(range(min = 1000, max = 3_600_000))]
    pub approval_wait: Span,
    /// How long one call may take. 1ms to 1h; 30s by default.
    #[garde(range(min = 1, max = 3_600_000))]
    pub timeout: Span,
    /// How much of one call's answer the model reads; the rest is cut, and that is said. 256B to 1MiB; 16KiB by default.
    #[garde(range(min = 256, max = 1_048_576))]
    pub output_bytes: Size,
    /// Calls of one turn that run at once. 1 to 32; 4 by default.
    #[garde(range(min = 1, max = 32))]
    pub parallel: u32,
    /// MCP servers by name. At most 32.
    #[garde(length(max = 32), dive)]
    pub mcp: BTreeMap<String, McpServer>,
}

/// Whether a tool runs. Later words are tighter.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Approval {
    /// It runs.
    Auto,
    /// Whoever asked the question is asked; unanswered is no.
    #[default]
    Ask,
    /// It does not run.
    Deny,
}

/// An MCP server: a program that is started, or an address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Validate, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct McpServer {
    /// Whether it is used. Yes by default.
    #[garde(skip)]
    pub enabled: bool,
    /// The program that is the server, found as a shell finds it. 1 to 4096 bytes; none by default. A server has this
    /// or `url`.
    #[garde(inner(length(min = 1, max = 4096)))]
    pub command: Option<String>,
    /// What the program is given. At most 256 of at most 4096 bytes; nothing by default.
    #[garde(length(max = 256), inner(length(max = 4096)))]
    pub args: Vec<String>,
    /// Variables the program finds in its environment, besides a few of ours. At most 64; none by default. Never shown.
    #[garde(custom(variable_table))]
    #[schemars(extend(
        "x-secret" = true, "x-sealed" = true, "x-whole" = true,
        "x-allowed" = "a table of at most 64 texts, such as {TOKEN = \"abc\"}"
    ))]
    pub env: BTreeMap<String, String>,
    /// The folder the program is started in. 1 to 4096 bytes; ours by default.
    #[garde(inner(length(min = 1, max = 4096)))]
    pub cwd: Option<String>,
    /// Where the server answers over HTTP. At most 4096 bytes; nowhere by default.
    #[garde(custom(http_address))]
    #[schemars(extend("x-allowed" = "an address that begins with http:// or https://, at most 4096 bytes"))]
    pub url: Option<String>,
    /// HTTP headers it is sent. At most 64; none by default. Never shown.
    #[garde(custom(header_table))]
    #[schemars(extend(
        "x-secret" = true, "x-sealed" = true, "x-whole" = true,
        "x-allowed" = "a table of at most 64 headers of visible ASCII, such as {Authorization = \"Bearer abc\"}"
    ))]
    pub headers: BTreeMap<String, String>,
    /// Which of its tools there are, by their names at the server; `*` is all. At most 256 of 1 to 128 bytes; all by
    /// default.
    #[garde(custom(tool_patterns))]
    #[schemars(extend("x-allowed" = "a list of at most 256 names of tools; a * may stand at the end of one"))]
    pub tools: Vec<String>,
}

impl Default for Tools {
    fn default() -> Self {
        Self {
            approval: Approval::Ask,
            overrides: BTreeMap::new(),
            approval_wait: Span::from_secs(120),
            timeout: Span::from_secs(30),
            output_bytes: Size::from_bytes(16 << 10),
            parallel: 4,
            mcp: BTreeMap::new(),
        }
    }
}

impl Default for McpServer {
    fn default() -> Self {
        Self {
            enabled: true,
            command: None,
            args: Vec::new(),
            env: BTreeMap::new(),
            cwd: None,
            url: None,
            headers: BTreeMap::new(),
            tools: vec!["*".to_owned()],
        }
    }
}

impl McpServer {
    /// Whether a server may be called this: the names of its tools begin with it.
    pub fn is_name(name: &str) -> bool {
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        (1..=24).contains(&name.len()) && name.chars().all(good)
    }

    /// Whether it is a program or an address, and not both.
    pub const fn is_whole(&self) -> bool {
        self.command.is_some() != self.url.is_some()
    }
}
