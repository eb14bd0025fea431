//! What keys and answers do.

use paraphym_candle::control::protocol::look::Actor;

use super::super::samples;
use super::*;

/// As they are typed: words for keys that are no character.
fn press(state: &mut State, keys: &str) -> Vec<Effect> {
    let keys = keys.split(' ').flat_map(|word| match word {
        "down" => vec![Key::Down],
        "up" => vec![Key::Up],
        "page" => vec![Key::PageDown],
        "end" => vec![Key::End],
        "home" => vec![Key::Home],
        "enter" => vec![Key::Enter],
        "esc" => vec![Key::Escape],
        "tab" => vec![Key::Tab],
        "backtab" => vec![Key::BackTab],
        "space" => vec![Key::Char(' ')],
        "back" => vec![Key::Backspace],
        "^c" => vec![Key::Control('c')],
        "^u" => vec![Key::Control('u')],
        other => other.chars().map(Key::Char).collect(),
    });
    keys.filter_map(|key| state.press(key)).collect()
}

fn chosen(state: &State) -> String {
    let (all, at) = state.actors();
    all[at.unwrap()].actor.actor.clone()
}

#[allow(clippy::unnecessary_wraps, reason = "as the server answers")]
fn acted(what: &str) -> Result<Told, String> {
    Ok(Told::Acted(Acted {
        done: true,
        what: what.to_owned(),
        audited: true,
    }))
}

#[test]
fn arrows_and_vi_move_and_stop_at_the_ends() {
    let mut state = samples::state();
    for (keys, actor) in [
        ("up", "root"),
        ("down", "root/chat_config"),
        ("j j k", "root/memory_governor"),
        ("page", "root/control"),
        ("g", "root"),
        ("G", "root/control"),
        ("home", "root"),
        ("end down", "root/control"),
    ] {
        assert_eq!(press(&mut state, keys), [], "{keys}");
        assert_eq!(chosen(&state), actor, "{keys}");
    }
}

#[test]
fn a_filter_is_typed_kept_and_taken_away() {
    let mut state = samples::state();
    press(&mut state, "/ qMODEL back");
    assert_eq!(
        (state.filter.as_str(), state.actors().0.len()),
        ("qMODE", 0)
    );
    assert_eq!(press(&mut state, "^u"), []);
    // While it is typed, letters are letters.
    assert_eq!(press(&mut state, "MODEL_h"), []);
    assert_eq!(state.actors().0.len(), 1);
    press(&mut state, "enter");
    assert!(!state.is_filtering);
    assert_eq!(chosen(&state), "root/model_host");
    press(&mut state, "esc");
    assert_eq!((state.filter.as_str(), state.actors().0.len()), ("", 12));
    press(&mut state, "/ gate esc");
    assert_eq!((state.filter.as_str(), state.is_filtering), ("", false));
    press(&mut state, &format!("/ {}", "x".repeat(500)));
    assert_eq!(state.filter.len(), FILTER);
    assert_eq!(press(&mut state, "^c"), [Effect::Interrupted]);
}

#[test]
fn orders_come_round_and_what_is_chosen_stays_chosen() {
    let mut state = samples::state();
    press(&mut state, "end");
    for (word, first) in [
        ("health", "root/conversation_store"),
        ("rate", "root/model_lanes/smollm2-135m-instruct"),
        ("mailbox", "root/conversation_store"),
        ("restarts", "root/agent_supervisor/agent_worker-trip"),
        ("tree", "root"),
    ] {
        press(&mut state, "s");
        assert_eq!(state.sort.word(), word);
        assert_eq!(state.actors().0[0].actor.actor, first, "{word}");
        assert_eq!(chosen(&state), "root/control", "{word}");
    }
}

#[test]
fn frozen_is_what_is_shown_and_what_comes_is_kept() {
    let mut state = samples::state();
    press(&mut state, "space");
    state.hear(samples::answer(124));
    state.happened(samples::event(124, "root", "ready", "x"));
    let shown = |state: &State| {
        let board = state.board();
        (board.now.as_ref().unwrap().uptime_ms, board.events.len())
    };
    assert_eq!((shown(&state), state.is_frozen()), ((123_000, 4), true));
    press(&mut state, "space");
    assert_eq!((shown(&state), state.is_frozen()), ((124_000, 5), false));
}

#[test]
fn an_act_is_asked_about_confirmed_and_its_outcome_shown() {
    let restart = || Act::Restart("root/model_host".to_owned());
    let mut state = samples::state();
    press(&mut state, "/ model_h enter");
    assert_eq!(press(&mut state, "r"), [Effect::Ask(Wish::Try(restart()))]);
    assert_eq!(state.dialog, Dialog::Trying(restart()));
    // Nothing is confirmed before there is something to confirm.
    assert_eq!(press(&mut state, "y"), []);
    state.told(acted("would stop it"));
    assert_eq!(
        state.dialog,
        Dialog::Confirm(restart(), "would stop it".to_owned())
    );
    // Neither Enter nor a key by mistake is a yes.
    assert_eq!(press(&mut state, "enter space r tab"), []);
    assert!(matches!(state.dialog, Dialog::Confirm(..)));
    assert_eq!(press(&mut state, "y"), [Effect::Ask(Wish::Do(restart()))]);
    assert_eq!(press(&mut state, "y"), []);
    state.told(acted("was stopped and started again"));
    let Dialog::Said { text, failed, .. } = &state.dialog else {
        panic!("{:?}", state.dialog);
    };
    assert_eq!(
        (text.as_str(), *failed),
        ("was stopped and started again", false)
    );
    press(&mut state, "x");
    assert_eq!(state.dialog, Dialog::None);
}

#[test]
fn a_no_does_nothing_and_looking_away_takes_nothing_back() {
    let mut state = samples::state();
    for no in ["n", "esc", "q"] {
        assert_eq!(press(&mut state, "r").len(), 1);
        state.told(acted("would"));
        assert_eq!(press(&mut state, no), [], "{no}");
        assert_eq!(state.dialog, Dialog::None);
    }
    press(&mut state, "r");
    state.told(acted("would"));
    press(&mut state, "y esc");
    assert_eq!(state.dialog, Dialog::None);
    // One thing at a time.
    assert_eq!(press(&mut state, "u"), []);
    assert!(state.notice.as_ref().unwrap().contains("not answered"));
    state.told(acted("root was started again"));
    assert_eq!(state.notice.as_deref(), Some("root was started again"));
    // What was only asked about is forgotten.
    press(&mut state, "r esc");
    state.told(acted("would"));
    assert_eq!(
        (state.dialog.clone(), state.notice.clone()),
        (Dialog::None, None)
    );
}

#[test]
fn each_act_is_of_what_is_chosen_in_its_list() {
    let named = |act: fn(String) -> Act, name: &str| Effect::Ask(Wish::Try(act(name.to_owned())));
    let mut state = samples::state();
    for (keys, effect) in [
        ("p", named(Act::Pause, "root")),
        ("down down down p", named(Act::Resume, "root/cache_janitor")),
        ("u", named(Act::Unload, "smollm2-135m-instruct")),
        ("c", named(Act::Cancel, "req-1")),
        ("tab tab down down c", named(Act::Cancel, "trip/turn-3")),
        (
            "backtab backtab up r",
            named(Act::Restart, "root/memory_governor"),
        ),
    ] {
        assert_eq!(press(&mut state, keys), [effect], "{keys}");
        state.told(Err("no".to_owned()));
        let failed =
            matches!(&state.dialog, Dialog::Said { failed: true, text, .. } if text == "no");
        assert!(failed, "{keys}: {:?}", state.dialog);
        press(&mut state, "x");
    }
}

#[test]
fn where_there_is_nothing_to_act_on_that_is_said() {
    let mut state = State::default();
    for (key, part) in [("r", "no actor"), ("u", "no model"), ("c", "no request")] {
        assert_eq!(press(&mut state, key), []);
        assert!(state.notice.as_ref().unwrap().contains(part), "{key}");
    }
    // A list without rows is passed over.
    press(&mut state, "tab tab");
    assert_eq!(state.pane, Pane::Actors);
    press(&mut state, "backtab");
    assert_eq!(state.pane, Pane::Models);
}

#[test]
fn details_come_or_say_why_not() {
    let mut state = samples::state();
    let root = || Wish::Inspect("root".to_owned());
    assert_eq!(press(&mut state, "enter"), [Effect::Ask(root())]);
    let answer = InspectAnswer {
        actor: Actor::default(),
        spec: None,
        below: 11,
        leases: Vec::new(),
        events: Vec::new(),
    };
    state.told(Ok(Told::Inspected(Box::new(answer))));
    assert!(matches!(&state.dialog, Dialog::Details(_, Some(answer)) if answer.below == 11));
    press(&mut state, "j j k");
    assert_eq!(state.scroll, 1);
    press(&mut state, "enter");
    assert_eq!(press(&mut state, "enter"), [Effect::Ask(root())]);
    state.told(Err("it is gone".to_owned()));
    assert!(matches!(&state.dialog, Dialog::Said { failed: true, .. }));
}

#[test]
fn without_a_connection_nothing_is_asked_and_tries_are_counted() {
    let mut state = samples::state();
    for tries in 0..3 {
        state.lost("hung up".to_owned());
        let why = "hung up".to_owned();
        assert_eq!(state.link, Link::Lost { why, tries });
    }
    assert_eq!(press(&mut state, "r"), []);
    assert!(state.notice.as_ref().unwrap().contains("no connection"));
    state.joined(Vec::new());
    assert_eq!(
        (state.link.clone(), state.board().events.len()),
        (Link::Up, 0)
    );
    assert_eq!(press(&mut state, "r").len(), 1);
}

#[test]
fn q_leaves_and_closes_what_lies_over_the_lists_first() {
    let mut state = samples::state();
    assert_eq!(press(&mut state, "? q"), []);
    assert_eq!(press(&mut state, "q"), [Effect::Quit]);
}
