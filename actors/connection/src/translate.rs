//! From what happens in a room to the frames that say it. Nothing is decided here.

use domain::ConversationId;
use room::{Activity, Ending, LiveTurn, Member, Room, RoomEvent};

use crate::wire::ServerFrame;
use crate::wire::room as wire;

/// A conversation as it is.
pub(crate) fn room(
    conversation: &ConversationId,
    said: Said,
    room: &Room,
    typing: Vec<String>,
) -> ServerFrame {
    // An answer that is written down already is not under way, though its end was not heard yet.
    let known = |live: &&LiveTurn| {
        let turn = live.question.turn.as_str();
        let written = said
            .messages
            .iter()
            .filter_map(|message| message.turn.as_deref());
        !written.into_iter().any(|of| of == turn)
    };
    let turns = room.turns().iter().filter(known).map(live).collect();
    ServerFrame::Room {
        conversation: conversation.to_string(),
        truncated: said.truncated,
        members: room.members().map(member).collect(),
        typing,
        turns,
        messages: said.messages,
    }
}

/// What was said and is written down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Oldest first.
    pub messages: Vec<wire::RoomMessage>,
    /// Whether older ones were left out.
    pub truncated: bool,
}

/// What happened.
pub(crate) fn event(conversation: &ConversationId, event: &RoomEvent) -> ServerFrame {
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
            turn: live(turn),
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
    }
}

fn member(member: &Member) -> wire::Member {
    wire::Member {
        connection: member.connection.to_string(),
        user: member.user.to_string(),
        since_ms: u64::try_from(member.since_ms).unwrap_or(0),
    }
}

fn live(live: &LiveTurn) -> wire::LiveTurn {
    let question = &live.question;
    wire::LiveTurn {
        turn: question.turn.to_string(),
        asked_by: question.by.to_string(),
        asked: question.text.clone(),
        model: question.model.to_string(),
        at_ms: u64::try_from(question.at_ms).unwrap_or(0),
        text: live.text.clone(),
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
            html: None,
        },
        Ending::Stopped => wire::Ending::Stopped,
        Ending::Failed(message) => wire::Ending::Failed {
            message: message.clone(),
        },
    }
}
