//! What waits: joined, replaced, in order, and never more than may.

use proptest::prelude::*;

use super::*;
use crate::wire::room::{Activity, Ending, LiveTurn, TreeNode};

fn delta(turn: &str, at: u64, text: &str) -> ServerFrame {
    ServerFrame::Delta {
        conversation: "c".into(),
        turn: turn.into(),
        at,
        text: text.into(),
    }
}

fn typing(users: &[&str]) -> ServerFrame {
    ServerFrame::Typing {
        conversation: "c".into(),
        users: users.iter().map(ToString::to_string).collect(),
    }
}

fn activity(turn: &str, activity: Activity) -> ServerFrame {
    ServerFrame::Activity {
        conversation: "c".into(),
        turn: turn.into(),
        activity,
    }
}

fn began(turn: &str) -> ServerFrame {
    ServerFrame::Turn {
        conversation: "c".into(),
        turn: LiveTurn {
            left_out: 0,
            turn: turn.into(),
            asked_by: "ann".into(),
            asked: "why?".into(),
            nonce: "n".into(),
            at_ms: 0,
            model: "m".into(),
            text: String::new(),
            activity: Activity::Typing,
        },
    }
}

fn ended(turn: &str) -> ServerFrame {
    ServerFrame::Ended {
        conversation: "c".into(),
        turn: turn.into(),
        ending: Ending::Stopped,
    }
}

fn drain(outbox: &mut Outbox) -> Vec<ServerFrame> {
    std::iter::from_fn(|| outbox.pop()).collect()
}

#[test]
fn text_that_waits_is_joined_and_its_place_is_where_it_began() {
    let mut outbox = Outbox::new(WAITING_BYTES);
    for (at, text) in [(0, "Hé"), (2, "l"), (3, "lo")] {
        outbox.push(delta("t", at, text)).unwrap();
        outbox.push(typing(&["ann"])).unwrap();
    }
    assert_eq!(outbox.joined(), 4);
    let all = drain(&mut outbox);
    assert_eq!(all, [delta("t", 0, "Héllo"), typing(&["ann"])]);
    assert_eq!((outbox.bytes(), outbox.is_empty()), (0, true));
}

#[test]
fn of_states_only_the_latest_waits_behind_what_came_before_it() {
    let mut outbox = Outbox::new(WAITING_BYTES);
    let percent = |percent| activity("t", Activity::Prefill { percent });
    outbox.push(began("t")).unwrap();
    outbox.push(percent(10)).unwrap();
    outbox.push(typing(&["ann"])).unwrap();
    outbox.push(percent(90)).unwrap();
    outbox.push(typing(&[])).unwrap();
    outbox
        .push(ServerFrame::Tree { nodes: Vec::new() })
        .unwrap();
    let node = |restarts| TreeNode {
        path: "root".into(),
        state: "up".into(),
        queued: 0,
        capacity: 0,
        restarts,
        leased_bytes: 0,
    };
    let tree = ServerFrame::Tree {
        nodes: vec![node(1)],
    };
    outbox.push(tree.clone()).unwrap();
    assert_eq!(
        drain(&mut outbox),
        [began("t"), percent(90), typing(&[]), tree]
    );
    assert_eq!(outbox.joined(), 3);
}

#[test]
fn of_lists_of_conversations_only_the_latest_waits() {
    let mut outbox = Outbox::new(WAITING_BYTES);
    let list = |title: &str| ServerFrame::Conversations {
        conversations: vec![ConversationLine {
            conversation: "c".into(),
            title: title.into(),
            messages: 1,
            changed_ms: 0,
        }],
    };
    outbox.push(list("one")).unwrap();
    outbox.push(ended("t")).unwrap();
    outbox.push(list("two")).unwrap();
    assert_eq!(drain(&mut outbox), [ended("t"), list("two")]);
    assert_eq!(outbox.bytes(), 0);
}

#[test]
fn nothing_is_joined_across_the_end_of_a_turn_or_a_whole_conversation() {
    let room = || ServerFrame::Room {
        conversation: "c".into(),
        messages: Vec::new(),
        after: 0,
        last: 0,
        members: Vec::new(),
        typing: Vec::new(),
        turns: Vec::new(),
    };
    for between in [ended("t"), began("t"), room()] {
        let mut outbox = Outbox::new(WAITING_BYTES);
        let frames = [delta("t", 0, "a"), between, delta("t", 1, "b")];
        for frame in &frames {
            outbox.push(frame.clone()).unwrap();
        }
        assert_eq!(drain(&mut outbox), frames);
    }
}

#[test]
fn what_is_about_the_connection_goes_first_and_is_never_replaced() {
    let mut outbox = Outbox::new(WAITING_BYTES);
    let ack = |last| ServerFrame::HeartbeatAck { last };
    outbox.push(delta("t", 0, "a")).unwrap();
    outbox.push(ack(1)).unwrap();
    outbox.push(ack(2)).unwrap();
    assert_eq!(drain(&mut outbox), [ack(1), ack(2), delta("t", 0, "a")]);
    outbox.push(ack(3)).unwrap();
    outbox.push(delta("t", 1, "b")).unwrap();
    outbox.forget_control();
    assert_eq!(drain(&mut outbox), [delta("t", 1, "b")]);
    assert_eq!(outbox.bytes(), 0);
}

#[test]
fn past_the_bound_the_client_is_too_slow() {
    let mut outbox = Outbox::new(1000);
    outbox.push(delta("t", 0, &"a".repeat(500))).unwrap();
    let slow = outbox.push(delta("t", 500, &"b".repeat(500))).unwrap_err();
    assert_eq!((slow.limit, slow.waiting), (1000, 1000 + FRAME_BYTES));
    let said = slow.to_string();
    assert!(said.contains("1000 may"), "{said}");
    // Errors that nobody reads are bounded, too.
    let mut outbox = Outbox::new(1000);
    let mut pushed = 0;
    while outbox.push(ServerFrame::HeartbeatAck { last: 0 }).is_ok() {
        pushed += 1;
        assert!(pushed < 1000);
    }
    assert_eq!(pushed, 1000 / FRAME_BYTES);
}

#[derive(Clone, Debug)]
enum Step {
    Text(u8, String),
    State(u8),
    Typing(u8),
    End(u8),
    Ack,
    Pop,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0u8..3, "[a-zé]{1,4}").prop_map(|(turn, text)| Step::Text(turn, text)),
        2 => (0u8..3).prop_map(Step::State),
        1 => (0u8..3).prop_map(Step::Typing),
        1 => (0u8..3).prop_map(Step::End),
        1 => Just(Step::Ack),
        3 => Just(Step::Pop),
    ];
    proptest::collection::vec(step, 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Whatever is pushed and however slowly it is read: each turn's text arrives whole, in order, at the right place,
    /// before its end; the last state told is the last there was; the bytes come down to nothing.
    #[test]
    fn a_slow_reader_gets_all_of_the_text(steps in steps()) {
        let mut outbox = Outbox::new(usize::MAX);
        // Each turn that ended begins anew under another name, as turns do.
        let mut said: BTreeMap<String, String> = BTreeMap::new();
        let mut generation = [0u32; 3];
        let (mut last_typing, mut acks) = (None, 0);
        let mut seen = Vec::new();
        for step in steps {
            let name = |turn: u8| format!("{turn}.{}", generation[usize::from(turn)]);
            match step {
                Step::Text(turn, text) => {
                    let whole = said.entry(name(turn)).or_default();
                    let at = whole.chars().count() as u64;
                    whole.push_str(&text);
                    outbox.push(delta(&name(turn), at, &text)).unwrap();
                }
                Step::State(turn) => outbox.push(activity(&name(turn), Activity::Typing)).unwrap(),
                Step::Typing(many) => {
                    let users = &["a", "b", "c"][..usize::from(many)];
                    last_typing = Some(typing(users));
                    outbox.push(typing(users)).unwrap();
                }
                Step::End(turn) => {
                    outbox.push(ended(&name(turn))).unwrap();
                    generation[usize::from(turn)] += 1;
                }
                Step::Ack => {
                    acks += 1;
                    outbox.push(ServerFrame::HeartbeatAck { last: acks }).unwrap();
                }
                Step::Pop => seen.extend(outbox.pop()),
            }
        }
        seen.extend(drain(&mut outbox));
        prop_assert_eq!(outbox.bytes(), 0);
        prop_assert!(outbox.places.is_empty());
        let mut read: BTreeMap<String, String> = BTreeMap::new();
        let mut over = Vec::new();
        for frame in &seen {
            match frame {
                ServerFrame::Delta { turn, at, text, .. } => {
                    prop_assert!(!over.contains(turn), "text behind the end");
                    let known = read.entry(turn.clone()).or_default();
                    prop_assert_eq!(known.chars().count() as u64, *at);
                    known.push_str(text);
                }
                ServerFrame::Ended { turn, .. } => over.push(turn.clone()),
                _ => {}
            }
        }
        prop_assert_eq!(read, said);
        let told = seen.iter().rev().find(|frame| matches!(frame, ServerFrame::Typing { .. }));
        prop_assert_eq!(told, last_typing.as_ref());
        let heard = seen.iter().filter(|frame| matches!(frame, ServerFrame::HeartbeatAck { .. }));
        prop_assert_eq!(heard.count() as u64, acks);
    }
}

#[test]
fn who_reads_nothing_while_the_latest_is_replaced_holds_the_latest_and_little_more() {
    let mut outbox = Outbox::new(1 << 20);
    outbox.push(began("t")).unwrap();
    for number in 0..10_000u64 {
        let user = number.to_string();
        outbox.push(typing(&[&user])).unwrap();
        outbox
            .push(activity("t", Activity::Queued { position: number }))
            .unwrap();
        let places = outbox.waiting.len();
        assert!(places <= 2 * (5 + EMPTY), "{places} places for four frames");
        if number == 5_000 {
            outbox.push(delta("t", 0, "text")).unwrap();
        }
    }
    outbox.push(delta("t", 4, " and more")).unwrap();
    assert_eq!(outbox.joined(), 2 * 9_999 + 1);
    let last = Activity::Queued { position: 9_999 };
    let all = [
        began("t"),
        delta("t", 0, "text and more"),
        typing(&["9999"]),
        activity("t", last),
    ];
    assert_eq!(drain(&mut outbox), all);
    assert_eq!((outbox.bytes(), outbox.empty), (0, 0));
}
