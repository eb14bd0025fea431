//! How a host ends: in phases, each told to whoever watches and logged with what is still under way. Nothing new is taken;
//! running answers finish while there is time; then the actors stop, the last one first. Where nothing is served there is
//! nobody to refuse, and the actors stop at once: they finish what they have begun. Whoever is in a hurry may shorten it.

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

use supervision::{Abandoned, ChildPath, Lifecycle, LifecycleEvent, RootHandle};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::edge::Edge;
use crate::host::ShutdownReport;
use crate::{observers, service_manager, steering};

#[cfg(feature = "control")]
pub use control::protocol::ending::{Ending, Phase};
#[cfg(not(feature = "control"))]
#[path = "ending_absent.rs"]
mod words;
#[cfg(not(feature = "control"))]
pub use words::{Ending, Phase};

/// What of the deadline is kept for last words and for the actors, at most half of it: half a second for each of them. It is
/// all that is left to who is hurried.
const RESERVE: Duration = Duration::from_secs(1);
/// Those that tell of the end: they stop after all others.
const WATCHERS: [&str; 4] = [
    observers::TRACES,
    observers::CONSOLE,
    service_manager::CHILD_ID,
    steering::CHILD_ID,
];

/// How the end is told of, and who may hasten it.
pub(crate) struct Told<'a> {
    pub(crate) to: &'a watch::Sender<Option<Ending>>,
    pub(crate) hurry: &'a CancellationToken,
}

/// Ends it all.
pub(crate) async fn end(
    root: &RootHandle,
    edge: Option<&Edge>,
    told: Told<'_>,
    within: Duration,
) -> ShutdownReport {
    let begun = Instant::now();
    let mut progress = Progress {
        told,
        by: begun + within,
        cut: Vec::new(),
        undone: Vec::new(),
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
    told: Told<'a>,
    by: Instant,
    /// Answers that were ended before their end.
    cut: Vec<Abandoned>,
    /// What actors left.
    undone: Vec<Abandoned>,
    killed: Vec<ChildPath>,
}

impl Progress<'_> {
    /// Takes nothing new, and lets what runs finish.
    async fn answers(&mut self, edge: &Edge, within: Duration) {
        edge.drain();
        self.enters(Phase::Draining, edge.under_way());
        self.enters(Phase::Answers, edge.under_way());
        let enough = self.by - RESERVE.min(within / 2);
        let mut seen = edge.under_way();
        let finished = async {
            while !seen.is_empty() {
                edge.fewer_than_now().await;
                seen = edge.under_way();
                self.tell(Phase::Answers, seen.clone());
            }
            // Whoever is connected has heard the last word, and comes again when another process is there.
            edge.send_away().await;
        };
        let in_time = tokio::select! {
            biased;
            done = timeout_at(enough, finished) => done.is_ok(),
            () = self.told.hurry.cancelled() => false,
        };
        if !in_time {
            for what in edge.under_way() {
                let child = edge.path().clone();
                self.cut.push(Abandoned { child, what });
            }
            // Whoever reads hears how it ended, and that they may come again.
            let last_words = async {
                edge.end().await;
                edge.send_away().await;
            };
            let _ = timeout(RESERVE.min(within / 2) / 2, last_words).await;
        }
    }

    /// Stops the tree, and tells who is left.
    async fn actors(&mut self, root: &RootHandle) -> ShutdownReport {
        let mut events = root.events();
        let mut left = living(root).await;
        self.enters(Phase::Actors, names(&left));
        let mut is_hurried = false;
        let mut is_over = false;
        let mut stop = pin!(root.stop(self.left()));
        let report = loop {
            if !is_over && only_watchers(root.administration().top(), &left) {
                is_over = true;
                self.enters(Phase::Runtime, Vec::new());
            }
            let phase = if is_over {
                Phase::Runtime
            } else {
                Phase::Actors
            };
            tokio::select! {
                biased;
                event = events.recv() => match event {
                    Ok(event) => if self.saw(event, &mut left) {
                        self.tell(phase, names(&left));
                    },
                    // The root answers until it has ended.
                    Err(RecvError::Lagged(_)) => left = living(root).await,
                    Err(RecvError::Closed) => break stop.await,
                },
                () = self.told.hurry.cancelled(), if !is_hurried => {
                    is_hurried = true;
                    self.by = self.by.min(Instant::now() + RESERVE);
                    stop.set(root.stop(self.left()));
                }
                report = &mut stop => break report,
            }
        };
        while let Ok(event) = events.try_recv() {
            self.saw(event, &mut left);
        }
        // The whole of it, now that nobody is left.
        self.undone = report.abandoned;
        if is_over {
            self.tell(Phase::Runtime, Vec::new());
        } else {
            self.enters(Phase::Runtime, Vec::new());
        }
        ShutdownReport {
            abandoned: self.abandoned().cloned().collect(),
            killed: self.killed.clone(),
            took: report.took,
        }
    }

    /// Whether that changes what is told.
    fn saw(&mut self, event: LifecycleEvent, left: &mut BTreeSet<String>) -> bool {
        let LifecycleEvent { child, what, .. } = event;
        match what {
            Lifecycle::Killed => {
                if !self.killed.contains(&child) {
                    self.killed.push(child);
                }
                true
            }
            Lifecycle::Stopped { abandoned, .. } => {
                let is_new = left.remove(child.as_str()) || !abandoned.is_empty();
                let abandoned = abandoned.into_iter().map(|what| Abandoned {
                    child: child.clone(),
                    what,
                });
                self.undone.extend(abandoned);
                is_new
            }
            _ => false,
        }
    }

    fn abandoned(&self) -> impl Iterator<Item = &Abandoned> {
        self.cut.iter().chain(&self.undone)
    }

    fn enters(&self, phase: Phase, under_way: Vec<String>) {
        let (still, left) = (under_way.join(", "), self.left());
        let (abandoned, killed) = (self.abandoned().count(), self.killed.len());
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
        self.told.to.send_replace(Some(Ending {
            phase,
            under_way,
            left_ms: u64::try_from(self.left().as_millis()).unwrap_or(u64::MAX),
            abandoned: self.abandoned().map(abandoned).collect(),
            killed: self.killed.iter().map(ToString::to_string).collect(),
        }));
    }

    /// Time that is left.
    fn left(&self) -> Duration {
        self.by.saturating_duration_since(Instant::now())
    }
}

/// The root's children that have not ended; what is below them is stopped by them.
async fn living(root: &RootHandle) -> BTreeSet<String> {
    let children = root.supervisor().which_children().await;
    children
        .into_iter()
        .filter(|child| child.down.is_none())
        .map(|child| child.child.to_string())
        .collect()
}

fn names(left: &BTreeSet<String>) -> Vec<String> {
    left.iter().cloned().collect()
}

fn only_watchers(top: &ChildPath, left: &BTreeSet<String>) -> bool {
    let watchers = WATCHERS.map(|id| top.join(&id.into()));
    left.iter()
        .all(|child| watchers.iter().any(|watcher| watcher == child.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_end_behind_the_others_are_waited_for_by_nobody() {
        let top = ChildPath::root(&"root".into());
        for (left, expected) in [
            (&[][..], true),
            (&["root/control"], true),
            (&["root/control", "root/service_manager"], true),
            (&["root/control", "root/traces", "root/console"], true),
            (&["root/control", "root/gateway"], false),
            (&["root/gateway"], false),
        ] {
            let left = left.iter().map(|one| (*one).to_owned()).collect();
            assert_eq!(only_watchers(&top, &left), expected, "{left:?}");
        }
    }
}
