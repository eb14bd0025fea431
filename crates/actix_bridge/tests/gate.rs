//! actix asks ours through a `Recipient`.

use std::sync::Arc;

use actix::prelude::SendError;
use actix::{Actor, Context, Handler, MailboxError, Message, Recipient, ResponseFuture};
use paraphym_actix_bridge::{Gate, GateLimits, gate, gate_to, run};
use supervision::kameo::error::Infallible;
use supervision::{AskError, Backoff, ChildSpec, ChildState, Handle, Lifecycle};
use testkit::scene::Scene;
use tokio::sync::Notify;

use crate::common::*;

/// What an actix application calls it.
struct Twice(u64);

impl Message for Twice {
    type Result = Result<u64, String>;
}

impl Message for Double {
    type Result = Result<u64, AskError<Infallible>>;
}

fn doubler() -> (ChildSpec, Handle<Doubler>) {
    let (spec, doubler) = ChildSpec::actor::<Doubler, _>("doubler", 1, ());
    (spec.backoff(Backoff::none()), doubler)
}

const NARROW: GateLimits = GateLimits {
    queue: 2,
    at_once: 1,
};

#[tokio::test(start_paused = true)]
async fn an_actix_actor_asks_ours_by_recipient_and_by_handle() {
    struct Front {
        by_recipient: Recipient<Twice>,
        by_handle: Handle<Doubler>,
    }
    impl Actor for Front {
        type Context = Context<Self>;
    }
    struct Quadruple(u64);
    impl Message for Quadruple {
        type Result = u64;
    }
    impl Handler<Quadruple> for Front {
        type Result = ResponseFuture<u64>;
        fn handle(&mut self, Quadruple(n): Quadruple, _: &mut Context<Self>) -> Self::Result {
            let (recipient, handle) = (self.by_recipient.clone(), self.by_handle.clone());
            Box::pin(async move {
                let twice = recipient.send(Twice(n)).await.unwrap().unwrap();
                handle.ask(Double(twice, ms(1)), SECOND).await.unwrap()
            })
        }
    }
    run(async |_| {
        let (ours, doubler) = doubler();
        let asked = doubler.clone();
        let (spec, gate) = gate("gate", GateLimits::default(), move |Twice(n)| {
            let doubler = asked.clone();
            async move {
                let double = doubler.ask(Double(n, ms(1)), SECOND).await;
                double.map_err(|error| error.to_string())
            }
        });
        let scene = Scene::start(root().child(ours).child(spec)).await.unwrap();
        let front = Front {
            by_recipient: gate.recipient(),
            by_handle: doubler,
        };
        assert_eq!(front.start().send(Quadruple(3)).await.unwrap(), 12);
        scene.stop().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn errors_come_back_with_their_type_and_a_restart_is_waited_for() {
    let (ours, doubler) = doubler();
    let ours = ours.backoff(rests(200));
    let (spec, gate): (_, Gate<Double>) = gate_to("gate", GateLimits::default(), doubler, SECOND);
    let mut scene = Scene::start(root().child(ours).child(spec)).await.unwrap();
    let to = gate.recipient();
    let crashed = to.send(Double(0, ms(0))).await.unwrap();
    assert!(
        matches!(crashed, Err(AskError::Crashed { .. })),
        "{crashed:?}"
    );
    // It rests before its next life: this ask waits for that, within its deadline.
    assert_eq!(to.send(Double(4, ms(1))).await.unwrap().unwrap(), 8);
    let came_back = |what: &Lifecycle| matches!(what, Lifecycle::Restarted { .. });
    scene.expect_event("root/doubler", came_back).await;
    let late = to.send(Double(4, MINUTE)).await.unwrap();
    assert!(matches!(late, Err(AskError::Timeout { .. })), "{late:?}");
    let supervisor = scene.supervisor();
    supervisor.terminate_child(&"doubler".into()).await.unwrap();
    let down = to.send(Double(4, ms(1))).await.unwrap();
    assert!(matches!(down, Err(AskError::Down { .. })), "{down:?}");
    scene.stop().await;
}

/// A gate that serves when told, and notes what it serves.
fn slow(log: &Log, go_on: &Arc<Notify>) -> (ChildSpec, Gate<Twice>) {
    let (log, go_on) = (log.clone(), go_on.clone());
    gate("gate", NARROW, move |Twice(n)| {
        let (log, go_on) = (log.clone(), go_on.clone());
        async move {
            log.note(format!("begins {n}"));
            assert_ne!(n, 13, "unlucky");
            go_on.notified().await;
            Ok(n * 2)
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_full_mailbox_says_so_at_once_and_what_was_taken_is_answered() {
    let (log, go_on) = (Log::default(), Arc::new(Notify::new()));
    let (spec, gate) = slow(&log, &go_on);
    let scene = scene(spec).await;
    let to = gate.recipient();
    let first = to.send(Twice(1));
    let beside = async {
        settle().await;
        // One is served, two wait.
        to.try_send(Twice(2)).unwrap();
        to.try_send(Twice(3)).unwrap();
        let full = to.try_send(Twice(4)).unwrap_err();
        assert!(matches!(full, SendError::Full(Twice(4))), "{full:?}");
        assert_eq!(log.take(), ["begins 1"], "one at a time");
        for _ in 0..3 {
            go_on.notify_one();
            settle().await;
        }
    };
    let (first, ()) = tokio::join!(first, beside);
    assert_eq!(first.unwrap(), Ok(2));
    assert_eq!(log.take(), ["begins 2", "begins 3"]);
    to.try_send(Twice(5)).unwrap();
    go_on.notify_one();
    assert_eq!(scene.stop().await.abandoned, []);
}

#[tokio::test(start_paused = true)]
async fn whoever_does_not_wait_any_more_is_not_served() {
    let (log, go_on) = (Log::default(), Arc::new(Notify::new()));
    let (spec, gate) = slow(&log, &go_on);
    let scene = scene(spec).await;
    let to = gate.recipient();
    let late = to.send(Twice(1)).timeout(ms(10)).await;
    assert_eq!(late.unwrap_err(), MailboxError::Timeout);
    // Its place is free again, though it was never answered.
    drop(to.send(Twice(2)));
    go_on.notify_one();
    assert_eq!(to.send(Twice(3)).await.unwrap(), Ok(6));
    assert_eq!(log.take(), ["begins 1", "begins 3"]);
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_of_the_gate_loses_what_it_served_and_keeps_what_waits() {
    let (log, go_on) = (Log::default(), Arc::new(Notify::new()));
    let (spec, gate) = slow(&log, &go_on);
    let mut scene = scene(spec).await;
    let to = gate.recipient();
    let (unlucky, waits) = (to.send(Twice(13)), to.send(Twice(2)));
    go_on.notify_one();
    let (unlucky, waits) = tokio::join!(unlucky, waits);
    assert_eq!(unlucky.unwrap_err(), MailboxError::Closed);
    assert_eq!(waits.unwrap(), Ok(4), "the same recipient, the next life");
    let is_crash = |what: &Lifecycle| matches!(what, Lifecycle::Crashed { .. });
    let crash = scene.expect_event("root/gate", is_crash).await;
    assert!(matches!(&crash.what, Lifecycle::Crashed { reason } if reason.contains("unlucky")));
    scene.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_for_good_serves_what_waits_and_closes_a_restart_does_not() {
    let (log, go_on) = (Log::default(), Arc::new(Notify::new()));
    let (spec, gate) = slow(&log, &go_on);
    let scene = scene(spec).await;
    let (to, admin) = (gate.recipient(), scene.root().administration());
    let (first, second) = (to.send(Twice(1)), to.send(Twice(2)));
    let beside = async {
        settle().await;
        let again = admin.restart("gate", MINUTE);
        let release = async {
            settle().await;
            go_on.notify_one();
        };
        // The second waits for the next life.
        tokio::join!(again, release).0.unwrap();
        go_on.notify_one();
    };
    let (first, second, ()) = tokio::join!(first, second, beside);
    assert_eq!((first.unwrap(), second.unwrap()), (Ok(2), Ok(4)));
    assert!(to.connected());

    let (third, fourth) = (to.send(Twice(3)), to.send(Twice(4)));
    let beside = async {
        settle().await;
        let supervisor = scene.supervisor();
        let gate_id = "gate".into();
        let stop = supervisor.terminate_child(&gate_id);
        let release = async {
            settle().await;
            go_on.notify_one();
            settle().await;
            go_on.notify_one();
        };
        tokio::join!(stop, release).0.unwrap();
    };
    let (third, fourth, ()) = tokio::join!(third, fourth, beside);
    assert_eq!((third.unwrap(), fourth.unwrap()), (Ok(6), Ok(8)));
    let closed = to.send(Twice(5)).await;
    assert_eq!(closed.unwrap_err(), MailboxError::Closed);
    assert!(matches!(to.try_send(Twice(5)), Err(SendError::Closed(_))));

    // Started again it has another way in.
    scene
        .supervisor()
        .restart_child(&"gate".into())
        .await
        .unwrap();
    assert!(!to.connected());
    go_on.notify_one();
    let answer = gate.recipient().send(Twice(6)).await;
    assert_eq!(answer.unwrap(), Ok(12));
    let state = scene.supervisor().which_children().await[0].state;
    assert_eq!(state, ChildState::Up);
    scene.stop().await;
    assert!(!gate.recipient().connected(), "with the tree it is closed");
}
