//! From what happens in a room to the frames that say it. Nothing is decided here.

use std::collections::BTreeSet;

use domain::{ConversationId, RequestId};
use room::{Activity, Ending, Kept, LiveTurn, Member, Room, RoomEvent};

use crate::said::{Budget, Said, beginning};
use crate::wire::ServerFrame;
use crate::wire::room as wire;

/// Of a long question only the beginning is shown while it is answered, in bytes: there may be many at once.
const ASKED: usize = 16 << 10;
/// The most connections that are listed of one room: their names are sent to each who comes.
const MEMBERS: usize = 2_000;

/// A conversation as it is.
pub(crate) fn room(
    conversation: &ConversationId,
    said: &Said,
    budget: Budget,
    room: &Room,
    written: &BTreeSet<RequestId>,
    typing: Vec<String>,
) -> ServerFrame {
    // An answer that is written down already is not under way, though its end was not heard yet.
    let runs = |live: &&LiveTurn| !written.contains(&live.question.turn);
    let mut rest = budget;
    let turns = room.turns().iter().filter(runs);
    let turns = turns.map(|one| live(one, &mut rest)).collect();
    let (messages, after) = rest.cut(&said.entries, said.after);
    ServerFrame::Room {
        conversation: conversation.to_string(),
        messages,
        after,
        last: said.last,
        members: room.members().take(MEMBERS).map(member).collect(),
        typing,
        turns,
    }
}

/// Older messages.
pub(crate) fn older(
    conversation: &ConversationId,
    before: u64,
    said: &Said,
    budget: Budget,
) -> ServerFrame {
    let (messages, after) = budget.cut(&said.entries, said.after);
    ServerFrame::Messages {
        conversation: conversation.to_string(),
        before,
        messages,
        after,
    }
}

/// What was written down of a turn. What does not fit is found by whoever sees that something stands before the rest.
fn kept(
    conversation: String,
    turn: &RequestId,
    nonce: &str,
    kept: &Kept,
    budget: Budget,
) -> ServerFrame {
    let (messages, before) = budget.cut(&kept.entries, kept.before);
    ServerFrame::Kept {
        conversation,
        turn: turn.to_string(),
        nonce: nonce.to_owned(),
        before,
        last: kept.last,
        messages,
    }
}

/// What happened.
pub(crate) fn event(
    conversation: &ConversationId,
    event: &RoomEvent,
    budget: Budget,
) -> ServerFrame {
    let conversation = conversation.to_string();
    match event {
        RoomEvent::Joined(one) => ServerFrame::Presence {
            conversation,
            joins: vec![member(one)],
            leaves: Vec::new(),
        },
        RoomEvent::Left(connection) => ServerFrame::Presence {
            conversation,
            joins: Vec::new(),
            leaves: vec![connection.to_string()],
        },
        RoomEvent::Began(turn) => ServerFrame::Turn {
            conversation,
            turn: live(turn, &mut { budget }),
        },
        RoomEvent::Does { turn, activity } => ServerFrame::Activity {
            conversation,
            turn: turn.to_string(),
            activity: doing(activity),
        },
        RoomEvent::Text { turn, at, text } => ServerFrame::Delta {
            conversation,
            turn: turn.to_string(),
            at: *at,
            text: text.clone(),
        },
        RoomEvent::Ended { turn, ending, .. } => ServerFrame::Ended {
            conversation,
            turn: turn.to_string(),
            ending: ended(ending),
        },
        RoomEvent::Kept {
            turn,
            nonce,
            kept: of,
        } => kept(conversation, turn, nonce, of, budget),
    }
}

fn member(member: &Member) -> wire::Member {
    wire::Member {
        connection: member.connection.to_string(),
        user: member.user.to_string(),
        since_ms: u64::try_from(member.since_ms).unwrap_or(0),
    }
}

/// Of a long answer only the end, out of the budget of the frame.
fn live(live: &LiveTurn, budget: &mut Budget) -> wire::LiveTurn {
    let question = &live.question;
    let text = budget.spend_on(&live.text);
    let shown = if text.len() == live.text.len() {
        live.chars
    } else {
        text.chars().count() as u64
    };
    wire::LiveTurn {
        turn: question.turn.to_string(),
        asked_by: question.by.to_string(),
        asked: beginning(&question.text, ASKED).to_owned(),
        nonce: question.nonce.clone(),
        model: question.model.to_string(),
        at_ms: u64::try_from(question.at_ms).unwrap_or(0),
        text: text.to_owned(),
        left_out: live.chars.saturating_sub(shown),
        activity: doing(&live.activity),
    }
}

fn doing(activity: &Activity) -> wire::Activity {
    match activity {
        Activity::Queued(position) => wire::Activity::Queued {
            position: *position as u64,
        },
        Activity::Loading(percent) => wire::Activity::Loading { percent: *percent },
        Activity::Prefill(percent) => wire::Activity::Prefill { percent: *percent },
        Activity::Tool(name) => wire::Activity::Tool { name: name.clone() },
        Activity::Typing => wire::Activity::Typing,
    }
}

fn ended(ending: &Ending) -> wire::Ending {
    match ending {
        Ending::Finished { reason, usage } => wire::Ending::Finished {
            reason: reason.as_str().to_owned(),
            prompt_tokens: usage.prompt_tokens.into(),
            answer_tokens: usage.completion_tokens.into(),
        },
        Ending::Stopped => wire::Ending::Stopped,
        Ending::Failed(message) => wire::Ending::Failed {
            message: message.clone(),
        },
    }
}
