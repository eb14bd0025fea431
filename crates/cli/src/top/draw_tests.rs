//! Pictures, kept as text beside this file. `PARAPHYM_WRITE_SNAPSHOTS=1` writes them anew: look at what changed.

use std::path::PathBuf;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::{Color, Modifier};

use super::super::act::{Act, Told};
use super::super::keys::Key;
use super::super::samples;
use super::*;
use paraphym_candle::control::protocol::act::Acted;
use paraphym_candle::control::protocol::look::InspectAnswer;
use paraphym_candle::control::protocol::vitals::LabelVitals;

const PLAIN: Look = Look {
    colours: false,
    unicode: true,
};
const COLOURS: Look = Look {
    colours: true,
    unicode: true,
};

fn picture(state: &State, look: Look, (width, height): (u16, u16)) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal
        .draw(|frame| draw(state, look, frame.buffer_mut()))
        .unwrap();
    terminal.backend().buffer().clone()
}

#[track_caller]
fn assert_looks(name: &str, state: &State, look: Look, size: (u16, u16)) -> Buffer {
    let picture = picture(state, look, size);
    let seen = text(&picture);
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/top/snapshots");
    let path = folder.join(format!("{name}.txt"));
    if std::env::var_os("PARAPHYM_WRITE_SNAPSHOTS").is_some() {
        std::fs::write(&path, &seen).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(seen == kept, "{name} is\n{seen}\nand was\n{kept}");
    assert_eq!(seen.lines().count(), usize::from(size.1));
    picture
}

/// Nothing is written over the heads of the columns.
fn assert_heads_are_whole(state: &State) {
    for width in 80..130 {
        let seen = text(&picture(state, PLAIN, (width, 24)));
        let line = seen.lines().find(|line| line.contains("ACTOR")).unwrap();
        let heads = line.split_whitespace().filter(|head| *head != "TAKES");
        let heads: Vec<&str> = heads.collect();
        let all = ["ACTOR", "STATE", "MAILBOX", "MSG/S", "RESTARTS", "DOES"];
        assert!(heads.starts_with(&all), "{width}: {line}");
        let place = heads.get(all.len()).is_none_or(|place| place.contains('/'));
        assert!(place && heads.len() <= all.len() + 1, "{width}: {line}");
    }
}

fn has_colours(picture: &Buffer) -> bool {
    let cells = picture.content();
    cells
        .iter()
        .any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset)
}

#[test]
fn at_80_by_24_everything_has_its_place() {
    let state = samples::state();
    let seen = assert_looks("80x24", &state, COLOURS, (80, 24));
    assert!(has_colours(&seen));
}

#[test]
fn at_120_by_40_there_is_more() {
    let seen = assert_looks("120x40", &samples::state(), COLOURS, (120, 40));
    let seen = text(&seen);
    for part in ["TAKES", "120 us", "██", "trip/turn-3"] {
        assert!(seen.contains(part), "{part}");
    }
}

#[test]
fn too_small_is_one_sentence_with_the_way_out() {
    let state = samples::state();
    assert_looks("40x10", &state, COLOURS, (40, 10));
    for size in [(1, 1), (59, 100), (200, 15), (60, 16), (500, 2)] {
        let seen = text(&picture(&state, PLAIN, size));
        let small = size.0 < SMALLEST.0 || size.1 < SMALLEST.1;
        assert_eq!(seen.contains("ACTOR"), !small, "{size:?}");
    }
}

#[test]
fn without_colours_the_same_is_said() {
    let state = samples::state();
    let plain = assert_looks("80x24", &state, PLAIN, (80, 24));
    assert!(!has_colours(&plain));
    // The chosen row is known by its mark, and by being turned round.
    let row = |y: u16| (0..80).all(|x| plain[(x, y)].modifier.contains(Modifier::REVERSED));
    assert_eq!(plain[(0, 5)].symbol(), ">");
    assert!(row(4) && row(5) && !row(6));
}

#[test]
fn in_ascii_nothing_else_is_shown() {
    let look = Look {
        colours: false,
        unicode: false,
    };
    let mut state = samples::state();
    let mut answer = samples::answer(124);
    answer.actors[1].actor.actor = "root/größe-日本".to_owned();
    state.hear(answer);
    let seen = assert_looks("ascii", &state, look, (80, 24));
    assert!(text(&seen).is_ascii());
}

#[test]
fn two_hundred_actors_with_long_names() {
    let mut state = samples::state();
    let mut answer = samples::answer(124);
    for n in 0..200 {
        let path =
            format!("root/agent_supervisor/agent_worker-a-conversation-with-a-long-name-{n:03}");
        answer.actors.push(samples::actor(&path, "actor", n));
    }
    answer.actors.push(samples::actor(
        "root/日本語の名前がとても長い役者です-終わり",
        "actor",
        3,
    ));
    // They have just begun, and are counted together.
    let new = answer.actors.iter_mut().skip(12);
    let messages = new.map(|one| {
        one.actor.up_ms = Some(500);
        one.messages
    });
    answer.labels.push(LabelVitals {
        label: "root/agent_supervisor/*".to_owned(),
        messages: messages.sum(),
        ..LabelVitals::default()
    });
    state.hear(answer);
    assert_looks("200_actors_first", &state, PLAIN, (80, 24));
    for _ in 0..12 {
        state.press(Key::PageDown);
    }
    assert_looks("200_actors_middle", &state, PLAIN, (80, 24));
    state.press(Key::End);
    let seen = assert_looks("200_actors_last", &state, PLAIN, (80, 24));
    assert!(text(&seen).contains("213/213"));
    assert_heads_are_whole(&state);
}

#[test]
fn nothing_known_yet() {
    assert_looks("nothing", &State::default(), PLAIN, (80, 24));
}

#[test]
fn orders_filters_and_what_is_frozen_are_said() {
    let mut state = samples::state();
    for key in [
        Key::Char('s'),
        Key::Char('/'),
        Key::Char('o'),
        Key::Char('r'),
        Key::Char(' '),
    ] {
        state.press(key);
    }
    state.press(Key::Backspace);
    assert_looks("filtering", &state, PLAIN, (80, 24));
    assert_heads_are_whole(&state);
    state.press(Key::Enter);
    state.press(Key::Char(' '));
    state.press(Key::Tab);
    assert_looks("frozen", &state, PLAIN, (80, 24));
}

#[test]
fn a_lost_connection_is_said_and_what_was_seen_stays() {
    let mut state = samples::state();
    state.lost("the server hung up: it has ended, or sent us away".to_owned());
    state.lost("no server listens at /run/user/1000/paraphym/control.sock".to_owned());
    let seen = assert_looks("lost", &state, PLAIN, (80, 24));
    assert!(text(&seen).contains("root"));
}

#[test]
fn dialogs_lie_over_the_lists() {
    let mut state = samples::state();
    state.press(Key::Char('?'));
    assert_looks("help", &state, PLAIN, (80, 24));
    picture(&state, PLAIN, SMALLEST);
    state.press(Key::Escape);
    state.press(Key::Char('r'));
    let what = "would stop root/model_host and start it again: 2 answers are under way, and those who wait go on \
                waiting until it is up; root/agent_supervisor is not touched";
    let acted = |what: &str| {
        Ok(Told::Acted(Acted {
            done: false,
            what: what.to_owned(),
            audited: false,
        }))
    };
    state.told(acted(what));
    assert_looks("confirm", &state, PLAIN, (80, 24));
    state.press(Key::Char('y'));
    state.told(Err("root cannot be restarted: use shutdown".to_owned()));
    assert_looks("refused", &state, PLAIN, (80, 24));
    state.press(Key::Escape);
    state.press(Key::Enter);
    let answer = samples::answer(123);
    let details = InspectAnswer {
        actor: answer.actors[4].actor.clone(),
        spec: None,
        below: 0,
        leases: Vec::new(),
        events: (0..40)
            .map(|n| samples::event(n, "root", "ready", "was ready"))
            .collect(),
    };
    state.told(Ok(Told::Inspected(Box::new(details))));
    for _ in 0..100 {
        state.press(Key::Down);
    }
    let seen = assert_looks("details", &state, PLAIN, (80, 24));
    assert!(text(&seen).contains("00:00:39"), "moved to its end");
}

#[test]
fn what_a_server_says_cannot_steer_the_terminal() {
    let mut state = samples::state();
    let mut answer = samples::answer(124);
    let evil = "evil\u{1b}[2J\u{7}\u{202e}\nname";
    answer.version = evil.to_owned();
    for one in &mut answer.actors {
        one.actor.actor = format!("root/{evil}");
        one.actor.health = evil.to_owned();
        one.actor.handling = Some(evil.to_owned());
    }
    answer.models[0].model.model = evil.to_owned();
    answer.models[0].model.state = evil.to_owned();
    answer.requests[0].id = evil.to_owned();
    answer.requests[0].model = evil.to_owned();
    answer.memory.as_mut().unwrap().pressure = evil.to_owned();
    state.hear(answer);
    state.happened(samples::event(9, evil, evil, evil));
    state.press(Key::Char('r'));
    state.told(Err(evil.to_owned()));
    for look in [PLAIN, COLOURS] {
        let seen = picture(&state, look, (120, 40));
        let harmless = |symbol: &str| symbol.chars().all(|c| !c.is_control() && c != '\u{202e}');
        assert!(seen.content().iter().all(|cell| harmless(cell.symbol())));
        assert!(text(&seen).contains("evil"));
    }
    let act = Act::Cancel(evil.to_owned());
    assert!(act.title().contains("cancel"));
}

#[test]
fn whole_is_as_high_as_everything_needs() {
    let mut state = samples::state();
    let height = whole_height(&state);
    assert_looks("whole", &state, PLAIN, (100, height));
    let seen = text(&picture(&state, PLAIN, (100, height)));
    for part in ["root", "control", "trip/turn-3", "stuck", "was ready"] {
        assert!(seen.contains(part), "{part}");
    }
    state.joined(Vec::new());
    assert!(whole_height(&state) < height);
}
