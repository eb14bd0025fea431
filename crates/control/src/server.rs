//! The listener as a supervised child: it owns every connection, so that its end is theirs.

use std::sync::Arc;

use supervision::{ChildSpec, Shutdown, TaskContext, TaskError};
use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Duration, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::config::{ControlConfig, ControlDeps};
use crate::connection::{Connection, Peer};
use crate::convert::unix_ms;
use crate::desk::Desk;
use crate::place::{Place, PlaceError, own_uid};
use crate::protocol::ending::Ending;
use crate::protocol::rpc::{self, Code, RpcError};
use crate::seats::Seats;

/// The child's name.
pub const CHILD_ID: &str = "control";

/// How long accepting rests after the system refused it (out of file descriptors): hammering would not free any.
const ACCEPT_REST: Duration = Duration::from_millis(100);
/// How long whoever is sent away may take to read why.
const FAREWELL: Duration = Duration::from_millis(200);

/// Control as a permanent child named `control`. A socket that cannot be had fails its start.
pub fn child(config: ControlConfig, deps: ControlDeps) -> ChildSpec {
    let drain = Shutdown::Timeout(config.limits.drain + Duration::from_secs(1));
    let desk = Arc::new(Desk::new(deps, config.version.clone()));
    let start = move |context: TaskContext| serve(config.clone(), Arc::clone(&desk), context);
    ChildSpec::task(CHILD_ID, start).shutdown(drain)
}

async fn serve(
    config: ControlConfig,
    desk: Arc<Desk>,
    context: TaskContext,
) -> Result<(), TaskError> {
    let (listener, place) = match Place::take(&config.socket).await {
        Err(taken @ PlaceError::Taken { .. }) if !config.insists => {
            tracing::warn!("this server is without control: {taken}");
            context.ignore();
            return Ok(());
        }
        taken => taken?,
    };
    context.ready();
    let mut connections = Connections {
        seats: Seats::new(config.limits.connections),
        started_ms: unix_ms((desk.deps.clock)()),
        desk: Arc::clone(&desk),
        config,
        closing: CancellationToken::new(),
        tasks: JoinSet::new(),
    };
    tokio::select! {
        biased;
        () = context.stopping() => {}
        () = connections.accept_all(&listener) => {}
        () = keep_quiet(&desk) => {}
    }
    drop(listener);
    drop(place);
    connections.finish().await;
    Ok(())
}

/// Ends overrides of the log in time. Never returns.
async fn keep_quiet(desk: &Desk) {
    loop {
        let due = desk.deadline();
        let over = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = over => desk.quiet_down(),
            () = desk.rearm.notified() => {}
        }
    }
}

struct Connections {
    config: ControlConfig,
    desk: Arc<Desk>,
    seats: Seats,
    started_ms: i64,
    closing: CancellationToken,
    tasks: JoinSet<()>,
}

impl Connections {
    /// Never returns.
    async fn accept_all(&mut self, listener: &UnixListener) {
        loop {
            tokio::select! {
                Some(ended) = self.tasks.join_next() => report(ended),
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => self.welcome(stream),
                    Err(error) => {
                        tracing::warn!(%error, "accepting a control connection failed");
                        sleep(ACCEPT_REST).await;
                    }
                },
            }
        }
    }

    fn welcome(&mut self, stream: UnixStream) {
        let peer = match admitted(&stream) {
            Ok(peer) => peer,
            Err(refused) => {
                tracing::warn!(%refused, "a control connection was refused");
                self.tasks.spawn(sent_away(stream, refused));
                return;
            }
        };
        let seat = match self.seats.sit(peer.pid) {
            Ok(seat) => seat,
            Err(full) => {
                let why = RpcError::new(Code::Busy, full);
                self.tasks.spawn(sent_away(stream, why));
                return;
            }
        };
        let connection = Connection::new(&self.config, &self.desk, peer, self.started_ms);
        let closing = self.closing.clone();
        self.tasks.spawn(async move {
            if let Err(error) = connection.serve(stream, closing).await {
                tracing::debug!(%error, "a control connection ended early");
            }
            drop(seat);
        });
    }

    /// Lets what is under way come to its end, and, if all of the server ends, its last word be told; whoever stops us does not
    /// wait for ever.
    async fn finish(mut self) {
        let mut ending = self.desk.deps.ending.clone();
        let all = async {
            if ending.borrow().is_some() {
                // The sender is gone: then there will be none.
                let _ = ending
                    .wait_for(|at| at.as_ref().is_some_and(Ending::is_last))
                    .await;
            }
            self.closing.cancel();
            while let Some(ended) = self.tasks.join_next().await {
                report(ended);
            }
        };
        let _ = timeout(self.config.limits.drain, all).await;
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a control connection crashed; the others go on");
    }
}

/// Who is at the other end, if they may speak.
fn admitted(stream: &UnixStream) -> Result<Peer, RpcError> {
    let peer = stream.peer_cred().map_err(|error| {
        let what = format!("the system does not say who you are: {error}");
        RpcError::new(Code::Stranger, what)
    })?;
    let (uid, own) = (peer.uid(), own_uid());
    if !is_trusted(uid, own) {
        let what =
            format!("you are the user {uid}, and only {own} and root may control this server");
        return Err(RpcError::new(Code::Stranger, what));
    }
    Ok(Peer {
        uid,
        pid: peer.pid(),
    })
}

/// Only the user that the server runs as, and root.
const fn is_trusted(uid: u32, own: u32) -> bool {
    uid == own || uid == 0
}

/// Says why, and hangs up.
async fn sent_away(mut stream: UnixStream, why: RpcError) {
    let line = rpc::answer(None, Err(why)) + "\n";
    let _ = timeout(FAREWELL, stream.write_all(line.as_bytes())).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_user_and_root_are_heard() {
        for (uid, own, heard) in [
            (1000, 1000, true),
            (0, 1000, true),
            (0, 0, true),
            (1001, 1000, false),
            (1000, 0, false),
            (65_534, 1000, false),
        ] {
            assert_eq!(is_trusted(uid, own), heard, "{uid} at {own}");
        }
    }
}
