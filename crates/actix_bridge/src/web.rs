//! Routes of actix-web as a child of the tree. actix's own `HttpServer` has a thread for accepting and one for each
//! worker; here the accept loop and the connections are tasks of the local set.
//!
//! A stop takes no further connection, closes those that are idle, and lets running answers finish, to the child's
//! deadline.

use std::fmt::{Debug, Display};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_http::body::{BoxBody, MessageBody};
use actix_http::{HttpService, KeepAlive, Request, Response};
use actix_service::{IntoServiceFactory, Service, ServiceFactory, map_config};
use actix_web::dev::AppConfig;
use supervision::{ChildId, ChildSpec, TaskContext, TaskError};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::bridge::Bridge;

/// How long accepting rests after the system refused it (out of file descriptors): hammering would not free any.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// How much a listener takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebLimits {
    /// Connections at once, from 1; others wait in the kernel.
    pub connections: usize,
    /// How long a client may take for the head of a request.
    pub head_time: Duration,
    /// How long a connection may be idle between two requests.
    pub keep_alive: Duration,
}

impl Default for WebLimits {
    /// 256 connections, as our gateway; 5 s for a head and 5 s idle, as actix-web has them.
    fn default() -> Self {
        Self {
            connections: 256,
            head_time: Duration::from_secs(5),
            keep_alive: Duration::from_secs(5),
        }
    }
}

/// The listening socket, which outlives crashes: clients wait in the kernel meanwhile.
struct Door {
    address: SocketAddr,
    /// Absent after a stop for good.
    kept: Mutex<Option<std::net::TcpListener>>,
}

impl Door {
    /// The socket that is open, or another at the same address.
    fn open(&self) -> io::Result<TcpListener> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let listener = match kept.take() {
            Some(listener) => listener,
            None => std::net::TcpListener::bind(self.address)?,
        };
        listener.set_nonblocking(true)?;
        let ours = listener.try_clone()?;
        *kept = Some(listener);
        TcpListener::from_std(ours)
    }

    fn close(&self) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Bridge {
    /// A permanent child that serves an actix-web app over HTTP/1.1 on `listener`. `app` is called for every life, on the
    /// local set, so what it holds need not be `Send`. A client that leaves ends its answer: its body is dropped, and with
    /// it a stream of the host. A handler that panics ends its own connection.
    ///
    /// Of an `HttpServer` it has neither TLS nor HTTP/2, and `req.app_config()` is the default one.
    ///
    /// # Errors
    /// The socket has no address.
    pub fn web<F, I, S, B>(
        &self,
        id: impl Into<ChildId>,
        listener: std::net::TcpListener,
        limits: WebLimits,
        app: F,
    ) -> io::Result<ChildSpec>
    where
        F: Fn() -> I + Send + Sync + 'static,
        I: IntoServiceFactory<S, Request>,
        S: ServiceFactory<Request, Config = AppConfig> + 'static,
        S::Error: Into<Response<BoxBody>> + 'static,
        S::InitError: Debug,
        S::Response: Into<Response<B>> + 'static,
        <S::Service as Service<Request>>::Future: 'static,
        B: MessageBody + 'static,
    {
        let address = listener.local_addr()?;
        let kept = Mutex::new(Some(listener));
        let (door, app) = (Arc::new(Door { address, kept }), Arc::new(app));
        Ok(self.task(id, move |context| {
            let (door, app) = (door.clone(), app.clone());
            serve(context, door, limits, move || app().into_factory())
        }))
    }
}

async fn serve<S, B>(
    context: TaskContext,
    door: Arc<Door>,
    limits: WebLimits,
    app: impl FnOnce() -> S,
) -> Result<(), TaskError>
where
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Error: Into<Response<BoxBody>> + 'static,
    S::InitError: Debug,
    S::Response: Into<Response<B>> + 'static,
    <S::Service as Service<Request>>::Future: 'static,
    B: MessageBody + 'static,
{
    let closing = CancellationToken::new();
    let closes = closing.clone();
    let service = HttpService::build()
        .keep_alive(KeepAlive::Timeout(limits.keep_alive))
        .client_request_timeout(limits.head_time)
        // Whoever sends nothing more has left: half a connection would keep the model computing for nobody.
        .h1_allow_half_closed(false)
        .tcp_nodelay(true)
        .graceful_shutdown_signal(move || closes.clone().cancelled_owned())
        .finish(map_config(app(), |()| AppConfig::default()))
        .tcp();
    let service = service.new_service(()).await;
    let service =
        Rc::new(service.map_err(|()| "the app could not be built; actix has logged why")?);
    let listener = door.open()?;
    context.ready();
    let mut connections = JoinSet::new();
    let mut stopping = pin!(context.stopping());
    loop {
        let has_room = connections.len() < limits.connections.max(1);
        tokio::select! {
            () = &mut stopping => break,
            Some(ended) = connections.join_next() => report(ended),
            stream = accept(&listener), if has_room => {
                connections.spawn_local(answer(service.clone(), stream));
            }
        }
    }
    drop(listener);
    if context.stops_for_good() {
        door.close();
    }
    closing.cancel();
    while let Some(ended) = connections.join_next().await {
        report(ended);
    }
    Ok(())
}

async fn answer<S>(service: Rc<S>, stream: TcpStream)
where
    S: Service<TcpStream, Response = ()>,
    S::Error: Display,
{
    let answered = async {
        poll_fn(|cx| service.poll_ready(cx)).await?;
        service.call(stream).await
    };
    if let Err(error) = answered.await {
        tracing::debug!(%error, "a connection ended early");
    }
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                tracing::warn!(%error, "accepting a connection failed");
                tokio::time::sleep(ACCEPT_REST).await;
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
