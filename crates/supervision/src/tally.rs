//! How many children of one supervisor are how, for the metrics. The six gauges are looked up once per life of the
//! supervisor, so that a child's step costs an addition.

use metrics::Gauge;

use crate::health::Health;

/// Children by [`Health`], in the order of `Health::ALL`.
pub(crate) type Counts = [usize; 6];

/// One supervisor's share of its six gauges. It adds and subtracts, and takes back what is left when it ends: gauges
/// that several supervisors share (those started at run time have one label) show their sum.
pub(crate) struct Tally {
    gauges: [Gauge; 6],
    shown: Counts,
}

impl Tally {
    pub(crate) fn new(supervisor: &str) -> Self {
        let gauge = |health: Health| {
            metrics::gauge!(
                metric_names::CHILDREN,
                "supervisor" => supervisor.to_owned(),
                "state" => health.as_str()
            )
        };
        Self {
            gauges: Health::ALL.map(gauge),
            shown: Counts::default(),
        }
    }

    pub(crate) fn show(&mut self, counts: Counts) {
        if counts == self.shown {
            return;
        }
        let pairs = self.shown.iter_mut().zip(counts);
        for (gauge, (shown, count)) in self.gauges.iter().zip(pairs) {
            if count > *shown {
                gauge.increment(as_f64(count - *shown));
            } else if count < *shown {
                gauge.decrement(as_f64(*shown - count));
            }
            *shown = count;
        }
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.show(Counts::default());
    }
}

/// Exact below 2^53 children.
#[allow(
    clippy::cast_precision_loss,
    reason = "no supervisor has 2^53 children"
)]
fn as_f64(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use metrics::{Counter, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Arc, Mutex};

    /// Keeps every gauge that is asked for.
    #[derive(Default)]
    struct Gauges(Mutex<BTreeMap<String, Arc<AtomicU64>>>);

    impl Gauges {
        fn of(&self, supervisor: &str, state: Health) -> f64 {
            let labels = format!("supervisor = {supervisor}, state = {state}");
            let gauges = self.0.lock().unwrap();
            let found = gauges.iter().find(|(key, _)| key.contains(&labels));
            let (key, gauge) = found.expect("the gauge is there");
            assert!(key.contains(metric_names::CHILDREN), "{key}");
            f64::from_bits(gauge.load(Ordering::SeqCst))
        }
    }

    impl Recorder for Gauges {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
            Counter::noop()
        }
        fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
            let mut gauges = self.0.lock().unwrap();
            Gauge::from_arc(gauges.entry(key.to_string()).or_default().clone())
        }
        fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
            Histogram::noop()
        }
    }

    #[test]
    #[allow(clippy::float_cmp, reason = "small whole numbers are exact")]
    fn supervisors_of_one_label_show_their_sum_and_take_their_share_back() {
        let gauges = Gauges::default();
        let tally = || metrics::with_local_recorder(&gauges, || Tally::new("root/*"));
        let up = || gauges.of("root/*", Health::Up);
        let (mut first, mut second) = (tally(), tally());
        first.show([1, 5, 0, 2, 0, 0]);
        second.show([0, 3, 0, 0, 0, 1]);
        assert_eq!(up(), 8.0);
        assert_eq!(gauges.of("root/*", Health::Starting), 1.0);
        assert_eq!(gauges.of("root/*", Health::Stuck), 2.0);
        assert_eq!(gauges.of("root/*", Health::Down), 1.0);
        first.show([0, 6, 0, 2, 0, 0]);
        assert_eq!(up(), 9.0);
        assert_eq!(gauges.of("root/*", Health::Starting), 0.0);
        drop(first);
        assert_eq!(up(), 3.0);
        drop(second);
        for health in Health::ALL {
            assert_eq!(gauges.of("root/*", health), 0.0, "{health}");
        }
    }
}
