//! Every lane of every measure once, with counts so small that only whether it works shows: each contender answers, is
//! started again and loses what its table says it loses. Nothing is timed here.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail by panicking"
)]

mod actix_peer;
mod alone;
mod ask;
mod bare_kameo;
mod bounds;
mod crashes;
mod crowd;
mod kameo_counter;
mod kameo_supervise;
mod lane;
mod measures;
mod memory;
mod options;
mod ours;
mod passing;
mod peer;
mod percentile;
mod ractor_peer;
mod raw_tokio;
mod restart;
mod rounds;
mod sizes;
mod table;
mod tell;

use std::time::Duration;

use clap::Parser;

use crate::lane::{ACTIX_CATCH, Group, OURS, RAW};
use crate::measures::Measure;
use crate::options::Options;
use crate::sizes::Sizes;

const TINY: Sizes = Sizes {
    rounds: 1,
    slow_rounds: 1,
    tells: 200,
    asks: 50,
    spawned: 150,
    idle: [10, 150],
    restarts: 20,
    crashes: 20,
    tree: 250,
    passing: 40,
};
/// A lane of these counts that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs the group in this process, where its lanes would each have one of their own.
#[allow(
    clippy::disallowed_types,
    reason = "actix runs nowhere else; nothing of ours is in it"
)]
async fn report(mut group: Group) -> rounds::Report {
    peer::hush();
    group.alone = false;
    let key = group.key.clone();
    let main_thread = tokio::task::LocalSet::new();
    let run = main_thread.run_until(rounds::run(group, true));
    let Ok(report) = tokio::time::timeout(PATIENCE, run).await else {
        panic!("{key} hangs");
    };
    report.unwrap()
}

fn groups(measure: Measure) -> Vec<Group> {
    measure.groups(TINY)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_lane_of_every_measure_fills_its_columns() {
    let mut reports = Vec::new();
    for measure in Measure::ALL {
        for group in groups(measure) {
            let report = report(group).await;
            assert!(report.rows.len() >= 4, "{}", report.key);
            for row in &report.rows {
                assert_eq!(row.figures.len(), report.columns.len());
                for (figure, column) in row.figures.iter().zip(report.columns) {
                    let place = format!("{}, {}, {}", report.key, row.lane, column.name);
                    assert!(figure.median.is_finite(), "{place}");
                    assert_eq!(figure.ratio.is_some(), column.ratio, "{place}");
                }
            }
            let base = report.figure(report.base, report.columns[report.columns.len() - 1].name);
            assert!(base.is_some(), "{} has no base", report.key);
            reports.push(report);
        }
    }
    // Every bound of the issue finds its figure: 2 tells, 1 ask, 1 restart, 2 × 2 bytes, 1 crashes, 2 passing, 3 stops.
    let verdicts = bounds::verdicts(&reports);
    assert_eq!(verdicts.len(), 14);
    let text = table::must_hold(&verdicts) + &table::group(&reports[0]);
    assert!(text.contains("must hold") && text.contains(OURS), "{text}");
    let json = table::json(&reports, &verdicts, 2);
    assert_eq!(json["must_hold"].as_array().unwrap().len(), 14);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_keeps_the_queue_loses_nothing_in_any_crash() {
    for group in groups(Measure::Crashes) {
        let report = report(group).await;
        for lane in [RAW, OURS, ACTIX_CATCH] {
            let seen = |column| report.figure(lane, column).unwrap().max as u64;
            assert_eq!((seen("lost"), seen("lives")), (0, 21), "{lane}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fresh_process_answers_with_one_line_of_numbers() {
    let groups = groups(Measure::Bytes);
    let line = alone::answer(&groups, "bytes-10/paraphym").await.unwrap();
    assert!(line.parse::<f64>().unwrap() >= 0.0, "{line}");
    let unknown = alone::answer(&groups, "bytes-10/nobody").await;
    assert!(unknown.is_err());
}

#[test]
fn the_command_line_picks_measures_and_counts() {
    let options = |words: &[&str]| Options::try_parse_from([&["supervision"], words].concat());
    let everything = options(&["--bench"]).unwrap();
    assert_eq!(everything.chosen(), Measure::ALL);
    assert_eq!(everything.sizes().tree, 100_000);
    let look = options(&["--quick", "stop", "ask"]).unwrap();
    assert_eq!(look.chosen(), [Measure::Ask, Measure::Stop]);
    assert!(look.sizes().tree < 100_000 && !look.json && look.alone.is_none());
    assert!(options(&["sit"]).is_err());
}
