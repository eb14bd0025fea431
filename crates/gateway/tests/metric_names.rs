//! `/metrics` shows what supervision counts under the names telemetry describes: the two crates do not know each other.

#[test]
fn supervision_counts_under_the_names_that_telemetry_describes() {
    use supervision::metric_names as emitted;
    use telemetry::names as described;
    let table = [
        (emitted::RESTARTS, described::RESTARTS),
        (emitted::STUCK, described::STUCK),
        (emitted::CHILDREN, described::CHILDREN),
    ];
    for (emitted, described) in table {
        assert_eq!(emitted, described);
    }
}
