//! The rules of turns by tables, and by random walks that check that each turn ends exactly once.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use domain::{FinishReason, GenerationEvent, ModelName, Role, Sampling, TurnError, Usage};
use proptest::prelude::*;

use super::*;
use crate::agent_run::Order;
use crate::messages::SteerError;

/// A listener that a test can make leave.
#[derive(Clone, Debug, Default)]
struct Ear {
    gone: Rc<Cell<bool>>,
}

impl Listener for Ear {
    fn is_gone(&self) -> bool {
        self.gone.get()
    }
}

fn start() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn settings() -> TurnSettings {
    TurnSettings {
        sampling: Sampling::greedy(),
        ..TurnSettings::new(ModelName::new("m"))
    }
}

fn turns(waiting: usize) -> Turns<Ear> {
    let config = Config {
        waiting_turns: waiting,
        text_chars: 10,
        history_chars: 1000,
        ..Config::default()
    };
    Turns::new(config, start())
}

fn ask(turns: &mut Turns<Ear>, id: &str, text: &str) -> Result<Vec<Effect<Ear>>, GenerationError> {
    turns
        .accept(RequestId::new(id), text.into(), settings(), Ear::default())
        .map(|(_, effects)| effects)
}

fn finished() -> Ending {
    Ending::Finished {
        reason: FinishReason::Stop,
        usage: Usage::default(),
    }
}

/// The model's text, taken by the listener.
fn hear(turns: &mut Turns<Ear>, key: TurnKey, text: &str) {
    turns.equip(
        key,
        Arc::from([]),
        |_| unreachable!("nothing is called"),
        start(),
    );
    let Some(run) = turns.run(key) else {
        return;
    };
    while run.take().is_some() {}
    run.input(Input::Model(GenerationEvent::Text(text.into())), start());
    while run.take().is_some() {}
}

/// What an effect is, in one word each, so that whole lists can be compared.
fn words(effects: &[Effect<Ear>]) -> Vec<String> {
    let word = |effect: &Effect<Ear>| match effect {
        Effect::Start(start) => format!("start {}", start.key.0),
        Effect::Place { key, position } => format!("place {} {position}", key.0),
        Effect::Halt(key) => format!("halt {}", key.0),
        Effect::End { key, event, .. } => match event {
            TurnEvent::Finished { .. } => format!("finished {}", key.0),
            TurnEvent::Failed(TurnError::Generation(GenerationError::Cancelled)) => {
                format!("cancelled {}", key.0)
            }
            TurnEvent::Failed(_) => format!("failed {}", key.0),
            other => format!("NOT TERMINAL {other:?}"),
        },
        Effect::Keep(messages) => format!("keep {}", messages.len()),
    };
    effects.iter().map(word).collect()
}

#[test]
fn one_runs_the_others_wait_in_order() {
    let mut turns = turns(2);
    assert_eq!(words(&ask(&mut turns, "a", "1").unwrap()), ["start 0"]);
    assert_eq!(words(&ask(&mut turns, "b", "2").unwrap()), ["place 1 1"]);
    assert_eq!(words(&ask(&mut turns, "c", "3").unwrap()), ["place 2 2"]);
    hear(&mut turns, TurnKey(0), "one");
    let effects = turns.ended(TurnKey(0), finished(), start());
    assert_eq!(
        words(&effects),
        ["keep 2", "finished 0", "start 1", "place 2 1"]
    );
    let effects = turns.ended(TurnKey(1), finished(), start());
    assert_eq!(words(&effects), ["finished 1", "start 2"]);
}

#[test]
fn the_model_hears_instructions_history_and_text() {
    let mut turns = turns(2);
    ask(&mut turns, "a", "hello").unwrap();
    hear(&mut turns, TurnKey(0), "hi ");
    hear(&mut turns, TurnKey(0), "there");
    turns.ended(TurnKey(0), finished(), start());
    let with_system = TurnSettings {
        system: Some("be kind".into()),
        ..settings()
    };
    let (_, effects) = turns
        .accept(
            RequestId::new("b"),
            "again".into(),
            with_system,
            Ear::default(),
        )
        .unwrap();
    let [Effect::Start(begun)] = &effects[..] else {
        panic!("{effects:?}");
    };
    turns.equip(
        begun.key,
        Arc::from([]),
        |_| unreachable!("nothing is called"),
        start(),
    );
    let run = turns.run(begun.key).unwrap();
    let call = loop {
        match run.take().unwrap() {
            Order::CallModel(call) => break call,
            order => assert!(matches!(order, Order::Say(_)), "{order:?}"),
        }
    };
    let said: Vec<(Role, &str)> = call
        .messages
        .iter()
        .map(|m| (m.role, m.content.as_str()))
        .collect();
    assert_eq!(
        said,
        [
            (Role::System, "be kind"),
            (Role::User, "hello"),
            (Role::Assistant, "hi there"),
            (Role::User, "again")
        ]
    );
}

#[test]
fn what_cannot_be_run_is_refused_by_field() {
    let mut turns = turns(1);
    let hot = TurnSettings {
        sampling: Sampling {
            temperature: 9.0,
            ..Sampling::default()
        },
        ..settings()
    };
    let lengthy = TurnSettings {
        system: Some("☃".repeat(11)),
        ..settings()
    };
    let cases = [
        ("", settings(), "text"),
        (" \n", settings(), "text"),
        ("12345678901", settings(), "text"),
        ("hello", lengthy, "system"),
        ("hello", hot, "temperature"),
    ];
    for (text, settings, field) in cases {
        let refused = turns.accept(RequestId::new("x"), text.into(), settings, Ear::default());
        let Err(GenerationError::Invalid(error)) = refused else {
            panic!("{text:?} was not refused: {refused:?}");
        };
        assert_eq!(error.field, field);
    }
    assert_eq!(turns.open().count(), 0);
    assert_eq!(
        words(&ask(&mut turns, "x", "☃☃☃☃☃☃☃☃☃☃").unwrap()),
        ["start 0"]
    );
}

#[test]
fn a_full_queue_refuses_and_a_gone_listener_gives_up_its_place() {
    let mut turns = turns(1);
    ask(&mut turns, "a", "1").unwrap();
    let ear = Ear::default();
    turns
        .accept(RequestId::new("b"), "2".into(), settings(), ear.clone())
        .unwrap();
    let full = ask(&mut turns, "c", "3");
    assert!(
        matches!(full, Err(GenerationError::Overloaded { waiting: 1, .. })),
        "{full:?}"
    );
    ear.gone.set(true);
    assert_eq!(
        words(&ask(&mut turns, "c", "3").unwrap()),
        ["cancelled 1", "place 2 1"]
    );
}

#[test]
fn cancelling_a_waiting_turn_ends_it_at_once() {
    let mut turns = turns(4);
    for id in ["a", "b", "c"] {
        ask(&mut turns, id, "x").unwrap();
    }
    let (found, effects) = turns.cancel(&RequestId::new("b"));
    assert!(found);
    assert_eq!(words(&effects), ["cancelled 1", "place 2 1"]);
    let (found, effects) = turns.cancel(&RequestId::new("b"));
    assert!(!found);
    assert_eq!(words(&effects), [""; 0]);
}

#[test]
fn cancelling_the_running_turn_waits_for_its_answer_to_stop_and_keeps_what_was_said() {
    let mut turns = turns(4);
    ask(&mut turns, "a", "1").unwrap();
    ask(&mut turns, "b", "2").unwrap();
    hear(&mut turns, TurnKey(0), "half");
    let (found, effects) = turns.cancel(&RequestId::new("a"));
    assert!(found);
    assert_eq!(words(&effects), ["halt 0"]);
    let effects = turns.ended(TurnKey(0), Ending::Stopped, start());
    assert_eq!(words(&effects), ["keep 2", "cancelled 0", "start 1"]);
    assert_eq!(turns.history()[1].content, "half");
}

#[test]
fn endings_and_their_last_event() {
    let failed = || Ending::Failed(TurnError::Interrupted);
    for (ending, cancelled, word) in [
        (finished(), false, "finished 0"),
        (finished(), true, "finished 0"),
        (failed(), false, "failed 0"),
        (failed(), true, "cancelled 0"),
        (Ending::Stopped, false, "cancelled 0"),
        (Ending::Stopped, true, "cancelled 0"),
    ] {
        let mut turns = turns(1);
        ask(&mut turns, "a", "1").unwrap();
        if cancelled {
            turns.cancel(&RequestId::new("a"));
        }
        assert_eq!(words(&turns.ended(TurnKey(0), ending, start())), [word]);
        assert_eq!(
            turns.history().len(),
            0,
            "nothing was said, nothing is remembered"
        );
    }
}

#[test]
fn after_a_crash_the_running_turn_goes_on_and_those_that_waited_wait() {
    let mut turns = turns(4);
    ask(&mut turns, "a", "1").unwrap();
    ask(&mut turns, "b", "2").unwrap();
    hear(&mut turns, TurnKey(0), "half");
    assert_eq!(words(&turns.reborn(start())), ["start 0"]);
    hear(&mut turns, TurnKey(0), "half");
    hear(&mut turns, TurnKey(0), " and half");
    assert_eq!(words(&turns.broke_off(TurnKey(1), start())), [""; 0]);
    assert_eq!(words(&turns.broke_off(TurnKey(0), start())), ["start 0"]);
    let effects = turns.ended(TurnKey(0), finished(), start());
    assert_eq!(words(&effects), ["keep 2", "finished 0", "start 1"]);
    assert_eq!(turns.history()[1].content, "half and half");
    assert_eq!(
        words(&turns.ended(TurnKey(0), finished(), start())),
        [""; 0],
        "it is over"
    );
}

#[test]
fn a_turn_that_was_cancelled_before_a_crash_is_cancelled_after_it() {
    let mut turns = turns(4);
    ask(&mut turns, "a", "1").unwrap();
    hear(&mut turns, TurnKey(0), "half");
    turns.cancel(&RequestId::new("a"));
    turns.reborn(start());
    let run = turns.run(TurnKey(0)).unwrap();
    assert!(run.is_over());
}

fn steer(turns: &mut Turns<Ear>, id: &str, text: &str) -> Result<u32, SteerError> {
    turns.steer(&RequestId::new(id), text.into())
}

fn field(refused: &SteerError) -> &'static str {
    match refused {
        SteerError::Invalid(field) => field.field,
        _ => "",
    }
}

#[test]
fn a_turn_is_told_more_while_it_runs_and_while_it_waits() {
    let mut turns = turns(4);
    turns.config.waiting_steers = 2;
    ask(&mut turns, "a", "1").unwrap();
    ask(&mut turns, "b", "2").unwrap();
    for (id, text, expected) in [
        // Not driven yet.
        ("a", "x", Ok(1)),
        ("b", "y", Ok(1)),
        ("b", "z", Ok(2)),
        ("b", "w", Err("steer")),
        ("a", "  ", Err("text")),
        ("b", "12345678901", Err("text")),
    ] {
        let told = steer(&mut turns, id, text);
        assert_eq!(told.map_err(|e| field(&e)), expected, "{id} {text}");
    }
    hear(&mut turns, TurnKey(0), "one");
    for expected in [Ok(2), Ok(3), Err("steer")] {
        let told = steer(&mut turns, "a", "x");
        assert_eq!(told.map_err(|e| field(&e)), expected);
    }
    turns.ended(TurnKey(0), finished(), start());
    let no_room = |_: &ToolCall| unreachable!("nothing is called");
    turns.equip(TurnKey(1), Arc::from([]), no_room, start());
    let run = turns.run(TurnKey(1)).unwrap();
    let mut shown = Vec::new();
    while let Some(order) = run.take() {
        if let Order::CallModel(call) = order {
            shown = call.messages.into_iter().map(|m| m.content).collect();
        }
    }
    // Of the first nothing was answered to what was said to it.
    assert_eq!(shown, ["1\n\nx", "one", "2\n\ny\n\nz"]);
}

#[test]
fn what_is_over_or_about_to_end_is_told_nothing() {
    let mut turns = turns(4);
    let over = |id: &str| {
        let turn = RequestId::new(id);
        Err(SteerError::Over { turn })
    };
    assert_eq!(steer(&mut turns, "a", "x"), over("a"));
    ask(&mut turns, "a", "1").unwrap();
    hear(&mut turns, TurnKey(0), "one");
    turns.cancel(&RequestId::new("a"));
    assert_eq!(steer(&mut turns, "a", "x"), over("a"));
    turns.ended(TurnKey(0), Ending::Stopped, start());
    assert_eq!(steer(&mut turns, "a", "x"), over("a"));

    for (id, running) in [("b", true), ("c", false)] {
        let ear = Ear::default();
        let accepted = turns.accept(RequestId::new(id), "1".into(), settings(), ear.clone());
        let key = accepted.unwrap().0;
        assert_eq!(turns.running_turn(key).is_some(), running);
        assert_eq!(steer(&mut turns, id, "x"), Ok(1));
        ear.gone.set(true);
        assert_eq!(steer(&mut turns, id, "x"), over(id));
    }
}

/// The number goes on where the process before left off.
#[test]
fn a_turn_that_is_gone_on_with_knows_what_it_was_told() {
    let mut turns = turns(4);
    let text = "y".to_owned();
    let log = vec![StepRecord::Steered { number: 1, text }];
    let (id, ear) = (RequestId::new("a"), Ear::default());
    turns
        .accept_logged(id, "1".into(), settings(), ear, log)
        .unwrap();
    assert_eq!(steer(&mut turns, "a", "z"), Ok(2));
    hear(&mut turns, TurnKey(0), "one");
    assert_eq!(steer(&mut turns, "a", "w"), Ok(3));
    turns.ended(TurnKey(0), Ending::Stopped, start());
    let said: Vec<&str> = turns.history().iter().map(|m| m.content.as_str()).collect();
    assert_eq!(said, ["1", "y", "z", "one"]);
}

#[test]
fn clearing_forgets_the_running_turn_too() {
    let mut turns = turns(1);
    ask(&mut turns, "a", "1").unwrap();
    hear(&mut turns, TurnKey(0), "one");
    let (forgotten, effect) = turns.clear();
    assert_eq!(
        (forgotten, words(&[effect])),
        (0, vec!["keep 0".to_string()])
    );
    hear(&mut turns, TurnKey(0), " two");
    assert_eq!(
        words(&turns.ended(TurnKey(0), finished(), start())),
        ["finished 0"]
    );
    assert_eq!(turns.history().len(), 0);
}

#[test]
fn loading_replaces_or_changes_nothing() {
    let mut turns = turns(1);
    let (kept, effect) = turns
        .load(vec![Message::user("q"), Message::assistant("a")])
        .unwrap();
    assert_eq!((kept, words(&[effect])), (2, vec!["keep 2".to_string()]));
    assert!(turns.load(vec![Message::system("s")]).is_err());
    assert_eq!(turns.history().len(), 2);
}

#[test]
fn idle_only_while_no_turn_is_open() {
    let start = start();
    let mut turns: Turns<Ear> = Turns::new(Config::default(), start);
    let idle = Config::default().idle;
    assert_eq!(turns.idle_deadline(), Some(start + idle));
    ask(&mut turns, "a", "1").unwrap();
    assert_eq!(turns.idle_deadline(), None);
    let later = start + Duration::from_secs(5);
    turns.ended(TurnKey(0), finished(), later);
    assert_eq!(turns.idle_deadline(), Some(later + idle));
}

#[derive(Clone, Debug)]
enum Move {
    Ask(u8),
    Hear,
    End,
    Stop,
    Cancel(u8),
    Leave(u8),
    Crash,
    Clear,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        4 => (0u8..6).prop_map(Move::Ask),
        3 => Just(Move::Hear),
        3 => Just(Move::End),
        1 => Just(Move::Stop),
        2 => (0u8..6).prop_map(Move::Cancel),
        1 => (0u8..6).prop_map(Move::Leave),
        1 => Just(Move::Crash),
        1 => Just(Move::Clear),
    ];
    prop::collection::vec(one, 0..60)
}

/// What a walk saw of each turn.
#[derive(Default)]
struct Seen {
    started: HashMap<TurnKey, u32>,
    ended: HashMap<TurnKey, u32>,
    running: Option<TurnKey>,
}

impl Seen {
    fn watch(&mut self, effects: &[Effect<Ear>]) {
        for effect in effects {
            match effect {
                // A crash lets it go on.
                Effect::Start(start) if self.running == Some(start.key) => {}
                Effect::Start(start) => {
                    *self.started.entry(start.key).or_default() += 1;
                    self.running = Some(start.key);
                }
                Effect::End { key, event, .. } => {
                    assert!(event.is_terminal());
                    *self.ended.entry(*key).or_default() += 1;
                    if self.running == Some(*key) {
                        self.running = None;
                    }
                }
                Effect::Place { .. } | Effect::Halt(_) | Effect::Keep(_) => {}
            }
        }
    }
}

proptest! {
    /// Whatever happens in whatever order: one turn at a time, started at most once, ended exactly once, and never
    /// more waiting than the limit.
    #[test]
    fn every_turn_ends_exactly_once(walk in moves()) {
        let mut turns = turns(3);
        let mut seen = Seen::default();
        let mut accepted = Vec::new();
        let mut ears: Vec<(u8, Ear)> = Vec::new();
        let now = start();
        for step in walk {
            let effects = match step {
                Move::Ask(id) => {
                    let ear = Ear::default();
                    let key = TurnKey(turns.next_key);
                    let name = RequestId::new(id.to_string());
                    match turns.accept(name, "text".into(), settings(), ear.clone()) {
                        Ok((taken, effects)) => {
                            prop_assert_eq!(taken, key);
                            accepted.push(key);
                            ears.push((id, ear));
                            effects
                        }
                        Err(error) => {
                            let is_overload = matches!(error, GenerationError::Overloaded { .. });
                            prop_assert!(is_overload);
                            Vec::new()
                        }
                    }
                }
                Move::Hear => {
                    if let Some(key) = seen.running { hear(&mut turns, key, "word "); }
                    Vec::new()
                }
                Move::End => seen.running.map_or_else(Vec::new, |key| turns.ended(key, finished(), now)),
                Move::Stop => seen.running.map_or_else(Vec::new, |key| turns.ended(key, Ending::Stopped, now)),
                Move::Cancel(id) => turns.cancel(&RequestId::new(id.to_string())).1,
                Move::Leave(id) => {
                    ears.iter().filter(|(of, _)| *of == id).for_each(|(_, ear)| ear.gone.set(true));
                    Vec::new()
                }
                Move::Crash => turns.reborn(now),
                Move::Clear => vec![turns.clear().1],
            };
            seen.watch(&effects);
            prop_assert_eq!(seen.running, turns.running.as_ref().map(|r| r.turn.key));
            prop_assert!(turns.waiting.len() <= 3);
            prop_assert!(turns.history().len().is_multiple_of(2));
        }
        while let Some(key) = seen.running {
            let effects = turns.ended(key, finished(), now);
            seen.watch(&effects);
        }
        prop_assert_eq!(turns.open().count(), 0);
        for key in accepted {
            prop_assert!(seen.started.get(&key).is_none_or(|&n| n == 1));
            prop_assert_eq!(seen.ended.get(&key), Some(&1));
        }
    }
}
