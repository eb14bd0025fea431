//! Why: a setting that was changed must be felt where it is used. A child of the tree hears of every revision and tells
//! the parts that can change while they run; the others read theirs at the start or with each turn.
//!
//! Invariants: nothing is decided here, and what was told is kept outside of a life: a new one tells only what differs, so that
//! what an operator set in between stays until the settings change it.

use std::sync::Arc;
use std::time::Duration;

use chat_config::settings::Settings;
use chat_config::{ChatConfig, client};
use domain::Bytes;
use memory_governor::{MemoryGovernor, SetLimit, SetPoll};
use model_host::ModelHost;
use model_host::messages::SetLimits;
use supervision::{ChildSpec, Handle, TaskContext, TaskError};
use telemetry::LogControl;
use tokio::sync::Mutex;

use crate::chronicle::Chronicle;
use crate::follower::Follows;
use crate::settings::{host_limits, memory_limit, memory_poll};

/// Longer than a read of the machine's memory takes, and a restart of the part that is told.
const DEADLINE: Duration = Duration::from_secs(10);
/// How soon a part that did not take over what holds is told again: it is being restarted, or busy.
const AGAIN: Duration = Duration::from_secs(5);

/// What is told, and whether the app chose it for good.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) settings: Handle<ChatConfig>,
    /// Where it is written down that they changed.
    pub(crate) chronicle: Chronicle,
    pub(crate) governor: Handle<MemoryGovernor>,
    pub(crate) models: Handle<ModelHost>,
    /// Parts that are told in words of their own.
    pub(crate) followers: Vec<Arc<dyn Follows>>,
    /// The app set the memory limit in words of its own.
    pub(crate) limit_is_fixed: bool,
    /// The same for the bounds of model access.
    pub(crate) models_are_fixed: bool,
    /// The log, and the filter where the settings name none.
    pub(crate) log: Option<(LogControl, String)>,
}

#[derive(Default, PartialEq)]
enum Limit {
    #[default]
    NotTold,
    Told(Option<Bytes>),
}

/// What was told last, by whichever life.
#[derive(Default)]
struct Told {
    limit: Limit,
    poll: Option<Duration>,
    models: Option<SetLimits>,
    log: Option<String>,
}

/// The child `settings_applier`.
pub(crate) fn child(parts: Parts) -> ChildSpec {
    let told = Arc::new(Mutex::new(Told::default()));
    ChildSpec::task("settings_applier", move |context: TaskContext| {
        let (parts, told) = (parts.clone(), Arc::clone(&told));
        async move { apply_all(&parts, &mut *told.lock().await, context).await }
    })
}

async fn apply_all(parts: &Parts, told: &mut Told, context: TaskContext) -> Result<(), TaskError> {
    let mut news = client::subscribe(&parts.settings).await?;
    let mut all = parts.tell(told, &news.latest().settings).await;
    all &= parts.chronicle.catch_up().await;
    context.ready();
    let mut stopping = std::pin::pin!(context.stopping());
    loop {
        tokio::select! {
            biased;
            () = &mut stopping => return Ok(()),
            // Whether it was one or several that were missed: what holds now is what counts.
            heard = news.next() => if heard.is_none() { return Ok(()) },
            () = tokio::time::sleep(AGAIN), if !all => {}
        }
        all = parts.tell(told, &news.latest().settings).await;
        all &= parts.chronicle.catch_up().await;
    }
}

impl Parts {
    /// Tells what is new. Whether all was taken over, or never will be.
    async fn tell(&self, told: &mut Told, settings: &Settings) -> bool {
        let mut all = true;
        let limit = memory_limit(settings);
        if !self.limit_is_fixed && told.limit != Limit::Told(limit) {
            match self.governor.ask(SetLimit { bytes: limit }, DEADLINE).await {
                Ok(_) => told.limit = Limit::Told(limit),
                Err(error) => {
                    all = false;
                    tracing::warn!(%error, "memory.limit was not taken over yet");
                }
            }
        }
        let poll = memory_poll(settings);
        if told.poll != Some(poll) {
            match self.governor.ask(SetPoll { poll }, DEADLINE).await {
                Ok(()) => told.poll = Some(poll),
                Err(error) => {
                    all = false;
                    tracing::warn!(%error, "memory.poll was not taken over yet");
                }
            }
        }
        let limits = host_limits(settings);
        if !self.models_are_fixed && told.models.as_ref() != Some(&limits) {
            match self.models.ask(limits.clone(), DEADLINE).await {
                Ok(()) => told.models = Some(limits),
                Err(error) => {
                    all = false;
                    tracing::warn!(%error, "the section model was not taken over yet");
                }
            }
        }
        for follower in &self.followers {
            all &= follower.follow(settings).await;
        }
        if let Some((control, usual)) = &self.log {
            let filter = settings.telemetry.log.as_ref().unwrap_or(usual);
            if told.log.as_ref() != Some(filter) {
                match control.set(filter) {
                    Ok(()) => told.log = Some(filter.clone()),
                    // The same filter is refused again: nothing to try.
                    Err(error) => tracing::warn!(%error, "telemetry.log was not taken over"),
                }
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::Path;
    use std::time::SystemTime;

    use chat_config::{Author, Store};
    use conversation_store::{Archive, StoreConfig};
    use engine::ModelSource;
    use memory_governor::decisions::Decided;
    use memory_governor::messages::{Status, Why};
    use memory_governor::{CHILD_ID, Probe};
    use model_host::ResolveModel;
    use root::{Tree, TreeConfig, TreeParts};
    use testkit::scene::Scene;
    use testkit::scripted::{Answer, ScriptedLoader};
    use tokio::time::Instant;

    use super::*;

    /// 8 GiB and no control groups.
    struct Machine;

    impl Probe for Machine {
        fn read(&self, path: &Path) -> io::Result<String> {
            match path.to_str() {
                Some("/proc/meminfo") => Ok("MemTotal: 8388608 kB\n".to_owned()),
                _ => Err(io::ErrorKind::NotFound.into()),
            }
        }
    }

    struct Nowhere;

    impl ResolveModel for Nowhere {
        fn resolve(&self, _: &domain::ModelName) -> Result<ModelSource, String> {
            Err("there are no models".to_owned())
        }
    }

    /// A tree whose settings say 1 GiB and 7 s, and who would tell them.
    async fn tree() -> (Scene, Parts) {
        let author = Author {
            who: "a test".to_owned(),
            at: SystemTime::UNIX_EPOCH,
        };
        let flags = ["memory.limit=1GiB", "memory.poll=7s"].map(str::to_owned);
        let settings = Store::without_file([], &flags, author).unwrap();
        let parts = TreeParts {
            loader: Arc::new(ScriptedLoader::new(Answer::Counting)),
            resolve: Arc::new(Nowhere),
            probe: Arc::new(Machine),
            settings: settings.clone(),
            tools: toolbox::Toolbox::default(),
            sources: Vec::new(),
            reached: Vec::new(),
            conversations: Archive::open(&StoreConfig::in_memory(), 0).unwrap(),
            ages: Arc::new(::runtime::CoarseClock::default()),
            clock: Arc::new(|| SystemTime::UNIX_EPOCH),
            now_ms: Arc::new(|| 0),
        };
        let tree = Tree::new(TreeConfig::default(), parts);
        let parts = Parts {
            settings: tree.settings,
            chronicle: Chronicle::new(settings, tree.store),
            governor: tree.governor,
            models: tree.models,
            followers: Vec::new(),
            limit_is_fixed: false,
            models_are_fixed: false,
            log: None,
        };
        (Scene::start(tree.spec).await.unwrap(), parts)
    }

    /// When the governor took the limit of the settings over, by its log.
    async fn taken_over(governor: &Handle<MemoryGovernor>) -> Vec<Duration> {
        let reasons = governor.ask(Why, DEADLINE).await.unwrap();
        let decided = reasons.decisions.into_iter();
        let ours = decided.filter(|decision| {
            matches!(&decision.what, Decided::Budget { configured, .. } if configured.is_some())
        });
        ours.map(|decision| decision.at).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_that_was_down_is_told_every_five_seconds_until_it_takes_over_and_then_no_more()
    {
        for (back, told) in [(0, 5), (4, 5), (7, 10), (14, 15)] {
            let (scene, parts) = tree().await;
            let governor = parts.governor.clone();
            let opened = Instant::now() - governor.ask(Why, DEADLINE).await.unwrap().now;
            let supervisor = scene.supervisor();
            supervisor.terminate_child(&CHILD_ID.into()).await.unwrap();
            // It begins by telling all, and is ready though nobody heard.
            supervisor.start_child(child(parts)).await.unwrap();
            let in_vain = Instant::now();
            tokio::time::sleep(Duration::from_secs(back)).await;
            supervisor.restart_child(&CHILD_ID.into()).await.unwrap();
            assert_eq!(taken_over(&governor).await, [], "back after {back} s");
            tokio::time::sleep(Duration::from_mins(1)).await;
            let times = taken_over(&governor).await;
            assert_eq!(times.len(), 1, "back after {back} s");
            let took = opened + times[0] - in_vain;
            let due = Duration::from_secs(told);
            // The clock's timers have a tick of a millisecond.
            let late = took.saturating_sub(due);
            assert!(
                took >= due && late <= Duration::from_millis(5),
                "{took:?} for {due:?}"
            );
            let now = governor.ask(Status, DEADLINE).await.unwrap();
            assert_eq!(
                (now.configured, now.poll),
                (Some(Bytes::mib(1024)), Duration::from_secs(7))
            );
            // Who was heard says nothing again: what another asks for stays.
            let other = SetLimit { bytes: None };
            governor.ask(other, DEADLINE).await.unwrap();
            tokio::time::sleep(Duration::from_mins(1)).await;
            let now = governor.ask(Status, DEADLINE).await.unwrap();
            assert_eq!(now.configured, None);
            scene.stop().await;
        }
    }

    #[cfg(feature = "gateway")]
    #[tokio::test(start_paused = true)]
    async fn another_time_to_count_as_typing_is_felt_at_once_by_who_types() {
        use chat_config::{Change, Update};
        use gateway::Serving;
        use typing::{Status as Types, Typed};

        use crate::edge::follower::Follower;

        let (scene, mut parts) = tree().await;
        let (spec, typing) = typing::child(Duration::from_secs(10)).unwrap();
        let supervisor = scene.supervisor();
        supervisor.start_child(spec).await.unwrap();
        let follower = Follower::new(Serving::default(), typing.clone());
        parts.followers.push(Arc::new(follower));
        let settings = parts.settings.clone();
        supervisor.start_child(child(parts)).await.unwrap();
        let typed = Typed {
            conversation: domain::ConversationId::new("c"),
            user: domain::UserId::new("ann"),
            connection: domain::ConnectionId::new("1"),
        };
        for (value, seconds) in [(None, 10), (Some("3s"), 3), (Some("1m"), 60)] {
            if let Some(value) = value {
                let changed = Update {
                    who: "a test".to_owned(),
                    expected: None,
                    changes: vec![Change::Text {
                        key: "realtime.typing".to_owned(),
                        text: value.to_owned(),
                    }],
                };
                client::update(&settings, changed).await.unwrap();
            }
            // The applier is told, and tells, without time passing.
            tokio::time::sleep(Duration::from_millis(1)).await;
            typing.tell(typed.clone()).await.unwrap();
            let expiry = Duration::from_secs(seconds);
            for (wait, types) in [
                (expiry.saturating_sub(Duration::from_millis(50)), 1),
                (Duration::from_millis(60), 0),
            ] {
                tokio::time::sleep(wait).await;
                let status = typing.ask(Types, DEADLINE).await.unwrap();
                assert_eq!((status.typing, status.expiry), (types, expiry), "{value:?}");
            }
        }
        // Its next life is as it was told.
        let id = typing::CHILD_ID.into();
        supervisor.terminate_child(&id).await.unwrap();
        supervisor.restart_child(&id).await.unwrap();
        let status = typing.ask(Types, DEADLINE).await.unwrap();
        assert_eq!(status.expiry, Duration::from_mins(1));
        scene.stop().await;
    }
}
