//! The two places a command writes to. Answers go to standard output, everything about them to standard error.
//!
//! Nothing is written with `print!`: a closed pipe is an ordinary end here, not a panic.

use std::io::{ErrorKind, IsTerminal, Write};

use anstream::ColorChoice;
use anstyle::{AnsiColor, Style};
use serde_json::Value;
use telemetry::SAID;
use tokio::io::{AsyncWriteExt, Stdout};
use tracing::Level;

use crate::failure::Failure;

/// Standard output and standard error, and what reads them.
#[derive(Debug)]
pub(crate) struct Out {
    stdout: Stdout,
    /// Whether a person reads standard output on a terminal.
    pub(crate) terminal: bool,
    /// Whether a person reads standard error on a terminal.
    pub(crate) error_terminal: bool,
    colours: bool,
}

impl Out {
    /// Looks at what reads them. Colours as `NO_COLOR` and its relatives say.
    pub(crate) fn new() -> Self {
        let colours = anstream::AutoStream::choice(&std::io::stdout());
        Self {
            stdout: tokio::io::stdout(),
            terminal: std::io::stdout().is_terminal(),
            error_terminal: std::io::stderr().is_terminal(),
            colours: colours != ColorChoice::Never,
        }
    }

    /// Whether colours are wanted.
    pub(crate) const fn has_colours(&self) -> bool {
        self.colours
    }

    /// Writes text as it is, and sees to it that it is seen at once.
    pub(crate) async fn text(&mut self, text: &str) -> Result<(), Failure> {
        if text.is_empty() {
            return Ok(());
        }
        let written = async {
            self.stdout.write_all(text.as_bytes()).await?;
            self.stdout.flush().await
        };
        written.await.map_err(|error| match error.kind() {
            ErrorKind::BrokenPipe => Failure::NobodyReads,
            _ => Failure::failed(
                format_args!("standard output cannot be written: {error}"),
                "check where it goes",
            ),
        })
    }

    /// Writes a line in a quieter colour, where there are colours.
    pub(crate) async fn aside(&mut self, line: &str) -> Result<(), Failure> {
        let line = if self.colours {
            let style = Style::new().dimmed();
            format!("{style}{line}{style:#}\n")
        } else {
            format!("{line}\n")
        };
        self.text(&line).await
    }

    /// Writes one JSON object as a line.
    pub(crate) async fn json(&mut self, value: &Value) -> Result<(), Failure> {
        self.text(&format!("{value}\n")).await
    }

    /// `text` in a colour, where there are colours.
    pub(crate) fn coloured(&self, colour: AnsiColor, text: &str) -> String {
        if !self.colours {
            return text.to_owned();
        }
        let style = Style::new().fg_color(Some(colour.into())).bold();
        format!("{style}{text}{style:#}")
    }
}

/// A line on standard error; one of the log, where each line there is an object. Where that is gone there is nobody to tell.
pub(crate) fn note(line: &str) {
    if tracing::enabled!(target: SAID, Level::INFO) {
        return tracing::info!(target: SAID, "{line}");
    }
    let _ = writeln!(anstream::stderr(), "{line}");
}

/// The same in a quieter colour, where there are colours.
pub(crate) fn quietly(line: &str) {
    let style = Style::new().dimmed();
    note(&format!("{style}{line}{style:#}"));
}

/// A failure's lines on standard error.
pub(crate) fn tell(failure: &Failure) {
    for line in failure.lines() {
        note(&line);
    }
}
