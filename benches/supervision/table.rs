//! How results look: lines for eyes, or one JSON value for programs.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::bounds::Verdict;
use crate::rounds::{Figure, Report};

/// A group as lines.
pub(crate) fn group(report: &Report) -> String {
    let mut text = format!(
        "\n{}\n  median of {} alternations [min..max], × = ratio to {}\n",
        report.title, report.rounds, report.base
    );
    let cells = report.rows.iter().map(|row| {
        let figures = row.figures.iter().zip(report.columns);
        let cells = figures.map(|(figure, column)| cell(figure, column.digits));
        (row.lane, cells.collect::<Vec<_>>())
    });
    let heads = report.columns.iter().map(|column| column.name.to_owned());
    let mut lines = vec![("", heads.collect::<Vec<_>>())];
    lines.extend(cells);
    let width = |at: usize| {
        let cells = lines.iter().filter_map(|(_, cells)| cells.get(at));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..report.columns.len()).map(width).collect();
    let names = lines.iter().map(|(name, _)| name.chars().count());
    let name_width = names.max().unwrap_or(0);
    for (name, cells) in &lines {
        let mut line = format!("  {name:name_width$}");
        for (cell, width) in cells.iter().zip(&widths) {
            // Writing to a string cannot fail.
            let _ = write!(line, "   {cell:<width$}");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn cell(figure: &Figure, digits: usize) -> String {
    let Figure {
        median,
        min,
        max,
        ratio,
    } = figure;
    let ratio = ratio.map_or(String::new(), |ratio| format!(" ×{ratio:.2}"));
    format!("{median:.digits$} [{min:.digits$}..{max:.digits$}]{ratio}")
}

/// The bounds as lines.
pub(crate) fn must_hold(verdicts: &[Verdict]) -> String {
    if verdicts.is_empty() {
        return String::new();
    }
    let mut text = "\nmust hold\n".to_owned();
    for verdict in verdicts {
        let Verdict {
            what,
            seen,
            limit,
            unit,
            holds,
        } = verdict;
        let word = if *holds { "holds" } else { "DOES NOT HOLD" };
        let _ = writeln!(
            text,
            "  {word:13}  {what}: {seen:.2} (at most {limit}) {unit}"
        );
    }
    text
}

/// Everything as one value.
pub(crate) fn json(reports: &[Report], verdicts: &[Verdict], workers: usize) -> Value {
    let groups = reports.iter().map(|report| {
        let rows = report.rows.iter().map(|row| {
            let figures = row.figures.iter().zip(report.columns);
            let figures = figures.map(|(figure, column)| {
                json!({
                    "column": column.name,
                    "median": figure.median,
                    "min": figure.min,
                    "max": figure.max,
                    "ratio": figure.ratio,
                })
            });
            json!({ "contender": row.lane, "figures": figures.collect::<Vec<_>>() })
        });
        json!({
            "group": report.key,
            "title": report.title,
            "base": report.base,
            "alternations": report.rounds,
            "rows": rows.collect::<Vec<_>>(),
        })
    });
    let bounds = verdicts.iter().map(|verdict| {
        json!({
            "what": verdict.what,
            "seen": verdict.seen,
            "at_most": verdict.limit,
            "unit": verdict.unit,
            "holds": verdict.holds,
        })
    });
    json!({
        "workers": workers,
        "groups": groups.collect::<Vec<_>>(),
        "must_hold": bounds.collect::<Vec<_>>(),
    })
}
