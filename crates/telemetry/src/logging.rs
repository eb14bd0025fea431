//! Why: answers go to standard output, so log lines must never mix with them. This is the only place that installs a
//! subscriber, and only a binary calls it: a library leaves that to its app.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};

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
    said: Arc<Mutex<Said>>,
}

/// What the log was told: a filter, and what somebody wants to be louder or quieter for a while.
#[derive(Clone, Debug, Default)]
struct Said {
    filter: String,
    /// Levels by target; `None` stands in the filter's place.
    overridden: BTreeMap<Option<String>, String>,
}

impl Said {
    /// The filter that holds. Of two directives for one target the later one counts.
    fn whole(&self) -> String {
        let base = self.overridden.get(&None).unwrap_or(&self.filter);
        let targets = self.overridden.iter();
        let targets =
            targets.filter_map(|(target, level)| Some(format!("{}={level}", target.as_ref()?)));
        let parts = std::iter::once(base.clone()).chain(targets);
        parts
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(",")
    }
}

impl std::fmt::Debug for LogControl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogControl").finish_non_exhaustive()
    }
}

impl LogControl {
    /// Lets through what passes `filter` from now on. What is overridden stays so.
    ///
    /// # Errors
    /// `Filter` if it does not parse: what held before holds on. `Gone` if nothing logs any more.
    pub fn set(&self, filter: &str) -> Result<(), LogError> {
        parsed(filter)?;
        self.change(|said| filter.clone_into(&mut said.filter))
    }

    /// Logs `target` (`paraphym_model_host`) from this level up, whatever the filter says of it; without a target,
    /// everything that is not overridden by its own. Without a level the filter holds again.
    ///
    /// # Errors
    /// As [`LogControl::set`].
    pub fn override_level(
        &self,
        target: Option<&str>,
        level: Option<&str>,
    ) -> Result<(), LogError> {
        let target = target.map(str::to_owned);
        self.change(|said| match level {
            Some(level) => drop(said.overridden.insert(target, level.to_owned())),
            None => drop(said.overridden.remove(&target)),
        })
    }

    /// Makes a change, or none if what it leads to is no filter.
    fn change(&self, change: impl FnOnce(&mut Said)) -> Result<(), LogError> {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = said.clone();
        change(&mut next);
        self.filter
            .reload(parsed(&next.whole())?)
            .map_err(|_| LogError::Gone)?;
        *said = next;
        Ok(())
    }
}

/// Whether this is a filter, such as `info` or `supervision=debug,warn`.
///
/// # Errors
/// `Filter`, with the parser's words.
pub fn check_filter(filter: &str) -> Result<(), LogError> {
    parsed(filter).map(drop)
}

/// What holds unless the filter says otherwise: kameo's spans, one a message, tell nothing that the turns' do not.
const BEFORE: &str = "kameo=warn";
/// What holds whatever the filter says: a line says whose turn it belongs to, also where only warnings are logged. These are
/// spans alone (`supervision::TURN`), so nothing is logged by it.
const BEHIND: &str = "turn=error";

fn parsed(filter: &str) -> Result<EnvFilter, LogError> {
    let filter = match filter.trim() {
        "" => "error",
        filter => filter,
    };
    EnvFilter::try_new(format!("{BEFORE},{filter},{BEHIND}")).map_err(|error| LogError::Filter {
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
    let said = Said {
        filter: filter.to_owned(),
        ..Said::default()
    };
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
    Ok(LogControl {
        filter: control,
        said: Arc::new(Mutex::new(said)),
    })
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
