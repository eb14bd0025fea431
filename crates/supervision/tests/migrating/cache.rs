//! A loop that sleeps and sweeps becomes one alarm at the earliest deadline: nothing wakes while nothing is due.

use std::collections::BTreeMap;

use crate::common::*;
use supervision::kameo::actor::{Actor, ActorRef};
use supervision::kameo::error::Infallible;
use supervision::kameo::message::{Context, Message};
use supervision::{AlarmDue, Birth, ChildSpec, Handle, Inbox};
use tokio::time::{Duration, Instant, sleep};

/// Entries by key, each until its deadline. It reads no clock.
#[derive(Default)]
struct Entries(BTreeMap<String, (Instant, u32)>);

impl Entries {
    fn keep(&mut self, key: &str, value: u32, until: Instant) {
        self.0.insert(key.to_owned(), (until, value));
    }

    fn deadline(&self) -> Option<Instant> {
        self.0.values().map(|(until, _)| *until).min()
    }

    fn sweep(&mut self, now: Instant) {
        self.0.retain(|_, (until, _)| *until > now);
    }
}

struct Cache {
    entries: Entries,
    sweeps: u32,
    inbox: Inbox<Self>,
}

impl Actor for Cache {
    type Args = Birth<Self, ()>;
    type Error = Infallible;

    async fn on_start(birth: Self::Args, _me: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(Self {
            entries: Entries::default(),
            sweeps: 0,
            inbox: birth.inbox,
        })
    }

    supervision::receive_from!(inbox, alarm);
}

struct Keep {
    key: &'static str,
    value: u32,
    lasts: Duration,
}

impl Message<Keep> for Cache {
    type Reply = ();

    async fn handle(&mut self, keep: Keep, _: &mut Context<Self, ()>) {
        let until = Instant::now() + keep.lasts;
        self.entries.keep(keep.key, keep.value, until);
        self.inbox.set_alarm(self.entries.deadline());
    }
}

impl Message<AlarmDue> for Cache {
    type Reply = ();

    async fn handle(&mut self, _: AlarmDue, _: &mut Context<Self, ()>) {
        self.entries.sweep(Instant::now());
        self.sweeps += 1;
        self.inbox.set_alarm(self.entries.deadline());
    }
}

/// How many entries are held, and how many sweeps there were.
struct Count;

impl Message<Count> for Cache {
    type Reply = (usize, u32);

    async fn handle(&mut self, _: Count, _: &mut Context<Self, Self::Reply>) -> Self::Reply {
        (self.entries.0.len(), self.sweeps)
    }
}

#[tokio::test(start_paused = true)]
async fn an_entry_is_swept_at_its_deadline_and_nothing_wakes_before() {
    let (spec, cache): (ChildSpec, Handle<Cache>) = ChildSpec::actor("cache", 64, ());
    let root = started(root().child(spec)).await;
    for (key, lasts) in [("a", 60), ("b", 3600)] {
        let lasts = Duration::from_secs(lasts);
        cache
            .tell(Keep {
                key,
                value: 1,
                lasts,
            })
            .await
            .unwrap();
    }
    let count = async || cache.ask(Count, SECOND).await.unwrap();

    assert_eq!(count().await, (2, 0));
    sleep(Duration::from_millis(59_999)).await;
    assert_eq!(count().await, (2, 0));
    sleep(Duration::from_millis(2)).await;
    assert_eq!(count().await, (1, 1));
    sleep(Duration::from_hours(24)).await;
    assert_eq!(count().await, (0, 2));
    root.stop(MINUTE).await;
}
