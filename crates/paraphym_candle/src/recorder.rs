//! Where what is counted goes: the facade of metrics has one recorder for a process, and it may be the app's.

use telemetry::{Metrics, MetricsError};

/// Who records what is counted.
#[derive(Clone, Debug, Default)]
pub enum Recorder {
    /// Ours, which becomes that of the process; all systems of a process share it. Where the app has installed one before, what
    /// is counted goes to that one, and `/metrics` says only what the tree knows by itself.
    #[default]
    OfProcess,
    /// One that the app made ([`Metrics::unregistered`]) and installs itself, alone or behind another: `/metrics` shows it.
    Given(Metrics),
    /// Whichever the app has, or none: nothing is installed here.
    OfApp,
}

impl Recorder {
    /// What there is to render.
    pub(crate) fn metrics(self) -> Option<Metrics> {
        match self {
            Self::Given(metrics) => Some(metrics),
            Self::OfApp => None,
            Self::OfProcess => match Metrics::install() {
                Ok(metrics) => Some(metrics),
                // The app's own recorder gets our numbers; there is nothing for us to render.
                Err(MetricsError::Foreign) => None,
                Err(error) => {
                    tracing::warn!(%error, "there will be no metrics");
                    None
                }
            },
        }
    }
}
