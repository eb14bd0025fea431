//! How everyone else talks to conversations: a worker is there when it is needed, and no message is lost to one that
//! was just going to rest.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cache_janitor::{Bounds, CacheJanitor};
use conversation_store::ConversationStore;
use domain::{ConversationId, FieldError, GenerationError, Message, RequestId, ToolCallId};
use kameo::message::Message as Handles;
use kameo::reply::Reply;
use model_host::ModelHost;
use supervision::{
    AskError, ChildSpec, Handle, Instances, Policy, Restart, Shutdown, StartChildError,
    SupervisorSpec, TURN,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;
use tracing::{Instrument, Span};

use crate::actor::{AgentWorker, Kept, Seed};
use crate::keeper::{Keeper, WallClock};
use crate::messages::{
    AnswerApproval, CancelTurn, ClearHistory, ContinueTurn, LoadHistory, ReadHistory, RunTurn,
    Steer, SteerError,
};
use crate::models::Models;
use crate::recalls::Recalls;
use crate::settings::{Config, TurnSettings};
use crate::shelf::Shelf;
use crate::stream::TurnStream;
use crate::tool_rack::ToolRack;
use crate::turns::Turns;

/// Messages to one worker that may wait: each is answered at once, so this many is a burst, not a queue of turns.
const INBOX: usize = 16;
/// Events of one turn that a reader may be behind before its turn waits for it: about a second of a fast model.
const EVENTS: usize = 64;
/// How long a worker may take to answer; it never computes, so this is passed only when something is broken.
const DEADLINE: Duration = Duration::from_secs(5);
/// How often a worker that was just ending is replaced before it is called unavailable.
const ATTEMPTS: usize = 3;

/// The workers of one tree, by conversation.
pub type Workers = Instances<AgentWorker, Seed>;

/// The specs for the root, and the way by which `Agents` starts workers under them.
pub fn children(config: &Config) -> (Vec<ChildSpec>, Workers) {
    let policy = Policy {
        restart: Restart::Transient,
        shutdown: Shutdown::Timeout(config.drain),
        ..Policy::worker()
    };
    let (spec, workers) = SupervisorSpec::simple_one_for_one("agent_supervisor", INBOX, policy);
    let spec = spec.intensity(config.crashes_per_minute, Duration::from_mins(1));
    (vec![ChildSpec::supervisor(spec)], workers)
}

/// All conversations. Cloning gives another handle to the same ones; make one per tree.
#[derive(Clone)]
pub struct Agents {
    workers: Workers,
    models: Arc<dyn Models>,
    config: Config,
    shelf: Shelf,
    keeper: Keeper,
    tools: ToolRack,
    recalls: Option<Arc<dyn Recalls>>,
    /// In the names of turns, so that no process takes a name that another has written down.
    epoch: Option<i64>,
    seats: Arc<Semaphore>,
    asked: Arc<AtomicU64>,
}

impl Agents {
    /// Conversations of these workers, answered by `host`.
    pub fn new(workers: Workers, host: Handle<ModelHost>, config: Config) -> Self {
        Self::answered_by(workers, Arc::new(host), config)
    }

    /// The same, answered by whoever it is.
    pub fn answered_by(workers: Workers, models: Arc<dyn Models>, config: Config) -> Self {
        Self {
            workers,
            models,
            config,
            shelf: Shelf::new(Bounds {
                ttl: config.kept_for,
                bytes: config.kept_bytes,
                entries: config.kept_conversations,
            }),
            keeper: Keeper::default(),
            tools: ToolRack::default(),
            recalls: None,
            epoch: None,
            seats: Arc::new(Semaphore::new(config.live_conversations)),
            asked: Arc::default(),
        }
    }

    /// Conversations and turns are at rest there, too: they outlive the process.
    #[must_use]
    pub fn with_store(mut self, store: Handle<ConversationStore>, clock: WallClock) -> Self {
        self.epoch = Some(clock());
        self.keeper = Keeper::new(store, clock);
        self
    }

    /// These are the tools there are; which of them a turn has is in its settings.
    #[must_use]
    pub fn with_tools(mut self, tools: ToolRack) -> Self {
        self.tools = tools;
        self
    }

    /// This finds and remembers, for turns whose settings wish it.
    #[must_use]
    pub fn with_recalls(mut self, recalls: Arc<dyn Recalls>) -> Self {
        self.recalls = Some(recalls);
        self
    }

    /// The child by which the janitor sweeps idle conversations. Put it behind the workers and the janitor.
    pub fn keeper(&self, janitor: Handle<CacheJanitor>) -> ChildSpec {
        self.shelf.keeper(janitor)
    }

    /// The worker of this conversation, started if there is none. It may end itself later, when idle; `ask` and its
    /// siblings start it again, the handle alone does not.
    ///
    /// # Errors
    /// `Invalid` for an unusable name, `Overloaded` when too many conversations are live, `Unavailable` when the
    /// supervisor is stopping.
    pub async fn conversation(
        &self,
        conversation: &ConversationId,
    ) -> Result<Handle<AgentWorker>, GenerationError> {
        check_name(conversation)?;
        let id = format!("agent_worker-{conversation}");
        let turns = Turns::new(self.config, Instant::now().into_std());
        let seed = Seed {
            conversation: conversation.clone(),
            models: Arc::clone(&self.models),
            shelf: self.shelf.clone(),
            keeper: self.keeper.clone(),
            tools: self.tools.clone(),
            recalls: self.recalls.clone(),
            turns: Kept::new(turns),
            _seat: self.seat(&id).await?,
            _live: Arc::new(self.shelf.sit(conversation)),
        };
        if self.keeper.keeps() && self.shelf.is_unknown(conversation) {
            let history = self.keeper.history(conversation).await?;
            self.shelf.fill(conversation, Arc::new(history));
        }
        let started = self.workers.ensure(id, seed).await;
        started.map_err(|error| not_started(&error))
    }

    /// Runs a turn. The stream ends with exactly one terminal event; dropping it cancels the turn.
    ///
    /// # Errors
    /// `Invalid`, `Overloaded` or `Unavailable`, at once; then nothing was taken.
    pub async fn ask(
        &self,
        conversation: &ConversationId,
        text: impl Into<String>,
        settings: TurnSettings,
    ) -> Result<TurnStream, GenerationError> {
        let number = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        let id = RequestId::new(match self.epoch {
            Some(epoch) => format!("{conversation}/turn-{epoch}-{number}"),
            None => format!("{conversation}/turn-{number}"),
        });
        self.ask_as(id, conversation, text, settings).await
    }

    /// The same under a name of the caller's.
    ///
    /// # Errors
    /// As `ask`.
    pub async fn ask_as(
        &self,
        id: RequestId,
        conversation: &ConversationId,
        text: impl Into<String>,
        settings: TurnSettings,
    ) -> Result<TurnStream, GenerationError> {
        let (events, receiver) = mpsc::channel(EVENTS);
        let span = span(&id, conversation, &settings);
        // A token's life, stop 2: the turn becomes a message; its stream is made here.
        let turn = RunTurn {
            id: id.clone(),
            text: text.into(),
            settings,
            events,
        };
        let sent = self.send(conversation, turn, |refused| refused);
        sent.instrument(span).await?;
        Ok(TurnStream::new(id, receiver))
    }

    /// Goes on with the oldest turn of this conversation that a dead process has begun and left; `None` if there is none. The
    /// stream tells what happens from the last finished step on.
    ///
    /// # Errors
    /// As `ask`; also when the turn cannot be taken up again.
    pub async fn continue_turn(
        &self,
        conversation: &ConversationId,
        settings: TurnSettings,
    ) -> Result<Option<TurnStream>, GenerationError> {
        check_name(conversation)?;
        settings.validate()?;
        let Some(left) = self.keeper.resume(conversation).await? else {
            return Ok(None);
        };
        let (events, receiver) = mpsc::channel(EVENTS);
        let span = span(&left.turn, conversation, &settings);
        let turn = ContinueTurn {
            id: left.turn.clone(),
            text: left.user.content,
            settings,
            log: left.steps.into_iter().map(|step| step.record).collect(),
            events,
        };
        let sent = self.send(conversation, turn, |refused| refused);
        sent.instrument(span).await?;
        Ok(Some(TurnStream::new(left.turn, receiver)))
    }

    /// Allows a call that a turn asks about, or does not; whether that was asked, and not answered or too late already.
    ///
    /// # Errors
    /// `Unavailable` when the worker does not answer.
    pub async fn approve(
        &self,
        conversation: &ConversationId,
        turn: &RequestId,
        call: &ToolCallId,
        granted: bool,
    ) -> Result<bool, GenerationError> {
        let answer = AnswerApproval {
            turn: turn.clone(),
            call: call.clone(),
            granted,
        };
        self.send(conversation, answer, |never| match never {})
            .await
    }

    /// Says something to a turn that waits or runs (its name is [`TurnStream::id`]), without ending it. It is taken in before the
    /// next call of the model, which a turn that would end then makes; the turn's stream tells so with a `Steered` of the number
    /// that is returned here. It becomes part of the history in that place.
    ///
    /// # Errors
    /// `Over` or `LastCall` where nothing would read it, so that it can be asked anew; `Invalid` for an empty or too long text, or
    /// too many that wait; `Unavailable` when the worker does not answer.
    pub async fn steer(
        &self,
        conversation: &ConversationId,
        turn: &RequestId,
        text: impl Into<String>,
    ) -> Result<u32, SteerError> {
        let (turn, text) = (turn.clone(), text.into());
        self.send(conversation, Steer { turn, text }, |refused| refused)
            .await
    }

    /// Ends a turn, waiting or running, with `Failed(Cancelled)`; whether there was one.
    ///
    /// # Errors
    /// `Unavailable` when the worker does not answer.
    pub async fn cancel(
        &self,
        conversation: &ConversationId,
        id: &RequestId,
    ) -> Result<bool, GenerationError> {
        self.send(
            conversation,
            CancelTurn { id: id.clone() },
            |never| match never {},
        )
        .await
    }

    /// Forgets what was said; how many messages that were.
    ///
    /// # Errors
    /// `Unavailable` when the worker does not answer.
    pub async fn clear(&self, conversation: &ConversationId) -> Result<usize, GenerationError> {
        self.send(conversation, ClearHistory, |refused| refused)
            .await
    }

    /// What was said and answered, oldest first.
    ///
    /// # Errors
    /// `Unavailable` when the worker does not answer.
    pub async fn history(
        &self,
        conversation: &ConversationId,
    ) -> Result<Vec<Message>, GenerationError> {
        self.send(conversation, ReadHistory, |never| match never {})
            .await
    }

    /// Replaces the history; how many messages are kept.
    ///
    /// # Errors
    /// `Invalid` for a system message, `Unavailable` when the worker does not answer.
    pub async fn load(
        &self,
        conversation: &ConversationId,
        history: Vec<Message>,
    ) -> Result<usize, GenerationError> {
        self.send(conversation, LoadHistory(history), |refused| refused)
            .await
    }

    /// A message that finds its worker ending is sent again to the next one: it was not taken.
    async fn send<M, R, E>(
        &self,
        conversation: &ConversationId,
        message: M,
        refused: impl FnOnce(R::Error) -> E,
    ) -> Result<R::Ok, E>
    where
        E: From<GenerationError>,
        AgentWorker: Handles<M, Reply = R>,
        M: Clone + Send + 'static,
        R: Reply,
    {
        let mut last = String::new();
        for _ in 0..ATTEMPTS {
            let worker = self.conversation(conversation).await?;
            match worker.ask(message.clone(), DEADLINE).await {
                Ok(reply) => return Ok(reply),
                Err(AskError::Handler(error)) => return Err(refused(error)),
                Err(down @ AskError::Down { .. }) => last = down.to_string(),
                Err(broken) => return Err(unavailable(broken.to_string()).into()),
            }
        }
        Err(unavailable(last).into())
    }

    /// A place among the live conversations. One that is live already needs none.
    async fn seat(&self, id: &str) -> Result<Option<Arc<OwnedSemaphorePermit>>, GenerationError> {
        if let Ok(seat) = Arc::clone(&self.seats).try_acquire_owned() {
            return Ok(Some(Arc::new(seat)));
        }
        let live = self.workers.supervisor().which_children().await;
        if live.iter().any(|child| child.id.as_str() == id) {
            return Ok(None);
        }
        Err(GenerationError::Overloaded {
            waiting: live.len(),
            retry_after_ms: 10_000,
        })
    }
}

/// One turn of a conversation, from its text to its last event. Field names by OpenTelemetry's semantic conventions for
/// generative AI.
fn span(id: &RequestId, conversation: &ConversationId, settings: &TurnSettings) -> Span {
    tracing::error_span!(
        target: TURN,
        "turn",
        request_id = %id,
        gen_ai.operation.name = "invoke_agent",
        gen_ai.conversation.id = %conversation,
        gen_ai.request.model = %settings.model,
    )
}

/// Part of the worker's place in the tree, therefore short and without a separator.
fn check_name(conversation: &ConversationId) -> Result<(), FieldError> {
    let name = conversation.as_str();
    let fits = (1..=128).contains(&name.len());
    if fits
        && name
            .chars()
            .all(|c| c.is_alphanumeric() || "-_.:@".contains(c))
    {
        return Ok(());
    }
    let allowed = "1 to 128 bytes of letters, digits and - _ . : @";
    Err(FieldError::new("conversation", name, allowed))
}

fn not_started(error: &StartChildError) -> GenerationError {
    GenerationError::Unavailable {
        part: "agent_supervisor".into(),
        reason: error.to_string(),
    }
}

fn unavailable(reason: String) -> GenerationError {
    let part = "agent_worker".into();
    GenerationError::Unavailable { part, reason }
}
