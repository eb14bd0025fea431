//! `/metrics` shows what supervision counts under the names telemetry describes: the two crates do not know each other.

#[test]
fn supervision_counts_under_the_names_that_telemetry_describes() {
    use supervision::metric_names as emitted;
    use telemetry::names as described;
    let table = [
        (emitted::RESTARTS, described::RESTARTS),
        (emitted::STUCK, described::STUCK),
        (emitted::CHILDREN, described::CHILDREN),
        (emitted::CRASHES, described::CRASHES),
        (emitted::BACKOFF_SECONDS, described::BACKOFF_SECONDS),
        (emitted::ESCALATIONS, described::ESCALATIONS),
        (emitted::MESSAGES, described::MESSAGES),
        (emitted::HANDLING_SECONDS, described::HANDLING_SECONDS),
        (emitted::QUEUE_DEPTH, described::QUEUE_DEPTH),
        (emitted::QUEUE_CAPACITY, described::QUEUE_CAPACITY),
        (emitted::PAUSED, described::PAUSED),
        (emitted::HEALTH, described::HEALTH),
    ];
    for (emitted, described) in table {
        assert_eq!(emitted, described);
    }
}
