//! What is said of one metric, and how its head and its lines stand in Prometheus text (exposition format 0.0.4).

use std::fmt::{Display, Write};

/// How it behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, until the process ends.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by upper bounds.
    Histogram,
}

impl Kind {
    /// The word of a `# TYPE` line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    Count,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// A share, 1 being all of it.
    Ratio,
}

impl Unit {
    /// The last word of a name in this unit, before `_total`; things have none.
    pub const fn suffix(self) -> Option<&'static str> {
        match self {
            Self::Count => None,
            Self::Seconds => Some("seconds"),
            Self::Bytes => Some("bytes"),
            Self::Ratio => Some("ratio"),
        }
    }
}

/// One metric with all its label values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// In Prometheus text.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// What is counted.
    pub unit: Unit,
    /// Its labels, beside `le`.
    pub labels: &'static [&'static str],
    /// One sentence, without backslash or line break.
    pub help: &'static str,
    /// Since when it is shown; from the start on, if nothing is said.
    pub once: Option<&'static str>,
}

/// Families that belong together.
#[derive(Clone, Copy, Debug)]
pub struct Topic {
    /// A heading.
    pub name: &'static str,
    /// In the order of the page.
    pub families: &'static [Family],
}

/// Upper bounds of times: from a fast token to a slow load.
const SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0,
];
/// Upper bounds of counts: a batch doubles.
const COUNTS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];

impl Family {
    /// Upper bounds, in its unit, where it is recorded one by one; nothing unless it is a histogram.
    pub const fn buckets(&self) -> &'static [f64] {
        match (self.kind, self.unit) {
            (Kind::Histogram, Unit::Seconds) => SECONDS,
            (Kind::Histogram, _) => COUNTS,
            (Kind::Counter | Kind::Gauge, _) => &[],
        }
    }

    /// Its `# HELP` and `# TYPE` lines.
    pub fn head(&self, to: &mut String) {
        let (name, help, kind) = (self.name, self.help, self.kind.as_str());
        // Writing into a string does not fail.
        let _ = writeln!(to, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }
}

/// One line: `name{labels} value`. `labels` as [`labelled`] makes them, or empty.
pub fn sample(to: &mut String, name: &str, labels: &str, value: impl Display) {
    // As above.
    let _ = if labels.is_empty() {
        writeln!(to, "{name} {value}")
    } else {
        writeln!(to, "{name}{{{labels}}} {value}")
    };
}

/// `name="value"`, the value as the format wants it.
pub fn labelled(name: &str, value: &str) -> String {
    let value = value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n");
    format!("{name}=\"{value}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_what_prometheus_reads() {
        let family = Family {
            name: "tea_cups_total",
            kind: Kind::Counter,
            unit: Unit::Count,
            labels: &["who"],
            help: "Cups of tea",
            once: None,
        };
        let mut text = String::new();
        family.head(&mut text);
        sample(&mut text, family.name, &labelled("who", "a \"b\"\\\n"), 3);
        sample(&mut text, "plain", "", 0.5);
        let expected = "# HELP tea_cups_total Cups of tea\n# TYPE tea_cups_total counter\n\
                        tea_cups_total{who=\"a \\\"b\\\"\\\\\\n\"} 3\nplain 0.5\n";
        assert_eq!(text, expected);
    }
}
