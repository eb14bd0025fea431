//! Shell: what a client wants of others. Whoever has to be waited for is asked beside the handler, and the answer comes back
//! as a message.

use domain::{ConversationId, RequestId};
use kameo::actor::WeakActorRef;
use room::{Held, Member, Say, SayError};
use supervision::TellError;
use tokio::time::{Duration, Instant};
use typing::{Left, Stopped, Typed, Watch};

use crate::actor::Connection;
use crate::deps::Deps;
use crate::pass::TooMuch;
use crate::pumps;
use crate::translate;
use crate::wire::{ClientFrame, ServerFrame};

/// How long the typing actor may take: it never waits for anything.
const TYPING: Duration = Duration::from_secs(5);

/// Does what the client wants, or begins to.
pub(crate) fn act(connection: &mut Connection, frame: ClientFrame) {
    match frame {
        ClientFrame::Join {
            conversation,
            after,
        } => join(connection, ConversationId::new(conversation), after),
        ClientFrame::Messages {
            conversation,
            before,
        } => messages(connection, ConversationId::new(conversation), before),
        ClientFrame::Leave { conversation } => {
            let conversation = ConversationId::new(conversation);
            if let Some(looking) = connection.joined.remove(&conversation) {
                looking.abort();
            }
        }
        say @ ClientFrame::Say { .. } => self::say(connection, say),
        ClientFrame::Stop { conversation } => stop(connection, ConversationId::new(conversation)),
        ClientFrame::Typing {
            conversation,
            typing,
        } => self::typing(connection, ConversationId::new(conversation), typing),
        ClientFrame::Conversations { watch } => conversations(connection, watch),
        ClientFrame::Tree { watch } => tree(connection, watch),
        // The session answers these itself.
        ClientFrame::Identify { .. }
        | ClientFrame::Resume { .. }
        | ClientFrame::Heartbeat { .. } => {}
    }
}

fn join(connection: &mut Connection, conversation: ConversationId, after: Option<u64>) {
    let again = connection.joined.remove(&conversation);
    if let Some(looking) = &again {
        looking.abort();
    }
    let limit = connection.deps.joined;
    if connection.joined.len() >= limit {
        let message = format!("{limit} conversations are shown already: leave one first");
        let frame = crate::refused("too_many_conversations", "join", message);
        return connection.tell(crate::within(frame, &conversation));
    }
    let member = Member {
        connection: connection.who.connection.clone(),
        user: connection.who.user.clone(),
        since_ms: (connection.deps.clock)(),
    };
    let seat = match connection.deps.rooms.sit(conversation.clone(), member) {
        Ok(seat) => seat,
        Err(error) => {
            let frame = crate::refused("full", "join", error.to_string());
            return connection.tell(crate::within(frame, &conversation));
        }
    };
    let deps = connection.deps.clone();
    let (me, of) = (connection.me.clone(), conversation.clone());
    let looking = connection.tasks.spawn(async move {
        let wish = Watch {
            conversation: of.clone(),
        };
        go_on(&deps, &of).await;
        match deps.typing.ask(wish, TYPING).await {
            Ok(typists) => pumps::look(seat, deps, after, typists, me).await,
            Err(error) => {
                let message = format!("the conversation cannot be shown: {error}; join again");
                back(&me, crate::within(crate::failed("join", message), &of)).await;
            }
        }
    });
    connection.joined.insert(conversation, looking);
}

/// An answer that a dead process left is gone on with, for whoever looks.
async fn go_on(deps: &Deps, conversation: &ConversationId) {
    let begun = match (deps.settings)(None, None) {
        Ok(settings) => deps.rooms.go_on(conversation, settings).await,
        Err(error) => Err(error.to_string()),
    };
    match begun {
        Ok(None) => {}
        Ok(Some(turn)) => tracing::info!(%turn, "an answer that a former process left goes on"),
        Err(reason) => tracing::warn!(%conversation, reason, "what was left is not gone on with"),
    }
}

fn messages(connection: &mut Connection, conversation: ConversationId, before: u64) {
    if !connection.joined.contains_key(&conversation) {
        return connection.tell(not_joined("messages", &conversation));
    }
    let (deps, me) = (connection.deps.clone(), connection.me.clone());
    connection.tasks.spawn(async move {
        let part = deps.part(0, Some(before));
        let frame = match deps.history.messages(conversation.clone(), part).await {
            Ok(said) => translate::older(&conversation, before, &said, deps.budget()),
            Err(reason) => {
                let message = format!("what was said cannot be read: {reason}; ask again");
                crate::within(crate::failed("messages", message), &conversation)
            }
        };
        pumps::looked(&me, Some(conversation), frame).await;
    });
}

fn say(connection: &mut Connection, frame: ClientFrame) {
    let ClientFrame::Say {
        conversation,
        text,
        nonce,
        model,
        temperature,
    } = frame
    else {
        return;
    };
    let conversation = ConversationId::new(conversation);
    if !connection.joined.contains_key(&conversation) {
        return connection.tell(with_nonce(not_joined("say", &conversation), nonce));
    }
    let settings = match (connection.deps.settings)(model.as_deref(), temperature) {
        Ok(settings) => settings,
        Err(error) => {
            let frame = crate::refused("wrong_value", "say", error.to_string());
            let frame = crate::within(frame, &conversation);
            return connection.tell(with_nonce(frame, nonce));
        }
    };
    let by = connection.who.user.clone();
    if let Some(turn) = connection.deps.rooms.asked(&conversation, &by, &nonce) {
        return connection.tell(said(&conversation, nonce, &turn));
    }
    let held = match asks(connection) {
        Ok(held) => held,
        Err(refused) => {
            let frame = crate::within(too_much(refused), &conversation);
            return connection.tell(with_nonce(frame, nonce));
        }
    };
    typing(connection, conversation.clone(), false);
    let say = Say {
        by,
        text,
        nonce: nonce.clone(),
        settings,
        held,
    };
    let (rooms, me) = (connection.deps.rooms.clone(), connection.me.clone());
    connection.tasks.spawn(async move {
        let frame = match rooms.say(&conversation, say).await {
            Ok(turn) => said(&conversation, nonce, &turn),
            Err(error) => {
                let frame = match error {
                    SayError::Room(full) => crate::refused("full", "say", full.to_string()),
                    SayError::Draining => crate::refused("draining", "say", error.to_string()),
                    SayError::NotStarted(_) => crate::failed("say", error.to_string()),
                };
                with_nonce(crate::within(frame, &conversation), nonce)
            }
        };
        back(&me, frame).await;
    });
}

/// One more answer, if its client may ask for one. What was said before, and is said again, was counted then.
fn asks(connection: &Connection) -> Result<Option<Held>, TooMuch> {
    match connection.place.pass() {
        Some(pass) => pass.ask(Instant::now()),
        None => Ok(None),
    }
}

fn too_much(refused: TooMuch) -> ServerFrame {
    let TooMuch {
        code,
        message,
        retry_after,
    } = refused;
    let mut frame = crate::refused(code, "say", message);
    if let ServerFrame::Error { retry_after_ms, .. } = &mut frame {
        *retry_after_ms = Some(crate::ms(retry_after).max(1));
    }
    frame
}

fn said(conversation: &ConversationId, nonce: String, turn: &RequestId) -> ServerFrame {
    ServerFrame::Said {
        conversation: conversation.to_string(),
        nonce,
        turn: turn.to_string(),
    }
}

fn stop(connection: &mut Connection, conversation: ConversationId) {
    if !connection.joined.contains_key(&conversation) {
        return connection.tell(not_joined("stop", &conversation));
    }
    let (rooms, me) = (connection.deps.rooms.clone(), connection.me.clone());
    connection.tasks.spawn(async move {
        // What was stopped is heard in the room; nothing to stop is no error, it had just ended.
        if let Err(error) = rooms.stop(&conversation).await {
            let frame = crate::failed("stop", error.to_string());
            back(&me, crate::within(frame, &conversation)).await;
        }
    });
}

fn typing(connection: &mut Connection, conversation: ConversationId, typing: bool) {
    if !connection.joined.contains_key(&conversation) {
        return connection.tell(not_joined("typing", &conversation));
    }
    let (user, id) = (
        connection.who.user.clone(),
        connection.who.connection.clone(),
    );
    // A keystroke that finds no room is said again within seconds, and a stop that does not is over at its deadline.
    if typing {
        let typed = Typed {
            conversation,
            user,
            connection: id,
        };
        let _ = connection.deps.typing.try_tell(typed);
    } else {
        let stopped = Stopped {
            conversation,
            user,
            connection: id,
        };
        let _ = connection.deps.typing.try_tell(stopped);
    }
}

fn conversations(connection: &mut Connection, watch: Option<bool>) {
    if watch.is_some()
        && let Some(listing) = connection.listing.take()
    {
        listing.abort();
    }
    let (history, changes) = (
        connection.deps.history.clone(),
        connection.deps.rooms.written(),
    );
    let me = connection.me.clone();
    if watch == Some(true) {
        let listing = pumps::list(history, changes, me);
        connection.listing = Some(connection.tasks.spawn(listing));
    } else {
        connection.tasks.spawn(async move {
            let frame = pumps::listed(&*history).await;
            back(&me, frame).await;
        });
    }
}

fn tree(connection: &mut Connection, watch: bool) {
    if let Some(watching) = connection.watching.take() {
        watching.abort();
    }
    if !watch {
        return;
    }
    let (mut tree, me) = (connection.deps.tree.watch(), connection.me.clone());
    connection.watching = Some(connection.tasks.spawn(async move {
        loop {
            let nodes = tree.borrow_and_update().to_vec();
            if !back(&me, ServerFrame::Tree { nodes }).await || tree.changed().await.is_err() {
                return;
            }
        }
    }));
}

/// It types nowhere any more.
pub(crate) fn left(connection: &mut Connection) {
    let left = Left {
        connection: connection.who.connection.clone(),
    };
    if let Err(TellError::Full(left)) = connection.deps.typing.try_tell(left) {
        let typing = connection.deps.typing.clone();
        connection.tasks.spawn(async move {
            let _ = typing.tell(left).await;
        });
    }
}

async fn back(me: &WeakActorRef<Connection>, frame: ServerFrame) -> bool {
    pumps::looked(me, None, frame).await
}

fn not_joined(op: &str, conversation: &ConversationId) -> ServerFrame {
    let message = format!("{op}.conversation = {conversation} is not shown here: join it first");
    crate::within(crate::refused("not_joined", op, message), conversation)
}

fn with_nonce(mut frame: ServerFrame, said: String) -> ServerFrame {
    if let ServerFrame::Error { nonce, .. } = &mut frame {
        *nonce = Some(said);
    }
    frame
}
