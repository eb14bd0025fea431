//! What a service manager (systemd's `sd_notify`) is told: that we are ready, how it goes in words, that we live, and that
//! we end. A child of the tree says it, and only after the root has answered it: a tree that hangs is not said to live.

use std::sync::Arc;
use std::time::Duration;

use domain::ModelName;
use model_host::ModelHost;
use model_host::messages::{HostStatus, ModelState, Status};
use sd_notify::NotifyState;
use supervision::{ChildSpec, Handle, SupervisorHandle, SupervisorSpec, TaskContext, TaskError};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use crate::edge::Edge;
use crate::ending::{Ending, Phase};
use crate::notify_socket;

/// How often the words are looked at while something goes on: a person reads no faster.
const WORDS: Duration = Duration::from_secs(1);
/// How long the model host may take to say how it is; after that the words stay as they were.
const LOOK: Duration = Duration::from_secs(1);
/// Beyond the deadline of an ending, so that the manager does not kill what is about to end.
const GRACE_US: u32 = 5_000_000;

/// The child's name.
pub(crate) const CHILD_ID: &str = "service_manager";

/// How what is said reaches the service manager.
type Voice = Arc<dyn Fn(&[NotifyState<'_>]) + Send + Sync>;

/// How the service manager is spoken to.
#[derive(Clone, Copy, Debug)]
pub struct ServiceManager {
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// The one that started this process and listens, as `NOTIFY_SOCKET` says; if `WATCHDOG_USEC` says so, it wants to
    /// hear regularly that we live.
    pub fn of_this_process() -> Option<Self> {
        std::env::var_os("NOTIFY_SOCKET")?;
        let watchdog = sd_notify::watchdog_enabled();
        Some(Self { watchdog })
    }

    /// Adds the child before all others: it tells of their end, too.
    pub(crate) fn add_to(
        self,
        spec: SupervisorSpec,
        (edge, ending): (Option<&Edge>, watch::Receiver<Option<Ending>>),
        (models, model): (Handle<ModelHost>, &ModelName),
    ) -> SupervisorSpec {
        let telling = Telling {
            watchdog: self.watchdog,
            edge: edge.cloned(),
            root: spec.handle(),
            models,
            model: model.clone(),
            ending,
            voice: Arc::new(say),
        };
        let child = ChildSpec::task(CHILD_ID, move |context| tell(telling.clone(), context));
        spec.first_child(child)
    }
}

#[derive(Clone)]
struct Telling {
    watchdog: Option<Duration>,
    edge: Option<Edge>,
    root: SupervisorHandle,
    models: Handle<ModelHost>,
    model: ModelName,
    ending: watch::Receiver<Option<Ending>>,
    voice: Voice,
}

async fn tell(mut telling: Telling, context: TaskContext) -> Result<(), TaskError> {
    context.ready();
    let mut stopping = std::pin::pin!(context.stopping());
    // A tree that starts slowly is not ready, and is not to be killed for it: the manager counts from READY.
    let listens = telling.listens();
    tokio::select! {
        () = &mut stopping => return Ok(()),
        () = listens => (telling.voice)(&[NotifyState::Ready]),
    }
    // Asked twice as often as it is due.
    let every = telling.watchdog.map(|due| due / 2);
    // Whoever is silent for so long must not make a beat late.
    let patience = every.map_or(LOOK, |every| LOOK.min(every / 2));
    let mut ping = every.map(|_| Instant::now());
    let mut look = Instant::now();
    let mut told = Told::default();
    loop {
        tokio::select! {
            biased;
            Ok(()) = telling.ending.changed() => telling.tell_ending(&mut told),
            () = &mut stopping => return Ok(()),
            () = due(ping) => {
                let every = every.unwrap_or(WORDS);
                ping = Some(Instant::now() + every);
                if telling.root_answers(every).await {
                    (telling.voice)(&[NotifyState::Watchdog]);
                }
            }
            () = sleep_until(look) => {
                look = Instant::now() + WORDS;
                if telling.ending.borrow().is_none()
                    && let Ok(status) = telling.models.ask(Status, patience).await
                {
                    let under_way = telling.edge.as_ref().map_or(0, Edge::requests);
                    telling.put(words(&telling.model, &status, under_way), &mut told);
                }
            }
        }
    }
}

/// What was told last.
#[derive(Default)]
struct Told {
    words: String,
    stopping: bool,
}

impl Telling {
    /// Until requests are heard, where any are.
    fn listens(&self) -> impl Future<Output = ()> + use<> {
        let address = self.edge.as_ref().map(Edge::address);
        async move {
            if let Some(mut address) = address {
                // The sender ends with the tree, and so do we.
                let _ = address.wait_for(Option::is_some).await;
            }
        }
    }

    /// Whether the root says within so long who its children are. We are one, so it names somebody, or is gone.
    async fn root_answers(&self, within: Duration) -> bool {
        let named = timeout(within, self.root.which_children()).await;
        named.is_ok_and(|children| !children.is_empty())
    }

    /// Of several steps at once only the last may be seen.
    fn tell_ending(&mut self, told: &mut Told) {
        let Some(ending) = self.ending.borrow_and_update().clone() else {
            return;
        };
        if !std::mem::replace(&mut told.stopping, true) {
            let left = u32::try_from(ending.left_ms).unwrap_or(u32::MAX);
            let extend = left.saturating_mul(1000).saturating_add(GRACE_US);
            (self.voice)(&[
                NotifyState::Stopping,
                NotifyState::ExtendTimeoutUsec(extend),
            ]);
        }
        self.put(words_of_the_end(&ending), told);
    }

    /// Says it, unless it was said last.
    fn put(&self, words: String, told: &mut Told) {
        if words != told.words {
            (self.voice)(&[NotifyState::Status(&words)]);
            told.words = words;
        }
    }
}

/// At that time; never, where there is none.
async fn due(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn say(state: &[NotifyState<'_>]) {
    let Some(place) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    if let Err(error) = notify_socket::send(&place, state) {
        tracing::debug!(%error, "the service manager does not listen");
    }
}

/// How it goes, in words.
fn words(default: &ModelName, status: &HostStatus, under_way: usize) -> String {
    let loading = status.models.iter().find_map(|model| match model.state {
        ModelState::Loading { fraction } => Some((&model.name, fraction)),
        _ => None,
    });
    match (loading, under_way) {
        (Some((name, fraction)), _) => format!("loading {name}, {:.0} %", fraction * 100.0),
        (None, 0) => format!("ready; {default} answers by default"),
        (None, 1) => "1 answer under way".to_owned(),
        (None, many) => format!("{many} answers under way"),
    }
}

fn words_of_the_end(ending: &Ending) -> String {
    let many = ending.under_way.len();
    match ending.phase {
        Phase::Draining => "ending: nothing new is taken".to_owned(),
        Phase::Answers => format!("ending: {many} answers under way"),
        Phase::Actors => format!("ending: {many} actors are to stop"),
        Phase::Runtime => "ending: all actors have stopped".to_owned(),
    }
}

#[cfg(test)]
#[path = "service_manager_tests.rs"]
mod tests;
