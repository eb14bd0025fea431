//! `GET /ws`: a connection in real time. Here it is let in and its protocol begun; who speaks over it, and what about, is
//! `connection`'s.
//!
//! ```text
//!  hyper ── 101 ──> upgrade ──> transport ── greeted ──> connection* (supervised, under connection_supervisor)
//! ```
//!
//! Invariants: a socket lives no longer than the life of the listener that accepted it; it has its seat until it is closed;
//! who has not said who they are counts as silent; a request that ended with an upgrade is no request under way.

pub(crate) mod admission;
mod frames;
mod pieces;
mod transport;
pub(crate) mod upgrade;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use connection::Connections;
use hyper::upgrade::OnUpgrade;
use tokio::time::{Duration, timeout};
use tokio_util::sync::CancellationToken;

use crate::error::ApiError;
use crate::guard::seating::Seat;
use crate::guard::seats::Kind;
use crate::http::{Refused, Shared};
use crate::ws::upgrade::{Promise, accepted, bare, not_an_upgrade};

/// Where it is.
pub(crate) const PATH: &str = "/ws";
/// How long hyper may take to hand a socket over once it has answered. 5 s: it takes no time at all.
const HAND_OVER: Duration = Duration::from_secs(5);

/// Agrees to go on in another protocol, and says so to whoever serves this connection.
pub(crate) async fn ws(
    State(shared): State<Arc<Shared>>,
    mut request: Request,
) -> Result<Response, Refused> {
    let answer = match accepted(&request) {
        Ok(answer) => answer,
        Err(why) => return Ok(not_an_upgrade(&why)),
    };
    if shared.deps.serving.is_draining() {
        return Err(ApiError::draining().into());
    }
    let promise = request.extensions().get::<Promise>().cloned();
    if let Some(promise) = promise {
        promise.keep(hyper::upgrade::on(&mut request));
    }
    Ok(answer.into_response())
}

/// Goes on with an upgraded connection until it was greeted: from then on it is its session's.
pub(crate) async fn go_on(
    shared: Arc<Shared>,
    live: Connections,
    upgraded: OnUpgrade,
    seat: Seat,
    closing: CancellationToken,
) {
    seat.becomes(Kind::WebSocket);
    let sitter = seat.sitter().clone();
    let upgraded = match timeout(HAND_OVER, upgraded).await {
        Ok(Ok(upgraded)) => upgraded,
        Ok(Err(error)) => {
            tracing::debug!(%error, "a connection was not upgraded");
            return;
        }
        Err(_) => return,
    };
    let Some((stream, ahead)) = bare(upgraded) else {
        tracing::error!("a connection was upgraded over something else than its socket");
        return;
    };
    let transport = transport::over(stream, ahead, seat, closing, live.frame_bytes()).await;
    let admission = move |token: Option<&str>, user: Option<&str>| {
        let guest = || format!("guest-{}", shared.ids.number());
        shared.door.admission(token, user, guest)
    };
    live.greet(transport, &admission).await;
    sitter.spoke();
}
