//! The rows of the table: each figure of both worlds side by side, whether ours is ahead, and why where it is not.

use serde_json::{Value, json};

use crate::broken::ASKERS;
use crate::lane::{Lane, Part};
use crate::outcomes::Outcomes;
use crate::sizes::Sizes;

/// What stands in one place of the table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cell {
    /// In the row's unit.
    Number(f64),
    /// It did not come about while it was looked for.
    Never,
    /// So many of so many.
    Of(usize, usize),
    /// Nothing that could be counted.
    Word(&'static str),
}

/// How ours stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stands {
    Ahead,
    Even,
    Behind,
}

/// Figures nearer to each other than this are the same, on a machine with other work.
const SAME: f64 = 0.05;

/// One row.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) group: &'static str,
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    pub(crate) digits: usize,
    pub(crate) before: Cell,
    pub(crate) ours: Cell,
    /// Before to ours, within rounds.
    pub(crate) ratio: Option<f64>,
    /// Why ours is not ahead, where it is not.
    pub(crate) why: &'static str,
}

impl Row {
    pub(crate) fn stands(&self) -> Stands {
        let (before, ours) = match (self.before, self.ours) {
            (Cell::Number(before), Cell::Number(ours)) => (before, ours),
            // Less is better: what is missing of the whole.
            (Cell::Of(before, all), Cell::Of(ours, whole)) => (
                1.0 - before as f64 / all.max(1) as f64,
                1.0 - ours as f64 / whole.max(1) as f64,
            ),
            (_, Cell::Never) => return Stands::Behind,
            _ => return Stands::Ahead,
        };
        if (before - ours).abs() <= before.abs().max(ours.abs()) * SAME {
            Stands::Even
        } else if ours < before {
            Stands::Ahead
        } else {
            Stands::Behind
        }
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "group": self.group,
            "name": self.name,
            "unit": self.unit,
            "before": self.before.json(),
            "ours": self.ours.json(),
            "before_to_ours": self.ratio,
            "stands": format!("{:?}", self.stands()).to_lowercase(),
            "why": (self.stands() != Stands::Ahead).then_some(self.why),
        })
    }
}

impl Cell {
    fn json(self) -> Value {
        match self {
            Self::Number(number) => json!(number),
            Self::Never => json!("never"),
            Self::Of(some, all) => json!(format!("{some} of {all}")),
            Self::Word(word) => json!(word),
        }
    }
}

/// A figure of both, as it is read: part, the other one's lane, where in what was said.
struct Read<'a> {
    outcomes: &'a Outcomes,
    part: Part,
    group: &'static str,
}

impl Read<'_> {
    fn row(
        &self,
        name: &str,
        (unit, digits): (&'static str, usize),
        at: &str,
        why: &'static str,
    ) -> Row {
        self.row_of(Lane::Before, name, (unit, digits), at, why)
    }

    fn row_of(
        &self,
        lane: Lane,
        name: &str,
        (unit, digits): (&'static str, usize),
        at: &str,
        why: &'static str,
    ) -> Row {
        let cell = |lane| match self.outcomes.figure(self.part, lane, at) {
            Some(figure) => Cell::Number(figure),
            None => Cell::Never,
        };
        Row {
            group: self.group,
            name: name.to_owned(),
            unit,
            digits,
            before: cell(lane),
            ours: cell(Lane::Ours),
            ratio: self.outcomes.ratio(self.part, lane, at),
            why,
        }
    }

    fn count(&self, lane: Lane, some: &str, all: &str) -> Cell {
        let count = |at: &str| self.outcomes.figure(self.part, lane, at);
        match (count(some), count(all)) {
            (Some(some), Some(all)) => Cell::Of(some as usize, all as usize),
            _ => Cell::Never,
        }
    }

    fn count_row(&self, name: &str, (some, all): (&str, &str), why: &'static str) -> Row {
        Row {
            group: self.group,
            name: name.to_owned(),
            unit: "",
            digits: 0,
            before: self.count(Lane::Before, some, all),
            ours: self.count(Lane::Ours, some, all),
            ratio: None,
            why,
        }
    }
}

const THREADS: (&str, usize) = ("", 0);
const A_SECOND: (&str, usize) = ("/s", 1);
const MS: (&str, usize) = ("ms", 2);
const SHORT_MS: (&str, usize) = ("ms", 3);
const MS_A_SECOND: (&str, usize) = ("ms/s", 2);

/// Every row, in the order of the table.
pub(crate) fn all(outcomes: &Outcomes, sizes: &Sizes) -> Vec<Row> {
    let mut rows = idle(outcomes, sizes);
    rows.extend(endings(outcomes));
    for connections in sizes.crowds {
        rows.extend(crowd(outcomes, connections));
    }
    rows.extend(broken(outcomes));
    rows
}

fn idle(outcomes: &Outcomes, sizes: &Sizes) -> Vec<Row> {
    let read = Read {
        outcomes,
        part: Part::Idle,
        group: "idle",
    };
    let busy = format!("beyond it while {} prompts are answered", sizes.prompts);
    let same = "nothing of ours ticks, but the runtime's timer wakes on its way to the deadlines of clients, workers and supervisors";
    vec![
        read.row(
            "OS threads",
            THREADS,
            "/threads",
            "blocking threads of the runtime stay warm for a minute",
        ),
        read.row("of them beyond the runtime", THREADS, "/beyond", ""),
        read.row(&busy, THREADS, "/beyond_at_work", ""),
        read.row("context switches", A_SECOND, "/switches", same),
        read.row("wake-ups", A_SECOND, "/wakeups", same),
        read.row("processor time", MS_A_SECOND, "/processor_ms", same),
        read.row(
            "wake-ups, its message queue polled",
            A_SECOND,
            "/queue_wakeups",
            same,
        ),
        read.row(
            "processor time, its message queue polled",
            MS_A_SECOND,
            "/queue_processor_ms",
            same,
        ),
    ]
}

fn endings(outcomes: &Outcomes) -> Vec<Row> {
    let of = |part, group| Read {
        outcomes,
        part,
        group,
    };
    let stop = of(Part::Stop, "stop");
    let beats = of(Part::Heartbeats, "silence");
    let typing = of(Part::Typing, "silence");
    let mended = "a look happened to be due right then";
    vec![
        stop.row(
            "from the wish to the last thread",
            ("ms", 0),
            "/took_ms",
            "",
        ),
        beats.row("a silent client is given up late by, p50", MS, "/p50", ""),
        beats.row_of(
            Lane::Mended,
            "the same where its clock is mended, p50",
            MS,
            "/p50",
            mended,
        ),
        beats.row_of(
            Lane::Mended,
            "the same where its clock is mended, at most",
            MS,
            "/max",
            mended,
        ),
        typing.row(
            "who fell silent is shown typing late by, p50",
            MS,
            "/p50",
            mended,
        ),
        typing.row(
            "who fell silent is shown typing late by, at most",
            MS,
            "/max",
            mended,
        ),
    ]
}

fn crowd(outcomes: &Outcomes, connections: usize) -> Vec<Row> {
    let read = Read {
        outcomes,
        part: Part::Crowd(connections),
        group: "crowd",
    };
    let of = |what: &str| format!("{connections}: {what}");
    let memory = "a connection of ours is an actor: its queue, what it may have to say again, its alarm, its reader";
    let beat = "two hops of ours, reader and actor, where one task wrote an atomic";
    let key = "in a small crowd few are told in vain, and that is what is saved here";
    vec![
        read.row(
            &of("memory each, connected"),
            ("bytes", 0),
            "/bytes_connected",
            memory,
        ),
        read.row(
            &of("memory each, in a conversation"),
            ("bytes", 0),
            "/bytes_joined",
            memory,
        ),
        read.row(
            &of("heartbeat to answer, p50"),
            SHORT_MS,
            "/beat_ms/p50",
            beat,
        ),
        read.row(
            &of("heartbeat to answer, p99"),
            SHORT_MS,
            "/beat_ms/p99",
            beat,
        ),
        read.row(
            &of("keystroke to the other one, p50"),
            SHORT_MS,
            "/key_ms/p50",
            key,
        ),
        read.row(
            &of("keystroke to the other one, p99"),
            SHORT_MS,
            "/key_ms/p99",
            key,
        ),
        read.row(
            &of("processor time of a keystroke"),
            SHORT_MS,
            "/key_processor_ms",
            key,
        ),
    ]
}

fn broken(outcomes: &Outcomes) -> Vec<Row> {
    let read = Read {
        outcomes,
        part: Part::Panic,
        group: "panic",
    };
    let back = ("ms", 0);
    let mut asked = read.count_row(
        "who asks for memory meanwhile is answered",
        ("/governor/answered", "/governor/of"),
        "",
    );
    asked.before = Cell::Word("asks no thread");
    debug_assert!(matches!(asked.ours, Cell::Never | Cell::Of(_, ASKERS)));
    vec![
        read.row("typing is back after", back, "/typing/back_ms", ""),
        read.count_row(
            "keystrokes behind it that are seen",
            ("/typing/seen", "/typing/seen_of"),
            "there they are written to a map beside the dead thread; here they waited for the next life",
        ),
        read.count_row(
            "typists who are seen to end",
            ("/typing/ended", "/typing/ended_of"),
            "",
        ),
        read.row("the memory governor is back after", back, "/governor/back_ms", ""),
        asked,
        read.count_row(
            "prompts that are answered in full, one having panicked",
            ("/prompts/answered", "/prompts/of"),
            "",
        ),
    ]
}
