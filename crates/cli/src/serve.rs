//! Answers over HTTP until told to stop.

use crate::args::Serve;
use crate::failure::Failure;
use crate::fetch::ensure;
use crate::out::{note, tell};
use crate::stage::Stage;

/// Serves until a signal comes or the tree gives up.
pub(crate) async fn run(stage: &mut Stage, args: &Serve) -> Result<(), Failure> {
    let model = stage.named(args.model.as_ref());
    let store = stage.store()?;
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
    let host = stage.builder(&model).serve(bind).start().await?;
    match stage.unless_signalled(host.address()).await {
        Ok(Some(address)) => note(&format!("listening on http://{address}")),
        Ok(None) => note("not listening"),
        Err(signal) => {
            stage.drain(&host, None).await;
            return Err(signal);
        }
    }
    let ended = stage.unless_signalled(host.ended()).await;
    let result = match ended {
        Err(signal) => Err(signal),
        Ok(_) => Err(Failure::failed(
            "the server ended by itself: its tree gave up restarting",
            "the log lines above say which part and why",
        )),
    };
    stage.drain(&host, None).await;
    result
}
