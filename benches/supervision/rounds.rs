//! Alternation: every lane of a group once, then every lane again. A machine's mood changes all of them, so a ratio is
//! taken within a round and only then is the middle of the rounds.

use paraphym_benches::median;

use crate::alone;
use crate::lane::{Column, Group, Sample};
use crate::peer::Failure;

/// What one lane came to in one column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figure {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    /// Median of the rounds' ratios to the base, where the column has one.
    pub(crate) ratio: Option<f64>,
}

/// One lane of a report.
pub(crate) struct Row {
    pub(crate) lane: &'static str,
    /// One for each column.
    pub(crate) figures: Vec<Figure>,
}

/// What a group came to.
pub(crate) struct Report {
    pub(crate) key: String,
    pub(crate) title: String,
    pub(crate) columns: &'static [Column],
    pub(crate) base: &'static str,
    pub(crate) rounds: usize,
    pub(crate) rows: Vec<Row>,
}

impl Report {
    /// What a lane came to in a column, both by name.
    pub(crate) fn figure(&self, lane: &str, column: &str) -> Option<Figure> {
        let row = self.rows.iter().find(|row| row.lane == lane)?;
        let at = self.columns.iter().position(|found| found.name == column)?;
        row.figures.get(at).copied()
    }
}

/// Runs a group to its report. What runs in this process runs once unmeasured before.
pub(crate) async fn run(group: Group, quick: bool) -> Result<Report, Failure> {
    let count = group.lanes.len();
    let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); count];
    let unmeasured = usize::from(!group.alone);
    for round in 0..unmeasured + group.rounds {
        // Each round begins with another lane: nobody always runs behind the same neighbour's leavings.
        for lane_at in (0..count).map(|n| (n + round) % count) {
            let (Some(lane), Some(kept)) = (group.lanes.get(lane_at), samples.get_mut(lane_at))
            else {
                continue;
            };
            if lane.once && round > unmeasured {
                continue;
            }
            let sample = if group.alone {
                alone::run(&group, lane, quick).await
            } else {
                lane.run().await
            };
            let sample =
                sample.map_err(|failure| format!("{}, {}: {failure}", group.key, lane.name))?;
            if round >= unmeasured {
                kept.push(sample);
            }
        }
    }
    Ok(report(group, &samples))
}

fn report(group: Group, samples: &[Vec<Sample>]) -> Report {
    let base_at = group.lanes.iter().position(|lane| lane.name == group.base);
    let base = base_at.and_then(|at| samples.get(at));
    let rows = group.lanes.iter().zip(samples).map(|(lane, samples)| Row {
        lane: lane.name,
        figures: (0..group.columns.len())
            .zip(group.columns)
            .map(|(at, column)| {
                let base = base.filter(|_| column.ratio);
                figure(
                    &in_column(samples, at),
                    base.map(|base| in_column(base, at)),
                )
            })
            .collect(),
    });
    Report {
        rows: rows.collect(),
        key: group.key,
        title: group.title,
        columns: group.columns,
        base: group.base,
        rounds: group.rounds,
    }
}

fn in_column(samples: &[Sample], at: usize) -> Vec<f64> {
    samples
        .iter()
        .map(|sample| sample.get(at).copied().unwrap_or(f64::NAN))
        .collect()
}

fn figure(values: &[f64], base: Option<Vec<f64>>) -> Figure {
    let ratios = base.map(|base| {
        let pairs = values.iter().zip(&base);
        pairs.map(|(value, base)| value / base).collect::<Vec<_>>()
    });
    Figure {
        median: median(values).unwrap_or(f64::NAN),
        min: values.iter().copied().fold(f64::NAN, f64::min),
        max: values.iter().copied().fold(f64::NAN, f64::max),
        ratio: ratios.and_then(|ratios| median(&ratios)),
    }
}
