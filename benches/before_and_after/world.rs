//! Either world behind one door: what a client and an asker can do is the same in both, and so is what is measured.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use domain::{ConversationId, TurnEvent};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use testkit::scripted::Gate;
use tokio::task::JoinSet;
use tokio::time::{Duration, sleep};

use crate::client::Client;
use crate::lane::{Failure, Lane, Promise};
use crate::new_world::{self, Ours};
use crate::old_world::OldWorld;

/// What the scripted model says to every prompt.
pub(crate) const ANSWER: &str = "a bicycle stays upright because it steers into its fall ";
/// Clients that connect at the same time.
const AT_ONCE: usize = 64;
/// A thread that was started is there.
const A_MOMENT: Duration = Duration::from_millis(100);

/// One of the two.
pub(crate) enum World {
    Before(OldWorld),
    Ours(Box<Ours>),
}

impl World {
    pub(crate) async fn start(lane: Lane, promise: Promise) -> Result<Self, Failure> {
        Ok(match lane {
            Lane::Before => Self::Before(OldWorld::start(promise).await?),
            Lane::Mended => {
                let mended = true;
                Self::Before(OldWorld::start(Promise { mended, ..promise }).await?)
            }
            Lane::Ours => Self::Ours(Box::new(Ours::start(promise, ANSWER).await?)),
        })
    }

    fn connect(&self) -> Client {
        match self {
            Self::Before(world) => world.connect(),
            Self::Ours(world) => world.connect(),
        }
    }

    /// A client that has said who it is.
    pub(crate) async fn client(&self, number: usize) -> Result<Client, Failure> {
        let mut client = self.connect();
        client.identify(&format!("user-{number}")).await?;
        Ok(client)
    }

    /// So many of them.
    pub(crate) async fn clients(&self, numbers: Range<usize>) -> Result<Vec<Client>, Failure> {
        let all = stream::iter(numbers.map(Ok::<_, Failure>));
        let all = all.map_ok(|number| self.client(number));
        all.try_buffered(AT_ONCE).try_collect().await
    }

    /// Two and two of them look at one conversation.
    pub(crate) async fn join_in_pairs(&self, clients: &mut [Client]) -> Result<(), Failure> {
        let all = clients.iter_mut().enumerate();
        let joins = all.map(|(number, client)| async move {
            client.join(&conversation(number / 2)).await?;
            Ok::<_, Failure>(())
        });
        let joins = stream::iter(joins).buffer_unordered(AT_ONCE);
        joins.try_collect::<()>().await
    }

    /// So many prompts at once, the model held until `look` has looked. How many were answered in full.
    pub(crate) async fn prompts<T>(
        &self,
        prompts: usize,
        panics: bool,
        look: impl FnOnce() -> T,
    ) -> Result<(T, usize), Failure> {
        match self {
            Self::Before(world) => old_prompts(world, prompts, panics, look).await,
            Self::Ours(world) => our_prompts(world, prompts, panics, look).await,
        }
    }
}

/// The conversation of a pair.
pub(crate) fn conversation(pair: usize) -> String {
    format!("conversation-{pair}")
}

async fn old_prompts<T>(
    world: &OldWorld,
    prompts: usize,
    panics: bool,
    look: impl FnOnce() -> T,
) -> Result<(T, usize), Failure> {
    let held = Arc::new(AtomicBool::new(true));
    world.state.prompt_panics.store(panics, Ordering::Relaxed);
    let asked = (0..prompts).map(|_| world.prompt(ANSWER, Arc::clone(&held)));
    let asked = asked.collect::<Result<Vec<_>, _>>()?;
    sleep(A_MOMENT).await;
    let seen = look();
    held.store(false, Ordering::Relaxed);
    let mut whole = 0;
    for mut answer in asked {
        let mut said = String::new();
        while let Some(piece) = answer.recv().await {
            said += &piece;
        }
        whole += usize::from(said == ANSWER);
    }
    Ok((seen, whole))
}

async fn our_prompts<T>(
    world: &Ours,
    prompts: usize,
    panics: bool,
    look: impl FnOnce() -> T,
) -> Result<(T, usize), Failure> {
    let steps = world.model.counts().steps;
    let gate = world.model.gate_step(steps + 1);
    let mut answers = JoinSet::new();
    for number in 0..prompts {
        let agents = world.agents.clone();
        answers.spawn(async move {
            let conversation = ConversationId::new(format!("prompt-{steps}-{number}"));
            let asked = agents.ask(&conversation, "why?", new_world::turn()).await;
            let mut stream = asked?;
            let mut said = String::new();
            while let Some(event) = stream.next().await {
                match event {
                    TurnEvent::Text(piece) => said += &piece,
                    TurnEvent::Finished { .. } => return Ok(said == ANSWER),
                    _ => {}
                }
            }
            Ok::<_, Failure>(false)
        });
    }
    world.model.wait_until(|counts| counts.steps > steps).await;
    sleep(A_MOMENT).await;
    let seen = look();
    if panics {
        world.model.panic_at(steps + 2);
    }
    Gate::release(gate);
    let mut whole = 0;
    while let Some(answer) = answers.join_next().await {
        whole += usize::from(answer??);
    }
    Ok((seen, whole))
}
