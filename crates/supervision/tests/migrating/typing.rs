//! Timers for everybody who types become one map with one alarm: the next deadline is a value, and viewers hear whole sets, on
//! edges only.

use std::collections::{BTreeMap, BTreeSet};

use crate::common::*;
use supervision::kameo::actor::{Actor, ActorRef};
use supervision::kameo::error::Infallible;
use supervision::kameo::message::{Context, Message};
use supervision::{AlarmDue, Birth, ChildSpec, Handle, Inbox};
use tokio::sync::watch;
use tokio::time::{Duration, Instant, sleep};

type Names = BTreeSet<String>;

/// A keystroke counts for so long.
const EXPIRY: Duration = Duration::from_secs(5);

struct Typing {
    until: BTreeMap<String, Instant>,
    shown: watch::Sender<Names>,
    inbox: Inbox<Self>,
}

impl Actor for Typing {
    type Args = Birth<Self, watch::Sender<Names>>;
    type Error = Infallible;

    async fn on_start(birth: Self::Args, _me: ActorRef<Self>) -> Result<Self, Infallible> {
        let mut typing = Self {
            until: BTreeMap::new(),
            shown: birth.seed,
            inbox: birth.inbox,
        };
        // Nothing of a former life's keystrokes is believed.
        typing.turn(|_, _| {});
        Ok(typing)
    }

    supervision::receive_from!(inbox, alarm);
}

impl Typing {
    /// Ends what is over, does what is wanted, shows what changed, and sleeps until the next deadline.
    fn turn(&mut self, act: impl FnOnce(&mut BTreeMap<String, Instant>, Instant)) {
        let now = Instant::now();
        act(&mut self.until, now);
        self.until.retain(|_, until| *until > now);
        let names: Names = self.until.keys().cloned().collect();
        self.shown.send_if_modified(|shown| {
            let changed = *shown != names;
            *shown = names;
            changed
        });
        self.inbox.set_alarm(self.until.values().min().copied());
    }
}

struct Typed(&'static str);

impl Message<Typed> for Typing {
    type Reply = ();

    async fn handle(&mut self, Typed(name): Typed, _: &mut Context<Self, ()>) {
        self.turn(|until, now| {
            until.insert(name.to_owned(), now + EXPIRY);
        });
    }
}

impl Message<AlarmDue> for Typing {
    type Reply = ();

    async fn handle(&mut self, _: AlarmDue, _: &mut Context<Self, ()>) {
        self.turn(|_, _| {});
    }
}

#[tokio::test(start_paused = true)]
async fn viewers_hear_edges_and_the_end_at_the_deadline() {
    let shown = watch::Sender::new(Names::new());
    let mut viewer = shown.subscribe();
    let (spec, typing): (ChildSpec, Handle<Typing>) = ChildSpec::actor("typing", 64, shown);
    let root = started(root().child(spec)).await;
    let ada = Names::from(["Ada".to_owned()]);

    typing.tell(Typed("Ada")).await.unwrap();
    viewer.changed().await.unwrap();
    assert_eq!(*viewer.borrow_and_update(), ada);

    sleep(Duration::from_secs(4)).await;
    typing.tell(Typed("Ada")).await.unwrap();
    settle().await;
    assert!(
        !viewer.has_changed().unwrap(),
        "a keystroke more is no edge"
    );

    let begun = Instant::now();
    viewer.changed().await.unwrap();
    assert_eq!(*viewer.borrow_and_update(), Names::new());
    assert_eq!(begun.elapsed().as_millis(), 4_999);
    root.stop(MINUTE).await;
}
