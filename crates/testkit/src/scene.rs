//! A small tree for behaviour tests, which notices what a test forgets: a scene that is not stopped, or that ends with an
//! actor still running, fails the test.
//!
//! Nothing here waits on real time: run it on a paused clock.

use std::collections::BTreeSet;
use std::time::Duration;

use supervision::{
    ChildPath, ChildState, EndReason, Events, Lifecycle, LifecycleEvent, RootHandle,
    StartTreeError, StopReport, SupervisorHandle, SupervisorSpec, start_root,
};
use tokio::sync::broadcast::{self, error::RecvError};

/// The seed of every scene: two runs of one test rest and jitter the same.
pub const SEED: u64 = 0x7061_7261;
/// Events a scene keeps for a test that looks late; more than any behaviour test makes.
const EVENTS: usize = 8192;
/// How long on tokio's clock an expected event may take: longer than any default backoff, start or stop timeout.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// A running tree whose events are recorded from its first start on.
pub struct Scene {
    root: RootHandle,
    events: broadcast::Receiver<LifecycleEvent>,
    /// Children that were started and have not stopped since, by the events read so far.
    up: BTreeSet<ChildPath>,
    stopped: bool,
}

impl Scene {
    /// Starts the tree with [`SEED`].
    ///
    /// # Errors
    /// As [`start_root`].
    pub async fn start(spec: SupervisorSpec) -> Result<Self, StartTreeError> {
        let recorder = Events::new(EVENTS, SEED);
        let events = recorder.subscribe();
        let root = start_root(spec, recorder).await?;
        Ok(Self {
            root,
            events,
            up: BTreeSet::new(),
            stopped: false,
        })
    }

    /// The root's handle: start, find, stop and list children.
    pub fn supervisor(&self) -> SupervisorHandle {
        self.root.supervisor()
    }

    /// The root itself.
    pub fn root(&self) -> &RootHandle {
        &self.root
    }

    /// The next recorded event of `child` (a path such as `root/a`) that `wanted` accepts; events before it are passed
    /// over. Fails the test after [`PATIENCE`] of tokio's clock.
    #[allow(clippy::panic, reason = "a failed expectation fails its test")]
    pub async fn expect_event(
        &mut self,
        child: &str,
        wanted: impl Fn(&Lifecycle) -> bool,
    ) -> LifecycleEvent {
        let found = async {
            loop {
                let event = match self.events.recv().await {
                    Ok(event) => event,
                    Err(RecvError::Lagged(lost)) => panic!("the scene lost {lost} events"),
                    Err(RecvError::Closed) => panic!("the tree ended before that of {child}"),
                };
                note(&mut self.up, &event);
                if event.child.as_str() == child && wanted(&event.what) {
                    return event;
                }
            }
        };
        let found = tokio::time::timeout(PATIENCE, found).await;
        found.unwrap_or_else(|_| panic!("no such event of {child} within {PATIENCE:?}"))
    }

    /// Fails the test if anything happens to any child within `time` of tokio's clock. Events recorded before are passed
    /// over.
    #[allow(clippy::panic, reason = "a failed expectation fails its test")]
    pub async fn expect_silence(&mut self, time: Duration) {
        self.read_on();
        if let Ok(heard) = tokio::time::timeout(time, self.events.recv()).await {
            panic!("expected silence for {time:?}, heard {heard:?}");
        }
    }

    /// Stops the tree within `deadline` and fails the test if something still runs after it.
    #[allow(clippy::panic, reason = "a failed expectation fails its test")]
    pub async fn stop_within(mut self, deadline: Duration) -> StopReport {
        let report = self.root.stop(deadline).await;
        self.stopped = true;
        let ended = tokio::time::timeout(Duration::from_secs(1), self.root.ended()).await;
        assert!(
            matches!(&ended, Ok(EndReason::Stopped)),
            "after its stop the tree {ended:?}"
        );
        if let Some(running) = self.still_running() {
            panic!("the scene ended with {running} still running");
        }
        report
    }

    /// Stops the tree within a minute of tokio's clock; a scene must end with this or with [`Scene::stop_within`].
    pub async fn stop(self) -> StopReport {
        self.stop_within(Duration::from_mins(1)).await
    }

    /// The first child whose last event is a start, if any.
    fn still_running(&mut self) -> Option<ChildPath> {
        self.read_on();
        let supervisor = self.root.supervisor();
        if supervisor.state() != ChildState::Down {
            self.up.insert(supervisor.child().clone());
        }
        self.up.first().cloned()
    }

    fn read_on(&mut self) {
        while let Ok(event) = self.events.try_recv() {
            note(&mut self.up, &event);
        }
    }
}

fn note(up: &mut BTreeSet<ChildPath>, event: &LifecycleEvent) {
    match event.what {
        Lifecycle::Starting | Lifecycle::Ready { .. } | Lifecycle::Restarted { .. } => {
            up.insert(event.child.clone());
        }
        Lifecycle::Stopped { .. } => {
            up.remove(&event.child);
        }
        _ => {}
    }
}

impl Drop for Scene {
    #[allow(clippy::panic, reason = "a scene that is not stopped fails its test")]
    fn drop(&mut self) {
        assert!(
            self.stopped || std::thread::panicking(),
            "the scene was not stopped: end the test with `scene.stop().await`"
        );
    }
}
