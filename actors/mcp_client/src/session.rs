//! Shell: one connection to one server, from its start to its end.
//!
//! Invariants: it ends within twice the server's grace and two seconds of being stopped; when it has ended nothing of the
//! server's process group runs; and it never waits for the server without listening for the stop.

use std::future::{Future, pending};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::FusedFuture;
use rmcp::ServiceExt;
use rmcp::handler::client::ClientHandler;
use rmcp::model::{
    ClientCapabilities, ClientConfig, ClientRequest, Implementation, ListToolsRequest,
    PaginatedRequestParams, PingRequest, ServerResult, Tool,
};
use rmcp::service::{
    ClientInitializeError, NotificationContext, Peer, RoleClient, RunningService, ServiceError,
};
use rmcp::transport::IntoTransport;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::answer::{not_answered, not_greeted};
use crate::board::{Board, Epitaph, Session};
use crate::config::Transport;
use crate::http;
use crate::offer::{Listed, Offer, offer};
use crate::stdio::Program;

/// Pages of tools that are read. 50: a server that has more has no end.
const PAGES: usize = 50;
/// Tools that are read, before the filter. 2000: some servers have many, and are filtered.
const TOOLS: usize = 2000;
/// A list that has changed is read this much later: changes come in bursts.
const SETTLE: Duration = Duration::from_millis(200);
/// How long a server may take to say that it is there, when somebody has given up on it. 5 s: it need only answer.
const ALIVE: Duration = Duration::from_secs(5);
/// How long the protocol's own farewell may take before the pipes are closed without it. 1 s.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long what a program said before it ended may take to be read. 200 ms: it lies in the pipe.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// What a connection is made from.
pub(crate) struct Work {
    pub(crate) board: Arc<Board>,
    /// Which one of this server.
    pub(crate) number: u64,
    /// Cancelled when it is to end.
    pub(crate) stop: CancellationToken,
    /// Somebody has given up on a call.
    pub(crate) doubts: mpsc::Receiver<()>,
    /// Takes what becomes known.
    pub(crate) news: mpsc::Sender<News>,
}

/// What becomes known of a connection.
pub(crate) enum News {
    /// There is a process.
    Process(u32),
    /// It can be called, and offers these tools; said again when they change.
    Up(Session, Offer),
}

/// Why a connection ended.
pub(crate) struct Ended {
    /// In our words.
    pub(crate) why: String,
    /// What its program said last, as it said it; empty if nothing. It may have secrets in it.
    pub(crate) last_words: String,
}

impl From<String> for Ended {
    fn from(why: String) -> Self {
        let last_words = String::new();
        Self { why, last_words }
    }
}

/// Runs the connection to its end.
pub(crate) async fn run(work: Work) -> Ended {
    let epitaph = Epitaph::default();
    let board = Arc::clone(&work.board);
    let config = &board.config;
    match &config.transport {
        Transport::Stdio { .. } => {
            let (mut program, transport) = match Program::start(config, epitaph.clone()) {
                Ok(started) => started,
                Err(why) => return why.into(),
            };
            // Only a life that has ended meanwhile does not listen.
            let _ = work.news.send(News::Process(program.group.id())).await;
            let gone = async {
                match program.group.exited().await {
                    Ok(status) => format!("it ended ({status})"),
                    Err(error) => format!("it is lost: {error}"),
                }
            };
            let why = serve(work, transport, gone, epitaph).await;
            let last_words = program.last_words();
            program.end(config).await;
            Ended { why, last_words }
        }
        Transport::Http { .. } => match http::transport(config) {
            Ok(transport) => serve(work, transport, pending(), epitaph).await.into(),
            Err(why) => why.into(),
        },
    }
}

/// Hears that the list of tools has changed.
struct Listener {
    changed: mpsc::Sender<()>,
}

impl ClientHandler for Listener {
    fn get_info(&self) -> ClientConfig {
        let who = Implementation::new("paraphym", env!("CARGO_PKG_VERSION"));
        ClientConfig::new(ClientCapabilities::default(), who)
    }

    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        // Full: it is known already.
        let _ = self.changed.try_send(());
    }
}

type Service = RunningService<RoleClient, Listener>;

/// What is asked of a server beside the calls, one at a time.
type Errand = Pin<Box<dyn Future<Output = Report> + Send>>;

enum Report {
    Listed(Result<Offer, String>),
    Alive(Result<(), String>),
}

impl Report {
    /// Tells the actor; an error ends the connection.
    async fn pass_on(self, work: &Work, session: Session, is_up: bool) -> Result<(), String> {
        match self {
            Self::Listed(Ok(offer)) => {
                // Only a life that has ended does not listen.
                let _ = work.news.send(News::Up(session, offer)).await;
                Ok(())
            }
            Self::Listed(Err(why)) if is_up => {
                let server = &work.board.config.name;
                tracing::warn!(server, why, "the old list of tools stays");
                Ok(())
            }
            Self::Listed(Err(why)) => Err(why),
            Self::Alive(alive) => alive,
        }
    }
}

async fn serve<T, E, A>(
    mut work: Work,
    transport: T,
    gone: impl Future<Output = String>,
    epitaph: Epitaph,
) -> String
where
    T: IntoTransport<RoleClient, E, A>,
    E: std::error::Error + Send + Sync + 'static,
{
    let board = Arc::clone(&work.board);
    let mut gone = pin!(gone);
    let (changed, mut news_of_tools) = mpsc::channel(1);
    let deadline = Instant::now() + board.config.start_timeout;
    let start = Listener { changed }.serve(transport);
    let opened = tokio::select! {
        biased;
        () = work.stop.cancelled() => return "it was stopped".to_owned(),
        opened = open(start, deadline, &board, &epitaph) => opened,
        why = &mut gone => return why,
    };
    let service = match opened {
        Ok(service) => service,
        Err(why) => return why,
    };
    let peer = service.peer().clone();
    let cancel = service.cancellation_token();
    let mut service = pin!(service.waiting().fuse());
    let mut errand: Errand = list(board.clone(), peer.clone(), deadline);
    let (mut is_busy, mut is_up) = (true, false);
    let why = loop {
        tokio::select! {
            biased;
            () = work.stop.cancelled() => break "it was stopped".to_owned(),
            _ = &mut service => break ended(&epitaph, "it closed the connection"),
            why = &mut gone => {
                // What it said last may lie in the pipe.
                let _ = timeout(LAST_WORDS, &mut service).await;
                break ended(&epitaph, &why);
            }
            report = &mut errand, if is_busy => {
                is_busy = false;
                let session = Session {
                    number: work.number,
                    peer: peer.clone(),
                    epitaph: epitaph.clone(),
                };
                if let Err(why) = report.pass_on(&work, session, is_up).await {
                    break why;
                }
                is_up = true;
            }
            Some(()) = news_of_tools.recv(), if !is_busy => {
                let deadline = Instant::now() + board.config.start_timeout;
                (errand, is_busy) = (list(board.clone(), peer.clone(), deadline), true);
            }
            Some(()) = work.doubts.recv(), if !is_busy => {
                (errand, is_busy) = (alive(peer.clone()), true);
            }
        }
    };
    epitaph.write(why.clone());
    cancel.cancel();
    // One that has ended already must not be asked again.
    if !service.is_terminated() {
        let _ = timeout(FAREWELL, service).await;
    }
    why
}

async fn open(
    start: impl Future<Output = Result<Service, ClientInitializeError>>,
    deadline: Instant,
    board: &Board,
    epitaph: &Epitaph,
) -> Result<Service, String> {
    match timeout_at(deadline, start).await {
        Ok(Ok(service)) => Ok(service),
        Ok(Err(error)) => Err(epitaph
            .read()
            .map_or_else(|| not_greeted(&error), str::to_owned)),
        Err(_) => {
            let patience = board.config.start_timeout;
            Err(format!("it was not ready within {patience:?}"))
        }
    }
}

/// What the one who knew first has written.
fn ended(epitaph: &Epitaph, otherwise: &str) -> String {
    epitaph.read().unwrap_or(otherwise).to_owned()
}

fn list(board: Arc<Board>, peer: Peer<RoleClient>, deadline: Instant) -> Errand {
    Box::pin(async move {
        sleep(if board.now().session.is_some() {
            SETTLE
        } else {
            Duration::ZERO
        })
        .await;
        let listed = match timeout_at(deadline, pages(&peer)).await {
            Ok(Ok(tools)) => Ok(tools),
            Ok(Err(error)) => Err(format!(
                "it does not list its tools: {}",
                not_answered(&error)
            )),
            Err(_) => {
                let patience = board.config.start_timeout;
                Err(format!("it did not list its tools within {patience:?}"))
            }
        };
        let config = &board.config;
        Report::Listed(listed.map(|tools| {
            let tools = tools.into_iter().map(read);
            let (name, hints) = (&config.name, config.trusts_hints);
            offer(name, &board.filter, hints, config.max_tools, tools)
        }))
    })
}

/// Straight to the server: rmcp's own list keeps what a server once said for as long as that server likes.
async fn pages(peer: &Peer<RoleClient>) -> Result<Vec<Tool>, ServiceError> {
    let (mut tools, mut cursor) = (Vec::new(), None);
    for _ in 0..PAGES {
        let params = PaginatedRequestParams::default().with_cursor(cursor);
        let request = ListToolsRequest {
            params: Some(params),
            ..Default::default()
        };
        let answer = peer
            .send_request(ClientRequest::ListToolsRequest(request))
            .await?;
        let ServerResult::ListToolsResult(page) = answer else {
            return Err(ServiceError::UnexpectedResponse);
        };
        tools.extend(page.tools);
        cursor = page.next_cursor;
        if cursor.is_none() || tools.len() >= TOOLS {
            break;
        }
    }
    tools.truncate(TOOLS);
    Ok(tools)
}

fn read(tool: Tool) -> Listed {
    let hints = tool.annotations.unwrap_or_default();
    let description = tool.description.or(tool.title.map(Into::into));
    Listed {
        name: tool.name.into_owned(),
        description: description.unwrap_or_default().into_owned(),
        parameters: serde_json::to_string(&*tool.input_schema).unwrap_or_default(),
        reads_only: hints.read_only_hint == Some(true),
        is_idempotent: hints.idempotent_hint == Some(true),
    }
}

fn alive(peer: Peer<RoleClient>) -> Errand {
    Box::pin(async move {
        let ping = peer.send_request(ClientRequest::PingRequest(PingRequest::default()));
        Report::Alive(match timeout(ALIVE, ping).await {
            // One that does not know the question has answered it.
            Ok(Ok(_) | Err(ServiceError::McpError(_))) => Ok(()),
            Ok(Err(error)) => Err(format!("it does not answer: {}", not_answered(&error))),
            Err(_) => Err(format!("it did not answer within {ALIVE:?}")),
        })
    })
}
