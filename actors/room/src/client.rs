//! Shell: how everyone else comes into a room, says something there, and stops an answer.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use agent_worker::{Agents, TurnSettings};
use domain::{ConversationId, GenerationError, RequestId, UserId};
use supervision::{ChildSpec, Handle, Shutdown, StartChildError, SupervisorHandle, SupervisorSpec};
use tokio::sync::watch;
use typing::Typing;

use crate::answer::{Begin, Errand, carry};
use crate::board::{Board, Carried, Seat};
use crate::record::{LeftTurn, Record};
use crate::room::{Asked, Ending, Member, Question, Room, RoomError};

/// The supervisor of the answers, by its name in the tree.
pub const SUPERVISOR: &str = "room_supervisor";

/// The wall clock, in milliseconds since 1970.
pub type WallClock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Something that is given back by being dropped.
pub type Held = Arc<dyn Any + Send + Sync>;

/// What somebody says.
#[derive(Clone, Debug)]
pub struct Say {
    /// Who.
    pub by: UserId,
    /// What.
    pub text: String,
    /// Their client's name for it: the same said again is said once.
    pub nonce: String,
    /// What the answer is made with.
    pub settings: TurnSettings,
    /// What is to be given back when the answer has ended.
    pub held: Option<Held>,
}

/// Why nothing was said.
#[derive(Debug, thiserror::Error)]
pub enum SayError {
    /// The room does not take it.
    #[error(transparent)]
    Room(#[from] RoomError),
    /// The server is ending, or does not take anything new for now.
    #[error("this server takes no more questions: it is ending; ask again when it is back")]
    Draining,
    /// Nobody can carry the answer.
    #[error("the answer could not be begun: {0}; say it again")]
    NotStarted(StartChildError),
}

/// All rooms of a tree. Cloning gives another handle to the same ones; make one per tree.
#[derive(Clone)]
pub struct Rooms {
    board: Board,
    agents: Agents,
    typing: Handle<Typing>,
    answers: SupervisorHandle,
    clock: WallClock,
    record: Option<Arc<dyn Record>>,
    /// In the names of turns, so that no process takes a name that another has written down.
    epoch: i64,
    asked: Arc<AtomicU64>,
    draining: Arc<AtomicBool>,
}

/// The rooms, and the supervisor of their answers. Put it behind `typing` and the agents' supervisor: it stops before them.
/// A graceful stop waits `drain` for answers.
pub fn rooms(
    agents: Agents,
    typing: Handle<Typing>,
    clock: WallClock,
    drain: Duration,
) -> (ChildSpec, Rooms) {
    let spec = SupervisorSpec::new(SUPERVISOR);
    let rooms = Rooms {
        board: Board::default(),
        agents,
        typing,
        answers: spec.handle(),
        epoch: clock(),
        clock,
        record: None,
        asked: Arc::default(),
        draining: Arc::default(),
    };
    let spec = ChildSpec::supervisor(spec).shutdown(Shutdown::Timeout(drain));
    (spec, rooms)
}

impl Rooms {
    /// What an answer came to is written down there. Without it nothing is known to be, and what was seen of an answer is
    /// all there is.
    #[must_use]
    pub fn with_record(mut self, record: Arc<dyn Record>) -> Self {
        self.record = Some(record);
        self
    }

    /// Changes whenever a conversation may have begun, or ended with another message than before.
    pub fn written(&self) -> watch::Receiver<u64> {
        self.board.written()
    }

    /// Comes into a room. Never waits.
    ///
    /// # Errors
    /// `TooManyMembers`.
    pub fn sit(&self, conversation: ConversationId, member: Member) -> Result<Seat, RoomError> {
        self.board.sit(conversation, member)
    }

    /// A room as it is.
    pub fn look(&self, conversation: &ConversationId) -> Room {
        self.board.look(conversation)
    }

    /// The turn that answers what they said under this name, if they did lately.
    pub fn asked(
        &self,
        conversation: &ConversationId,
        by: &UserId,
        nonce: &str,
    ) -> Option<RequestId> {
        self.board.asked(conversation, by, nonce)
    }

    /// Says something, which is answered for everybody who looks, whoever of them goes. The turn that answers.
    ///
    /// # Errors
    /// [`SayError`]; then nothing was said.
    pub async fn say(
        &self,
        conversation: &ConversationId,
        say: Say,
    ) -> Result<RequestId, SayError> {
        if self.draining.load(Ordering::Acquire) {
            return Err(SayError::Draining);
        }
        let Say {
            by,
            text,
            nonce,
            settings,
            held,
        } = say;
        let number = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        let turn = RequestId::new(format!("{conversation}/turn-{}-r{number}", self.epoch));
        let question = Question {
            turn,
            by,
            text: text.clone(),
            nonce,
            model: settings.model.clone(),
            at_ms: (self.clock)(),
        };
        let begin = Begin::Ask(text);
        self.answer(conversation, number, question, begin, settings, held)
            .await
    }

    /// Goes on with the answer that a dead process left in this conversation, if nothing was said since: whoever looks sees
    /// it. The turn, if there is one.
    ///
    /// # Errors
    /// In words; then it stands as it was left.
    pub async fn go_on(
        &self,
        conversation: &ConversationId,
        settings: TurnSettings,
    ) -> Result<Option<RequestId>, String> {
        let Some(record) = &self.record else {
            return Ok(None);
        };
        if self.draining.load(Ordering::Acquire) {
            return Ok(None);
        }
        let Some(left) = record.left(conversation.clone()).await? else {
            return Ok(None);
        };
        let LeftTurn {
            turn,
            by,
            nonce,
            text,
            at_ms,
        } = left;
        let question = Question {
            turn,
            by,
            text,
            nonce,
            model: settings.model.clone(),
            at_ms,
        };
        let number = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        let begun = self
            .answer(conversation, number, question, Begin::GoOn, settings, None)
            .await;
        begun.map(Some).map_err(|error| error.to_string())
    }

    /// Has it answered, unless it is known; the turn that answers it.
    async fn answer(
        &self,
        conversation: &ConversationId,
        number: u64,
        question: Question,
        begin: Begin,
        settings: TurnSettings,
        held: Option<Held>,
    ) -> Result<RequestId, SayError> {
        let turn = question.turn.clone();
        let asker = (question.by.clone(), question.nonce.clone());
        let taken = self
            .board
            .turn(conversation, |room| match room.ask(question) {
                Ok(Asked::New(event)) => (Some(event), Ok(None)),
                Ok(Asked::Again(turn)) => (None, Ok(Some(turn))),
                Err(error) => (None, Err(error)),
            })?;
        if let Some(known) = taken {
            return Ok(known);
        }
        let carried = Carried {
            board: self.board.clone(),
            conversation: conversation.clone(),
            turn: turn.clone(),
        };
        let errand = Errand {
            carried,
            agents: self.agents.clone(),
            typing: self.typing.clone(),
            record: self.record.clone(),
            asker,
            begin,
            settings,
            held,
        };
        match self.start(number, errand).await {
            Ok(()) => Ok(turn),
            Err(error) => {
                let said = error.to_string();
                self.board
                    .turn(conversation, |room| (room.refused(&turn, said), ()));
                Err(SayError::NotStarted(error))
            }
        }
    }

    /// Stops the answers under way in a room; how many there were. Each ends as stopped.
    ///
    /// # Errors
    /// `Unavailable` when the worker does not answer.
    pub async fn stop(&self, conversation: &ConversationId) -> Result<usize, GenerationError> {
        let room = self.board.look(conversation);
        let mut stopped = 0;
        for live in room.turns() {
            let turn = &live.question.turn;
            if self.agents.cancel(conversation, turn).await? {
                stopped += 1;
                continue;
            }
            // It has not come to the worker yet: its carrier finds that it is over.
            let event = self.board.turn(conversation, |room| {
                let event = room.end(turn, Ending::Stopped);
                let was = event.is_some();
                (event, was)
            });
            stopped += usize::from(event);
        }
        Ok(stopped)
    }

    /// From now on nothing new is taken; answers under way go on. There is no way back.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Stops the answers under way in all rooms, as [`Rooms::stop`] does in one; nothing new is taken. Those whose worker
    /// does not answer go on.
    pub async fn end(&self) {
        self.drain();
        let answering = self.board.answering();
        let stops = answering.iter().map(|conversation| self.stop(conversation));
        for stopped in futures_util::future::join_all(stops).await {
            if let Err(error) = stopped {
                tracing::warn!(%error, "an answer was not stopped");
            }
        }
    }

    /// The answers under way, of all rooms.
    pub fn under_way(&self) -> Vec<RequestId> {
        self.board.under_way()
    }

    /// Waits until fewer answers than so many are under way.
    pub async fn fewer_than(&self, many: usize) {
        let mut ended = self.board.ended();
        while self.board.under_way().len() >= many {
            // The board holds its sender.
            if ended.changed().await.is_err() {
                return;
            }
        }
    }

    /// Whether every viewer has heard all that was told so far.
    pub fn is_heard(&self) -> bool {
        self.board.is_heard()
    }

    /// Rooms that are kept, with those in which nobody is.
    pub fn count(&self) -> usize {
        self.board.len()
    }

    async fn start(&self, number: u64, errand: Errand) -> Result<(), StartChildError> {
        // A task may be started again; what it carries is carried once.
        let errand = std::sync::Mutex::new(Some(errand));
        let errand = Arc::new(errand);
        let spec = ChildSpec::task(format!("room_answer-{number}"), move |context| {
            let errand = errand
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .take();
            async move {
                match errand {
                    Some(errand) => carry(errand, context).await,
                    None => Ok(()),
                }
            }
        });
        let spec = spec.temporary().shutdown(Shutdown::Infinity);
        self.answers.start_child(spec).await.map(drop)
    }
}
