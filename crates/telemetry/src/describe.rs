//! Gives each name of the list its help and unit in the recorder.

use metric_names::{Family, Kind, Unit};
use metrics::{describe_counter, describe_gauge, describe_histogram};

pub(crate) fn describe() {
    for Family {
        name,
        kind,
        unit,
        help,
        ..
    } in metric_names::families().copied()
    {
        let unit = match unit {
            Unit::Count => metrics::Unit::Count,
            Unit::Seconds => metrics::Unit::Seconds,
            Unit::Bytes => metrics::Unit::Bytes,
            Unit::Ratio => metrics::Unit::Percent,
        };
        match kind {
            Kind::Counter => describe_counter!(name, unit, help),
            Kind::Gauge => describe_gauge!(name, unit, help),
            Kind::Histogram => describe_histogram!(name, unit, help),
        }
    }
}
