//! What the issue demands, held against what was seen. Nothing is judged by exit code: a timing is not a test.

use crate::lane::{KAMEO, KAMEO_SUPERVISE, OURS, OURS_DEEP, OURS_DYNAMIC};
use crate::rounds::Report;

/// What of a figure is bounded.
#[derive(Clone, Copy)]
enum Seen {
    /// The median ratio to the base.
    Ratio,
    /// The median itself.
    Value,
    /// Every run.
    Worst,
}

struct Bound {
    /// The start of the group's key, so that every size of a measure is held to it.
    group: &'static str,
    lane: &'static str,
    column: &'static str,
    seen: Seen,
    limit: f64,
    unit: &'static str,
}

const fn bound(
    group: &'static str,
    lane: &'static str,
    column: &'static str,
    seen: Seen,
    limit: f64,
    unit: &'static str,
) -> Bound {
    Bound {
        group,
        lane,
        column,
        seen,
        limit,
        unit,
    }
}

const BOUNDS: [Bound; 10] = [
    bound("tell", OURS, "ns/message", Seen::Ratio, 1.10, KAMEO),
    bound("ask", OURS, "p50 ns", Seen::Ratio, 1.10, KAMEO),
    bound("restart", OURS, "p50 ns", Seen::Ratio, 1.5, KAMEO_SUPERVISE),
    bound("bytes", OURS, "B/actor", Seen::Ratio, 1.15, KAMEO),
    bound("bytes", OURS_DYNAMIC, "B/actor", Seen::Ratio, 1.15, KAMEO),
    bound("crashes", OURS, "lost", Seen::Worst, 0.0, "messages"),
    bound("passing", OURS_DYNAMIC, "% more", Seen::Value, 5.0, "%"),
    bound("stop", OURS, "ms", Seen::Value, 2_000.0, "ms"),
    bound("stop", OURS_DEEP, "ms", Seen::Value, 2_000.0, "ms"),
    bound("stop", OURS_DYNAMIC, "ms", Seen::Value, 2_000.0, "ms"),
];

/// One bound and what was seen.
pub(crate) struct Verdict {
    /// `tell-64, paraphym, ns/message`.
    pub(crate) what: String,
    pub(crate) seen: f64,
    pub(crate) limit: f64,
    /// What both numbers are: a unit, or whose multiple.
    pub(crate) unit: String,
    pub(crate) holds: bool,
}

/// Every bound that the reports say something about.
pub(crate) fn verdicts(reports: &[Report]) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for bound in &BOUNDS {
        let concerned = |report: &&Report| report.key.split('-').next() == Some(bound.group);
        for report in reports.iter().filter(concerned) {
            let Some(figure) = report.figure(bound.lane, bound.column) else {
                continue;
            };
            let (seen, unit) = match bound.seen {
                Seen::Ratio => (
                    figure.ratio.unwrap_or(f64::NAN),
                    format!("× {}", bound.unit),
                ),
                Seen::Value => (figure.median, bound.unit.to_owned()),
                Seen::Worst => (figure.max, bound.unit.to_owned()),
            };
            verdicts.push(Verdict {
                what: format!("{}, {}, {}", report.key, bound.lane, bound.column),
                seen,
                limit: bound.limit,
                unit,
                holds: seen <= bound.limit,
            });
        }
    }
    verdicts
}
