//! What a service manager (systemd's `sd_notify`) is told: that we are ready, how it goes in words, that we live, and that
//! we end. A child of the tree says it, so that a tree that does not answer is not said to live.

use std::time::Duration;

use control::protocol::ending::{Ending, Phase};
use domain::ModelName;
use model_host::ModelHost;
use model_host::messages::{HostStatus, ModelState, Status};
use sd_notify::NotifyState;
use supervision::{ChildSpec, Handle, SupervisorHandle, SupervisorSpec, TaskContext, TaskError};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use crate::edge::Edge;

/// How often the words are looked at while something goes on: a person reads no faster.
const WORDS: Duration = Duration::from_secs(1);
/// How long the model host may take to say how it is; after that the words stay as they were.
const LOOK: Duration = Duration::from_secs(1);
/// Beyond the deadline of an ending, so that the manager does not kill what is about to end.
const GRACE_US: u32 = 5_000_000;

/// The child's name.
pub(crate) const CHILD_ID: &str = "service_manager";

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
            edge: edge.map(|edge| (edge.address.clone(), edge.serving.clone())),
            root: spec.handle(),
            models,
            model: model.clone(),
            ending,
        };
        let child = ChildSpec::task(CHILD_ID, move |context| tell(telling.clone(), context));
        spec.first_child(child)
    }
}

#[derive(Clone)]
struct Telling {
    watchdog: Option<Duration>,
    edge: Option<(
        watch::Receiver<Option<std::net::SocketAddr>>,
        gateway::Serving,
    )>,
    root: SupervisorHandle,
    models: Handle<ModelHost>,
    model: ModelName,
    ending: watch::Receiver<Option<Ending>>,
}

async fn tell(mut telling: Telling, context: TaskContext) -> Result<(), TaskError> {
    context.ready();
    let mut stopping = std::pin::pin!(context.stopping());
    let mut said = String::new();
    // A tree that starts slowly is not ready, and is not to be killed for it: the manager counts from READY.
    let listens = telling.listens();
    tokio::select! {
        () = &mut stopping => return Ok(()),
        () = listens => say(&[NotifyState::Ready]),
    }
    // Asked twice as often as it is due.
    let every = telling.watchdog.map(|due| due / 2);
    let mut ping = every.map(|_| Instant::now());
    let mut look = Instant::now();
    loop {
        tokio::select! {
            biased;
            Ok(()) = telling.ending.changed() => {
                let ending = telling.ending.borrow_and_update().clone();
                if let Some(ending) = ending {
                    tell_ending(&ending, &mut said);
                }
            }
            () = &mut stopping => return Ok(()),
            () = due(ping) => {
                let every = every.unwrap_or(WORDS);
                ping = Some(Instant::now() + every);
                if timeout(every, telling.root.which_children()).await.is_ok() {
                    say(&[NotifyState::Watchdog]);
                }
            }
            () = sleep_until(look) => {
                look = Instant::now() + WORDS;
                if telling.ending.borrow().is_none()
                    && let Ok(status) = telling.models.ask(Status, LOOK).await
                {
                    let under_way = telling.edge.as_ref().map_or(0, |(_, s)| s.under_way().len());
                    put(words(&telling.model, &status, under_way), &mut said);
                }
            }
        }
    }
}

impl Telling {
    /// Until requests are heard, where any are.
    fn listens(&self) -> impl Future<Output = ()> + use<> {
        let address = self.edge.as_ref().map(|(address, _)| address.clone());
        async move {
            if let Some(mut address) = address {
                // The sender ends with the tree, and so do we.
                let _ = address.wait_for(Option::is_some).await;
            }
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

fn tell_ending(ending: &Ending, said: &mut String) {
    if ending.phase == Phase::Draining {
        let left = u32::try_from(ending.left_ms).unwrap_or(u32::MAX);
        let extend = left.saturating_mul(1000).saturating_add(GRACE_US);
        say(&[
            NotifyState::Stopping,
            NotifyState::ExtendTimeoutUsec(extend),
        ]);
    }
    put(words_of_the_end(ending), said);
}

/// Says it, unless it was said last.
fn put(words: String, said: &mut String) {
    if words != *said {
        say(&[NotifyState::Status(&words)]);
        *said = words;
    }
}

fn say(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
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
mod tests {
    use super::*;

    #[test]
    fn the_words_say_what_goes_on() {
        let (model, status) = (ModelName::new("m"), HostStatus::default());
        for (under_way, said) in [
            (0, "ready; m answers by default"),
            (1, "1 answer under way"),
            (3, "3 answers under way"),
        ] {
            assert_eq!(words(&model, &status, under_way), said);
        }
        for (phase, said) in [
            (Phase::Draining, "ending: nothing new is taken"),
            (Phase::Answers, "ending: 2 answers under way"),
            (Phase::Actors, "ending: 2 actors are to stop"),
            (Phase::Runtime, "ending: all actors have stopped"),
        ] {
            let ending = Ending {
                phase,
                under_way: vec!["a".to_owned(), "b".to_owned()],
                left_ms: 0,
                abandoned: Vec::new(),
                killed: Vec::new(),
            };
            assert_eq!(words_of_the_end(&ending), said);
        }
    }
}
