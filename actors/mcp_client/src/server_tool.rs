//! Shell: one tool of one server, for the toolbox.
//!
//! Invariant: a call is sent at most once. If the server is lost after that, the caller hears that nobody knows whether it
//! was carried out.

use std::sync::Arc;
use std::time::Duration;

use domain::ToolSpec;
use rmcp::model::CallToolRequestParams;
use rmcp::service::ServiceError;
use serde_json::Value;
use supervision::Handle;
use tokio::time::{Instant, timeout_at};
use toolbox::{Tool, ToolContext, ToolError, ToolFuture, ToolOutput};

use crate::actor::McpServer;
use crate::answer;
use crate::board::{Board, Session};
use crate::messages::Doubt;
use crate::meters;
use crate::offer::Offered;

/// How long a call waits for a server that is being started, or for its turn. 10 s: the turn goes on without it then.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long before its deadline a call gives up waiting, so that it can say for what it waited.
const MARGIN: Duration = Duration::from_millis(50);

/// A tool that somebody else carries out.
pub(crate) struct ServerTool {
    pub(crate) board: Arc<Board>,
    pub(crate) server: Handle<McpServer>,
    pub(crate) offered: Offered,
}

impl ServerTool {
    async fn run(&self, arguments: Value, context: ToolContext) -> Result<ToolOutput, ToolError> {
        let tool = &self.offered.spec.name;
        let board = &self.board;
        let server = &board.config.name;
        let last = context
            .deadline
            .checked_sub(MARGIN)
            .unwrap_or(context.deadline);
        let until = (Instant::now() + PATIENCE).min(last);
        let unavailable = |why| ToolError::Unavailable {
            tool: tool.clone(),
            why,
        };
        let Ok(Ok(_turn)) = timeout_at(until, board.calls.acquire()).await else {
            return Err(unavailable(format!("the server `{server}` is busy")));
        };
        let session = board.session(until).await.map_err(unavailable)?;
        let mut params = CallToolRequestParams::new(self.offered.remote.clone());
        if let Value::Object(arguments) = arguments {
            params = params.with_arguments(arguments);
        }
        let mut given_up = GivenUp {
            server: &self.server,
            session: &session,
            is_answered: false,
        };
        let answered = timeout_at(context.deadline, session.peer.call_tool_once(params)).await;
        match answered {
            Ok(Ok(answer)) => {
                given_up.is_answered = true;
                answer::read(tool, answer)
            }
            Ok(Err(error)) => {
                given_up.is_answered = matches!(error, ServiceError::McpError(_));
                Err(answer::failed(tool, server, &error, &session.epitaph))
            }
            Err(_) => Err(ToolError::TimedOut {
                tool: tool.clone(),
                after: context.timeout,
            }),
        }
    }
}

/// Whoever gives up on a call, or is dropped while it waits, has the server looked at: one that hangs is started again.
struct GivenUp<'a> {
    server: &'a Handle<McpServer>,
    session: &'a Session,
    is_answered: bool,
}

impl Drop for GivenUp<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            // Full or down: it is looked at anyway, or is not there.
            let _ = self.server.try_tell(Doubt(self.session.number));
        }
    }
}

impl Tool for ServerTool {
    fn spec(&self) -> &ToolSpec {
        &self.offered.spec
    }

    fn call(&self, arguments: Value, context: ToolContext) -> ToolFuture<'_> {
        Box::pin(async move {
            let ended = self.run(arguments, context).await;
            let outcome = ended.as_ref().map_or_else(ToolError::kind, |_| "done");
            meters::called(&self.board.config.name, outcome);
            ended
        })
    }

    fn timeout(&self) -> Option<Duration> {
        self.board.config.call_timeout
    }

    fn is_read_only(&self) -> bool {
        self.offered.reads_only
    }

    fn is_idempotent(&self) -> bool {
        self.offered.is_idempotent
    }
}
