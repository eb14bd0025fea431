//! Typing as those who type, and those who look, see it.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::time::Duration;

use domain::{ConnectionId, ConversationId, UserId};
use paraphym_typing as typing;
use supervision::{AskError, Handle, SupervisorSpec};
use testkit::scene::Scene;
use tokio::sync::watch;
use tokio::time::{Instant, advance, sleep_until, timeout};
use typing::typists::{IN_ONE, check};
use typing::{
    EXPIRY, Left, Lend, SetExpiry, Status, Stopped, Typed, Typing, TypingLease, TypingSet,
    TypingStatus, Watch,
};

const DEADLINE: Duration = Duration::from_secs(5);

struct Stage {
    scene: Scene,
    typing: Handle<Typing>,
}

async fn start() -> Stage {
    let (spec, typing) = typing::child(EXPIRY).unwrap();
    let tree = SupervisorSpec::new("root").child(spec);
    let scene = Scene::start(tree).await.unwrap();
    Stage { scene, typing }
}

impl Stage {
    async fn typed(&self, user: &str, by: &str) {
        let typed = Typed {
            conversation: ConversationId::new("c"),
            user: UserId::new(user),
            connection: ConnectionId::new(by),
        };
        self.typing.ask(typed, DEADLINE).await.unwrap();
    }

    async fn stopped(&self, user: &str, by: &str) {
        let stopped = Stopped {
            conversation: ConversationId::new("c"),
            user: UserId::new(user),
            connection: ConnectionId::new(by),
        };
        self.typing.ask(stopped, DEADLINE).await.unwrap();
    }

    async fn lend(&self) -> TypingLease {
        let wish = Lend {
            conversation: ConversationId::new("c"),
            user: UserId::new("assistant"),
        };
        self.typing.ask(wish, DEADLINE).await.unwrap()
    }

    async fn watch(&self) -> watch::Receiver<TypingSet> {
        let conversation = ConversationId::new("c");
        let wish = Watch { conversation };
        self.typing.ask(wish, DEADLINE).await.unwrap()
    }

    async fn status(&self) -> TypingStatus {
        self.typing.ask(Status, DEADLINE).await.unwrap()
    }
}

fn seen(set: &watch::Receiver<TypingSet>) -> Vec<String> {
    set.borrow().0.iter().map(ToString::to_string).collect()
}

#[tokio::test(start_paused = true)]
async fn a_viewer_hears_edges_only_and_the_end_at_the_deadline_and_not_before() {
    let stage = start().await;
    let mut set = stage.watch().await;
    let begun = Instant::now();
    stage.typed("ann", "1").await;
    set.changed().await.unwrap();
    assert_eq!(seen(&set), ["ann"]);
    advance(Duration::from_secs(4)).await;
    stage.typed("ann", "1").await;
    stage.status().await;
    assert!(!set.has_changed().unwrap(), "a keystroke more is no edge");
    let silent = sleep_until(begun + Duration::from_secs(14) - Duration::from_millis(1));
    silent.await;
    assert!(!set.has_changed().unwrap() && seen(&set) == ["ann"]);
    // The client has vanished: nobody asks anything, and yet it ends.
    set.changed().await.unwrap();
    assert_eq!(begun.elapsed(), Duration::from_secs(14));
    assert!(seen(&set).is_empty());
    let tally = stage.status().await.tally;
    assert_eq!((tally.began, tally.ended, tally.expired), (1, 1, 1));
    assert_eq!(
        (tally.typed, tally.longest),
        (Duration::from_secs(14), Duration::from_secs(14))
    );
    stage.scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_after_a_start_is_never_applied_before_it() {
    let stage = start().await;
    let set = stage.watch().await;
    for _ in 0..100 {
        stage.typed("ann", "1").await;
        stage.stopped("ann", "1").await;
    }
    assert!(seen(&set).is_empty());
    let status = stage.status().await;
    assert_eq!(
        (status.typing, status.tally.began, status.tally.ended),
        (0, 100, 100)
    );
    stage.scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn who_leaves_types_no_more() {
    let stage = start().await;
    let set = stage.watch().await;
    stage.typed("ann", "1").await;
    stage.typed("bob", "2").await;
    let connection = ConnectionId::new("1");
    stage
        .typing
        .ask(Left { connection }, DEADLINE)
        .await
        .unwrap();
    assert_eq!(seen(&set), ["bob"]);
    stage.scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_types_as_long_as_its_lease_lives_and_not_a_moment_longer() {
    let stage = start().await;
    let mut set = stage.watch().await;
    let lease = stage.lend().await;
    assert_eq!(seen(&set), ["assistant"]);
    advance(Duration::from_hours(1)).await;
    assert_eq!(seen(&set), ["assistant"]);
    set.mark_unchanged();
    // Whoever held it is gone, however that came about.
    drop(lease);
    set.changed().await.unwrap();
    assert!(seen(&set).is_empty());
    let tally = stage.status().await.tally;
    assert_eq!(tally.longest, Duration::from_hours(1));
    stage.scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_forgets_keystrokes_and_keeps_leases_viewers_and_the_expiry() {
    let stage = start().await;
    let set = stage.watch().await;
    let lease = stage.lend().await;
    stage.typed("ann", "1").await;
    let expiry = SetExpiry(Duration::from_secs(3));
    stage.typing.ask(expiry, DEADLINE).await.unwrap();
    assert_eq!(seen(&set), ["ann", "assistant"]);

    let admin = stage.scene.root().administration();
    admin.restart("root/typing", DEADLINE).await.unwrap();
    let status = stage.status().await;
    assert_eq!((status.typing, status.expiry), (1, Duration::from_secs(3)));
    assert_eq!(seen(&set), ["assistant"], "no ghost of a former life types");

    stage.typed("ann", "1").await;
    assert_eq!(
        seen(&set),
        ["ann", "assistant"],
        "who looked before sees it still"
    );
    drop(lease);
    advance(Duration::from_secs(3)).await;
    assert_eq!(stage.status().await.typing, 0);
    assert!(seen(&set).is_empty());
    stage.scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn another_expiry_is_felt_by_those_who_type_and_a_wrong_one_is_refused_by_name() {
    let stage = start().await;
    let mut set = stage.watch().await;
    let begun = Instant::now();
    stage.typed("ann", "1").await;
    let wish = SetExpiry(Duration::from_secs(2));
    stage.typing.ask(wish, DEADLINE).await.unwrap();
    set.mark_unchanged();
    set.changed().await.unwrap();
    assert_eq!(begun.elapsed(), Duration::from_secs(2));
    let wish = SetExpiry(Duration::ZERO);
    let refused = stage.typing.ask(wish, DEADLINE).await.unwrap_err();
    let said = refused.to_string();
    assert!(
        said.contains("expiry") && said.contains("1s to 2m"),
        "{said}"
    );
    assert_eq!(stage.status().await.expiry, Duration::from_secs(2));
    assert!(check(EXPIRY).is_ok() && typing::child(Duration::ZERO).is_err());
    stage.scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_too_many_is_not_shown_and_counted_and_nobody_else_notices() {
    let metrics = telemetry::Metrics::install().unwrap();
    let stage = start().await;
    let set = stage.watch().await;
    for number in 0..IN_ONE {
        stage
            .typed(&format!("{number:03}"), &number.to_string())
            .await;
    }
    stage.typed("late", "late").await;
    let wish = Lend {
        conversation: ConversationId::new("c"),
        user: UserId::new("assistant"),
    };
    let Err(AskError::Handler(refused)) = stage.typing.ask(wish, DEADLINE).await else {
        panic!("an agent too many was shown");
    };
    let said = refused.to_string();
    assert!(said.contains("assistant") && said.contains("100"), "{said}");
    let status = stage.status().await;
    assert_eq!((status.typing, status.tally.refused), (IN_ONE, 2));
    // No other test here has so many.
    let page = metrics.render();
    assert!(page.contains("paraphym_typing_refused_total 2\n"), "{page}");
    assert_eq!(seen(&set).len(), IN_ONE);
    stage.scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_wakes_while_nobody_types() {
    let mut stage = start().await;
    let mut set = stage.watch().await;
    stage.scene.expect_silence(Duration::from_hours(24)).await;
    let waited = timeout(Duration::from_hours(24), set.changed()).await;
    assert!(waited.is_err());
    stage.scene.stop().await;
}
