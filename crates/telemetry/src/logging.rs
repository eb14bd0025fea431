//! Why: answers go to standard output, so log lines must never mix with them. This is the only place that installs a
//! subscriber, and only a binary calls it: a library leaves that to its app.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One short line for people; colours only on a terminal.
    #[default]
    Text,
    /// One JSON object a line for programs: `timestamp` (RFC 3339), `level`, `target`, `fields` with `message` among them, and
    /// `spans`, the outermost first, each with its own fields, such as `request_id`.
    Json,
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
    format: LogFormat,
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
        check_filter(filter)?;
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
            .reload(parsed(&next.whole(), next.format)?)
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
    parsed(filter, LogFormat::Text).map(drop)
}

/// What holds unless the filter says otherwise: kameo's spans, one a message, tell nothing that the turns' do not.
const BEFORE: &str = "kameo=warn";
/// What holds whatever the filter says: a line says whose turn it belongs to, also where only warnings are logged. These are
/// spans alone (`supervision::TURN`), so nothing is logged by it.
const BEHIND: &str = "turn=error";

/// The target of what a program says of itself on standard error. Where each line is an object it is an event of the log,
/// whatever the filter says; where not, this target is off, and the program prints its words as they are.
pub const SAID: &str = "paraphym::said";

fn parsed(filter: &str, format: LogFormat) -> Result<EnvFilter, LogError> {
    let filter = match filter.trim() {
        "" => "error",
        filter => filter,
    };
    let said = match format {
        LogFormat::Text => "off",
        LogFormat::Json => "info",
    };
    EnvFilter::try_new(format!("{BEFORE},{filter},{BEHIND},{SAID}={said}")).map_err(|error| {
        LogError::Filter {
            filter: filter.to_owned(),
            reason: error.to_string(),
        }
    })
}

/// Hears nothing: that it is there says that each line is an object.
struct Objects;

impl Layer<Registry> for Objects {}

/// Whether what a program says of itself is to be an event of [`SAID`], because each line of its log is an object. Not asked
/// with `tracing::enabled!`: with a filter by fields, that says yes to what is then left out.
pub fn says_objects() -> bool {
    tracing::dispatcher::get_default(tracing::Dispatch::is::<Objects>)
}

/// Sends log lines that pass `filter` (as in `info` or `supervision=debug,warn`) to standard error. The answer changes the
/// filter later on.
///
/// # Errors
/// `Filter` if it does not parse, `Twice` if the process logs already.
pub fn init_logging(filter: &str, format: LogFormat) -> Result<LogControl, LogError> {
    Logging::new(filter, format).begin()
}

/// A log that others beside standard error listen to.
pub struct Logging<'a> {
    filter: &'a str,
    format: LogFormat,
    /// Each with a filter of its own.
    pub(crate) listeners: Vec<Box<dyn Layer<Registry> + Send + Sync>>,
}

impl std::fmt::Debug for Logging<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Logging").finish_non_exhaustive()
    }
}

impl<'a> Logging<'a> {
    /// As [`init_logging`], not begun yet.
    pub fn new(filter: &'a str, format: LogFormat) -> Self {
        Self {
            filter,
            format,
            listeners: Vec::new(),
        }
    }

    /// Logs from now on.
    ///
    /// # Errors
    /// As [`init_logging`].
    pub fn begin(self) -> Result<LogControl, LogError> {
        let said = Said {
            filter: self.filter.to_owned(),
            format: self.format,
            ..Said::default()
        };
        let (filter, control) = reload::Layer::new(parsed(self.filter, self.format)?);
        let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
        let mut layers = self.listeners;
        // Its own filter, not everybody's: who else listens hears more, or less.
        layers.push(match self.format {
            LogFormat::Text => lines.with_ansi(colours).with_filter(filter).boxed(),
            // The innermost span is the last of `spans`.
            LogFormat::Json => {
                let lines = lines.json().with_current_span(false);
                lines.with_filter(filter).boxed()
            }
        });
        if self.format == LogFormat::Json {
            layers.push(Objects.with_filter(LevelFilter::OFF).boxed());
        }
        tracing_subscriber::registry()
            .with(layers)
            .try_init()
            .map_err(|_| LogError::Twice)?;
        Ok(LogControl {
            filter: control,
            said: Arc::new(Mutex::new(said)),
        })
    }
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
