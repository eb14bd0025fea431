//! The server: this very test program, started once more, which then speaks MCP by hand and does one thing wrong.
//!
//! The test harness prints a line before it, which is a first test of patience.

use std::time::Duration;

use paraphym_mcp_client::{ServerConfig, Transport};
use testkit::mcp_server;

const PART: &str = "PARAPHYM_TEST_SERVER";

/// A server that plays this part. Short limits: some parts are to run into them.
pub fn playing(part: &str) -> ServerConfig {
    within("exec", part)
}

/// The same, started by a shell that does something first.
pub fn behind_shell(first: &str, part: &str) -> ServerConfig {
    within(&format!("{first}; exec"), part)
}

fn within(shell: &str, part: &str) -> ServerConfig {
    let (_, module) = module_path!().split_once("::").unwrap();
    let args = mcp_server::again(shell, &format!("{module}::plays_its_part"));
    let mut config = ServerConfig::stdio("s", "sh", args);
    if let Transport::Stdio { env, .. } = &mut config.transport {
        env.insert(PART.to_owned(), part.to_owned());
    }
    config.stop_grace = Duration::from_millis(300);
    config
}

#[test]
#[ignore = "the server of the other tests: they start it, with a part to play"]
fn plays_its_part() {
    let Ok(part) = std::env::var(PART) else {
        panic!("this is the server of the other tests, and they say which part it plays");
    };
    mcp_server::play(part);
}
