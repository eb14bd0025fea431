//! Every part of both worlds once, with counts so small that only whether it works shows: the old world has its nine threads
//! and loses what its rows say it loses, ours has none and loses nothing. Nothing is timed here.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail by panicking"
)]

mod alone;
mod broken;
mod client;
mod crowd;
mod idle;
mod lane;
mod new_world;
mod old_session;
mod old_state;
mod old_world;
mod options;
mod outcomes;
mod panics;
mod plan;
mod plots;
mod process;
mod rows;
mod silence;
mod sizes;
mod spread;
mod stop;
mod table;
mod world;

use clap::Parser;
use serde_json::Value;
use tokio::time::Duration;

use crate::lane::{Lane, Part};
use crate::options::Options;
use crate::rows::{Cell, Row, Stands};
use crate::sizes::Sizes;
use crate::spread::Spread;

/// By which this program, once more, becomes a fresh process of the bench: one test, alone, which says what it has to say.
const FRESH: [&str; 4] = [
    "--exact",
    "a_fresh_process_answers_and_refuses_what_it_does_not_know",
    "--nocapture",
    "--test-threads=1",
];

async fn said(part: Part, lane: Lane) -> Value {
    alone::run(part, lane, "tiny", &FRESH).await.unwrap()
}

#[test]
fn a_fresh_process_answers_and_refuses_what_it_does_not_know() {
    match std::env::var(alone::TOLD) {
        // libtest has begun a line.
        Ok(told) => println!("\n{}", alone::answer(&told).unwrap()),
        Err(_) => {
            for told in [
                "sit ours tiny",
                "idle nobody tiny",
                "idle ours huge",
                "idle",
            ] {
                assert!(alone::answer(told).is_err(), "{told}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nine_threads_are_begun_and_five_stay_while_ours_has_none() {
    let before = said(Part::Idle, Lane::Before).await;
    let ours = said(Part::Idle, Lane::Ours).await;
    // Eight with the application; the ninth kind comes with each prompt.
    assert_eq!(before["begun"], 8, "{before}");
    let workers = before["beyond"].as_u64().unwrap() - 5;
    assert!(workers >= 1, "the second runtime has workers: {before}");
    let prompts = Sizes::TINY.prompts as u64;
    assert_eq!(before["beyond_at_work"], 5 + workers + prompts, "{before}");
    assert_eq!(
        (&ours["begun"], &ours["beyond"], &ours["beyond_at_work"]),
        (&0.into(), &0.into(), &0.into())
    );
    // The clock alone wakes ten times a second, and the queues much more.
    assert!(before["wakeups"].as_f64().unwrap() > 5.0, "{before}");
    assert!(before["queue_wakeups"].as_f64() > before["wakeups"].as_f64());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ours_ends_with_its_last_thread_and_the_old_world_does_not_end() {
    let before = said(Part::Stop, Lane::Before).await;
    let ours = said(Part::Stop, Lane::Ours).await;
    assert!(ours["took_ms"].as_f64().unwrap() >= 0.0, "{ours}");
    assert_eq!(ours["left"], Value::Array(Vec::new()));
    assert_eq!(before["took_ms"], Value::Null);
    let left = before["left"].as_array().unwrap();
    for stays in ["old-governor", "old-cache"] {
        assert!(left.contains(&stays.into()), "{stays} ended: {before}");
    }
    for ends in ["old-cli", "old-health", "old-typing"] {
        assert!(!left.contains(&ends.into()), "{ends} has a flag: {before}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_is_noticed_by_ours_and_never_by_a_clock_that_stands() {
    let all = Sizes::TINY.silent;
    let never = |said: &Value| {
        (
            said["never"].as_u64().unwrap(),
            said["of"].as_u64().unwrap(),
        )
    };
    let before = said(Part::Heartbeats, Lane::Before).await;
    assert_eq!(never(&before), (all as u64, all as u64));
    for (part, lane) in [
        (Part::Heartbeats, Lane::Mended),
        (Part::Heartbeats, Lane::Ours),
        (Part::Typing, Lane::Before),
        (Part::Typing, Lane::Ours),
    ] {
        let said = said(part, lane).await;
        assert_eq!(never(&said), (0, all as u64), "{part:?} {lane:?}");
        // A timer may round down to its tick; a promise is not kept early.
        let each = said["each"].as_array().unwrap();
        assert!(
            each.iter().all(|late| late.as_f64().unwrap() > -5.0),
            "{said}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_client_of_a_crowd_is_answered_in_both_worlds() {
    let [connections, _] = Sizes::TINY.crowds;
    for lane in [Lane::Before, Lane::Ours] {
        let said = said(Part::Crowd(connections), lane).await;
        let of = |at: &str| said.pointer(at).and_then(Value::as_u64).unwrap();
        assert_eq!(of("/beat_ms/of"), Sizes::TINY.beats as u64, "{said}");
        assert_eq!(
            of("/key_ms/of"),
            Sizes::TINY.keystrokes as u64 * 2,
            "{said}"
        );
        assert_eq!(of("/beat_ms/never") + of("/key_ms/never"), 0, "{said}");
        assert!(said["bytes_joined"].as_f64().unwrap() >= 0.0, "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_panic_ours_answers_again_and_the_old_part_is_gone() {
    let before = said(Part::Panic, Lane::Before).await;
    let ours = said(Part::Panic, Lane::Ours).await;
    let count = |said: &Value, at: &str| said.pointer(at).and_then(Value::as_u64).unwrap();
    for part in ["typing", "governor"] {
        assert_eq!(before[part]["back_ms"], Value::Null, "{before}");
        assert!(ours[part]["back_ms"].as_f64().is_some(), "{ours}");
    }
    for (some, all) in [
        ("/typing/seen", "/typing/seen_of"),
        ("/typing/ended", "/typing/ended_of"),
        ("/governor/answered", "/governor/of"),
        ("/prompts/answered", "/prompts/of"),
    ] {
        assert_eq!(count(&ours, some), count(&ours, all), "{some}: {ours}");
    }
    assert_eq!(count(&before, "/typing/ended"), 0, "{before}");
    let of = count(&before, "/prompts/of");
    assert_eq!(count(&before, "/prompts/answered"), of - 1, "{before}");
}

fn row(before: Cell, ours: Cell) -> Row {
    Row {
        group: "idle",
        name: "wake-ups".to_owned(),
        unit: "/s",
        digits: 1,
        before,
        ours,
        ratio: Some(2.0),
        why: "because",
    }
}

#[test]
fn a_row_says_who_is_ahead_and_why_not() {
    for (before, ours, stands) in [
        (Cell::Number(2.0), Cell::Number(1.0), Stands::Ahead),
        (Cell::Number(1.0), Cell::Number(1.02), Stands::Even),
        (Cell::Number(1.0), Cell::Number(2.0), Stands::Behind),
        (Cell::Number(0.0), Cell::Number(0.0), Stands::Even),
        (Cell::Never, Cell::Number(9.0), Stands::Ahead),
        (Cell::Number(9.0), Cell::Never, Stands::Behind),
        (Cell::Of(3, 4), Cell::Of(4, 4), Stands::Ahead),
        (Cell::Of(4, 4), Cell::Of(4, 4), Stands::Even),
        (Cell::Of(4, 4), Cell::Of(3, 4), Stands::Behind),
    ] {
        let row = row(before, ours);
        assert_eq!(row.stands(), stands, "{before:?} {ours:?}");
        let line = table::lines(std::slice::from_ref(&row));
        assert_eq!(line.contains("because"), stands != Stands::Ahead, "{line}");
        assert_eq!(row.json()["why"].is_null(), stands == Stands::Ahead);
    }
}

#[test]
fn what_never_came_is_later_than_all_that_did() {
    let mut spread = Spread::default();
    assert_eq!(spread.at(0.5), None);
    for late in [30, 10, 20] {
        spread.add(Duration::from_millis(late));
    }
    assert_eq!(
        (spread.at(0.0), spread.at(0.5), spread.at(1.0)),
        (Some(10.0), Some(20.0), Some(30.0))
    );
    spread.add_never();
    assert_eq!((spread.at(0.0), spread.at(1.0)), (Some(10.0), None));
    assert_eq!(spread.whole()["never"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_run_fills_every_row_and_draws_four_pictures() {
    let run = plan::Run {
        named: "tiny",
        arguments: &FRESH,
    };
    let mut done = 0;
    let outcomes = plan::run(&Sizes::TINY, run, |_| done += 1).await.unwrap();
    assert_eq!(done, 5);
    let rows = rows::all(&outcomes, &Sizes::TINY);
    for row in &rows {
        assert_ne!(row.ours, Cell::Never, "{row:?}");
        assert!(
            row.stands() == Stands::Ahead || !row.why.is_empty(),
            "{row:?}"
        );
    }
    let text = table::lines(&rows);
    for group in ["idle", "stop", "silence", "crowd", "panic"] {
        assert!(text.lines().any(|line| line.starts_with(group)), "{text}");
    }
    let json = table::json(&rows, &outcomes, 2);
    assert_eq!(json["rows"].as_array().unwrap().len(), rows.len());
    let folder = tempfile::tempdir().unwrap();
    plots::draw(folder.path(), &outcomes, &Sizes::TINY).unwrap();
    for what in ["idle", "silence", "reaction", "memory"] {
        let file = folder.path().join(format!("before_and_after_{what}.svg"));
        let drawn = std::fs::read_to_string(file).unwrap();
        assert!(drawn.contains("<svg") && drawn.contains("before"), "{what}");
    }
}

#[test]
fn the_command_line_picks_how_much_and_for_whom() {
    let options = |words: &[&str]| Options::try_parse_from([&["before_and_after"], words].concat());
    let everything = options(&["--bench"]).unwrap();
    assert_eq!((everything.sizes(), everything.json), ("full", false));
    let look = options(&["--quick", "--json", "--plots=docs/img"]).unwrap();
    assert_eq!((look.sizes(), look.json), ("quick", true));
    assert!(look.plots.is_some() && options(&["sit"]).is_err());
    for named in ["full", "quick", "tiny"] {
        let sizes = Sizes::named(named).unwrap();
        assert!(
            sizes.sweep > sizes.attempt && sizes.crowds[0] < sizes.crowds[1],
            "{named}"
        );
    }
    assert!(lane::parse("crowd-x", "ours").is_err());
}
