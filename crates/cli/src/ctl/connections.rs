//! The open connections as a table for people. Pure.

use anstyle::AnsiColor;
use paraphym_candle::control::protocol::connections::{Connection, ConnectionsAnswer};

use super::human::{size, time};
use super::show::{Shown, plain};

pub(super) fn shown(answer: &ConnectionsAnswer) -> Shown {
    let mut shown = Shown::default();
    let ConnectionsAnswer {
        limit,
        open,
        refused,
        ..
    } = answer;
    shown.line(format!("{open} of {limit} open, {refused} sent away"));
    if answer.connections.is_empty() {
        return shown;
    }
    let head = [
        "ID", "KIND", "PEER", "OPEN", "REQUESTS", "IN", "OUT", "ANSWERS",
    ];
    let rows = answer.connections.iter().map(|one| {
        let cells = vec![
            one.id.to_string(),
            plain(&one.kind),
            plain(&one.peer),
            time(one.open_ms),
            one.requests.to_string(),
            size(one.read_bytes),
            size(one.written_bytes),
            does(one),
        ];
        (cells, one.silent.then_some(AnsiColor::Yellow))
    });
    shown.table(&head, rows.collect());
    if answer.unlisted > 0 {
        shown.line(format!("and {} more", answer.unlisted));
    }
    shown
}

fn does(one: &Connection) -> String {
    if one.silent && one.answers.is_empty() {
        return "silent yet".to_owned();
    }
    plain(&one.answers.join(", "))
}
