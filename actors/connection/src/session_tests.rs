//! A session through silence, cuts, slow readers and whatever a client does; nothing is lost, doubled or said after its end.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::wire::decode;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn ready() -> ServerFrame {
    ServerFrame::Ready {
        session: "s".into(),
        epoch: "e".into(),
        connection: "1".into(),
        user: "ann".into(),
        resume_ms: 120_000,
    }
}

fn session(now: Instant) -> Session {
    Session::new(Limits::default(), ready(), now)
}

fn message(number: u64) -> ServerFrame {
    ServerFrame::Kept {
        conversation: "c".into(),
        turn: format!("turn {number}"),
        nonce: "n".into(),
        before: number - 1,
        last: number,
        messages: vec![crate::wire::room::RoomMessage {
            number,
            role: "user".into(),
            user: None,
            text: format!("text {number}"),
            cut: false,
            html: None,
            at_ms: 0,
            turn: None,
            nonce: None,
        }],
    }
}

fn delta(at: u64, text: &str) -> ServerFrame {
    ServerFrame::Delta {
        conversation: "c".into(),
        turn: "t".into(),
        at,
        text: text.into(),
    }
}

fn read(session: &mut Session, now: Instant) -> Vec<Value> {
    let all = std::iter::from_fn(|| session.next(now));
    all.map(|frame| serde_json::from_str(&frame).unwrap())
        .collect()
}

fn ops(frames: &[Value]) -> Vec<String> {
    let op = |frame: &Value| match frame["seq"].as_u64() {
        Some(seq) => format!("{seq} {}", frame["op"].as_str().unwrap()),
        None => frame["op"].as_str().unwrap().to_owned(),
    };
    frames.iter().map(op).collect()
}

fn says(session: &mut Session, text: &str, now: Instant) -> Vec<Effect> {
    session.heard(decode(text), now)
}

fn changed(from: State, to: State) -> Effect {
    Effect::Changed { from, to }
}

#[test]
fn a_silent_client_is_asked_three_times_then_failed_and_gone_and_not_before() {
    let start = Instant::now();
    let mut session = session(start);
    read(&mut session, start);
    let mut before = State::Connected;
    for (second, attempt) in [(30, 1), (35, 2), (40, 3)] {
        let due = start + secs(second);
        assert_eq!(session.deadline(), Some(due));
        assert!(session.tick(due - Duration::from_nanos(1)).is_empty());
        let now = State::Reconnecting(attempt);
        assert_eq!(session.tick(due), [changed(before, now)]);
        assert_eq!(ops(&read(&mut session, due)), ["heartbeat_wanted"]);
        before = now;
    }
    let over = session.tick(start + secs(45));
    let code = CloseCode::Silent;
    let all = [
        changed(before, State::Failed),
        Effect::Close(code),
        Effect::Gone(Over::Closed(code)),
    ];
    assert_eq!(over, all);
    assert_eq!(session.deadline(), None);
    assert!(
        says(
            &mut session,
            r#"{"op":"heartbeat","seq":0}"#,
            start + secs(46)
        )
        .is_empty()
    );
    assert!(session.tell(message(1)).is_empty() && session.next(start).is_none());
}

#[test]
fn traffic_brings_it_back_and_it_is_counted() {
    let start = Instant::now();
    let mut session = session(start);
    session.tick(start + secs(30));
    session.tick(start + secs(35));
    // Even a frame that is wrong is a sign of life.
    let back = says(&mut session, "garbage", start + secs(39));
    assert_eq!(back, [changed(State::Reconnecting(2), State::Connected)]);
    assert_eq!((session.tally().recovered, session.tally().wrong), (1, 1));
    assert_eq!(session.deadline(), Some(start + secs(69)));
}

#[test]
fn a_client_that_was_cut_off_goes_on_where_it_was() {
    let start = Instant::now();
    let mut session = session(start);
    for number in 1..=3 {
        session.tell(message(number));
    }
    let first = read(&mut session, start);
    assert_eq!(ops(&first), ["ready", "1 kept", "2 kept", "3 kept"]);
    let cut = start + secs(3);
    assert_eq!(session.cut(cut), [changed(State::Connected, State::Away)]);
    assert!(session.cut(cut).is_empty());
    session.tell(message(4));
    session.tell(message(5));
    assert!(session.next(cut).is_none(), "nobody is there to read");
    // It had read up to 2; 3 was lost with the transport.
    let back = session.resume(2, start + secs(100)).unwrap();
    assert_eq!(back, [changed(State::Away, State::Connected)]);
    let again = read(&mut session, start + secs(100));
    assert_eq!(ops(&again), ["3 kept", "resumed", "4 kept", "5 kept"]);
    assert_eq!(again[0], first[3], "the very same frame");
    assert_eq!(again[1]["replayed"], 1);
    assert_eq!((session.tally().resumed, session.tally().replayed), (1, 1));
}

#[test]
fn a_session_waits_its_window_and_no_longer() {
    let start = Instant::now();
    let mut session = session(start);
    session.cut(start);
    assert_eq!(session.deadline(), Some(start + secs(120)));
    assert!(
        session
            .tick(start + secs(120) - Duration::from_nanos(1))
            .is_empty()
    );
    let over = session.tick(start + secs(120));
    assert_eq!(
        over,
        [
            changed(State::Away, State::Closed),
            Effect::Gone(Over::Expired)
        ]
    );
}

#[test]
fn what_cannot_be_said_again_without_a_gap_ends_the_session() {
    let start = Instant::now();
    let limits = Limits {
        replay: Bounds {
            bytes: 300,
            time: secs(120),
        },
        ..Limits::default()
    };
    let mut session = Session::new(limits, ready(), start);
    for number in 1..=9 {
        session.tell(message(number));
    }
    read(&mut session, start);
    session.cut(start);
    let (lost, effects) = session.resume(1, start).unwrap_err();
    assert!(matches!(lost, Lost::Gap { seq: 1, .. }));
    let all = [
        changed(State::Away, State::Closed),
        Effect::Gone(Over::NotResumable),
    ];
    assert_eq!(effects, all);
}

#[test]
fn a_slow_reader_gets_all_of_the_text_in_fewer_frames_and_past_the_bound_is_closed() {
    let start = Instant::now();
    let mut session = session(start);
    read(&mut session, start);
    for at in 0..100 {
        assert!(session.tell(delta(at, "x")).is_empty());
    }
    let frames = read(&mut session, start);
    assert_eq!(ops(&frames), ["1 delta"]);
    assert_eq!(frames[0]["text"].as_str().unwrap().len(), 100);
    assert_eq!(session.joined(), 99);
    let over = session.tell(delta(100, &"y".repeat(WAITING_BYTES)));
    let code = CloseCode::Slow;
    let all = [
        changed(State::Connected, State::Closed),
        Effect::Close(code),
        Effect::Gone(Over::Closed(code)),
    ];
    assert_eq!(over, all);
}

#[test]
fn heartbeats_are_answered_and_say_what_need_not_be_kept() {
    let start = Instant::now();
    let mut session = session(start);
    session.tell(message(1));
    session.tell(message(2));
    read(&mut session, start);
    let held = session.bytes();
    assert!(says(&mut session, r#"{"op":"heartbeat","seq":1}"#, start).is_empty());
    assert!(session.bytes() < held + 96 + 1 && session.bytes() > 0);
    let answer = read(&mut session, start);
    assert_eq!(
        (ops(&answer), &answer[0]["last"]),
        (vec!["heartbeat_ack".to_owned()], &Value::from(2))
    );
    says(&mut session, r#"{"op":"heartbeat","seq":2}"#, start);
    read(&mut session, start);
    assert_eq!(session.bytes(), 0);
    says(&mut session, r#"{"op":"heartbeat","seq":3}"#, start);
    let error = read(&mut session, start);
    assert!(
        error[0]["message"]
            .as_str()
            .unwrap()
            .contains("the last is 2"),
        "{error:?}"
    );
}

#[test]
fn what_a_client_wants_of_others_is_handed_on_and_what_is_wrong_is_answered() {
    let start = Instant::now();
    let mut session = session(start);
    read(&mut session, start);
    let effects = says(&mut session, r#"{"op":"join","conversation":"c"}"#, start);
    let join = ClientFrame::Join {
        conversation: "c".into(),
        after: None,
    };
    assert_eq!(effects, [Effect::Act(join)]);
    for (text, code) in [
        (r#"{"op":"identify"}"#, "already_identified"),
        (r#"{"op":"join"}"#, "missing_field"),
        ("[1]", "not_an_object"),
    ] {
        assert!(says(&mut session, text, start).is_empty());
        assert_eq!(read(&mut session, start)[0]["code"], code);
    }
}

#[test]
fn who_speaks_another_language_or_shouts_is_closed_with_a_word() {
    let start = Instant::now();
    let mut wrong = session(start);
    let mut effects = Vec::new();
    for number in 0..WRONG {
        assert!(effects.is_empty(), "{number}");
        effects = says(&mut wrong, "garbage", start + secs(u64::from(number) / 10));
    }
    assert_eq!(effects[1], Effect::Close(CloseCode::Malformed));
    assert!(wrong.last_word().is_some());

    let mut loud = session(start);
    let pace = Pace::default();
    let mut closed = None;
    for number in 0..=pace.at_once + pace.patience {
        let effects = says(&mut loud, r#"{"op":"conversations"}"#, start);
        let acted = effects
            .iter()
            .any(|effect| matches!(effect, Effect::Act(_)));
        assert_eq!(acted, number < pace.at_once);
        closed = effects
            .into_iter()
            .find(|effect| matches!(effect, Effect::Close(_)));
    }
    assert_eq!(closed, Some(Effect::Close(CloseCode::RateLimited)));
}

#[test]
fn who_comes_back_before_its_old_transport_is_known_to_be_gone_goes_on_over_the_new_one() {
    let start = Instant::now();
    let mut session = session(start);
    session.tell(message(1));
    read(&mut session, start);
    assert!(session.resume(0, start + secs(1)).unwrap().is_empty());
    assert_eq!(ops(&read(&mut session, start)), ["1 kept", "resumed"]);
}

#[test]
fn an_end_is_told_once() {
    let start = Instant::now();
    let mut session = session(start);
    assert_eq!(session.left().len(), 2);
    assert!(session.left().is_empty());
    assert!(session.close(CloseCode::Kicked).is_empty());
    assert!(session.cut(start).is_empty() && session.tick(start + secs(999)).is_empty());
    assert!(session.pinged(start).is_empty());
    assert_eq!(session.resume(0, start), Err((Lost::Over, Vec::new())));
    assert!(session.state().is_over());
    assert_eq!(session.tally(), Tally::default());
}

#[test]
fn who_was_given_up_is_not_resumed() {
    let start = Instant::now();
    let mut session = session(start);
    for at in [30, 35, 40, 45] {
        session.tick(start + secs(at));
    }
    assert_eq!(session.state(), State::Failed);
    assert_eq!(
        session.resume(0, start + secs(46)),
        Err((Lost::Over, Vec::new()))
    );
    assert_eq!(session.state(), State::Failed);
}

#[test]
fn an_odd_number_over_a_second_transport_closes_the_first_with_a_word() {
    let start = Instant::now();
    let mut session = session(start);
    let (lost, effects) = session.resume(9, start).unwrap_err();
    assert_eq!(lost, Lost::Future { seq: 9, last: 0 });
    let all = [
        changed(State::Connected, State::Closed),
        Effect::Close(CloseCode::Replaced),
        Effect::Gone(Over::NotResumable),
    ];
    assert_eq!(effects, all);
}

#[test]
fn a_ping_brings_a_silent_client_back_and_too_many_close_it() {
    let start = Instant::now();
    let mut session = session(start);
    session.tick(start + secs(30));
    let back = changed(State::Reconnecting(1), State::Connected);
    assert_eq!(session.pinged(start + secs(31)), [back]);
    assert_eq!(
        ops(&read(&mut session, start)),
        ["ready", "heartbeat_wanted"]
    );
    let pace = Pace::default();
    let now = start + secs(60);
    let pings = (0..=pace.at_once + pace.patience).map(|_| session.pinged(now));
    let said: Vec<Effect> = pings.flatten().collect();
    assert!(
        said.contains(&Effect::Close(CloseCode::RateLimited)),
        "{said:?}"
    );
}

#[derive(Clone, Debug)]
enum Step {
    Tell,
    Text,
    Read(u8),
    Beat,
    Cut(u8),
    Resume,
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => Just(Step::Tell),
        5 => Just(Step::Text),
        5 => (1u8..6).prop_map(Step::Read),
        2 => Just(Step::Beat),
        2 => (0u8..4).prop_map(Step::Cut),
        3 => Just(Step::Resume),
        2 => (0u64..20).prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 0..150)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// A client over any number of transports, each of which may swallow its last frames: it sees every number once, in
    /// order; every message once; all of the text, each piece where the one before it ended. Or the session ended, and
    /// said so.
    #[test]
    fn nothing_is_lost_doubled_or_out_of_order(steps in steps()) {
        let mut now = Instant::now();
        let mut session = session(now);
        let (mut told, mut said) = (0u64, String::new());
        // What the client has; and what left the server, of which a cut swallows some.
        let mut has: Vec<Value> = Vec::new();
        let mut on_its_way: Vec<Value> = Vec::new();
        let seq = |has: &[Value]| has.iter().rev().find_map(|frame| {
            frame["seq"].as_u64()
        }).unwrap_or(0);
        let mut state = State::Connected;
        let check = |state: &mut State, effects: &[Effect]| {
            for effect in effects {
                if let Effect::Changed { from, to } = effect {
                    assert_eq!(from, state);
                    *state = *to;
                }
            }
        };
        for step in steps.into_iter().chain([Step::Resume, Step::Read(200)]) {
            let effects = match step {
                Step::Tell => {
                    told += 1;
                    session.tell(message(told))
                }
                Step::Text => {
                    let at = said.chars().count() as u64;
                    let text = format!("é{told}");
                    said.push_str(&text);
                    session.tell(delta(at, &text))
                }
                Step::Read(many) => {
                    for _ in 0..many {
                        let next = session.next(now);
                        on_its_way.extend(next.map(|one| serde_json::from_str::<Value>(&one).unwrap()));
                    }
                    has.append(&mut on_its_way);
                    Vec::new()
                }
                Step::Beat => {
                    let beat = ClientFrame::Heartbeat { seq: seq(&has) };
                    session.heard(Ok(beat), now)
                }
                Step::Cut(swallowed) => {
                    for _ in 0..swallowed {
                        // It left the server, and nobody got it.
                        session.next(now);
                    }
                    session.cut(now)
                }
                Step::Resume if session.state() == State::Away => {
                    session.resume(seq(&has), now).unwrap()
                }
                Step::Resume => Vec::new(),
                Step::Wait(long) => {
                    now += secs(long);
                    session.tick(now)
                }
            };
            check(&mut state, &effects);
            prop_assert_eq!(state, session.state());
            if state.is_over() {
                return Ok(());
            }
        }
        let counted: Vec<&Value> = has.iter().filter(|frame| {
            frame["seq"].is_u64()
        }).collect();
        for (index, frame) in counted.iter().enumerate() {
            prop_assert_eq!(frame["seq"].as_u64(), Some(index as u64 + 1));
        }
        let messages = counted.iter().filter(|frame| frame["op"] == "kept").count() as u64;
        prop_assert_eq!(messages, told);
        let mut read = String::new();
        for frame in counted.iter().filter(|frame| frame["op"] == "delta") {
            prop_assert_eq!(frame["at"].as_u64(), Some(read.chars().count() as u64));
            read.push_str(frame["text"].as_str().unwrap());
        }
        prop_assert_eq!(read, said);
    }
}
