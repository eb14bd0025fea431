//! How the rows look: lines for eyes, or one JSON value for programs.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::outcomes::Outcomes;
use crate::rows::{Cell, Row, Stands};

/// The rows as lines.
pub(crate) fn lines(rows: &[Row]) -> String {
    let mut text = String::new();
    let name_width = width(rows.iter().map(|row| row.name.clone()));
    let before_width = width(rows.iter().map(|row| cell(row, row.before)));
    let ours_width = width(rows.iter().map(|row| cell(row, row.ours)));
    let mut group = "";
    for row in rows {
        if row.group != group {
            group = row.group;
            let (before, ours) = ("before", "ours");
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "\n{group:name_width$}   {before:>before_width$}   {ours:>ours_width$}   before/ours"
            );
        }
        let (name, before, ours) = (&row.name, cell(row, row.before), cell(row, row.ours));
        let ratio = row
            .ratio
            .map_or(String::new(), |ratio| format!("×{ratio:.2}"));
        let stands = match row.stands() {
            Stands::Ahead => String::new(),
            Stands::Even => format!("even: {}", row.why),
            Stands::Behind => format!("behind: {}", row.why),
        };
        let line = format!(
            "{name:name_width$}   {before:>before_width$}   {ours:>ours_width$}   {ratio:<11}   {stands}"
        );
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn width(cells: impl Iterator<Item = String>) -> usize {
    cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
}

fn cell(row: &Row, cell: Cell) -> String {
    match cell {
        Cell::Number(number) => {
            let digits = row.digits;
            format!("{number:.digits$} {}", row.unit)
                .trim_end()
                .to_owned()
        }
        Cell::Never => "never".to_owned(),
        Cell::Of(some, all) => format!("{some} of {all}"),
        Cell::Word(word) => word.to_owned(),
    }
}

/// Everything as one value: the rows, and what each process said.
pub(crate) fn json(rows: &[Row], outcomes: &Outcomes, workers: usize) -> Value {
    json!({
        "workers": workers,
        "rows": rows.iter().map(Row::json).collect::<Vec<_>>(),
        "said": outcomes.json(),
    })
}
