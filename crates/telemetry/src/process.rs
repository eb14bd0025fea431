//! What the kernel says of this process, as Prometheus text: read when somebody looks, a few files under `/proc`.

use metric_names::{
    PROCESS_CPU_SECONDS, PROCESS_MAX_FDS, PROCESS_OPEN_FDS, PROCESS_RESIDENT_BYTES,
    PROCESS_START_SECONDS, PROCESS_VIRTUAL_BYTES,
};
use metrics_process::collector::{Metrics, collect};

/// What cannot be read is left out.
pub(crate) fn text() -> String {
    let Metrics {
        cpu_seconds_total,
        open_fds,
        max_fds,
        virtual_memory_bytes,
        resident_memory_bytes,
        start_time_seconds,
        ..
    } = collect();
    let whole = |value: Option<u64>| value.map(|value| value as f64);
    let mut text = String::new();
    for (name, value) in [
        (PROCESS_CPU_SECONDS, cpu_seconds_total),
        (PROCESS_RESIDENT_BYTES, whole(resident_memory_bytes)),
        (PROCESS_VIRTUAL_BYTES, whole(virtual_memory_bytes)),
        (PROCESS_OPEN_FDS, whole(open_fds)),
        (PROCESS_MAX_FDS, whole(max_fds)),
        (PROCESS_START_SECONDS, whole(start_time_seconds)),
    ] {
        if let (Some(family), Some(value)) = (metric_names::family(name), value) {
            family.head(&mut text);
            metric_names::sample(&mut text, name, "", value);
        }
    }
    text
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn each_figure_is_there_and_makes_sense() {
        let text = text();
        let value = |name: &str| -> f64 {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.unwrap_or_else(|| panic!("{name} is not in\n{text}"))
                .parse()
                .unwrap()
        };
        assert!(value(PROCESS_CPU_SECONDS) >= 0.0);
        assert!(value(PROCESS_RESIDENT_BYTES) > 1e6);
        assert!(value(PROCESS_VIRTUAL_BYTES) >= value(PROCESS_RESIDENT_BYTES));
        assert!(value(PROCESS_OPEN_FDS) >= 3.0);
        assert!(value(PROCESS_MAX_FDS) >= value(PROCESS_OPEN_FDS));
        // After this was written.
        assert!(value(PROCESS_START_SECONDS) > 1_700_000_000.0);
    }
}
