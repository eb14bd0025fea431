//! The shell of one conversation: it translates messages into calls of `Turns` and carries out what comes back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::{ConversationId, GenerationError, Message as ChatMessage, TurnEvent};
use kameo::Actor;
use kameo::actor::ActorRef;
use kameo::error::Infallible;
use kameo::message::{Context, Message};
use metrics::gauge;
use supervision::{AlarmDue, Birth, Inbox, WorkGuard};
use telemetry::names::CONVERSATIONS;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use toolbox::Tool;
use tracing::Instrument;

use crate::drive::Drive;
use crate::keeper::Keeper;
use crate::listener::Asker;
use crate::messages::{
    AnswerApproval, CancelTurn, ClearHistory, ContinueTurn, LoadHistory, ReadHistory, RunTurn,
    Steer, SteerError,
};
use crate::models::Models;
use crate::recalls::Recalls;
use crate::shelf::{Seat, Shelf};
use crate::tool_rack::{ToolRack, assess};
use crate::turn::{Ending, TurnKey};
use crate::turns::{Effect, Start, Turns};

/// What a worker is born with. The turns outlive a crash: none is lost with it.
#[derive(Clone)]
pub struct Seed {
    pub(crate) conversation: ConversationId,
    pub(crate) models: Arc<dyn Models>,
    pub(crate) shelf: Shelf,
    pub(crate) keeper: Keeper,
    pub(crate) tools: ToolRack,
    pub(crate) recalls: Option<Arc<dyn Recalls>>,
    pub(crate) turns: Kept,
    /// Gives the place among the live conversations back when the supervisor forgets this child.
    pub(crate) _seat: Option<Arc<tokio::sync::OwnedSemaphorePermit>>,
    /// Keeps the history from being swept until the supervisor forgets this child.
    pub(crate) _live: Arc<Seat>,
}

/// The turns, shared by the worker, the answer it passes on, and its next life.
#[derive(Clone, Debug)]
pub(crate) struct Kept(Arc<Mutex<Turns<Asker>>>);

impl Kept {
    pub(crate) fn new(turns: Turns<Asker>) -> Self {
        Self(Arc::new(Mutex::new(turns)))
    }

    // Never held across an await. After a panic inside the core what it holds is still whole turns: each of its steps
    // moves a turn from one owner to the next.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Turns<Asker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One conversation.
pub struct AgentWorker {
    inbox: Inbox<Self>,
    me: ActorRef<Self>,
    seed: Seed,
    /// Each open turn keeps a graceful stop waiting.
    open: HashMap<TurnKey, WorkGuard>,
    running: Option<(TurnKey, CancellationToken)>,
    /// Tells the running turn that it was given an input from here.
    stirred: Arc<Notify>,
    /// At most the running answer and the one that is just ending; they end with this life.
    answers: JoinSet<()>,
    _counted: Counted,
}

/// One of the conversations with a live worker, as the gauge counts them.
struct Counted(());

impl Counted {
    fn new() -> Self {
        gauge!(CONVERSATIONS).increment(1.0);
        Self(())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        gauge!(CONVERSATIONS).decrement(1.0);
    }
}

/// The running answer ended. Private to one life.
struct AnswerEnded {
    key: TurnKey,
    /// None if it broke off without a word.
    ending: Option<Ending>,
}

impl Actor for AgentWorker {
    type Args = Birth<Self, Seed>;
    type Error = Infallible;

    supervision::receive_from!(inbox, alarm);

    async fn on_start(birth: Self::Args, me: ActorRef<Self>) -> Result<Self, Infallible> {
        let mut worker = Self {
            inbox: birth.inbox,
            me,
            seed: birth.seed,
            open: HashMap::new(),
            running: None,
            stirred: Arc::default(),
            answers: JoinSet::new(),
            _counted: Counted::new(),
        };
        worker.take_up();
        Ok(worker)
    }
}

impl AgentWorker {
    /// Goes on where the life before, or the worker before, left off.
    fn take_up(&mut self) {
        let shelved = self.seed.shelf.get(&self.seed.conversation);
        let effects = {
            let mut turns = self.seed.turns.lock();
            turns.recall(&shelved);
            for (key, id) in turns.open() {
                self.open.insert(key, self.inbox.work(format!("turn {id}")));
            }
            turns.reborn(Instant::now().into_std())
        };
        self.carry_out(effects);
    }

    /// Does what the core decided, in order, and sets the alarm.
    fn carry_out(&mut self, effects: Vec<Effect<Asker>>) {
        for effect in effects {
            match effect {
                Effect::Start(start) => self.start(*start),
                Effect::Place { key, position } => self.tell_place(key, position),
                Effect::Halt(key) => self.halt(key),
                Effect::End {
                    key,
                    listener,
                    event,
                } => {
                    listener.end(event);
                    self.open.remove(&key);
                }
                Effect::Keep(history) => self.seed.shelf.put(&self.seed.conversation, history),
            }
        }
        let idle = self.seed.turns.lock().idle_deadline();
        self.inbox.set_alarm(idle.map(Instant::from_std));
    }

    // A token's life, stop 3: the turn leaves the inbox and is driven.
    fn start(&mut self, start: Start) {
        while self.answers.try_join_next().is_some() {}
        // Often another turn's end is in hand.
        let listener = |listener: &Asker| (listener.events().clone(), listener.turn().clone());
        let listener = self.seed.turns.lock().listener(start.key).map(listener);
        let Some((listener, turn)) = listener else {
            return;
        };
        let _turn = turn.enter();
        let toolbox = self.seed.tools.of(&start.settings, self.own_tools(&start));
        let now = Instant::now().into_std();
        let mut turns = self.seed.turns.lock();
        turns.equip(
            start.key,
            toolbox.specs(),
            |call| assess(&toolbox, call),
            now,
        );
        drop(turns);
        let halt = CancellationToken::new();
        self.running = Some((start.key, halt.clone()));
        let report = Report::new(self.me.clone(), start.key);
        let drive = Drive {
            key: start.key,
            id: start.id,
            conversation: self.seed.conversation.clone(),
            settings: start.settings,
            toolbox,
            models: Arc::clone(&self.seed.models),
            keeper: self.seed.keeper.clone(),
            recalls: self.seed.recalls.clone(),
            turns: self.seed.turns.clone(),
            listener,
            halt,
            stirred: Arc::clone(&self.stirred),
        };
        let answer = async move { report.send(drive.run().await) };
        self.answers.spawn(answer.in_current_span());
    }

    /// The tools of memory belong to the turn: whose memories they reach is in its settings.
    fn own_tools(&self, start: &Start) -> Vec<Arc<dyn Tool>> {
        match (&self.seed.recalls, &start.settings.memory) {
            (Some(recalls), Some(memory)) => recalls.tools(memory),
            _ => Vec::new(),
        }
    }

    /// A place in the queue is news, not a promise: a full reader does without.
    fn tell_place(&self, key: TurnKey, position: usize) {
        if let Some(listener) = self.seed.turns.lock().listener(key) {
            let _ = listener.events().try_send(TurnEvent::Queued { position });
        }
    }

    fn halt(&self, key: TurnKey) {
        if let Some((_, halt)) = self.running.as_ref().filter(|(of, _)| *of == key) {
            halt.cancel();
        }
    }
}

/// Tells the worker how an answer ended, however it ended: a panic on the way is an end, too.
struct Report {
    worker: ActorRef<AgentWorker>,
    key: TurnKey,
    ending: Option<Ending>,
}

impl Report {
    fn new(worker: ActorRef<AgentWorker>, key: TurnKey) -> Self {
        let ending = None;
        Self {
            worker,
            key,
            ending,
        }
    }

    fn send(mut self, ending: Ending) {
        self.ending = Some(ending);
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        let ending = self.ending.take();
        let key = self.key;
        // There is room: only one answer runs, and the next starts after this was read. A worker that is gone needs
        // no report.
        let _ = self.worker.tell(AnswerEnded { key, ending }).try_send();
    }
}

impl Message<RunTurn> for AgentWorker {
    type Reply = Result<(), GenerationError>;

    async fn handle(&mut self, turn: RunTurn, _: &mut Context<Self, Self::Reply>) -> Self::Reply {
        let asker = Asker::new(turn.events, self.inbox.turn())?;
        let guard = self.inbox.work(format!("turn {}", turn.id));
        let (key, effects) = {
            let mut turns = self.seed.turns.lock();
            turns.accept(turn.id, turn.text, turn.settings, asker)?
        };
        self.open.insert(key, guard);
        self.carry_out(effects);
        Ok(())
    }
}

impl Message<CancelTurn> for AgentWorker {
    type Reply = bool;

    async fn handle(&mut self, cancel: CancelTurn, _: &mut Context<Self, bool>) -> bool {
        let (found, effects) = self.seed.turns.lock().cancel(&cancel.id);
        self.carry_out(effects);
        found
    }
}

impl Message<ContinueTurn> for AgentWorker {
    type Reply = Result<(), GenerationError>;

    async fn handle(
        &mut self,
        turn: ContinueTurn,
        _: &mut Context<Self, Self::Reply>,
    ) -> Self::Reply {
        let asker = Asker::new(turn.events, self.inbox.turn())?;
        let guard = self.inbox.work(format!("turn {}", turn.id));
        let (key, effects) = {
            let mut turns = self.seed.turns.lock();
            turns.accept_logged(turn.id, turn.text, turn.settings, asker, turn.log)?
        };
        self.open.insert(key, guard);
        self.carry_out(effects);
        Ok(())
    }
}

impl Message<AnswerApproval> for AgentWorker {
    type Reply = bool;

    async fn handle(&mut self, answer: AnswerApproval, _: &mut Context<Self, bool>) -> bool {
        let now = Instant::now().into_std();
        let asked = {
            let mut turns = self.seed.turns.lock();
            turns.answered(&answer.turn, &answer.call, answer.granted, now)
        };
        self.stirred.notify_one();
        asked
    }
}

impl Message<Steer> for AgentWorker {
    type Reply = Result<u32, SteerError>;

    async fn handle(&mut self, steer: Steer, _: &mut Context<Self, Self::Reply>) -> Self::Reply {
        let told = self.seed.turns.lock().steer(&steer.turn, steer.text);
        self.stirred.notify_one();
        told
    }
}

impl Message<ClearHistory> for AgentWorker {
    type Reply = Result<usize, GenerationError>;

    async fn handle(&mut self, _: ClearHistory, _: &mut Context<Self, Self::Reply>) -> Self::Reply {
        let (forgotten, effect) = self.seed.turns.lock().clear();
        self.carry_out(vec![effect]);
        let conversation = &self.seed.conversation;
        self.seed.keeper.replace(conversation, Vec::new()).await?;
        Ok(forgotten)
    }
}

impl Message<ReadHistory> for AgentWorker {
    type Reply = Vec<ChatMessage>;

    async fn handle(
        &mut self,
        _: ReadHistory,
        _: &mut Context<Self, Self::Reply>,
    ) -> Vec<ChatMessage> {
        self.seed.turns.lock().history().to_vec()
    }
}

impl Message<LoadHistory> for AgentWorker {
    type Reply = Result<usize, GenerationError>;

    async fn handle(
        &mut self,
        load: LoadHistory,
        _: &mut Context<Self, Self::Reply>,
    ) -> Self::Reply {
        let (kept, effect, history) = {
            let mut turns = self.seed.turns.lock();
            let (kept, effect) = turns.load(load.0)?;
            (kept, effect, turns.history().to_vec())
        };
        self.carry_out(vec![effect]);
        let conversation = &self.seed.conversation;
        self.seed.keeper.replace(conversation, history).await?;
        Ok(kept)
    }
}

impl Message<AnswerEnded> for AgentWorker {
    type Reply = ();

    async fn handle(&mut self, ended: AnswerEnded, _: &mut Context<Self, ()>) {
        let now = Instant::now().into_std();
        let effects = {
            let mut turns = self.seed.turns.lock();
            match ended.ending {
                Some(ending) => turns.ended(ended.key, ending, now),
                None => turns.broke_off(ended.key, now),
            }
        };
        self.carry_out(effects);
    }
}

impl Message<AlarmDue> for AgentWorker {
    type Reply = ();

    /// The idle time may have begun anew, or a message may be on its way, which comes first: then the alarm is set again.
    async fn handle(&mut self, _: AlarmDue, _: &mut Context<Self, ()>) {
        let now = Instant::now();
        let deadline = self
            .seed
            .turns
            .lock()
            .idle_deadline()
            .map(Instant::from_std);
        let due = deadline.is_some_and(|at| at <= now);
        if !(due && self.inbox.stop_if_idle()) {
            let later = now + Duration::from_secs(1);
            self.inbox.set_alarm(deadline.map(|at| at.max(later)));
        }
    }
}
