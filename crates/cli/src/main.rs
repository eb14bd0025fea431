//! The `paraphym` binary: words come in, a command runs on the one runtime, an exit status goes out.
//!
//! Invariants: everything runs on the runtime that `paraphym_candle::run` builds; nothing panics on a closed pipe; an
//! error is one line and a hint, never a dump; the exit status is 0, 1, 2, 3, 4, 129, 130 or 143.

mod answer;
mod args;
mod ask;
mod chat;
mod choices;
mod config;
mod ctl;
mod doctor;
mod echo;
mod equip;
mod failure;
mod fetch;
mod history;
mod manual;
mod memory;
mod model;
mod out;
mod permission;
mod presses;
mod progress;
mod question;
mod render;
mod serve;
mod settings;
mod size;
mod stage;
mod steps;
mod thread;
mod token;
mod top;
mod unfinished;

use std::process::ExitCode;

use clap::Parser;
use paraphym_candle::{Runtime, RuntimeOptions};
use telemetry::{LogControl, LogFormat, Logging, log_panics};

use crate::args::{Cli, Command, Format};
use crate::failure::Failure;
use crate::stage::{Settings, Stage};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody to tell where standard error is gone.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1));
        }
    };
    match started(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            out::tell(&failure);
            ExitCode::from(failure.code())
        }
    }
}

/// What needs no runtime is done without one.
fn started(cli: Cli) -> Result<(), Failure> {
    match &cli.command {
        Command::Completions { shell } => return manual::completions(*shell),
        Command::Man { command } => return manual::man(command),
        _ => {}
    }
    let settings = settings(&cli)?;
    let ran = paraphym_candle::run(&RuntimeOptions::default(), |runtime| {
        command(cli, settings, runtime)
    });
    ran.map_err(|error| Failure::failed(error, "run `paraphym doctor`"))?
}

/// A server says how it ends, and what goes wrong in its tree and what was started again (the events that count restarts), not each
/// start and stop, nor what the command says itself. What kameo says of a crash our own supervision says, too.
const SERVING: &str =
    "warn,paraphym_supervision[{restarts}]=info,paraphym_candle::ending=info,kameo=off";

/// A command keeps quiet unless something is wrong.
const ASKING: &str = "error,kameo=off";

/// Opens the settings and the log. A file that is wrong must not keep anybody from mending it, from taking a token back,
/// or from a server that runs with its own.
fn settings(cli: &Cli) -> Result<Settings, Failure> {
    let usual = match cli.command {
        Command::Serve(_) => SERVING,
        _ => ASKING,
    };
    let store = match cli.command {
        Command::Config(_) | Command::Token(_) | Command::Ctl(_) | Command::Top(_) => None,
        _ => Some(settings::open(&cli.machine)?),
    };
    let set = store
        .as_ref()
        .map(|store| store.current().settings.telemetry.clone())
        .unwrap_or_default();
    let filter = cli.machine.log.clone().or(set.log);
    let filter = filter.as_deref().unwrap_or(usual);
    let format = match (cli.machine.log_format, set.log_format) {
        (Some(Format::Json), _) | (None, chat_config::settings::LogFormat::Json) => LogFormat::Json,
        _ => LogFormat::Text,
    };
    let mut settings = Settings {
        store,
        ..Settings::default()
    };
    let serves = matches!(cli.command, Command::Serve(_));
    settings.log = Some((begin_log(filter, format, serves, &mut settings)?, usual));
    log_panics("paraphym-");
    Ok(settings)
}

/// Who else listens is as this program was built, and as the environment says.
#[cfg_attr(
    not(all(feature = "otlp", feature = "console")),
    allow(unused_mut, unused_variables, reason = "fewer listen, or nobody else")
)]
fn begin_log(
    filter: &str,
    format: LogFormat,
    serves: bool,
    settings: &mut Settings,
) -> Result<LogControl, Failure> {
    let mut logging = Logging::new(filter, format);
    #[cfg(feature = "otlp")]
    if let Some(endpoint) = std::env::var(telemetry::ENDPOINT)
        .ok()
        .filter(|e| !e.is_empty())
    {
        let traces = logging.send_traces(&endpoint);
        settings.traces = Some(traces.map_err(|error| Failure::usage(error, ""))?);
    }
    // Only a server: two processes cannot listen at one port.
    #[cfg(feature = "console")]
    if serves {
        let bind = std::env::var(telemetry::CONSOLE_BIND).ok();
        let console = logging.watch_tasks(bind.as_deref().filter(|bind| !bind.is_empty()));
        settings.console = Some(console.map_err(|error| Failure::usage(error, ""))?);
    }
    logging.begin().map_err(|error| Failure::usage(error, ""))
}

async fn command(cli: Cli, settings: Settings, runtime: Runtime) -> Result<(), Failure> {
    let mut stage = Stage::new(cli.machine, settings, runtime)?;
    match &cli.command {
        Command::Ask(args) => ask::run(&mut stage, args).await,
        Command::Chat(args) => chat::run(&mut stage, args).await,
        Command::Model(args) => model::run(&mut stage, &args.action).await,
        Command::Doctor(args) => doctor::run(&mut stage, args).await,
        Command::Serve(args) => serve::run(&mut stage, args).await,
        Command::Token(args) => token::run(&mut stage, &args.action).await,
        Command::Config(args) => config::run(&mut stage, &args.action).await,
        Command::History(args) => history::run(&mut stage, &args.action).await,
        Command::Memory(args) => memory::run(&mut stage, &args.action).await,
        Command::Ctl(args) => ctl::run(&mut stage, args).await,
        Command::Top(args) => top::run(&mut stage, args).await,
        // Done before there was a runtime.
        Command::Completions { .. } | Command::Man { .. } => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::EnvFilter;

    use super::*;

    /// What a filter lets through of the lines a tree writes.
    fn shown(filter: &str) -> String {
        let written = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&written);
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::try_new(filter).unwrap())
            .with_writer(move || Sink(Arc::clone(&sink)))
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            use tracing::{error, info, warn};
            const TREE: &str = "paraphym_supervision::events";
            info!(target: TREE, child = "root/a", incarnation = 1, "starting");
            info!(target: TREE, child = "root/a", incarnation = 1, took = 3, "ready");
            warn!(target: TREE, child = "root/a", incarnation = 1, reason = "x", "crashed");
            info!(target: TREE, child = "root/a", incarnation = 2, restarts = 1, "restarted");
            info!(target: TREE, child = "root/a", incarnation = 2, "stopping");
            info!(target: "paraphym_model_store::pull", "a model source failed");
            error!(target: "kameo", "panicked");
        });
        let bytes = written.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_server_says_what_went_wrong_and_what_was_started_again() {
        let said = shown(SERVING);
        for (line, there) in [
            ("starting", false),
            ("ready", false),
            ("crashed", true),
            ("restarted", true),
            ("stopping", false),
            ("a model source failed", false),
            ("panicked", false),
        ] {
            assert_eq!(said.contains(line), there, "{line} in {said}");
        }
        assert_eq!(shown(ASKING), "");
    }
}
