//! Answers over HTTP until told to stop.

use std::time::Duration;

use chat_config::client;
use paraphym_candle::conversation_store::{self, Archive, StoreConfig, StoreError};
use paraphym_candle::signals::Signal;
use paraphym_candle::{Builder, Paraphym, ServiceManager, history_now};

use crate::args::Serve;
use crate::failure::Failure;
use crate::fetch::ensure;
use crate::out::{note, tell};
use crate::stage::{Kept, Stage};
use crate::token;

/// Serves until a signal ends it or the tree gives up.
pub(crate) async fn run(stage: &mut Stage, args: &Serve) -> Result<(), Failure> {
    let terminal = Terminal::look();
    let model = stage.named(args.model.as_ref());
    let store = stage.store()?;
    let kept = kept(stage, args).await?;
    match ensure(stage, &store, &model).await {
        Ok(()) => {}
        Err(
            end @ (Failure::Interrupted
            | Failure::Terminated
            | Failure::HungUp
            | Failure::Usage { .. }),
        ) => return Err(end),
        // A server without its default model is still alive, says that it is not ready, and serves others.
        Err(failure) => {
            tell(&failure);
            note("serving without it; requests may name another model");
        }
    }
    let bind = args.bind.unwrap_or(stage.first().realtime.bind);
    let mut builder = stage
        .builder(&model, Kept::Nothing)
        // Nothing that is asked over HTTP calls them yet.
        .without_servers_of_settings()
        .serve(bind);
    match token::place() {
        Ok(tokens) => builder = builder.tokens(tokens),
        Err(error) => note(&format!("nobody has a token: {error}")),
    }
    builder = steered(builder, args);
    if let Some(archive) = kept {
        // What is said in rooms lies there, too. Whoever asks over HTTP sends all of it along, and nothing of it is kept.
        builder = builder.open_conversations(archive);
    }
    if let Some(manager) = ServiceManager::of_this_process() {
        builder = builder.service_manager(manager);
    }
    let host = builder.start().await?;
    match stage.unless_signalled(host.address()).await {
        Ok(Some(address)) => note(&format!("listening on http://{address}")),
        Ok(None) => note("not listening"),
        Err(signal) => {
            stage.drain(&host, None).await;
            return Err(signal);
        }
    }
    let result = loop {
        tokio::select! {
            wished = host.asked_to_stop() => {
                stage.drain_within(&host, None, wished).await;
                return finished(stage, Ok(()));
            }
            _ = host.ended() => break Err(Failure::failed(
                "the server ended by itself: its tree gave up restarting",
                "the log lines above say which part and why",
            )),
            signal = stage.signals.next() => {
                if signal == Signal::HangUp && !terminal.is_gone().await {
                    read_again(&host).await;
                } else {
                    break Err(stage.meaning_of(signal));
                }
            }
        }
    };
    stage.drain(&host, None).await;
    finished(stage, result)
}

/// What was left undone is told by the exit status, unless the server failed by itself.
fn finished(stage: &Stage, result: Result<(), Failure>) -> Result<(), Failure> {
    match result {
        Err(failed @ Failure::Failed { .. }) => Err(failed),
        _ if stage.left_undone => Err(Failure::Abandoned),
        result => result,
    }
}

/// Where it can be steered from, and how far.
fn steered(builder: Builder, args: &Serve) -> Builder {
    let builder = match &args.control {
        None => builder.control_at_the_usual_place(),
        Some(off) if off.as_os_str() == "off" => builder,
        Some(socket) => builder.control(socket),
    };
    if args.allow_chaos {
        note("faults on purpose are allowed");
        return builder.allow_chaos();
    }
    builder
}

/// The file of the audit log, opened before anything that takes time. None where it is in memory.
async fn kept(stage: &mut Stage, args: &Serve) -> Result<Option<Archive>, Failure> {
    let place = match &args.store {
        Some(off) if off.as_os_str() == "off" => None,
        Some(file) => Some(StoreConfig::at(file).alone()),
        None => match StoreConfig::of_a_server(|name| std::env::var_os(name)) {
            Ok(place) => Some(place),
            Err(error) => {
                note(&format!("{error}; --store PATH names a file"));
                None
            }
        },
    };
    let Some(place) = place else {
        note("the audit log is kept in memory, and ends with this server");
        return Ok(None);
    };
    let opened = conversation_store::client::open(place, history_now());
    let elsewhere = "--store PATH keeps the audit log elsewhere, --store off in memory";
    match stage.unless_signalled(opened).await? {
        Ok(archive) => Ok(Some(archive)),
        Err(taken @ StoreError::Taken { .. }) => Err(Failure::usage(taken, elsewhere)),
        Err(error) => Err(Failure::failed(error, elsewhere)),
    }
}

/// SIGHUP means two things: the terminal is gone, which ends whatever was started from it; or, said by a person or a
/// service manager, that the settings file is to be read.
async fn read_again(host: &Paraphym) {
    match client::reload(host.config(), "SIGHUP").await {
        Ok(revision) => note(&format!(
            "the settings were read again: revision {} holds",
            revision.number
        )),
        Err(error) => note(&format!(
            "the settings file was not taken over, the running settings stay: {}",
            error.to_string().replace('\n', "; ")
        )),
    }
}

/// The terminal this process was started from, if there is one.
struct Terminal {
    was_there: bool,
}

/// The kernel takes the terminal away a moment after it says so, where the shell ended first.
const MOMENT: Duration = Duration::from_millis(200);

impl Terminal {
    fn look() -> Self {
        Self {
            was_there: is_there(),
        }
    }

    async fn is_gone(&self) -> bool {
        if self.was_there && is_there() {
            tokio::time::sleep(MOMENT).await;
        }
        self.was_there && !is_there()
    }
}

fn is_there() -> bool {
    std::fs::File::open("/dev/tty").is_ok()
}
