//! A second runtime, and a thread that keeps a model behind a lock, become one lane: the engine travels by value to a thread of the
//! one runtime's blocking pool, does one step there, and comes home.

use std::thread::{self, ThreadId};

use crate::common::*;
use supervision::kameo::actor::{Actor, ActorRef};
use supervision::kameo::error::Infallible;
use supervision::kameo::message::{Context, Message};
use supervision::{AskError, Birth, ChildSpec, Handle, Inbox};

/// What computes. It never waits, and keeps no thread.
struct Engine {
    steps: u32,
}

impl Engine {
    fn step(&mut self, token: u32) -> u32 {
        assert!(token != 13, "a bug of the engine");
        self.steps += 1;
        token + 1
    }
}

struct Lane {
    /// Away while it computes.
    engine: Option<Engine>,
    inbox: Inbox<Self>,
}

impl Actor for Lane {
    type Args = Birth<Self, ()>;
    type Error = Infallible;

    async fn on_start(birth: Self::Args, _me: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(Self {
            engine: None,
            inbox: birth.inbox,
        })
    }

    supervision::receive_from!(inbox);
}

struct Step(u32);

/// What a step came to, how many this engine did, and where.
type Stepped = (u32, u32, ThreadId);

#[derive(Debug, PartialEq, Eq)]
struct EngineCrashed;

impl Message<Step> for Lane {
    type Reply = Result<Stepped, EngineCrashed>;

    async fn handle(
        &mut self,
        Step(token): Step,
        _: &mut Context<Self, Self::Reply>,
    ) -> Self::Reply {
        // One that did not come home is built anew.
        let mut engine = self.engine.take().unwrap_or(Engine { steps: 0 });
        let travel = tokio::task::spawn_blocking(move || {
            let next = engine.step(token);
            (next, thread::current().id(), engine)
        });
        let (next, thread, engine) = travel.await.map_err(|_| EngineCrashed)?;
        let steps = engine.steps;
        self.engine = Some(engine);
        Ok((next, steps, thread))
    }
}

#[tokio::test(start_paused = true)]
async fn the_engine_computes_elsewhere_and_comes_home_and_a_crash_of_it_is_an_answer() {
    let (spec, lane): (ChildSpec, Handle<Lane>) = ChildSpec::actor("lane", 16, ());
    let root = started(root().child(spec)).await;
    let here = thread::current().id();

    let (next, steps, there) = lane.ask(Step(1), MINUTE).await.unwrap();
    assert_eq!((next, steps), (2, 1));
    assert_ne!(there, here);
    let crashed = lane.ask(Step(13), MINUTE).await.unwrap_err();
    assert!(matches!(crashed, AskError::Handler(EngineCrashed)));
    let (next, steps, _) = lane.ask(Step(2), MINUTE).await.unwrap();
    assert_eq!((next, steps), (3, 1), "the engine was built anew");
    assert_eq!(root.supervisor().which_children().await[0].restarts, 0);
    root.stop(MINUTE).await;
}
