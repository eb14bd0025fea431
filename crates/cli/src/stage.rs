//! What every command has: where it writes, what it hears from outside, the machine's settings. And how it ends.

use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use chat_config::settings::DEFAULT_AGENT;
use domain::ModelName;
use model_store::Store;
use paraphym_candle::conversation_store::StoreConfig;
use paraphym_candle::signals::{Signal, Signals};
use paraphym_candle::{Builder, DEFAULT_MODEL, NoAgent, Paraphym, Runtime};

use telemetry::LogControl;
use tokio::time::Instant;

use crate::args::{Choices, Machine};
use crate::echo::Echo;
use crate::failure::Failure;
use crate::out::{Out, note};
use crate::presses::{Meaning, Presses};
use crate::render;
use crate::unfinished::Unfinished;

/// How long running answers may go on after SIGTERM, SIGHUP or the second Ctrl-C. With the time the tree itself takes to stop
/// this stays under five seconds.
const DRAIN: Duration = Duration::from_secs(4);

/// What every command has.
pub(crate) struct Stage {
    pub(crate) out: Out,
    pub(crate) signals: Signals,
    pub(crate) presses: Presses,
    echo: Echo,
    pub(crate) machine: Machine,
    /// The last ending left something undone.
    pub(crate) left_undone: bool,
    settings: Settings,
    runtime: Runtime,
}

/// What a command is run with; the commands about settings open them themselves.
#[derive(Clone, Default)]
pub(crate) struct Settings {
    pub(crate) store: Option<chat_config::Store>,
    /// The log, and what it shows where the settings do not say.
    pub(crate) log: Option<(LogControl, &'static str)>,
    /// The spans on their way to a collector, if there is one.
    #[cfg(feature = "otlp")]
    pub(crate) traces: Option<telemetry::Traces>,
    /// The tasks, for tokio-console, where this is a server.
    #[cfg(feature = "console")]
    pub(crate) console: Option<telemetry::TaskConsole>,
}

/// What outlives the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// Nothing: no file is opened.
    Nothing,
    /// Memories and documents.
    Memories,
    /// The conversation, too.
    All,
}

impl Stage {
    /// Listens for signals from now on.
    pub(crate) fn new(
        machine: Machine,
        settings: Settings,
        runtime: Runtime,
    ) -> Result<Self, Failure> {
        let signals = Signals::listen().map_err(|error| {
            Failure::failed(
                format_args!("signals cannot be heard: {error}"),
                "run `paraphym doctor`",
            )
        })?;
        Ok(Self {
            out: Out::new(),
            signals,
            presses: Presses::default(),
            echo: Echo::default(),
            machine,
            left_undone: false,
            settings,
            runtime,
        })
    }

    /// The settings, as they were when the command began.
    pub(crate) fn first(&self) -> Arc<chat_config::settings::Settings> {
        let store = self.settings.store.as_ref();
        store.map_or_else(Arc::default, |store| Arc::clone(&store.current().settings))
    }

    /// The model that was named, or the one of the settings, or the default one.
    pub(crate) fn named(&self, model: Option<&ModelName>) -> ModelName {
        let set = || self.first().model.name.clone().map(ModelName::new);
        let named = model.cloned().or_else(set);
        named.unwrap_or_else(|| ModelName::new(DEFAULT_MODEL))
    }

    /// The model that answers: named, or the agent's, or as [`Stage::named`].
    pub(crate) fn chosen(&self, choices: &Choices) -> ModelName {
        let name = choices.agent.as_deref().unwrap_or(DEFAULT_AGENT);
        let agent = self.first().agent(name);
        let own = agent.and_then(|agent| agent.model).map(ModelName::new);
        self.named(choices.model.as_ref().or(own.as_ref()))
    }

    /// Refuses an agent that is not there, before anything is loaded.
    pub(crate) fn check_agent(&self, choices: &Choices) -> Result<(), Failure> {
        let settings = self.first();
        let Some(name) = choices
            .agent
            .as_ref()
            .filter(|name| settings.agent(name).is_none())
        else {
            return Ok(());
        };
        let others = settings.agents.keys().filter(|name| *name != DEFAULT_AGENT);
        let there = std::iter::once(DEFAULT_AGENT.to_owned()).chain(others.cloned());
        let (name, there) = (name.clone(), there.collect());
        Err(NoAgent { name, there }.into())
    }

    /// The models on disk.
    pub(crate) fn store(&self) -> Result<Store, Failure> {
        let dir = self.first().model.models_dir.clone();
        let place = model_store::StoreConfig::at(dir.map(PathBuf::from));
        Ok(Store::open(place)?)
    }

    /// The host, before its start. Where there is no home to keep anything in, nothing is kept, and that is said.
    pub(crate) fn builder(&self, model: &ModelName, kept: Kept) -> Builder {
        let mut builder = Paraphym::builder()
            .runtime(self.runtime.clone())
            .model(model.clone());
        if kept != Kept::Nothing {
            match StoreConfig::in_data_folder(|name| std::env::var_os(name)) {
                Ok(place) => builder = builder.conversations(place),
                Err(error) => note(&format!("nothing is kept: {error}")),
            }
        }
        if kept == Kept::Memories {
            builder = builder.forget_conversations();
        }
        if let Some(store) = &self.settings.store {
            builder = builder.settings(store.clone());
        }
        if let Some((control, usual)) = &self.settings.log {
            builder = builder.log(control.clone(), *usual);
        }
        #[cfg(feature = "otlp")]
        if let Some(traces) = &self.settings.traces {
            builder = builder.traces(traces.clone());
        }
        #[cfg(feature = "console")]
        if let Some(console) = &self.settings.console {
            builder = builder.console(console.clone());
        }
        builder
    }

    /// Does `work` to its end, unless a signal comes; then it is dropped.
    pub(crate) async fn unless_signalled<T>(
        &mut self,
        work: impl Future<Output = T>,
    ) -> Result<T, Failure> {
        tokio::select! {
            done = work => Ok(done),
            signal = self.signals.next() => Err(self.meaning_of(signal)),
        }
    }

    /// A signal that ends the command.
    pub(crate) fn meaning_of(&mut self, signal: Signal) -> Failure {
        match signal {
            Signal::Terminate => {
                self.echo.heard(Instant::now());
                Failure::Terminated
            }
            Signal::HangUp => Failure::HungUp,
            Signal::Interrupt { .. } => {
                if self.presses.press() == Meaning::Leave {
                    leave_now(Failure::Interrupted.code());
                }
                Failure::Interrupted
            }
        }
    }

    /// As [`Stage::drain_within`], within the time that a person waits.
    pub(crate) async fn drain(&mut self, host: &Paraphym, unfinished: Option<Unfinished>) -> bool {
        self.drain_within(host, unfinished, DRAIN).await
    }

    /// Stops the tree in order, within so long, and says what was not finished. Another SIGTERM or Ctrl-C shortens it. What
    /// `unfinished` still has to say is said meanwhile; true if that came to its end.
    pub(crate) async fn drain_within(
        &mut self,
        host: &Paraphym,
        mut unfinished: Option<Unfinished>,
        within: Duration,
    ) -> bool {
        let report = {
            let mut stop = pin!(host.shutdown_within(within));
            loop {
                tokio::select! {
                    report = &mut stop => break report,
                    signal = self.signals.next() => {
                        let is_echo = signal == Signal::Terminate && self.echo.repeats(Instant::now());
                        self.meaning_of(signal);
                        // A closed terminal may say so twice: once the kernel, once the shell.
                        if signal != Signal::HangUp && !is_echo {
                            note("in a hurry: answers are cut off, and the actors have a second");
                            host.hurry();
                        }
                    }
                    () = next_of(&mut unfinished, &mut self.out) => {}
                }
            }
        };
        let (json, finished) = match unfinished {
            Some(rest) => rest.end(&mut self.out).await,
            None => (false, false),
        };
        self.left_undone = !report.abandoned.is_empty() || !report.killed.is_empty();
        for killed in &report.killed {
            note(&format!("killed: {killed}: it did not stop in time"));
        }
        for left in &report.abandoned {
            note(&format!("abandoned: {}: {}", left.child, left.what));
            // Its last line is an end; after a proper one nothing may follow.
            if json && !finished {
                let event = render::abandoned(left.child.as_str(), &left.what);
                let _ = self.out.json(&event).await;
            }
        }
        finished
    }
}

/// Says the next piece of an answer that goes on; never, where there is none.
async fn next_of(unfinished: &mut Option<Unfinished>, out: &mut Out) {
    match unfinished {
        Some(rest) => rest.go_on(out).await,
        None => std::future::pending().await,
    }
}

/// Ends the process here and now. Two cases have no other way: the third Ctrl-C asks for exactly this, and a thread
/// that waits for the keyboard cannot be told to stop, so that the runtime would wait for it in vain.
#[allow(clippy::disallowed_methods, reason = "see above: the one place")]
pub(crate) fn leave_now(code: u8) -> ! {
    std::process::exit(i32::from(code))
}
