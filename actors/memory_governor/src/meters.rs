//! What the governor counts, under the names telemetry gives.

use std::collections::BTreeMap;

use domain::Bytes;
use metrics::{counter, gauge};

pub use telemetry::names::{
    IN_USE, LEASED_BYTES, LEASES_REFUSED, LIMIT_BYTES, PRESSURE, RESERVATIONS_WAITING, STALLED,
    USED_BYTES,
};

use crate::book::Totals;
use crate::pressure::Source;

/// Purposes that have a label of their own: there are half a dozen, and whoever asks could write anything.
const PURPOSES: usize = 16;
/// The label of all others.
const OTHER: &str = "other";

/// Bytes leased by what for, and all labels there ever were: one that has nothing any more is shown as zero.
#[derive(Clone, Debug, Default)]
pub(crate) struct Purposes(BTreeMap<String, Bytes>);

impl Purposes {
    /// Counts anew.
    pub(crate) fn count<'a>(&mut self, leases: impl Iterator<Item = (&'a str, Bytes)>) {
        for bytes in self.0.values_mut() {
            *bytes = Bytes::ZERO;
        }
        for (purpose, bytes) in leases {
            let label = kind(purpose);
            let known = self.0.len() < PURPOSES || self.0.contains_key(label);
            let label = if known { label } else { OTHER };
            match self.0.get_mut(label) {
                Some(sum) => *sum = sum.saturating_add(bytes),
                None => drop(self.0.insert(label.to_owned(), bytes)),
            }
        }
    }
}

/// `weights` for `the weights of tiny`: what it is, without whose.
fn kind(purpose: &str) -> &str {
    let kind = purpose.split(" of ").next().unwrap_or(purpose);
    kind.strip_prefix("the ").unwrap_or(kind)
}

pub(crate) fn show(totals: &Totals) {
    gauge!(LIMIT_BYTES).set(totals.limit.0 as f64);
    for (purpose, bytes) in &totals.purposes.0 {
        gauge!(LEASED_BYTES, "purpose" => purpose.clone()).set(bytes.0 as f64);
    }
    gauge!(RESERVATIONS_WAITING).set(totals.waiting as f64);
    gauge!(PRESSURE).set(f64::from(totals.pressure.level.rank()));
    for (source, fill) in &totals.fills {
        gauge!(IN_USE, "of" => source.as_str()).set(f64::from(fill.share().0) / 1000.0);
        if *source != Source::Ledger {
            gauge!(USED_BYTES, "of" => source.as_str()).set(fill.used.0 as f64);
        }
    }
    if let Some(stalled) = totals.stalled {
        gauge!(STALLED).set(f64::from(stalled.0) / 1000.0);
    }
}

pub(crate) fn refused() {
    counter!(LEASES_REFUSED).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purpose_is_told_without_whose_it_is() {
        for (purpose, label) in [
            ("weights", "weights"),
            ("the weights of tiny", "weights"),
            (
                "the conversation of request a of b with tiny",
                "conversation",
            ),
            ("tokenised prompts", "tokenised prompts"),
            ("the ", ""),
        ] {
            assert_eq!(kind(purpose), label);
        }
    }

    #[test]
    fn however_many_purposes_there_are_the_labels_are_few_and_none_keeps_what_has_gone() {
        let mut purposes = Purposes::default();
        let names: Vec<String> = (0..100).map(|n| format!("purpose{n:03}")).collect();
        purposes.count(names.iter().map(|name| (name.as_str(), Bytes(1))));
        assert_eq!(purposes.0.len(), PURPOSES + 1);
        assert_eq!(purposes.0[OTHER], Bytes(100 - PURPOSES as u64));
        assert_eq!(purposes.0.values().copied().sum::<Bytes>(), Bytes(100));
        purposes.count([("the purpose000 of x", Bytes(3))].into_iter());
        assert_eq!(purposes.0.values().copied().sum::<Bytes>(), Bytes(3));
        assert_eq!(purposes.0.len(), PURPOSES + 1);
    }
}
