//! What is counted of servers.

use metrics::counter;
use telemetry::names::{MCP_CALLS, MCP_STARTS};

pub(crate) fn started(server: &str) {
    counter!(MCP_STARTS, "server" => server.to_owned()).increment(1);
}

pub(crate) fn called(server: &str, outcome: &'static str) {
    counter!(MCP_CALLS, "server" => server.to_owned(), "outcome" => outcome).increment(1);
}
