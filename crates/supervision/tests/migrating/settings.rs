//! State behind a lock, copied by whoever changes it and polled by whoever uses it, becomes a value that one actor changes, one
//! change at a time, and shows to everybody over a watch channel.

use std::sync::Arc;

use crate::common::*;
use supervision::kameo::actor::{Actor, ActorRef};
use supervision::kameo::error::Infallible;
use supervision::kameo::message::{Context, Message};
use supervision::{AskError, Birth, ChildSpec, Handle, Inbox};
use tokio::sync::watch;

/// What holds, and how often it was changed.
#[derive(Clone, Debug, Default, PartialEq)]
struct Revision {
    number: u64,
    temperature: f32,
}

struct Settings {
    /// From the seed: what holds outlives a crash.
    holds: watch::Sender<Arc<Revision>>,
    inbox: Inbox<Self>,
}

impl Actor for Settings {
    type Args = Birth<Self, watch::Sender<Arc<Revision>>>;
    type Error = Infallible;

    async fn on_start(birth: Self::Args, _me: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(Self {
            holds: birth.seed,
            inbox: birth.inbox,
        })
    }

    supervision::receive_from!(inbox);
}

struct Change {
    /// The revision that the caller has seen.
    expected: u64,
    temperature: f32,
}

#[derive(Debug, PartialEq)]
enum Refused {
    /// Somebody was quicker; this holds now.
    Conflict(Arc<Revision>),
    /// The field.
    OutOfRange(&'static str),
}

impl Message<Change> for Settings {
    type Reply = Result<u64, Refused>;

    async fn handle(&mut self, change: Change, _: &mut Context<Self, Self::Reply>) -> Self::Reply {
        let holds = Arc::clone(&self.holds.borrow());
        if change.expected != holds.number {
            return Err(Refused::Conflict(holds));
        }
        if !(0.0..=2.0).contains(&change.temperature) {
            return Err(Refused::OutOfRange("temperature"));
        }
        let mut next = (*holds).clone();
        next.number += 1;
        next.temperature = change.temperature;
        self.holds.send_replace(Arc::new(next));
        Ok(holds.number + 1)
    }
}

fn child() -> (ChildSpec, Handle<Settings>, watch::Receiver<Arc<Revision>>) {
    let (holds, seen) = watch::channel(Arc::default());
    let (spec, settings) = ChildSpec::actor("settings", 64, holds);
    (spec, settings, seen)
}

/// Changes until nobody is quicker.
async fn change(settings: Handle<Settings>, temperature: f32) {
    let mut expected = 0;
    loop {
        let change = Change {
            expected,
            temperature,
        };
        match settings.ask(change, SECOND).await {
            Ok(_) => return,
            Err(AskError::Handler(Refused::Conflict(holds))) => expected = holds.number,
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn of_changes_by_many_none_is_lost_and_everybody_sees_the_last() {
    let (spec, settings, seen) = child();
    let root = started(root().child(spec)).await;
    let writers = (0..50).map(|_| change(settings.clone(), 0.5));
    futures_util::future::join_all(writers).await;
    assert_eq!(seen.borrow().number, 50);
    root.stop(MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_wrong_value_is_refused_by_its_field_and_nobody_sees_it() {
    let (spec, settings, seen) = child();
    let root = started(root().child(spec)).await;
    let wrong = Change {
        expected: 0,
        temperature: 7.0,
    };
    let refused = settings.ask(wrong, SECOND).await.unwrap_err();
    let expected = Refused::OutOfRange("temperature");
    assert!(matches!(refused, AskError::Handler(error) if error == expected));
    assert!(!seen.has_changed().unwrap());
    assert_eq!(**seen.borrow(), Revision::default());
    root.stop(MINUTE).await;
}
