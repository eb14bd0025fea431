//! A tree for a person's eyes: one line per child, indented, in columns, without colours.

use std::fmt;
use std::time::Duration;

use super::{Topology, TopologyNode};
use crate::health::Health;
use crate::policy::{Kind, Strategy};

/// The first column grows with the names, but not beyond this: 48 columns leave room for the rest on most screens.
const WIDEST: usize = 48;

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<(String, &TopologyNode)> = self
            .walk()
            .map(|(depth, node)| {
                let id = one_line(node.info.id.as_str());
                (format!("{:indent$}{id}", "", indent = 2 * depth), node)
            })
            .collect();
        let widest = names.iter().map(|(name, _)| name.chars().count()).max();
        let width = widest.unwrap_or(0).min(WIDEST);
        for (at, (name, node)) in names.iter().enumerate() {
            if at > 0 {
                writeln!(f)?;
            }
            let details = details(node).join(", ");
            write!(f, "{name:<width$}  {:<11}  {details}", node.info.health)?;
        }
        Ok(())
    }
}

fn details(node: &TopologyNode) -> Vec<String> {
    let info = &node.info;
    let mut parts = vec![kind(node)];
    if let Some(uptime) = info.uptime {
        parts.push(format!("up {}", human(uptime)));
    }
    if info.incarnation > 1 {
        parts.push(format!("life {}", info.incarnation));
    }
    match info.restarts {
        0 => {}
        1 => parts.push("1 restart".to_owned()),
        restarts => parts.push(format!("{restarts} restarts")),
    }
    if info.paused {
        parts.push("paused".to_owned());
    }
    if let Some((message, for_)) = &info.current {
        let budget = info
            .handler_budget
            .filter(|_| info.health == Health::Stuck)
            .map(|budget| format!(" (budget {})", human(budget)));
        let budget = budget.unwrap_or_default();
        parts.push(format!("handling {message} for {}{budget}", human(*for_)));
    }
    if !info.work.is_empty() {
        let work: Vec<String> = info.work.iter().map(|label| one_line(label)).collect();
        parts.push(format!("work: {}", work.join("; ")));
    }
    if let Some(reason) = &info.down {
        parts.push(one_line(&reason.to_string()));
    }
    if let Some(error) = &info.last_error {
        parts.push(format!("last error: {}", one_line(error)));
    }
    if let Some(why) = node.children_unknown {
        parts.push(format!("children unknown: {why}"));
    }
    parts
}

/// A supervisor's strategy in OTP's words, an actor's queue, or `task`.
fn kind(node: &TopologyNode) -> String {
    let word = match node.strategy {
        Some(Strategy::OneForOne) => "one_for_one",
        Some(Strategy::OneForAll) => "one_for_all",
        Some(Strategy::RestForOne) => "rest_for_one",
        Some(Strategy::SimpleOneForOne) => "simple_one_for_one",
        None if node.info.kind == Kind::Supervisor => "supervisor",
        None if node.info.capacity == 0 => "task",
        None => return format!("queue {}/{}", node.info.depth, node.info.capacity),
    };
    word.to_owned()
}

/// The first line, with a mark if there are more: what a child says may have any number of lines.
fn one_line(text: &str) -> String {
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    let more = lines.next().map_or("", |_| " …");
    format!("{first}{more}")
}

/// About two digits and one unit: "120 ms", "3.4 s", "12 min", "5 h", "2 d".
pub(super) fn human(time: Duration) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    match time.as_secs() {
        0 => format!("{} ms", time.as_millis()),
        seconds @ 1..10 => format!("{seconds}.{} s", time.subsec_millis() / 100),
        seconds @ 10..120 => format!("{seconds} s"),
        seconds if seconds < 2 * HOUR => format!("{} min", seconds / MINUTE),
        seconds if seconds < 2 * DAY => format!("{} h", seconds / HOUR),
        seconds => format!("{} d", seconds / DAY),
    }
}
