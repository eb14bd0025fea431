//! The vitals as Prometheus text (exposition format 0.0.4), to be put behind what the exporter renders.

use metric_names::{
    HANDLING_SECONDS, HEALTH, MESSAGES, PAUSED, QUEUE_CAPACITY, QUEUE_DEPTH, labelled, sample,
};

use super::{Vital, Vitals};
use crate::handling::Handling;
use crate::health::Health;

impl Vitals {
    /// One family after the other, under the names of the list; none of them is the recorder's. A label that has never
    /// counted anything is left out of the histogram, one without a queue out of the queues' gauges.
    pub fn to_prometheus(&self) -> String {
        let labels = self.by_label.iter();
        let all: Vec<(String, &Vital)> = labels
            .map(|(child, vital)| (labelled("child", child.as_str()), vital))
            .collect();
        let mut text = String::new();
        let to = &mut text;
        family(to, MESSAGES, &all, |to, label, vital| {
            sample(to, MESSAGES, label, vital.handled);
        });
        family(to, HANDLING_SECONDS, &all, |to, label, vital| {
            if vital.handling.count() > 0 {
                histogram(to, label, &vital.handling);
            }
        });
        family(to, QUEUE_DEPTH, &all, |to, label, vital| {
            if vital.capacity > 0 {
                sample(to, QUEUE_DEPTH, label, vital.depth);
            }
        });
        family(to, QUEUE_CAPACITY, &all, |to, label, vital| {
            if vital.capacity > 0 {
                sample(to, QUEUE_CAPACITY, label, vital.capacity);
            }
        });
        family(to, PAUSED, &all, |to, label, vital| {
            sample(to, PAUSED, label, vital.paused);
        });
        family(to, HEALTH, &all, |to, label, vital| {
            let counts = Health::ALL.iter().zip(vital.health);
            for (health, count) in counts.filter(|(_, count)| *count > 0) {
                let labels = format!("{label},{}", labelled("state", health.as_str()));
                sample(to, HEALTH, &labels, count);
            }
        });
        text
    }
}

/// A family's head and its lines; nothing at all if it has no line.
fn family(
    to: &mut String,
    name: &str,
    all: &[(String, &Vital)],
    write: impl Fn(&mut String, &str, &Vital),
) {
    let before = to.len();
    if let Some(family) = metric_names::family(name) {
        family.head(to);
    }
    let head = to.len();
    for (label, vital) in all {
        write(to, label, vital);
    }
    if to.len() == head {
        to.truncate(before);
    }
}

fn histogram(to: &mut String, label: &str, seen: &Handling) {
    let bucket = format!("{HANDLING_SECONDS}_bucket");
    let mut sum = 0;
    for (bound, count) in Handling::BOUNDS.iter().zip(seen.counts) {
        sum += count;
        let bound = labelled("le", &bound.as_secs_f64().to_string());
        sample(to, &bucket, &format!("{label},{bound}"), sum);
    }
    let all = seen.count();
    sample(to, &bucket, &format!("{label},le=\"+Inf\""), all);
    let total = seen.total.as_secs_f64();
    sample(to, &format!("{HANDLING_SECONDS}_sum"), label, total);
    sample(to, &format!("{HANDLING_SECONDS}_count"), label, all);
}
