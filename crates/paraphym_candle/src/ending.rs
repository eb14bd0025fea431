//! How a host ends: in phases, each told to whoever watches and logged with what is still under way. Nothing new is taken;
//! running answers finish while there is time; then the actors stop, the last one first. Where nothing is served there is
//! nobody to refuse, and the actors stop at once: they finish what they have begun.

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

use control::protocol::ending::{Ending, Phase};
use supervision::{Abandoned, ChildPath, Lifecycle, LifecycleEvent, RootHandle};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::edge::Edge;
use crate::host::ShutdownReport;

/// What of the deadline is kept for last words and for the actors, at most half of it: half a second for each of them.
const RESERVE: Duration = Duration::from_secs(1);

/// Ends it all.
pub(crate) async fn end(
    root: &RootHandle,
    edge: Option<&Edge>,
    told: &watch::Sender<Option<Ending>>,
    within: Duration,
) -> ShutdownReport {
    let begun = Instant::now();
    let mut progress = Progress {
        told,
        by: begun + within,
        cut: Vec::new(),
        killed: Vec::new(),
    };
    if let Some(edge) = edge {
        progress.answers(edge, within).await;
    }
    let mut report = progress.actors(root).await;
    report.took = begun.elapsed();
    report
}

struct Progress<'a> {
    told: &'a watch::Sender<Option<Ending>>,
    by: Instant,
    cut: Vec<Abandoned>,
    killed: Vec<ChildPath>,
}

impl Progress<'_> {
    /// Takes nothing new, and lets what runs finish.
    async fn answers(&mut self, edge: &Edge, within: Duration) {
        let serving = &edge.serving;
        serving.drain();
        self.enters(Phase::Draining, serving.under_way());
        self.enters(Phase::Answers, serving.under_way());
        let enough = self.by - RESERVE.min(within / 2);
        let mut seen = serving.under_way();
        let finished = async {
            while !seen.is_empty() {
                serving.fewer_than(seen.len()).await;
                seen = serving.under_way();
                self.tell(Phase::Answers, seen.clone());
            }
        };
        if timeout_at(enough, finished).await.is_err() {
            for what in serving.under_way() {
                let child = edge.path.clone();
                self.cut.push(Abandoned { child, what });
            }
            serving.end();
        }
    }

    /// Stops the tree, and tells who is left.
    async fn actors(&mut self, root: &RootHandle) -> ShutdownReport {
        let mut events = root.events();
        // What is below the root's own children is stopped by them.
        let children = root.supervisor().which_children().await;
        let mut left: BTreeSet<String> = children
            .into_iter()
            .filter(|child| child.down.is_none())
            .map(|child| child.child.to_string())
            .collect();
        let names = |left: &BTreeSet<String>| left.iter().cloned().collect::<Vec<_>>();
        self.enters(Phase::Actors, names(&left));
        let time = self.by.saturating_duration_since(Instant::now());
        let mut stop = pin!(root.stop(time));
        let report = loop {
            tokio::select! {
                biased;
                event = events.recv() => match event {
                    Ok(event) => if self.saw(&event, &mut left) {
                        self.tell(Phase::Actors, names(&left));
                    },
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => break stop.await,
                },
                report = &mut stop => break report,
            }
        };
        while let Ok(event) = events.try_recv() {
            self.saw(&event, &mut left);
        }
        self.cut.extend(report.abandoned);
        self.enters(Phase::Runtime, Vec::new());
        ShutdownReport {
            abandoned: self.cut.clone(),
            killed: self.killed.clone(),
            took: report.took,
        }
    }

    /// Whether that changes what is told.
    fn saw(&mut self, event: &LifecycleEvent, left: &mut BTreeSet<String>) -> bool {
        match event.what {
            Lifecycle::Killed => {
                if !self.killed.contains(&event.child) {
                    self.killed.push(event.child.clone());
                }
                true
            }
            Lifecycle::Stopped { .. } => left.remove(&event.child.to_string()),
            _ => false,
        }
    }

    fn enters(&self, phase: Phase, under_way: Vec<String>) {
        let (still, left) = (under_way.join(", "), self.left());
        let (abandoned, killed) = (self.cut.len(), self.killed.len());
        let phase_is = phase.as_str();
        tracing::info!(
            phase = phase_is,
            under_way = still,
            ?left,
            abandoned,
            killed,
            "ending"
        );
        self.tell(phase, under_way);
    }

    fn tell(&self, phase: Phase, under_way: Vec<String>) {
        let abandoned = |left: &Abandoned| format!("{}: {}", left.child, left.what);
        self.told.send_replace(Some(Ending {
            phase,
            under_way,
            left_ms: u64::try_from(self.left().as_millis()).unwrap_or(u64::MAX),
            abandoned: self.cut.iter().map(abandoned).collect(),
            killed: self.killed.iter().map(ToString::to_string).collect(),
        }));
    }

    fn left(&self) -> Duration {
        self.by.saturating_duration_since(Instant::now())
    }
}
