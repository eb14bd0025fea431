//! What is logged can be changed while the process runs: one test, because a process logs once.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use paraphym_telemetry::{LogError, LogFormat, init_logging};
use tracing::Level;

#[test]
fn the_filter_can_be_changed_and_a_bad_one_changes_nothing() {
    let control = init_logging("error", LogFormat::Text).unwrap();
    assert!(!tracing::enabled!(Level::INFO));
    control.set("info").unwrap();
    assert!(tracing::enabled!(Level::INFO) && !tracing::enabled!(Level::DEBUG));
    let refused = control.set("a=b=c");
    assert!(matches!(refused, Err(LogError::Filter { .. })));
    assert!(tracing::enabled!(Level::INFO));
    // Louder for one target, whatever the filter is changed to meanwhile, and back.
    let debug = |target: &str| match target {
        "a" => tracing::enabled!(target: "a", Level::DEBUG),
        _ => tracing::enabled!(target: "b", Level::DEBUG),
    };
    control.override_level(Some("a"), Some("debug")).unwrap();
    assert!(debug("a") && !debug("b"));
    control.set("a=error,warn").unwrap();
    assert!(debug("a") && !debug("b") && !tracing::enabled!(Level::INFO));
    let refused = control.override_level(Some("a"), Some("loud"));
    assert!(matches!(refused, Err(LogError::Filter { .. })));
    assert!(debug("a"));
    control.override_level(None, Some("debug")).unwrap();
    assert!(debug("a") && debug("b"));
    control.override_level(Some("a"), None).unwrap();
    control.override_level(None, None).unwrap();
    assert!(!debug("a") && !debug("b") && tracing::enabled!(target: "b", Level::WARN));
    let twice = init_logging("info", LogFormat::Text);
    assert!(matches!(twice, Err(LogError::Twice)));
}
