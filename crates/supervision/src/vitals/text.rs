//! The vitals as Prometheus text (exposition format 0.0.4), to be put behind what the exporter renders.

use std::fmt::Write;

use super::{Vital, Vitals};
use crate::handling::Handling;
use crate::health::Health;
use crate::metric_names as names;

impl Vitals {
    /// One family after the other; a label that has never counted anything is left out of the counters.
    pub fn to_prometheus(&self) -> String {
        let mut text = String::new();
        let to = &mut text;
        head(
            to,
            names::MESSAGES,
            "counter",
            "Messages handled to their end",
        );
        self.each(to, |to, label, vital| {
            line(to, names::MESSAGES, label, vital.handled);
        });
        let help =
            "Handlers that wait, from their first wait; of the others one in 64 stands for all";
        head(to, names::HANDLING_SECONDS, "histogram", help);
        self.each(to, |to, label, vital| {
            if vital.handling.count() > 0 {
                histogram(to, label, &vital.handling);
            }
        });
        head(to, names::QUEUE_DEPTH, "gauge", "Messages queued");
        self.each(to, |to, label, vital| {
            if vital.capacity > 0 {
                line(to, names::QUEUE_DEPTH, label, vital.depth);
            }
        });
        head(
            to,
            names::QUEUE_CAPACITY,
            "gauge",
            "Messages that may be queued",
        );
        self.each(to, |to, label, vital| {
            if vital.capacity > 0 {
                line(to, names::QUEUE_CAPACITY, label, vital.capacity);
            }
        });
        head(
            to,
            names::PAUSED,
            "gauge",
            "Children whose queue was told to wait",
        );
        self.each(to, |to, label, vital| {
            line(to, names::PAUSED, label, vital.paused);
        });
        head(to, names::HEALTH, "gauge", "Children by how they are");
        self.each(to, |to, label, vital| {
            let counts = Health::ALL.iter().zip(vital.health);
            for (health, count) in counts.filter(|(_, count)| *count > 0) {
                let labels = format!("{label},state=\"{health}\"");
                line(to, names::HEALTH, &labels, count);
            }
        });
        text
    }

    fn each(&self, to: &mut String, mut write: impl FnMut(&mut String, &str, &Vital)) {
        for (child, vital) in &self.by_label {
            let label = format!("child=\"{}\"", escaped(child.as_str()));
            write(to, &label, vital);
        }
    }
}

fn head(to: &mut String, name: &str, kind: &str, help: &str) {
    // Writing into a string does not fail.
    let _ = writeln!(to, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn line(to: &mut String, name: &str, labels: &str, value: impl std::fmt::Display) {
    let _ = writeln!(to, "{name}{{{labels}}} {value}");
}

fn histogram(to: &mut String, label: &str, seen: &Handling) {
    let name = names::HANDLING_SECONDS;
    let mut sum = 0;
    for (bound, count) in Handling::BOUNDS.iter().zip(seen.counts) {
        sum += count;
        let labels = format!("{label},le=\"{}\"", bound.as_secs_f64());
        line(to, &format!("{name}_bucket"), &labels, sum);
    }
    let all = seen.count();
    let labels = format!("{label},le=\"+Inf\"");
    line(to, &format!("{name}_bucket"), &labels, all);
    line(to, &format!("{name}_sum"), label, seen.total.as_secs_f64());
    line(to, &format!("{name}_count"), label, all);
}

/// A label's value as the format wants it.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}
