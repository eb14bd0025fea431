//! Shell: what runs beside a connection's handlers, because it waits: for the socket, for a room, for who types, for what was
//! said. Each ends with the connection, or when nobody hears it any more.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::{ConversationId, RequestId};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use kameo::actor::WeakActorRef;
use kameo::message::Message;
use room::{RoomEvent, Seat};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Duration, sleep, timeout};
use typing::TypingSet;

use crate::actor::Connection;
use crate::deps::{Deps, History};
use crate::said::Said;
use crate::translate;
use crate::transport::Incoming as Came;
use crate::wire::ServerFrame;

/// How long a client may take to read what is said last.
pub(crate) const LAST: Duration = Duration::from_secs(5);
/// The least time between two lists of conversations for one client: nobody reads faster.
const LISTED: Duration = Duration::from_secs(1);

/// Something came over the transport of that number; nothing if it is gone.
pub(crate) struct Incoming {
    pub(crate) number: u64,
    pub(crate) what: Option<Came>,
}

/// Something happened in a room that is looked at.
pub(crate) struct Heard {
    pub(crate) conversation: ConversationId,
    pub(crate) event: Arc<RoomEvent>,
}

/// Something was looked up. It is told if this conversation is still shown.
pub(crate) struct Looked {
    pub(crate) of: Option<ConversationId>,
    pub(crate) frame: ServerFrame,
}

/// Whether somebody heard it.
pub(crate) async fn tell<M>(connection: &WeakActorRef<Connection>, message: M) -> bool
where
    Connection: Message<M>,
    M: Send + 'static,
{
    let Some(connection) = connection.upgrade() else {
        return false;
    };
    connection.tell(message).send().await.is_ok()
}

/// Reads to the end. A client that sends faster than it is heard waits in its socket.
pub(crate) async fn read(
    mut incoming: BoxStream<'static, Came>,
    number: u64,
    me: WeakActorRef<Connection>,
) {
    while let Some(came) = incoming.next().await {
        let what = Some(came);
        if !tell(&me, Incoming { number, what }).await {
            return;
        }
    }
    let what = None;
    tell(&me, Incoming { number, what }).await;
}

/// Ends the connection when nothing is on its way any more, or its client does not read it.
pub(crate) fn last(tasks: &mut JoinSet<()>, me: WeakActorRef<Connection>) {
    let mut rest = std::mem::take(tasks);
    tasks.spawn(async move {
        let _ = timeout(LAST, async { while rest.join_next().await.is_some() {} }).await;
        if let Some(me) = me.upgrade() {
            // Fails only when it ends by itself.
            let _ = me.stop_gracefully().await;
        }
    });
}

/// Tells what was looked up, of a conversation if of one; whether somebody heard it.
pub(crate) async fn looked(
    me: &WeakActorRef<Connection>,
    of: Option<ConversationId>,
    frame: ServerFrame,
) -> bool {
    tell(me, Looked { of, frame }).await
}

/// Tells which conversations there are, and again when that has changed.
pub(crate) async fn list(
    history: Arc<dyn History>,
    mut changes: watch::Receiver<u64>,
    me: WeakActorRef<Connection>,
) {
    let mut told = None;
    loop {
        changes.mark_unchanged();
        let frame = listed(&*history).await;
        if told.as_ref() != Some(&frame) {
            told = Some(frame.clone());
            if !looked(&me, None, frame).await {
                return;
            }
        }
        if changes.changed().await.is_err() {
            return;
        }
        // Many changes, one list.
        sleep(LISTED).await;
    }
}

/// The conversations there are, or why they are not told.
pub(crate) async fn listed(history: &dyn History) -> ServerFrame {
    match history.conversations().await {
        Ok(conversations) => ServerFrame::Conversations { conversations },
        Err(reason) => {
            let message = format!("the conversations cannot be read: {reason}; ask again");
            crate::failed("conversations", message)
        }
    }
}

/// Shows a conversation: as it is, then each event.
pub(crate) async fn look(
    mut seat: Seat,
    deps: Deps,
    after: Option<u64>,
    mut typing: watch::Receiver<TypingSet>,
    me: WeakActorRef<Connection>,
) {
    let conversation = seat.conversation().clone();
    let mut after = after.unwrap_or(0);
    let mut written = BTreeSet::new();
    loop {
        // First the room, then what is written down: an answer that ends between the two is in one of them.
        let room = seat.look();
        let mut said = behind(after, &conversation, &deps, &me).await;
        if said.last < after {
            // What it knows was of another store, or of a conversation that was removed.
            said = behind(0, &conversation, &deps, &me).await;
        }
        after = said.last;
        // Whoever was told of it as written is not told of it again, though its events still come.
        written.retain(|turn| room.is_under_way(turn));
        written.extend(said.entries.iter().filter_map(|one| one.turn.clone()));
        let types = names(&typing.borrow_and_update());
        let frame = translate::room(&conversation, &said, deps.budget(), &room, &written, types);
        let of = Some(conversation.clone());
        if !looked(&me, of, frame).await || !follow(&mut seat, &written, &mut typing, &me).await {
            return;
        }
    }
}

/// What was said behind that number; nothing, and an error that says so, where it cannot be read.
async fn behind(
    after: u64,
    conversation: &ConversationId,
    deps: &Deps,
    me: &WeakActorRef<Connection>,
) -> Said {
    let part = deps.part(after, None);
    let read = deps.history.messages(conversation.clone(), part).await;
    match read {
        Ok(said) => said,
        Err(reason) => {
            tracing::warn!(%conversation, reason, "what was said is not shown");
            let message = format!("what was said cannot be read: {reason}; join again");
            let frame = crate::within(crate::failed("join", message), conversation);
            looked(me, None, frame).await;
            Said::nothing(after)
        }
    }
}

/// Tells each event, but of these turns, until some were missed; false when nobody hears.
async fn follow(
    seat: &mut Seat,
    written: &BTreeSet<RequestId>,
    typing: &mut watch::Receiver<TypingSet>,
    me: &WeakActorRef<Connection>,
) -> bool {
    let conversation = seat.conversation().clone();
    let mut types = true;
    loop {
        let heard = tokio::select! {
            heard = seat.next() => match heard {
                room::Heard::Event(event) if event.turn().is_some_and(|turn| written.contains(turn)) => true,
                room::Heard::Event(event) => {
                    let conversation = conversation.clone();
                    tell(me, Heard { conversation, event }).await
                }
                room::Heard::Missed(missed, _) => {
                    tracing::debug!(%conversation, missed, "a viewer was behind: it sees the room anew");
                    return true;
                }
            },
            changed = typing.changed(), if types => {
                types = changed.is_ok();
                let users = names(&typing.borrow_and_update());
                let frame = ServerFrame::Typing { conversation: conversation.to_string(), users };
                let of = Some(conversation.clone());
                looked(me, of, frame).await
            }
        };
        if !heard {
            return false;
        }
    }
}

fn names(set: &TypingSet) -> Vec<String> {
    set.0.iter().map(ToString::to_string).collect()
}
