//! The `paraphym` binary: words come in, a command runs on the one runtime, an exit status goes out.
//!
//! Invariants: everything runs on the runtime that `paraphym_candle::run` builds; nothing panics on a closed pipe; an
//! error is one line and a hint, never a dump; the exit status is 0, 1, 2, 130 or 143.

mod answer;
mod args;
mod ask;
mod chat;
mod choices;
mod doctor;
mod failure;
mod fetch;
mod model;
mod out;
mod presses;
mod progress;
mod render;
mod serve;
mod size;
mod stage;

use std::process::ExitCode;

use clap::Parser;
use paraphym_candle::{Runtime, RuntimeOptions};
use telemetry::{LogFormat, init_logging, log_panics};

use crate::args::{Cli, Command};
use crate::failure::Failure;
use crate::stage::Stage;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody to tell where standard error is gone.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1));
        }
    };
    let result = logging(&cli).and_then(|()| {
        paraphym_candle::run(&RuntimeOptions::default(), |runtime| command(cli, runtime))
            .map_err(|error| Failure::failed(error, "run `paraphym doctor`"))?
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            out::tell(&failure);
            ExitCode::from(failure.code())
        }
    }
}

/// A server says what it does; a command keeps quiet unless something is wrong. What kameo says of a crash our own
/// supervision says, too.
fn logging(cli: &Cli) -> Result<(), Failure> {
    let default = match cli.command {
        Command::Serve(_) => "info,kameo=off",
        _ => "error,kameo=off",
    };
    let filter = cli.machine.log.as_deref().unwrap_or(default);
    init_logging(filter, LogFormat::Text).map_err(|error| Failure::usage(error, ""))?;
    log_panics("paraphym-");
    Ok(())
}

async fn command(cli: Cli, runtime: Runtime) -> Result<(), Failure> {
    let mut stage = Stage::new(cli.machine, runtime)?;
    match &cli.command {
        Command::Ask(args) => ask::run(&mut stage, args).await,
        Command::Chat(args) => chat::run(&mut stage, args).await,
        Command::Model(args) => model::run(&mut stage, &args.action).await,
        Command::Doctor(args) => doctor::run(&mut stage, args).await,
        Command::Serve(args) => serve::run(&mut stage, args).await,
    }
}
