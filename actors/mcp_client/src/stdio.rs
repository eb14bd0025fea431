//! Shell: speaks with a program over its pipes, one JSON-RPC message a line.
//!
//! Invariants: never more than one message is in memory, and none longer than its limit; a line is written whole or the
//! connection ends; and who writes waits for room, within its own deadline, while the program does not read.

use std::sync::{Arc, Mutex, PoisonError};

use rmcp::model::{ServerJsonRpcMessage, ServerNotification};
use rmcp::service::{RoleClient, RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::board::Epitaph;
use crate::config::ServerConfig;
use crate::group::Group;
use crate::offer::head;
use crate::throttle::Throttle;
use crate::tolerance::{Intolerable, Tolerance};

/// Messages that wait for the program to read. 16: as many as there are calls at once.
const OUT: usize = 16;
/// How much of a line beside the protocol is kept, in bytes.
const LINE: usize = 500;

/// A running program and what is done beside speaking with it.
pub(crate) struct Program {
    pub(crate) group: Group,
    /// Writes its input and reads what it says beside the protocol. They end with it.
    helpers: JoinSet<()>,
    last_words: LastWords,
}

#[derive(Clone, Default)]
struct LastWords(Arc<Mutex<String>>);

impl LastWords {
    fn set(&self, line: &str) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        line.clone_into(&mut kept);
    }

    fn get(&self) -> String {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Program {
    /// Starts it.
    pub(crate) fn start(
        config: &ServerConfig,
        epitaph: Epitaph,
    ) -> Result<(Self, StdioTransport), String> {
        let (group, pipes) = Group::start(&config.transport)?;
        let (out, lines) = mpsc::channel(OUT);
        let last_words = LastWords::default();
        let mut helpers = JoinSet::new();
        helpers.spawn(write(pipes.input, lines));
        helpers.spawn(log(config.name.clone(), pipes.errors, last_words.clone()));
        let transport = StdioTransport {
            output: BufReader::new(pipes.output),
            line: Vec::new(),
            max_bytes: config.max_message_bytes,
            tolerance: Tolerance::new(Instant::now()),
            out: Some(out),
            epitaph,
        };
        let program = Self {
            group,
            helpers,
            last_words,
        };
        Ok((program, transport))
    }

    /// What it said last beside the protocol, as the end of a sentence; nothing if it was silent.
    pub(crate) fn last_words(&self) -> String {
        let words = self.last_words.get();
        if words.is_empty() {
            return words;
        }
        format!("; it said last: {words}")
    }

    /// Ends it and all it started. Its input must be closed, or is now.
    pub(crate) async fn end(mut self, config: &ServerConfig) {
        // The writer holds the input, and waits for a program that does not read.
        self.helpers.abort_all();
        self.group.end(config.stop_grace).await;
    }
}

async fn write(mut input: ChildStdin, mut lines: mpsc::Receiver<Vec<u8>>) {
    while let Some(line) = lines.recv().await {
        // It reads no more: who waits hears it when its output ends.
        if input.write_all(&line).await.is_err() {
            return;
        }
    }
}

async fn log(server: String, errors: ChildStderr, last_words: LastWords) {
    let mut errors = BufReader::with_capacity(4096, errors);
    let mut throttle = Throttle::new(Instant::now());
    let mut line = Vec::new();
    while let Ok(chunk) = errors.fill_buf().await {
        if chunk.is_empty() {
            return;
        }
        let end = chunk.iter().position(|&byte| byte == b'\n');
        let taken = end.map_or(chunk.len(), |at| at + 1);
        let room = LINE.saturating_sub(line.len());
        line.extend(chunk.iter().take(taken.min(room)));
        errors.consume(taken);
        if end.is_none() {
            continue;
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        if !text.is_empty() {
            last_words.set(text);
            if let Some(unlogged) = throttle.pass(Instant::now()) {
                tracing::debug!(server, unlogged, "{text}");
            }
        }
        line.clear();
    }
}

/// The protocol's end of a program's pipes.
pub(crate) struct StdioTransport {
    output: BufReader<ChildStdout>,
    /// The line that is being read: a read may be dropped half way.
    line: Vec<u8>,
    max_bytes: usize,
    tolerance: Tolerance,
    /// `None` when it is closed.
    out: Option<mpsc::Sender<Vec<u8>>>,
    epitaph: Epitaph,
}

impl StdioTransport {
    /// Puts the next whole line into `self.line`; `None` at the end. May be dropped half way.
    async fn read_line(&mut self) -> Result<Option<()>, String> {
        loop {
            let chunk = match self.output.fill_buf().await {
                Ok(chunk) => chunk,
                Err(error) => return Err(format!("its output cannot be read: {error}")),
            };
            if chunk.is_empty() {
                return Ok(None);
            }
            let end = chunk.iter().position(|&byte| byte == b'\n');
            let taken = end.map_or(chunk.len(), |at| at + 1);
            if self.line.len() + taken > self.max_bytes {
                return Err(Intolerable::TooLong(self.max_bytes).to_string());
            }
            self.line.extend(chunk.iter().take(taken));
            self.output.consume(taken);
            if end.is_some() {
                return Ok(Some(()));
            }
        }
    }

    /// The next message that matters; `None` at the end.
    async fn next(&mut self) -> Result<Option<ServerJsonRpcMessage>, String> {
        while self.read_line().await?.is_some() {
            let message = self.judge();
            self.line.clear();
            if let Some(message) = message.map_err(|why| why.to_string())? {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

    fn judge(&mut self) -> Result<Option<ServerJsonRpcMessage>, Intolerable> {
        self.tolerance.line(Instant::now())?;
        if self.line.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        let Ok(message) = serde_json::from_slice::<ServerJsonRpcMessage>(&self.line) else {
            let text = String::from_utf8_lossy(&self.line);
            tracing::debug!(line = head(&text, LINE), "this is no message");
            self.tolerance.garbage()?;
            return Ok(None);
        };
        self.tolerance.message();
        match &message {
            ServerJsonRpcMessage::Request(_) => self.tolerance.request()?,
            // Progress and logs are not for us, and may be many.
            ServerJsonRpcMessage::Notification(notification) => {
                let wanted = matches!(
                    notification.notification,
                    ServerNotification::ToolListChangedNotification(_)
                        | ServerNotification::CancelledNotification(_)
                );
                return Ok(wanted.then_some(message));
            }
            ServerJsonRpcMessage::Response(_) | ServerJsonRpcMessage::Error(_) => {}
        }
        Ok(Some(message))
    }
}

impl Transport<RoleClient> for StdioTransport {
    type Error = std::io::Error;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleClient>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        if let TxJsonRpcMessage::<RoleClient>::Response(_)
        | TxJsonRpcMessage::<RoleClient>::Error(_) = &message
        {
            self.tolerance.answered();
        }
        let out = self.out.clone();
        async move {
            let closed = || std::io::Error::from(std::io::ErrorKind::BrokenPipe);
            let mut line = serde_json::to_vec(&message)?;
            line.push(b'\n');
            let out = out.ok_or_else(closed)?;
            out.send(line).await.map_err(|_| closed())
        }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleClient>> {
        match self.next().await {
            Ok(Some(message)) => Some(message),
            Ok(None) => None,
            Err(why) => {
                self.epitaph.write(why);
                None
            }
        }
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        self.out = None;
        Ok(())
    }
}
