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
    let twice = init_logging("info", LogFormat::Text);
    assert!(matches!(twice, Err(LogError::Twice)));
}
