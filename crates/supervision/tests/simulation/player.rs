//! The actor and the task that play in a story: each life throws its own dice for how it starts and stops, each letter
//! says what is to be done about it, and every step goes into the ledger.

use std::time::Duration;

use supervision::kameo::actor::{Actor, ActorRef, WeakActorRef};
use supervision::kameo::error::ActorStopReason;
use supervision::kameo::message::{Context, Message};
use supervision::{Birth, Inbox, TaskContext, TaskError, WorkGuard};
use tokio::time::sleep;

use crate::dice::Dice;
use crate::ledger::{Book, LetterId, PlaceId};
use crate::ms;

/// What a letter makes of its reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Say,
    Linger(u64),
    Crash,
    Hang,
    Finish,
    StopIfIdle,
    /// Work that goes on beside, until the next letter.
    Work,
}

/// A part in the story: the seed of every life in one place.
#[derive(Clone)]
pub struct Part {
    pub book: Book,
    pub place: PlaceId,
    pub path: String,
    pub seed: u64,
    /// Its supervisor waits for its end as long as it takes, so that it must not take for ever.
    pub patience: bool,
}

impl Part {
    /// Until it is killed, if anybody will.
    async fn hang(&self) {
        if self.patience {
            sleep(Duration::from_mins(1)).await;
        } else {
            std::future::pending::<()>().await;
        }
    }
}

/// One life; it is over when this is dropped.
struct Life {
    part: Part,
    dice: Dice,
}

impl Life {
    fn begin(part: Part, incarnation: u64) -> Self {
        let life = part.book.lock().begin(part.place, incarnation);
        let dice = Dice::of(part.seed, &part.path, life);
        Self { part, dice }
    }

    async fn start(&mut self) -> Start {
        if self.dice.percent(35) {
            sleep(ms(1 + self.dice.below(300))).await;
        }
        match self.dice.below(100) {
            0..2 => Start::Fails,
            2..4 => Start::Panics,
            4..6 => Start::Hangs,
            6..8 => Start::Ignored,
            _ => Start::Succeeds,
        }
    }

    async fn stop(&mut self) {
        match self.dice.below(100) {
            0..3 => self.part.hang().await,
            3..25 => sleep(ms(1 + self.dice.below(250))).await,
            _ => {}
        }
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.part.book.lock().end(self.part.place);
    }
}

#[derive(PartialEq)]
enum Start {
    Succeeds,
    Fails,
    Panics,
    Hangs,
    Ignored,
}

/// A panic that nobody has to read about.
fn scripted_panic() -> ! {
    std::panic::resume_unwind(Box::new("scripted panic".to_owned()))
}

pub struct Player {
    life: Life,
    inbox: Inbox<Player>,
    work: Option<WorkGuard>,
}

impl Actor for Player {
    type Args = Birth<Self, Part>;
    type Error = String;

    async fn on_start(birth: Self::Args, _me: ActorRef<Self>) -> Result<Self, String> {
        let Birth { seed, mut inbox } = birth;
        let mut life = Life::begin(seed, inbox.incarnation());
        match life.start().await {
            Start::Fails => return Err("scripted failure".to_owned()),
            Start::Panics => scripted_panic(),
            Start::Hangs => std::future::pending().await,
            Start::Ignored => inbox.ignore(),
            Start::Succeeds => {}
        }
        Ok(Self {
            life,
            inbox,
            work: None,
        })
    }

    supervision::receive_from!(inbox);

    async fn on_stop(
        &mut self,
        _me: WeakActorRef<Self>,
        _why: ActorStopReason,
    ) -> Result<(), String> {
        let asked = self.inbox.is_stopping();
        self.life
            .part
            .book
            .lock()
            .leaves(self.life.part.place, asked);
        self.life.stop().await;
        Ok(())
    }
}

pub struct Letter {
    pub id: LetterId,
    pub act: Act,
}

impl Message<Letter> for Player {
    type Reply = u64;

    async fn handle(
        &mut self,
        Letter { id, act }: Letter,
        context: &mut Context<Self, u64>,
    ) -> u64 {
        self.work = None;
        let (book, place) = (self.life.part.book.clone(), self.life.part.place);
        book.lock().open(place, id);
        match act {
            Act::Say => {}
            Act::Linger(takes) => sleep(ms(takes)).await,
            Act::Crash => scripted_panic(),
            Act::Hang => self.life.part.hang().await,
            Act::Finish => context.stop(),
            Act::StopIfIdle => {
                if self.inbox.stop_if_idle() {
                    book.lock().goes_idle(place);
                }
            }
            // Work is waited for as an end is: it must not be for ever either.
            Act::Work if self.life.part.patience => {}
            Act::Work => self.work = Some(self.inbox.work("a letter's work")),
        }
        book.lock().done(place, id);
        id.0
    }
}

/// The whole of a task.
pub async fn task(part: Part, context: TaskContext) -> Result<(), TaskError> {
    let mut life = Life::begin(part, context.incarnation());
    match life.start().await {
        Start::Fails => return Err("scripted failure".into()),
        Start::Panics => scripted_panic(),
        Start::Hangs => std::future::pending().await,
        Start::Ignored => {
            context.ignore();
            return Ok(());
        }
        Start::Succeeds => context.ready(),
    }
    let lasts: Duration = ms(life.dice.below(3000));
    match life.dice.below(100) {
        0..8 => {
            sleep(lasts).await;
            return Err("scripted failure".into());
        }
        8..12 => {
            sleep(lasts).await;
            scripted_panic();
        }
        12..20 => {
            sleep(lasts).await;
            return Ok(());
        }
        20..23 => life.part.hang().await,
        _ => context.stopping().await,
    }
    life.part.book.lock().leaves(life.part.place, true);
    life.stop().await;
    Ok(())
}
