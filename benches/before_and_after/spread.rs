//! Many durations and what is said of them: the middle, the late, the latest; those that never came are counted beside.

use serde_json::{Value, json};
use tokio::time::Duration;

/// Durations, in milliseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spread {
    each: Vec<f64>,
    never: usize,
}

impl Spread {
    pub(crate) fn add(&mut self, took: Duration) {
        self.each.push(took.as_secs_f64() * 1e3);
    }

    /// It may be early, and is less than nothing then.
    pub(crate) fn add_ms(&mut self, late: f64) {
        self.each.push(late);
    }

    pub(crate) fn add_never(&mut self) {
        self.never += 1;
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.each.extend(other.each);
        self.never += other.never;
    }

    /// The duration that this share is not above; `None` where that one never came.
    pub(crate) fn at(&self, share: f64) -> Option<f64> {
        let mut sorted = self.each.clone();
        sorted.sort_by(f64::total_cmp);
        let last = (sorted.len() + self.never).checked_sub(1)?;
        sorted.get((last as f64 * share).round() as usize).copied()
    }

    /// With all of them, where they are to be drawn.
    pub(crate) fn whole(&self) -> Value {
        let mut whole = self.summary();
        if let Some(fields) = whole.as_object_mut() {
            fields.insert("each".to_owned(), json!(self.each));
        }
        whole
    }

    pub(crate) fn summary(&self) -> Value {
        json!({
            "p50": self.at(0.5),
            "p99": self.at(0.99),
            "max": self.at(1.0),
            "never": self.never,
            "of": self.each.len() + self.never,
        })
    }
}
