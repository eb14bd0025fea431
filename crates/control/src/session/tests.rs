//! A connection, line by line.

use super::*;
use crate::protocol::look;

fn session(level: Level) -> Session {
    Session::new(Greeting {
        protocol: PROTOCOL,
        version: "1.2.3".to_owned(),
        pid: 7,
        started_ms: 0,
        level,
    })
}

fn line(text: &str) -> Heard {
    Heard::Line(text.to_owned())
}

fn request(id: i64, method: &str, params: &str) -> Heard {
    line(&format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#
    ))
}

/// What is said, as JSON.
#[track_caller]
fn said(step: Step) -> Value {
    match step {
        Step::Say(line) => serde_json::from_str(&line).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn refused(step: Step, code: Code) -> String {
    let said = said(step);
    assert_eq!(said["error"]["code"], code.number(), "{said}");
    assert_eq!(said["error"]["data"]["kind"], code.as_str());
    said["error"]["message"].as_str().unwrap().to_owned()
}

#[test]
fn a_request_without_hello_is_carried_out() {
    let mut session = session(Level::Admin);
    assert!(session.greeting().contains(r#""level":"admin""#));
    let step = session.heard(request(1, "status", "{}"));
    assert_eq!(step, Step::Do(Id::Number(1), Call::Status(look::Status {})));
    let line = session.answered(&Id::Number(1), Ok(json!({"a": 1})));
    assert_eq!(line, r#"{"jsonrpc":"2.0","id":1,"result":{"a":1}}"#);
}

#[test]
fn parameters_may_be_left_out_where_none_are_needed() {
    let mut session = session(Level::Admin);
    let step = session.heard(line(r#"{"jsonrpc":"2.0","id":1,"method":"tree"}"#));
    assert_eq!(step, Step::Do(Id::Number(1), Call::Tree(look::Tree {})));
    let step = session.heard(line(r#"{"jsonrpc":"2.0","id":2,"method":"inspect"}"#));
    assert!(refused(step, Code::Params).contains("actor"));
}

#[test]
fn hello_can_only_give_up() {
    for (granted, wanted, left) in [
        (Level::Admin, Level::Observe, "observe"),
        (Level::Admin, Level::Admin, "admin"),
        (Level::Operate, Level::Admin, "operate"),
    ] {
        let mut session = session(granted);
        let hello = format!(r#"{{"protocol":1,"level":"{wanted}","client":"a test"}}"#);
        let answer = said(session.heard(request(1, "hello", &hello)));
        assert_eq!(answer["result"]["level"], left);
        assert_eq!(session.client(), Some("a test"));
    }
}

#[test]
fn hello_comes_first_and_once_and_of_this_protocol() {
    let mut late = session(Level::Admin);
    assert!(matches!(late.heard(request(1, "ps", "{}")), Step::Do(..)));
    let step = late.heard(request(2, "hello", r#"{"protocol":1}"#));
    assert!(refused(step, Code::Request).contains("before everything else"));
    let mut twice = session(Level::Admin);
    said(twice.heard(request(1, "hello", r#"{"protocol":1}"#)));
    refused(
        twice.heard(request(2, "hello", r#"{"protocol":1}"#)),
        Code::Request,
    );
    let mut other = session(Level::Admin);
    let Step::SayAndEnd(end) = other.heard(request(1, "hello", r#"{"protocol":2}"#)) else {
        panic!("it goes on");
    };
    assert!(end.contains("-32007") && end.contains("1.2.3"), "{end}");
    for name in ["", "a\\nb", &"x".repeat(61)] {
        let mut named = session(Level::Admin);
        let hello = format!(r#"{{"protocol":1,"client":"{name}"}}"#);
        refused(named.heard(request(1, "hello", &hello)), Code::Params);
    }
}

#[test]
fn each_method_needs_its_level() {
    for method in METHODS {
        for level in Level::ALL {
            let step = session(level).heard(request(1, method.name, method.example));
            let denied = matches!(&step, Step::Say(line) if line.contains("level_too_low"));
            assert_eq!(denied, level < method.level, "{} as {level}", method.name);
        }
    }
}

#[test]
fn what_is_no_request_is_answered_and_the_next_is_heard() {
    let mut session = session(Level::Admin);
    for (heard, code) in [
        (line("garbage"), Code::Parse),
        (Heard::NotText, Code::Parse),
        (Heard::TooLong, Code::TooLong),
        (line("[]"), Code::Request),
        (request(1, "sing", "{}"), Code::Method),
        (request(1, "inspect", r#"{"actor":7}"#), Code::Params),
        (
            request(1, "events", r#"{"filter":{"colour":1}}"#),
            Code::Params,
        ),
    ] {
        refused(session.heard(heard), code);
    }
    assert!(matches!(
        session.heard(request(1, "ps", "{}")),
        Step::Do(..)
    ));
}

#[test]
fn an_id_is_used_once_at_a_time_and_so_many_are_under_way() {
    let mut session = session(Level::Admin);
    for id in 0..8 {
        assert!(matches!(
            session.heard(request(id, "ps", "{}")),
            Step::Do(..)
        ));
    }
    let step = session.heard(request(0, "ps", "{}"));
    assert!(refused(step, Code::Request).contains("this id"));
    assert!(refused(session.heard(request(8, "ps", "{}")), Code::Busy).contains("8 requests"));
    session.answered(&Id::Number(0), Ok(Value::Null));
    assert!(matches!(
        session.heard(request(0, "ps", "{}")),
        Step::Do(..)
    ));
}

#[test]
fn each_subscription_hears_what_passes_its_filter_and_what_it_missed() {
    let mut session = session(Level::Observe);
    assert!(!session.listens());
    for (id, filter) in [
        (1, r"{}"),
        (2, r#"{"filter":{"actor":"a"}}"#),
        (3, r#"{"filter":{"events":["ready"]}}"#),
    ] {
        let answer = said(session.heard(request(id, "subscribe", filter)));
        assert_eq!(answer["result"]["subscription"], id);
    }
    let event = Event {
        at_ms: 5,
        actor: "root/a".to_owned(),
        life: 1,
        event: "crashed".to_owned(),
        text: "crashed: boom".to_owned(),
        reason: Some("boom".to_owned()),
        abandoned: Vec::new(),
    };
    let lines = session.happened(&event);
    let heard: Vec<Value> = lines
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["params"]["subscription"].clone())
        .collect();
    assert_eq!(heard, [1, 2]);
    assert_eq!(session.lagged(9).len(), 3);
    assert!(session.lagged(9)[2].contains(r#""subscription":3,"lost":9"#));
    said(session.heard(request(4, "unsubscribe", r#"{"subscription":2}"#)));
    refused(
        session.heard(request(5, "unsubscribe", r#"{"subscription":2}"#)),
        Code::NotFound,
    );
    assert_eq!(session.happened(&event).len(), 1);
    for id in 6..8 {
        said(session.heard(request(id, "subscribe", "{}")));
    }
    refused(session.heard(request(8, "subscribe", "{}")), Code::Busy);
    let step = session.heard(request(9, "subscribe", r#"{"filter":{"events":["dead"]}}"#));
    assert!(refused(step, Code::Params).contains("dead is no event"));
}
