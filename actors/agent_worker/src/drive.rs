//! Shell: one running turn, driven: it carries out what the run orders and brings back what happens, apart from the worker's
//! inbox so that neither stalls the other. It owns the model's stream and the tools' tasks: dropping it stops them all.
//!
//! Invariant: nothing is kept here that a crash could lose and someone would miss.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use conversation_store::messages::TurnState;
use domain::{
    ConversationId, GenerationError, GenerationEvent, Prompt, RequestId, Role, ToolCallId,
    ToolOutcome, Tools, TurnEvent,
};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use model_host::Request;
use supervision::TURN;
use tokio::sync::{Notify, mpsc};
use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use toolbox::Toolbox;
use tracing::Instrument;

use crate::actor::Kept;
use crate::agent_run::{AgentRun, Input, ModelCall, Order};
use crate::keeper::Keeper;
use crate::models::{Answer, Models};
use crate::recalls::{Recalls, Recollection};
use crate::settings::TurnSettings;
use crate::tool_rack::{assess, outcome};
use crate::turn::{Ending, TurnKey};

/// How long tools that are told to end may take to put their things away: dropping what they do is quick, and only one
/// that keeps its thread takes longer.
const PUT_AWAY: Duration = Duration::from_secs(1);

/// What a turn is driven with.
pub(crate) struct Drive {
    pub(crate) key: TurnKey,
    pub(crate) id: RequestId,
    pub(crate) conversation: ConversationId,
    pub(crate) settings: TurnSettings,
    pub(crate) toolbox: Toolbox,
    pub(crate) models: Arc<dyn Models>,
    pub(crate) keeper: Keeper,
    pub(crate) recalls: Option<Arc<dyn Recalls>>,
    pub(crate) turns: Kept,
    pub(crate) listener: mpsc::Sender<TurnEvent>,
    pub(crate) halt: CancellationToken,
    /// Somebody else has given the run an input: an answer for approval, or more of what the person says.
    pub(crate) stirred: Arc<Notify>,
}

/// What is under way.
struct UnderWay {
    model: Model,
    recall: Option<BoxFuture<'static, Recollection>>,
    tools: JoinSet<ToolOutcome>,
    calls: HashMap<Id, ToolCallId>,
    cancelled: CancellationToken,
}

enum Model {
    Silent,
    Opening(BoxFuture<'static, Result<Answer, GenerationError>>),
    Answering(Answer),
}

/// What kind of order is next.
enum Next {
    Nothing,
    Say,
    Begin,
    Record(conversation_store::messages::StepRecord),
    Close(TurnState),
    End(Ending),
}

impl Drive {
    /// Drives the turn to its end.
    pub(crate) async fn run(self) -> Ending {
        if let Err(error) = self.begin().await {
            return Ending::Failed(error.into());
        }
        let mut under_way = UnderWay {
            model: Model::Silent,
            recall: None,
            tools: JoinSet::new(),
            calls: HashMap::new(),
            cancelled: CancellationToken::new(),
        };
        // However this ends, what the tools left elsewhere hears of it.
        let _ended = under_way.cancelled.clone().drop_guard();
        let mut unkept = None;
        loop {
            match self.next() {
                Next::End(ending) => {
                    under_way.put_away().await;
                    return unkept.unwrap_or(ending);
                }
                Next::Record(step) => match self.keeper.record(&self.id, step).await {
                    Ok(()) => drop(self.take()),
                    Err(error) => {
                        self.take();
                        self.input(Input::NotKept(error));
                    }
                },
                Next::Close(state) => {
                    if let Err(error) = self.close(state).await {
                        tracing::error!(turn = %self.id, %error, "the end of a turn was not written down");
                        unkept = (state == TurnState::Done).then(|| Ending::Failed(error.into()));
                    }
                    self.take();
                }
                Next::Begin => {
                    if let Some(order) = self.take() {
                        self.carry_out(order, &mut under_way);
                    }
                }
                say @ (Next::Say | Next::Nothing) => {
                    self.wait(matches!(say, Next::Say), &mut under_way).await;
                }
            }
        }
    }

    /// Nothing runs before it is written down that it begins.
    async fn begin(&self) -> Result<(), GenerationError> {
        let Some(user) = self.turns.lock().begun_with(self.key) else {
            return Ok(());
        };
        self.keeper
            .begin(&self.conversation, &self.id, &user)
            .await?;
        self.turns.lock().has_begun(self.key);
        Ok(())
    }

    fn next(&self) -> Next {
        // A turn that is not there any more has nothing to do: its end was told.
        let gone = || Next::End(Ending::Stopped);
        self.with(|run| match run.order() {
            None => Next::Nothing,
            Some(Order::Say(_)) => Next::Say,
            Some(Order::Recall | Order::CallModel(_) | Order::StartTool(_)) => Next::Begin,
            Some(Order::Record(step)) => Next::Record(step.clone()),
            Some(Order::Close(state)) => Next::Close(*state),
            Some(Order::End(ending)) => Next::End(ending.clone()),
        })
        .unwrap_or_else(gone)
    }

    fn with<T>(&self, act: impl FnOnce(&mut AgentRun) -> T) -> Option<T> {
        self.turns.lock().run(self.key).map(act)
    }

    fn take(&self) -> Option<Order> {
        self.with(AgentRun::take).flatten()
    }

    fn input(&self, input: Input) {
        let now = Instant::now().into_std();
        self.with(|run| run.input(input, now));
    }

    async fn close(&self, state: TurnState) -> Result<(), GenerationError> {
        let messages = self.turns.lock().remembered(self.key);
        if let (Some(recalls), TurnState::Done) = (&self.recalls, state)
            && let Some(memory) = self
                .settings
                .memory
                .as_ref()
                .filter(|memory| memory.remember)
            && let Some(answer) = messages.last()
        {
            let said = messages.iter().filter(|m| m.role == Role::User);
            let said: Vec<&str> = said.map(|m| m.content.as_str()).collect();
            let kept = recalls
                .remember(
                    &self.conversation,
                    &said.join("\n"),
                    &answer.content,
                    memory,
                )
                .await;
            if let Err(error) = kept {
                tracing::warn!(turn = %self.id, error, "a turn was not remembered");
            }
        }
        self.keeper.end(&self.id, state, messages).await
    }

    fn carry_out(&self, order: Order, under_way: &mut UnderWay) {
        match order {
            Order::Recall => under_way.recall = Some(self.recall()),
            Order::CallModel(call) => {
                let request = self.request(*call);
                under_way.model = Model::Opening(self.models.generate(request));
            }
            Order::StartTool(id) => self.start_tool(id, under_way),
            Order::Say(_) | Order::Record(_) | Order::Close(_) | Order::End(_) => {}
        }
    }

    fn request(&self, call: ModelCall) -> Request {
        let mut sampling = self.settings.sampling.clone();
        sampling.max_tokens = call.max_tokens;
        Request {
            id: self.id.clone(),
            model: self.settings.model.clone(),
            prompt: Prompt::Chat(call.messages),
            sampling,
            context: call.context,
            keep_alive: self.settings.keep_alive,
            tools: Tools {
                specs: call.tools,
                choice: call.choice,
                ..Tools::default()
            },
        }
    }

    /// What may help, if it is found in time.
    fn recall(&self) -> BoxFuture<'static, Recollection> {
        let user = self.with(|run| run.said_by_user().to_owned());
        let (Some(recalls), Some(memory), Some(user)) =
            (&self.recalls, &self.settings.memory, user)
        else {
            return Box::pin(std::future::ready(Recollection::default()));
        };
        let within = memory.within;
        let finding = recalls.recall(&self.conversation, &user, memory);
        Box::pin(async move {
            let found = timeout(within, finding).await;
            let late = || Err(format!("nothing was found within {within:?}"));
            found.unwrap_or_else(|_| late()).unwrap_or_else(|error| {
                tracing::warn!(error, "nothing is recalled");
                Recollection {
                    without_meaning: Some(error),
                    ..Recollection::default()
                }
            })
        })
    }

    fn start_tool(&self, id: ToolCallId, under_way: &mut UnderWay) {
        let Some(call) = self.with(|run| run.call(&id).cloned()).flatten() else {
            return;
        };
        let (toolbox, cancelled) = (self.toolbox.clone(), under_way.cancelled.clone());
        let span = tracing::error_span!(
            target: TURN,
            "execute_tool",
            gen_ai.operation.name = "execute_tool",
            gen_ai.tool.name = call.name,
            gen_ai.tool.call.id = %id,
        );
        let calling = async move { outcome(toolbox.call(&call, &cancelled).await) };
        let running = under_way.tools.spawn(calling.instrument(span));
        under_way.calls.insert(running.id(), id);
    }

    /// Waits for whatever comes first. Each of these can be given up and waited for anew.
    async fn wait(&self, say: bool, under_way: &mut UnderWay) {
        let (over, deadline) = self
            .with(|run| (run.is_over(), run.deadline().map(Instant::from_std)))
            .unwrap_or((true, None));
        let UnderWay {
            model,
            recall,
            tools,
            calls,
            ..
        } = under_way;
        tokio::select! {
            biased;
            () = self.halt.cancelled() => self.input(Input::Stop),
            () = self.listener.closed() => self.input(Input::Stop),
            () = at(deadline) => self.input(Input::Time),
            () = self.stirred.notified() => {}
            Some(ended) = tools.join_next_with_id(), if !tools.is_empty() => {
                let (task, outcome) = match ended {
                    Ok(ended) => ended,
                    Err(error) => (error.id(), ToolOutcome::Unknown(format!("the tool broke off: {error}"))),
                };
                if let Some(id) = calls.remove(&task) {
                    self.input(Input::ToolEnded { id, outcome });
                }
            }
            place = self.listener.reserve(), if say => {
                // The place first: a text that was never taken was never said.
                // A token's life, stop 13: past the conversation, which remembers it.
                if let (Ok(place), Some(Order::Say(event))) = (place, self.take()) {
                    place.send(event);
                }
            }
            found = finding(recall), if !over => {
                self.input(Input::Recalled(found));
            }
            event = model.next(), if !say && !over => {
                let input = match event {
                    GenerationEvent::ToolCall(call) => Input::Called(assess(&self.toolbox, &call)),
                    event => Input::Model(event),
                };
                self.input(input);
            }
        }
    }
}

impl Model {
    /// The next thing it says; never anything while it is silent.
    async fn next(&mut self) -> GenerationEvent {
        if let Self::Opening(opening) = self {
            match opening.await {
                Ok(stream) => *self = Self::Answering(stream),
                Err(error) => {
                    *self = Self::Silent;
                    return GenerationEvent::Failed(error);
                }
            }
        }
        let Self::Answering(stream) = self else {
            return std::future::pending().await;
        };
        let event = StreamExt::next(stream).await;
        let event = event.unwrap_or_else(|| {
            let reason = "its answer broke off; ask again".into();
            let part = "model_host".into();
            GenerationEvent::Failed(GenerationError::Unavailable { part, reason })
        });
        if event.is_terminal() {
            *self = Self::Silent;
        }
        event
    }
}

impl UnderWay {
    /// Stops everything. A tool that does not let go of its thread is left behind.
    async fn put_away(&mut self) {
        self.model = Model::Silent;
        self.cancelled.cancel();
        self.tools.abort_all();
        let all = async { while self.tools.join_next().await.is_some() {} };
        if timeout(PUT_AWAY, all).await.is_err() {
            tracing::warn!("a tool keeps its thread and is left behind");
        }
    }
}

async fn finding(recall: &mut Option<BoxFuture<'static, Recollection>>) -> Recollection {
    let Some(under_way) = recall else {
        return std::future::pending().await;
    };
    let found = under_way.await;
    *recall = None;
    found
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
