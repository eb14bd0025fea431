//! One frame of each op, as the protocol's page shows it. Tests read and check each.

use super::client::ClientFrame;
use super::room::{Activity, ConversationLine, Ending, LiveTurn, Member, RoomMessage, TreeNode};
use super::server::{Numbered, PROTOCOL, ServerFrame};

const SESSION: &str = "5f0c1b7a9e";
const EPOCH: &str = "c2a49d";
const TURN: &str = "trip/turn-1767225600000-r7";
const NOW: u64 = 1_767_225_600_000;

fn conversation() -> String {
    "trip".to_owned()
}

/// What a client says: one of each op, in the order of [`ClientFrame::OPS`].
pub fn client() -> Vec<ClientFrame> {
    let token = None;
    vec![
        ClientFrame::Identify {
            user: Some("Ann".to_owned()),
            token: token.clone(),
        },
        ClientFrame::Resume {
            session: SESSION.to_owned(),
            epoch: EPOCH.to_owned(),
            seq: 41,
            token,
        },
        ClientFrame::Heartbeat { seq: 41 },
        ClientFrame::Join {
            conversation: conversation(),
            after: Some(12),
        },
        ClientFrame::Messages {
            conversation: conversation(),
            before: 7,
        },
        ClientFrame::Leave {
            conversation: conversation(),
        },
        ClientFrame::Say {
            conversation: conversation(),
            text: "Where to in May?".to_owned(),
            nonce: "q-1".to_owned(),
            model: None,
            temperature: Some(0.5),
        },
        ClientFrame::Stop {
            conversation: conversation(),
        },
        ClientFrame::Typing {
            conversation: conversation(),
            typing: true,
        },
        ClientFrame::Conversations { watch: Some(true) },
        ClientFrame::Tree { watch: true },
    ]
}

/// What the server says: one of each op.
pub fn server() -> Vec<Numbered> {
    let about_itself = control()
        .into_iter()
        .map(|frame| Numbered { seq: None, frame });
    let told = shown().into_iter().chain(answered()).chain(listed());
    let numbered = (42..).zip(told).map(|(seq, frame)| Numbered {
        seq: Some(seq),
        frame,
    });
    about_itself.chain(numbered).collect()
}

fn control() -> Vec<ServerFrame> {
    vec![
        ServerFrame::Hello {
            protocol: PROTOCOL,
            heartbeat_ms: 27_000,
            identify_ms: 10_000,
            frame_bytes: 1 << 18,
        },
        ServerFrame::Ready {
            session: SESSION.to_owned(),
            epoch: EPOCH.to_owned(),
            connection: "7".to_owned(),
            user: "Ann".to_owned(),
            resume_ms: 120_000,
        },
        ServerFrame::Resumed { replayed: 3 },
        ServerFrame::InvalidSession {
            resumable: false,
            reason: "there is no such session here any more".to_owned(),
        },
        ServerFrame::HeartbeatAck { last: 41 },
        ServerFrame::HeartbeatWanted { attempt: 1, of: 3 },
        ServerFrame::Error {
            code: "wrong_value".to_owned(),
            message: "say.temperature = 3 is not accepted: it takes a number from 0 to 2"
                .to_owned(),
            field: Some("temperature".to_owned()),
            about: Some("say".to_owned()),
            conversation: None,
            nonce: None,
            retry_after_ms: None,
        },
    ]
}

fn turn() -> String {
    TURN.to_owned()
}

fn shown() -> Vec<ServerFrame> {
    let of = conversation;
    vec![
        ServerFrame::Room {
            conversation: of(),
            messages: vec![asked()],
            after: 0,
            last: 3,
            members: vec![member()],
            typing: vec!["Bob".to_owned()],
            turns: vec![live("In May, ")],
        },
        ServerFrame::Presence {
            conversation: of(),
            joins: vec![member()],
            leaves: vec!["6".to_owned()],
        },
        ServerFrame::Typing {
            conversation: of(),
            users: vec!["Bob".to_owned()],
        },
        ServerFrame::Messages {
            conversation: of(),
            before: 7,
            messages: vec![asked()],
            after: 0,
        },
    ]
}

fn answered() -> Vec<ServerFrame> {
    let of = conversation;
    vec![
        ServerFrame::Said {
            conversation: of(),
            nonce: "q-1".to_owned(),
            turn: turn(),
        },
        ServerFrame::Turn {
            conversation: of(),
            turn: live(""),
        },
        ServerFrame::Activity {
            conversation: of(),
            turn: turn(),
            activity: Activity::Prefill { percent: 40 },
        },
        ServerFrame::Delta {
            conversation: of(),
            turn: turn(),
            at: 8,
            text: "Lisbon".to_owned(),
        },
        ServerFrame::Ended {
            conversation: of(),
            turn: turn(),
            ending: Ending::Finished {
                reason: "stop".to_owned(),
                prompt_tokens: 21,
                answer_tokens: 5,
            },
        },
        ServerFrame::Kept {
            conversation: of(),
            turn: turn(),
            nonce: "q-1".to_owned(),
            before: 2,
            last: 4,
            messages: vec![asked()],
        },
    ]
}

fn listed() -> Vec<ServerFrame> {
    vec![
        ServerFrame::Conversations {
            conversations: vec![ConversationLine {
                conversation: conversation(),
                title: "Where to in May?".to_owned(),
                messages: 2,
                changed_ms: NOW,
            }],
        },
        ServerFrame::Tree {
            nodes: vec![TreeNode {
                path: "root/typing".to_owned(),
                state: "up".to_owned(),
                queued: 0,
                capacity: 1024,
                restarts: 0,
                leased_bytes: 0,
            }],
        },
    ]
}

fn member() -> Member {
    Member {
        connection: "7".to_owned(),
        user: "Ann".to_owned(),
        since_ms: NOW,
    }
}

fn asked() -> RoomMessage {
    RoomMessage {
        number: 3,
        role: "user".to_owned(),
        user: Some("Ann".to_owned()),
        text: "Where to in May?".to_owned(),
        cut: false,
        html: None,
        at_ms: NOW,
        turn: Some(TURN.to_owned()),
        nonce: Some("q-1".to_owned()),
    }
}

fn live(text: &str) -> LiveTurn {
    LiveTurn {
        left_out: 0,
        turn: TURN.to_owned(),
        asked_by: "Ann".to_owned(),
        asked: "Where to in May?".to_owned(),
        nonce: "q-1".to_owned(),
        at_ms: NOW,
        model: "smollm2-135m-instruct".to_owned(),
        text: text.to_owned(),
        activity: Activity::Typing,
    }
}
