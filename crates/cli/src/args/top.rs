//! What `paraphym top` takes: where the server is, how often it is asked, and whether one picture is enough.
#![allow(
    clippy::doc_markdown,
    reason = "these comments are shown as help, where backticks would be noise"
)]

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::ctl::span;

pub(crate) const EXAMPLES: &str = "\
Examples:
  paraphym top
  paraphym top --every 5s
  paraphym top --once
  paraphym top --once --json
  ssh -t host paraphym top

Keys: arrows or j k choose, tab goes to the models and the requests, / filters, s sorts, space freezes,
enter shows an actor, r restarts it, p pauses or resumes it, u unloads a model, c cancels a request,
? tells them all, q leaves. What changes something is asked about first.

Without colours where NO_COLOR is set, in ASCII where the locale is not UTF-8.

Exit status: 0 left, 1 failed, 2 bad usage, 3 no server there, 129 hung up, 130 interrupted, 143 terminated.";

#[derive(Debug, Args)]
pub(crate) struct Top {
    /// The server's socket [default: $XDG_RUNTIME_DIR/paraphym/control.sock, or /tmp/paraphym-UID/control.sock]
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// How often to look, 100ms to 1h
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    pub(crate) every: Duration,
    /// Print one picture as plain text and end: for pipes, and for terminals that cannot be drawn on
    #[arg(long)]
    pub(crate) once: bool,
    /// With --once: the counters and values as one line of JSON, without a wait
    #[arg(long, requires = "once")]
    pub(crate) json: bool,
}

fn interval(text: &str) -> Result<Duration, String> {
    let every = span(text)?;
    if (Duration::from_millis(100)..=Duration::from_hours(1)).contains(&every) {
        return Ok(every);
    }
    Err("use 100ms to 1h".to_owned())
}
