//! The child that sends traces to a collector. It begins before all others and ends behind them, so that their last spans are
//! sent, too.

use std::time::Duration;

use supervision::{ChildSpec, Shutdown, SupervisorSpec, TaskContext, TaskError};
use telemetry::Traces;

/// Its last words take 4 s at most.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Adds the child `traces`, if anything is to be sent.
pub(crate) fn add_to(spec: SupervisorSpec, traces: Option<Traces>) -> SupervisorSpec {
    let Some(traces) = traces else { return spec };
    let child = ChildSpec::task("traces", move |context: TaskContext| {
        let traces = traces.clone();
        async move {
            context.ready();
            traces.run(context.stopping()).await;
            Ok::<(), TaskError>(())
        }
    });
    spec.first_child(child.shutdown(Shutdown::Timeout(LAST_WORDS)))
}
