//! What a label's values are, and what bounds them: nothing that comes from a client ever becomes one.

/// One label.
#[derive(Clone, Copy, Debug)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// What its values are.
    pub what: &'static str,
    /// Why there are not more and more of them.
    pub bound: &'static str,
}

const fn label(name: &'static str, what: &'static str, bound: &'static str) -> Label {
    Label { name, what, bound }
}

/// Every label there is, beside the `le` of histograms.
pub const LABELS: &[Label] = &[
    label(
        "cache",
        "a cache's name",
        "one for each kind of cache and model",
    ),
    label(
        "child",
        "a child's path in the tree, with `*` for what was started at run time",
        "the specs of the tree",
    ),
    label(
        "model",
        "a model's short name",
        "models on this machine that were loaded once",
    ),
    label(
        "of",
        "what is used: `ledger` the budget, `cgroup` a cgroup's limit, `host` the RAM",
        "this list",
    ),
    label(
        "outcome",
        "`done`, or a kind of error",
        "the kinds of errors",
    ),
    label(
        "path",
        "a route's pattern, or `other`",
        "the table of routes",
    ),
    label(
        "purpose",
        "what memory is leased for: `weights`, `conversation`, …",
        "sixteen, then `other`",
    ),
    label("reason", "a word", "a closed list, in the metric's help"),
    label(
        "role",
        "what a thread is for: `main`, `worker`, `blocking`, `host`, `foreign`",
        "this list",
    ),
    label("server", "an MCP server's name", "the settings"),
    label(
        "state",
        "how something is",
        "a closed list, in the metric's help",
    ),
    label("status", "an HTTP status", "the statuses that are answered"),
    label(
        "supervisor",
        "a supervisor's path, with `*` as for `child`",
        "the specs of the tree",
    ),
];
