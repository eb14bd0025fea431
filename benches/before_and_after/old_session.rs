//! A client of the old world. The origin had no transport, and nobody used its connections; so each has one task here, as
//! `spawn_stream` made them everywhere, which reads what the client says, and listens to the one broadcast there is.

use std::sync::Arc;

use connection::{Incoming, Outgoing};
use serde_json::Value;
use tokio::sync::{broadcast, mpsc};

use crate::client::{Line, text_of};
use crate::old_state::{OldState, OldTyped};
use crate::old_world::spawn_stream;

const HELLO: &str = r#"{"op":"hello"}"#;
const READY: &str = r#"{"op":"ready"}"#;
const ACK: &str = r#"{"op":"heartbeat_ack","last":0}"#;

/// What it knows of its client.
struct Session {
    state: Arc<OldState>,
    outgoing: mpsc::Sender<Outgoing>,
    connection: Option<u64>,
    user: String,
    conversation: String,
}

/// From its first word to its last.
pub(crate) async fn session(state: Arc<OldState>, line: Line) {
    let Line {
        mut incoming,
        outgoing,
    } = line;
    let mut typing = state.typing.events.subscribe();
    let mut session = Session {
        state,
        outgoing,
        connection: None,
        user: String::new(),
        conversation: String::new(),
    };
    session.tell(HELLO.to_owned()).await;
    loop {
        let goes_on = tokio::select! {
            said = incoming.recv() => match said {
                Some(Incoming::Text(text)) => session.hear(&text).await,
                _ => false,
            },
            event = typing.recv() => session.see(event).await,
        };
        if !goes_on {
            break;
        }
    }
    if let Some(connection) = session.connection {
        session.state.connections.remove(connection);
    }
}

impl Session {
    async fn tell(&self, frame: String) -> bool {
        self.outgoing
            .send(Outgoing::Text(frame.into()))
            .await
            .is_ok()
    }

    async fn hear(&mut self, text: &str) -> bool {
        let frame: Value = serde_json::from_str(text).unwrap_or_default();
        match text_of(&frame, "op") {
            "identify" => {
                text_of(&frame, "user").clone_into(&mut self.user);
                self.connection = Some(self.state.connections.add(&self.user, &self.conversation));
                self.tell(READY.to_owned()).await
            }
            "join" => {
                text_of(&frame, "conversation").clone_into(&mut self.conversation);
                let conversation = &self.conversation;
                self.tell(format!(
                    r#"{{"op":"room","conversation":"{conversation}"}}"#
                ))
                .await
            }
            "heartbeat" => {
                if let Some(connection) = self.connection {
                    self.state.connections.heartbeat(connection, text.len());
                }
                self.tell(ACK.to_owned()).await
            }
            "typing" => {
                self.types(frame.get("typing") == Some(&Value::Bool(true)));
                true
            }
            _ => true,
        }
    }

    /// TY-01: each start and stop is a task of its own.
    fn types(&self, typing: bool) {
        let (state, user) = (Arc::clone(&self.state), self.user.clone());
        let conversation = self.conversation.clone();
        spawn_stream(async move {
            if typing {
                state.typing.start(&user, &conversation);
            } else {
                state.typing.stop(&user, &conversation);
            }
        });
    }

    /// RS-08: everybody hears of everything, and has to look whether it is meant.
    async fn see(&self, event: Result<OldTyped, broadcast::error::RecvError>) -> bool {
        let Ok(event) = event else {
            return !matches!(event, Err(broadcast::error::RecvError::Closed));
        };
        if event.session != self.conversation || event.user == self.user {
            return true;
        }
        let OldTyped {
            user,
            session,
            typing,
        } = event;
        let users = if typing {
            format!(r#"["{user}"]"#)
        } else {
            "[]".to_owned()
        };
        self.tell(format!(
            r#"{{"op":"typing","conversation":"{session}","users":{users}}}"#
        ))
        .await
    }
}
