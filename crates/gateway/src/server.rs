//! The listener as a supervised child: it owns every connection, so that its end is theirs.
//!
//! A graceful stop takes no further connection, closes the idle ones, lets running answers finish, and ends. Answers that
//! still run shortly before the deadline are ended with an error; past it the supervisor drops this task and everything
//! in it.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use supervision::{ChildSpec, Shutdown, TaskContext, TaskError};
use tokio::io::join;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::config::{GatewayConfig, GatewayDeps, GatewayError, Limits};
use crate::guard::counted::Counted;
use crate::guard::goodbye::goodbye;
use crate::guard::hangup::{Answering, listen};
use crate::guard::patience::Patient;
use crate::guard::seating::Seat;
use crate::guard::seats::{Kind, NoSeat};
use crate::http::{Shared, router};
use crate::ws::upgrade::{Line, Promise};
use crate::{meters, ws};

/// How long accepting rests after the system refused it (out of file descriptors): hammering would not free any.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// How much of an answer the kernel holds for a client that does not read, in bytes; it doubles that. By itself it would
/// take megabytes, minutes of compute that nobody reads. Enough for a thousand tokens a second to the other end of the
/// world.
const SEND_BUFFER: u32 = 32 << 10;
/// Connections that wait in the kernel until they are accepted.
const BACKLOG: u32 = 1024;
/// Connections without a seat that are told so at once; further ones are hung up on without a word. 8: each is over within a
/// second.
const GOODBYES: usize = 8;

/// The gateway before it is started.
pub struct Gateway {
    /// Give it to a supervisor.
    pub spec: ChildSpec,
    /// Where it listens; nothing until it does. A restart with port 0 takes the port it had, or, if that is gone, another.
    pub address: watch::Receiver<Option<SocketAddr>>,
}

/// The gateway as a permanent child named `gateway`.
///
/// # Errors
/// `OpenToAll`, `NoToken`, `Origin`; an address that is in use fails the child's start.
pub fn child(config: GatewayConfig, deps: GatewayDeps) -> Result<Gateway, GatewayError> {
    config.check()?;
    // Once, and not with each life: what an operator limits stays limited.
    deps.serving.limit_connections(config.limits.connections);
    let (address, listens) = watch::channel(None);
    let drain = Shutdown::Timeout(config.drain);
    let former = Former::default();
    let start = move |context: TaskContext| {
        let (config, former) = (config.clone(), Arc::clone(&former));
        serve(config, deps.clone(), context, address.clone(), former)
    };
    Ok(Gateway {
        spec: ChildSpec::task("gateway", start).shutdown(drain),
        address: listens,
    })
}

/// The address of the life before.
type Former = Arc<Mutex<Option<SocketAddr>>>;

async fn serve(
    config: GatewayConfig,
    deps: GatewayDeps,
    context: TaskContext,
    address: watch::Sender<Option<SocketAddr>>,
    former: Former,
) -> Result<(), TaskError> {
    let bind = config.bind;
    let refused = |source| GatewayError::Bind { bind, source };
    let listener = again(bind, &former).map_err(refused)?;
    address.send_replace(Some(listener.local_addr().map_err(refused)?));
    let stopping = context.stopping();
    let shared = Arc::new(Shared::new(config, deps, context));
    shared.context.ready();
    let mut connections = Connections::new(Arc::clone(&shared));
    tokio::select! {
        biased;
        () = stopping => {}
        () = connections.accept_all(&listener) => {}
        () = part_with_unknown(&shared) => {}
    }
    address.send_replace(None);
    drop(listener);
    connections.finish().await;
    Ok(())
}

/// Has sessions end whose token was revoked, as soon as that is heard. Never returns.
async fn part_with_unknown(shared: &Shared) {
    let Some(live) = &shared.deps.live else {
        return std::future::pending().await;
    };
    let mut tokens = shared.config.access.tokens.clone();
    loop {
        tokens.changed().await;
        live.look_again().await;
    }
}

/// Where the life before listened, if that was a free port and still is: clients know it. Else where it is told to.
fn again(bind: SocketAddr, former: &Former) -> io::Result<TcpListener> {
    let mut former = former.lock().unwrap_or_else(PoisonError::into_inner);
    let had = former.filter(|_| bind.port() == 0);
    let listener = match had.map(bound) {
        Some(Ok(listener)) => listener,
        Some(Err(_)) | None => bound(bind)?,
    };
    let address = listener.local_addr()?;
    if let Some(had) = had.filter(|had| *had != address) {
        tracing::warn!(%address, %had, "listening elsewhere: the address it had is taken");
    }
    *former = Some(address);
    Ok(listener)
}

/// Every connection has the listener's own buffer sizes.
fn bound(bind: SocketAddr) -> io::Result<TcpListener> {
    let socket = if bind.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    socket.set_reuseaddr(true)?;
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(bind)?;
    socket.listen(BACKLOG)
}

struct Connections {
    shared: Arc<Shared>,
    router: Router,
    goodbyes: Arc<Semaphore>,
    closing: CancellationToken,
    /// However this life ends, the transports that are not among the tasks any more end with it.
    _ends: DropGuard,
    tasks: JoinSet<()>,
}

impl Connections {
    fn new(shared: Arc<Shared>) -> Self {
        let closing = CancellationToken::new();
        Self {
            router: router(Arc::clone(&shared)),
            goodbyes: Arc::new(Semaphore::new(GOODBYES)),
            shared,
            _ends: closing.clone().drop_guard(),
            closing,
            tasks: JoinSet::new(),
        }
    }

    /// Never returns.
    async fn accept_all(&mut self, listener: &TcpListener) {
        loop {
            tokio::select! {
                Some(ended) = self.tasks.join_next() => report(ended),
                (stream, peer) = accept(listener) => self.welcome(stream, peer),
            }
        }
    }

    fn welcome(&mut self, stream: TcpStream, peer: SocketAddr) {
        let seating = self.shared.deps.serving.seating();
        match seating.sit(Kind::Http, peer, Instant::now()) {
            Ok(seat) => {
                let router = self.router.clone();
                let shared = Arc::clone(&self.shared);
                let closing = self.closing.clone();
                self.tasks
                    .spawn(connection(stream, seat, router, shared, closing));
            }
            Err(no_seat) => self.send_away(stream, no_seat),
        }
    }

    fn send_away(&mut self, stream: TcpStream, why: NoSeat) {
        tracing::debug!(?why, "there is no seat for a connection");
        let Ok(one) = Arc::clone(&self.goodbyes).try_acquire_owned() else {
            return;
        };
        let closing = self.closing.clone();
        self.tasks.spawn(async move {
            let _one = one;
            tokio::select! {
                () = goodbye(stream, why) => {}
                () = closing.cancelled() => {}
            }
        });
    }

    /// Closes idle connections and waits for the answers of the others, the last while for their last words.
    async fn finish(mut self) {
        self.closing.cancel();
        let config = &self.shared.config;
        let patience = config.drain.saturating_sub(config.limits.last_word);
        let mut enough = pin!(tokio::time::sleep(patience));
        let ending = &self.shared.ending;
        loop {
            tokio::select! {
                () = &mut enough, if !ending.is_cancelled() => ending.cancel(),
                ended = self.tasks.join_next() => match ended {
                    Some(ended) => report(ended),
                    None => return,
                },
            }
        }
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection crashed; the others go on");
    }
}

fn is_the_last_over_http<B>(answer: &hyper::Response<B>) -> bool {
    answer.status() == hyper::StatusCode::SWITCHING_PROTOCOLS
}

/// The next connection, and who is at its other end.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                tracing::warn!(%error, "accepting a connection failed");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}

/// Requests, and what they may become.
async fn connection(
    stream: TcpStream,
    seat: Seat,
    router: Router,
    shared: Arc<Shared>,
    closing: CancellationToken,
) {
    let promise = Promise::default();
    let limits = shared.config.limits;
    requests(stream, &seat, router, limits, &closing, promise.clone()).await;
    if let Some(live) = shared.deps.live.clone()
        && let Some(upgraded) = promise.take()
    {
        ws::go_on(shared, live, upgraded, seat, closing).await;
    }
}

async fn requests(
    stream: TcpStream,
    seat: &Seat,
    router: Router,
    limits: Limits,
    closing: &CancellationToken,
    promise: Promise,
) {
    // Small pieces of text must not wait for each other.
    let _ = stream.set_nodelay(true);
    let (reader, writer) = stream.into_split();
    let _open = meters::Connection::begin();
    let answering = Answering::default();
    let (reader, writer) = (
        Counted::new(reader, seat.traffic()),
        Counted::new(writer, seat.traffic()),
    );
    let (reader, hangup) = listen(reader, answering.clone());
    let stream: Line = Patient::new(join(reader, writer), limits.write_time, limits.write_bytes);
    let router = TowerToHyperService::new(router);
    let sitter = seat.sitter().clone();
    let service = service_fn(move |mut request: hyper::Request<_>| {
        let sitter = sitter.clone();
        sitter.asks();
        request.extensions_mut().insert(answering.clone());
        request.extensions_mut().insert(sitter.clone());
        request.extensions_mut().insert(promise.clone());
        let answered = router.call(request);
        async move {
            let answer = answered.await;
            // Who goes on as a WebSocket has yet to say who they are.
            if answer.as_ref().is_ok_and(is_the_last_over_http) {
                return answer;
            }
            sitter.spoke();
            answer
        }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        .max_header_size(limits.head_bytes)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut serving = pin!(serving);
    let served = async {
        let ended = tokio::select! {
            ended = serving.as_mut() => ended,
            () = closing.cancelled() => {
                serving.as_mut().graceful_shutdown();
                serving.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended early");
        }
    };
    tokio::select! {
        // Hyper reads first: whoever sends a request and its end at once may get an answer.
        biased;
        () = served => {}
        () = hangup.happened() => tracing::debug!("a client left before its answer was complete"),
        () = seat.kicked() => {
            let number = seat.sitter().number();
            tracing::info!(number, "a connection was closed by an operator");
        }
    }
}
