//! Why: answers go to standard output, so log lines must never mix with them. This is the only place that installs a
//! subscriber, and only a binary calls it: a library leaves that to its app.

use std::io::IsTerminal;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, reload};

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One short line for people; colours only on a terminal.
    #[default]
    Text,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A filter that does not parse.
    #[error(
        "log filter {filter:?} is not understood ({reason}): use for example `info` or `supervision=debug,warn`"
    )]
    Filter {
        /// The filter as given.
        filter: String,
        /// The parser's words.
        reason: String,
    },
    /// The process has a subscriber already.
    #[error("logging is set up already")]
    Twice,
    /// The subscriber is no more.
    #[error("nothing is logged any more")]
    Gone,
}

/// Changes what is logged while the process runs. Cloning gives another hold on the same log.
#[derive(Clone)]
pub struct LogControl {
    filter: reload::Handle<EnvFilter, Registry>,
}

impl std::fmt::Debug for LogControl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogControl").finish_non_exhaustive()
    }
}

impl LogControl {
    /// Lets through what passes `filter` from now on.
    ///
    /// # Errors
    /// `Filter` if it does not parse: what held before holds on. `Gone` if nothing logs any more.
    pub fn set(&self, filter: &str) -> Result<(), LogError> {
        self.filter
            .reload(parsed(filter)?)
            .map_err(|_| LogError::Gone)
    }
}

/// Whether this is a filter, such as `info` or `supervision=debug,warn`.
///
/// # Errors
/// `Filter`, with the parser's words.
pub fn check_filter(filter: &str) -> Result<(), LogError> {
    parsed(filter).map(drop)
}

fn parsed(filter: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::try_new(filter).map_err(|error| LogError::Filter {
        filter: filter.to_owned(),
        reason: error.to_string(),
    })
}

/// Sends log lines that pass `filter` (as in `info` or `supervision=debug,warn`) to standard error. The answer changes the
/// filter later on.
///
/// # Errors
/// `Filter` if it does not parse, `Twice` if the process logs already.
pub fn init_logging(filter: &str, format: LogFormat) -> Result<LogControl, LogError> {
    let (filter, control) = reload::Layer::new(parsed(filter)?);
    let LogFormat::Text = format;
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(colours);
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init()
        .map_err(|_| LogError::Twice)?;
    Ok(LogControl { filter: control })
}

/// Lets a panic on a thread of the runtime be a log line: there a supervisor answers for it. A panic anywhere else is
/// printed as ever. For a binary; a library leaves the hook to its app.
pub fn log_panics(thread_prefix: &'static str) {
    let printed = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        if thread
            .name()
            .is_some_and(|name| name.starts_with(thread_prefix))
        {
            let place = panic.location().map(ToString::to_string);
            let words = panic.payload_as_str().unwrap_or("no words");
            tracing::warn!(place, "panic: {words}");
        } else {
            printed(panic);
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_filter_is_named() {
        let error = init_logging("a=b=c", LogFormat::Text).unwrap_err();
        assert!(error.to_string().contains("a=b=c"), "{error}");
    }
}
