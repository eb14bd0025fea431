//! Answers as tables for people. Pure; colours are put on whole lines, so that columns stay where they are.

use anstyle::AnsiColor;
use domain::Bytes;
use paraphym_candle::control::protocol::events::{Event, Past};
use paraphym_candle::control::protocol::look::{
    Actor, AuditAnswer, ConfigAnswer, ConversationsAnswer, HostAnswer, InspectAnswer, Model,
    PsAnswer, Reason, TreeAnswer, WhyAnswer,
};

use super::human::{perhaps, size, time};
use crate::history::export::moment;
use crate::history::safe;
use crate::out::Out;
use crate::render::table;

/// Lines, and which of them somebody should look at.
#[derive(Debug, Default)]
pub(super) struct Shown {
    lines: Vec<(String, Option<AnsiColor>)>,
}

impl Shown {
    /// With colours where they are wanted.
    pub(super) fn text(&self, out: &Out) -> String {
        let lines = self.lines.iter().map(|(line, colour)| match colour {
            Some(colour) => out.coloured(*colour, line) + "\n",
            None => format!("{line}\n"),
        });
        lines.collect()
    }

    pub(super) fn line(&mut self, line: String) {
        self.lines.push((line, None));
    }

    /// Rows with a head, each in its colour.
    pub(super) fn table(&mut self, head: &[&str], rows: Vec<(Vec<String>, Option<AnsiColor>)>) {
        let (cells, colours): (Vec<Vec<String>>, Vec<Option<AnsiColor>>) = rows.into_iter().unzip();
        let head: Vec<String> = head.iter().map(|&word| word.to_owned()).collect();
        let head = (!head.is_empty()).then_some(head);
        let colours = head.iter().map(|_| None).chain(colours);
        let all: Vec<Vec<String>> = head.iter().cloned().chain(cells).collect();
        let text = table(&all);
        let lines = text.lines().map(str::to_owned).zip(colours);
        self.lines.extend(lines);
    }
}

/// What a server said, on one line and harmless.
pub(super) fn plain(text: &str) -> String {
    safe(text)
}

/// Cells of a table without colour.
pub(super) fn row<const N: usize>(cells: [String; N]) -> (Vec<String>, Option<AnsiColor>) {
    (Vec::from(cells), None)
}

pub(super) fn status(answer: &HostAnswer) -> Shown {
    let mut shown = Shown::default();
    let up = time(answer.uptime_ms);
    shown.line(format!(
        "paraphym {}, process {}, up {up}",
        plain(&answer.version),
        answer.pid
    ));
    let well = match answer.unwell.len() {
        0 if answer.stopped.is_empty() && answer.paused.is_empty() => "all well".to_owned(),
        0 => "none unwell".to_owned(),
        some => format!("{some} unwell"),
    };
    let mut rows = vec![row([
        "actors".to_owned(),
        format!("{}, {well}", answer.actors),
    ])];
    for (how, paths) in [("stopped", &answer.stopped), ("paused", &answer.paused)] {
        if !paths.is_empty() {
            let text = format!("by an order: {}", plain(&paths.join(", ")));
            rows.push((vec![how.to_owned(), text], Some(AnsiColor::Yellow)));
        }
    }
    if let Some(phase) = answer.ending {
        let text = format!("in the phase {}", phase.as_str());
        rows.push((vec!["ending".to_owned(), text], Some(AnsiColor::Yellow)));
    }
    if let Some(memory) = &answer.memory {
        let text = format!(
            "{} leased of {}, {} available; pressure {} by {}, {} waiting",
            Bytes(memory.leased_bytes),
            Bytes(memory.limit_bytes),
            Bytes(memory.available_bytes),
            memory.pressure,
            memory.pressure_source,
            memory.waiting
        );
        rows.push(row(["memory".to_owned(), text]));
    }
    if let Some(models) = &answer.models {
        let (loaded, answering, waiting) = (models.loaded, models.answering, models.waiting);
        let text = format!("{loaded} in memory, {answering} answering, {waiting} waiting");
        rows.push(row(["models".to_owned(), text]));
    }
    let threads: Vec<String> = answer
        .threads
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(role, count)| format!("{role} {count}"))
        .collect();
    rows.push(row(["threads".to_owned(), threads.join(", ")]));
    for silent in &answer.silent {
        rows.push((
            vec!["silent".to_owned(), plain(silent)],
            Some(AnsiColor::Red),
        ));
    }
    shown.table(&[], rows);
    if !answer.unwell.is_empty() {
        actors(&mut shown, &answer.unwell, false);
    }
    shown
}

pub(super) fn tree(answer: &TreeAnswer) -> Shown {
    let mut shown = Shown::default();
    actors(&mut shown, &answer.actors, true);
    shown
}

fn actors(shown: &mut Shown, all: &[Actor], indented: bool) {
    let head = ["ACTOR", "HEALTH", "KIND", "UP", "LIFE", "QUEUE", "NOTE"];
    let rows = all.iter().map(|one| {
        let name = if indented {
            let id = one.actor.rsplit('/').next().unwrap_or(&one.actor);
            format!("{:1$}{2}", "", 2 * one.depth, plain(id))
        } else {
            plain(&one.actor)
        };
        let queue = match one.capacity {
            0 => String::new(),
            capacity => format!("{}/{capacity}", one.queued),
        };
        let cells = vec![
            name,
            one.health.clone(),
            one.strategy.clone().unwrap_or_else(|| one.kind.clone()),
            perhaps(one.up_ms),
            one.life.to_string(),
            queue,
            note(one),
        ];
        (cells, colour(one))
    });
    shown.table(&head, rows.collect());
}

/// What else is to be said of an actor.
fn note(one: &Actor) -> String {
    let mut parts = Vec::new();
    if one.paused {
        parts.push("paused".to_owned());
    }
    if let Some(message) = &one.handling {
        parts.push(format!(
            "handling {message} for {}",
            perhaps(one.handling_ms)
        ));
    }
    if !one.work.is_empty() {
        parts.push(format!("work: {}", one.work.join("; ")));
    }
    let told = [&one.down, &one.last_error, &one.children_unknown];
    parts.extend(told.into_iter().flatten().cloned());
    plain(&parts.join("; "))
}

fn colour(one: &Actor) -> Option<AnsiColor> {
    match one.health.as_str() {
        "up" => None,
        "down" if one.down.as_deref() == Some("it was asked to stop") => Some(AnsiColor::Yellow),
        "down" | "stuck" => Some(AnsiColor::Red),
        _ => Some(AnsiColor::Yellow),
    }
}

pub(super) fn ps(answer: &PsAnswer) -> Shown {
    let mut shown = Shown::default();
    if answer.models.is_empty() {
        shown.line("no model is in memory; the next request loads one".to_owned());
        return shown;
    }
    let head = [
        "MODEL",
        "STATE",
        "WEIGHTS",
        "KV",
        "KEPT",
        "LEASES",
        "ANSWERING",
        "WAITING",
        "IDLE",
        "LEAVES",
    ];
    let rows = answer.models.iter().map(|one| {
        let cells = vec![
            plain(&one.model),
            one.state.clone(),
            size(one.weights_bytes),
            size(one.kv_bytes),
            size(one.kept_bytes),
            one.leases.to_string(),
            one.answering.to_string(),
            one.waiting.to_string(),
            perhaps(one.idle_ms),
            leaves(one),
        ];
        let ill = !matches!(one.state.as_str(), "ready" | "unloaded" | "loading");
        (cells, ill.then_some(AnsiColor::Red))
    });
    shown.table(&head, rows.collect());
    shown
}

fn leaves(one: &Model) -> String {
    match (
        one.pinned,
        one.expires_in_ms,
        one.keep_alive_ms,
        &one.detail,
    ) {
        (.., Some(detail)) => plain(detail),
        (true, ..) => "pinned".to_owned(),
        (_, Some(ms), ..) => format!("in {}", time(ms)),
        (_, None, None, _) => "never".to_owned(),
        (_, None, Some(ms), _) => format!("{} after its last use", time(ms)),
    }
}

pub(super) fn inspect(answer: &InspectAnswer) -> Shown {
    let mut shown = Shown::default();
    let one = &answer.actor;
    let pair = |name: &str, text: String| row([name.to_owned(), text]);
    let mut rows = vec![
        pair("actor", plain(&one.actor)),
        (vec!["health".to_owned(), one.health.clone()], colour(one)),
        pair(
            "kind",
            one.strategy.clone().unwrap_or_else(|| one.kind.clone()),
        ),
        pair("up", perhaps(one.up_ms)),
        pair("life", format!("{}, {} restarts", one.life, one.restarts)),
        pair("queue", format!("{} of {}", one.queued, one.capacity)),
        pair("note", note(one)),
    ];
    if answer.below > 0 {
        rows.push(pair("below it", answer.below.to_string()));
    }
    if let Some(spec) = &answer.spec {
        let stop = spec
            .shutdown_ms
            .map_or("as long as it likes".to_owned(), time);
        rows.push(pair("restart", spec.restart.clone()));
        rows.push(pair("may stop for", stop));
        let budget = spec.handler_budget_ms;
        rows.push(pair(
            "a message may take",
            budget.map_or("not watched".to_owned(), time),
        ));
        if !spec.depends_on.is_empty() {
            rows.push(pair("depends on", spec.depends_on.join(", ")));
        }
    }
    for lease in &answer.leases {
        let text = format!("{} for {}", size(lease.bytes), lease.purpose);
        rows.push(pair("holds", plain(&text)));
    }
    rows.retain(|(cells, _)| cells.iter().all(|cell| !cell.is_empty()));
    shown.table(&[], rows);
    shown.lines.extend(answer.events.iter().map(event));
    shown
}

/// Everything about one actor, in lines without colours.
pub(crate) fn inspected(answer: &InspectAnswer) -> Vec<String> {
    let lines = inspect(answer).lines.into_iter();
    lines.map(|(line, _)| line).collect()
}

/// One event on a line.
pub(super) fn event(one: &Event) -> (String, Option<AnsiColor>) {
    let line = format!(
        "{}  {} {}",
        moment(one.at_ms),
        plain(&one.actor),
        plain(&one.text)
    );
    let colour = match one.event.as_str() {
        "crashed" | "killed" | "escalated" | "stuck" | "start_failed" => Some(AnsiColor::Red),
        "backing_off" | "restarted" => Some(AnsiColor::Yellow),
        _ => None,
    };
    (line, colour)
}

pub(super) fn past(answer: &Past) -> Shown {
    let mut shown = Shown {
        lines: answer.events.iter().map(event).collect(),
    };
    if answer.events.is_empty() {
        shown.line("nothing of that happened lately".to_owned());
    }
    if answer.forgotten > 0 {
        shown.line(format!(
            "{} older events are not kept any more",
            answer.forgotten
        ));
    }
    shown
}

/// One event that was just heard.
pub(super) fn one_event(one: &Event) -> Shown {
    Shown {
        lines: vec![event(one)],
    }
}

pub(super) fn why(answer: &WhyAnswer) -> Shown {
    let mut shown = Shown::default();
    let rows = answer.reasons.iter().map(|one: &Reason| {
        let times = match one.times {
            0 | 1 => String::new(),
            times => format!(" ({times} times)"),
        };
        let text = format!("{}{times}", plain(&one.text));
        row([moment(one.at_ms), one.source.clone(), text])
    });
    shown.table(&[], rows.collect());
    if answer.reasons.is_empty() {
        shown.line("nothing is known of it".to_owned());
    }
    if answer.forgotten > 0 {
        shown.line(format!(
            "{} older reasons are not kept any more",
            answer.forgotten
        ));
    }
    if answer.unsearched {
        shown.line("only the 200 latest entries of the audit log were searched".to_owned());
    }
    for silent in &answer.silent {
        let line = format!("silent: {}", plain(silent));
        shown.lines.push((line, Some(AnsiColor::Red)));
    }
    shown
}

pub(super) fn conversations(answer: &ConversationsAnswer) -> Shown {
    let mut shown = Shown::default();
    let head = ["CONVERSATION", "LAST", "MESSAGES", "TITLE"];
    let live = answer.live.iter().map(|one| {
        let last = format!("live, {}", one.actor.health);
        let cells = vec![
            plain(&one.conversation),
            last,
            String::new(),
            note(&one.actor),
        ];
        (cells, Some(AnsiColor::Green))
    });
    let kept = answer.kept.iter().map(|one| {
        row([
            plain(&one.conversation),
            moment(one.updated_ms),
            one.messages.to_string(),
            plain(&one.title),
        ])
    });
    let rows: Vec<_> = live.chain(kept).collect();
    if rows.is_empty() {
        shown.line("there are no conversations".to_owned());
        return shown;
    }
    shown.table(&head, rows);
    shown
}

pub(super) fn config(answer: &ConfigAnswer) -> Shown {
    let mut shown = Shown::default();
    let rows = answer.settings.iter().map(|one| {
        let value = match (&one.value, one.hidden) {
            (_, true) => "(hidden)".to_owned(),
            (serde_json::Value::Null, _) => "(not set)".to_owned(),
            (value, _) => plain(&value.to_string()),
        };
        row([plain(&one.key), value, plain(&one.origin)])
    });
    shown.table(&[], rows.collect());
    shown.line(format!("revision {}", answer.revision));
    shown
}

pub(super) fn audit(answer: &AuditAnswer) -> Shown {
    let mut shown = Shown::default();
    if answer.acts.is_empty() {
        shown.line("nothing was changed".to_owned());
        return shown;
    }
    let rows = answer.acts.iter().map(|act| {
        row([
            act.number.to_string(),
            moment(act.at_ms),
            plain(&act.who),
            plain(&act.action),
            plain(&act.detail),
        ])
    });
    shown.table(&["NUMBER", "WHEN", "WHO", "WHAT", "DETAIL"], rows.collect());
    shown
}
