//! The conversation at the prompt: a line is read, understood, and done or answered; then the next.

mod command;
mod lines;
mod session;
mod transcript;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anstyle::AnsiColor;
use chat_config::settings::DEFAULT_AGENT;
use domain::{ConversationId, ModelName, Sampling};
use paraphym_candle::signals::Signal;
use paraphym_candle::{Paraphym, TurnSettings, TurnStream};

use crate::answer::{self, Asked, Ending};
use crate::args::{self, Documents};
use crate::choices::{sampling, usual};
use crate::equip::{Equipment, calls_servers};
use crate::failure::Failure;
use crate::fetch::ensure;
use crate::out::{note, tell};
use crate::permission::Desk;
use crate::presses::Meaning;
use crate::render::table;
use crate::stage::{Kept, Stage, leave_now};
use crate::thread::{BrokenOff, broken_off, new_name};
use crate::unfinished::Unfinished;
use command::{COMMANDS, Line, parse};
use lines::{Lines, Read};
use session::{Effect, Session};

/// Long enough for a signal that was sent already; nobody notices it at the end of a broken input.
const MOMENT: Duration = Duration::from_millis(200);

/// A conversation at the prompt.
struct Chat<'a> {
    stage: &'a mut Stage,
    host: &'a Paraphym,
    lines: Lines,
    session: Session,
    conversation: ConversationId,
    documents: Documents,
    /// For the agent of now.
    equipment: Equipment,
    desk: Desk,
    private: bool,
    /// Files this conversation wrote: these it may write again.
    saved: BTreeSet<PathBuf>,
}

/// How the conversation ended, if it did not fail.
enum Left {
    /// `/exit`, Ctrl-D, the end of the input.
    Goodbye,
    /// SIGTERM or SIGHUP during an answer.
    Terminated(Unfinished),
}

/// Talks until one side leaves.
pub(crate) async fn run(stage: &mut Stage, args: &args::Chat) -> Result<(), Failure> {
    // What is wrong with what was typed is said before anything is loaded.
    sampling(&Sampling::default(), &args.choices)?;
    stage.check_agent(&args.choices)?;
    let model = stage.chosen(&args.choices);
    let kept = if args.private {
        Kept::Nothing
    } else {
        Kept::All
    };
    let mut builder = stage.builder(&model, kept);
    let settings = stage.first();
    let mut agents = settings.agents.values();
    if !agents.any(|agent| calls_servers(&agent.tools)) {
        builder = builder.without_servers_of_settings();
    }
    let host = builder.start().await?;
    let mut chat = match Chat::begin(stage, &host, model, args).await {
        Ok(chat) => chat,
        Err(failure) => {
            stage.drain(&host, None).await;
            return Err(failure);
        }
    };
    let left = chat.talk(args.thread.go_on).await;
    let lines = chat.lines;
    let (result, unfinished) = match left {
        Ok(Left::Goodbye) => (Ok(()), None),
        Ok(Left::Terminated(rest)) => (Err(rest.why.clone()), Some(rest)),
        Err(failure) => (Err(failure), None),
    };
    stage.drain(&host, unfinished).await;
    if lines.is_stuck() {
        lines.restore_terminal();
        leave_now(result.as_ref().map_or_else(Failure::code, |()| 0));
    }
    result
}

impl<'a> Chat<'a> {
    /// Everything the first turn needs.
    async fn begin(
        stage: &'a mut Stage,
        host: &'a Paraphym,
        model: ModelName,
        args: &args::Chat,
    ) -> Result<Self, Failure> {
        // A conversation that is not there is no reason to bring a model.
        let conversation = args.thread.find(host, new_name).await?;
        ensure(stage, host.store(), &model).await?;
        let documents = args.documents.clone();
        let remembers = !args.private;
        let equipment =
            Equipment::gather(stage, host, &args.choices, &documents, remembers).await?;
        Ok(Self {
            lines: Lines::open(!args.private),
            session: Session::new(model, args.choices.clone()),
            conversation,
            documents,
            equipment,
            desk: Desk::open(),
            private: args.private,
            saved: BTreeSet::new(),
            host,
            stage,
        })
    }

    async fn greet(&mut self) -> Result<(), Failure> {
        if !self.lines.is_interactive() {
            return Ok(());
        }
        let kept = if self.private {
            "nothing is kept".to_owned()
        } else {
            self.conversation.to_string()
        };
        let greeting = format!(
            "{} · {kept} · /help lists the commands, Ctrl-D leaves",
            self.session.model
        );
        self.stage.out.aside(&greeting).await
    }

    /// `goes_on`: what broke off goes on before anything is typed.
    async fn talk(&mut self, goes_on: bool) -> Result<Left, Failure> {
        self.greet().await?;
        match broken_off(self.host, &self.conversation).await? {
            BrokenOff::None => {}
            // What was asked before more was said is not taken up unless somebody says so.
            BrokenOff::Last if goes_on => {
                if let Some(rest) = self.go_on().await? {
                    return Ok(Left::Terminated(rest));
                }
            }
            BrokenOff::Last | BrokenOff::Earlier => {
                let said = "an answer of this conversation broke off: /continue goes on with it";
                self.stage.out.aside(said).await?;
            }
        }
        loop {
            let Some(line) = self.read().await? else {
                return Ok(Left::Goodbye);
            };
            match parse(&line) {
                Line::Nothing => {}
                Line::Wrong(reason) => self.stage.out.aside(&reason).await?,
                Line::Say(text) => {
                    if let Some(rest) = self.answer(&text).await? {
                        return Ok(Left::Terminated(rest));
                    }
                }
                Line::Do(command) => match self.session.apply(command, &self.usual()) {
                    Effect::Leave => return Ok(Left::Goodbye),
                    Effect::GoOn => {
                        if let Some(rest) = self.go_on().await? {
                            return Ok(Left::Terminated(rest));
                        }
                    }
                    effect => self.carry_out(effect).await?,
                },
            }
        }
    }

    /// The next line; none at the end of the input.
    async fn read(&mut self) -> Result<Option<String>, Failure> {
        let prompt = self.stage.out.coloured(AnsiColor::Cyan, "> ");
        loop {
            let read = tokio::select! {
                read = self.lines.next(&prompt) => read,
                signal = self.stage.signals.next() => match signal {
                    Signal::Interrupt { .. } => Read::Interrupted,
                    end => return Err(self.stage.meaning_of(end)),
                },
            };
            match read {
                Read::Line(line) => {
                    self.stage.presses.forgive();
                    return Ok(Some(line));
                }
                Read::End => return Ok(None),
                Read::Failed(error) => return Err(self.reason(error).await),
                Read::Interrupted => match self.stage.presses.press() {
                    Meaning::Stop => note("Ctrl-C again leaves"),
                    Meaning::Drain => return Err(Failure::Interrupted),
                    Meaning::Leave => {
                        self.lines.restore_terminal();
                        leave_now(Failure::Interrupted.code())
                    }
                },
            }
        }
    }

    /// Why reading failed: a terminal that is closed fails a moment before its SIGHUP is heard.
    async fn reason(&mut self, error: Failure) -> Failure {
        match tokio::time::timeout(MOMENT, self.stage.signals.next()).await {
            Ok(signal) => self.stage.meaning_of(signal),
            Err(_) => error,
        }
    }

    /// What a turn of the chosen agent is run with by the settings. One that was taken out of them meanwhile is the default
    /// one.
    fn usual(&self) -> TurnSettings {
        let usual = usual(self.host, self.session.choices());
        usual.unwrap_or_else(|_| self.host.turn_settings())
    }

    /// Answers a text; what is left of the answer when SIGTERM or SIGHUP came.
    async fn answer(&mut self, text: &str) -> Result<Option<Unfinished>, Failure> {
        let settings = self.settings();
        match self.host.ask(&self.conversation, text, settings).await {
            Ok(stream) => self.show(stream).await,
            Err(error) => {
                tell(&error.into());
                Ok(None)
            }
        }
    }

    /// Goes on with an answer that broke off.
    async fn go_on(&mut self) -> Result<Option<Unfinished>, Failure> {
        let (agents, settings) = (self.host.agents(), self.settings());
        match agents.continue_turn(&self.conversation, settings).await {
            Ok(Some(stream)) => {
                note("going on with the answer that broke off");
                return self.show(stream).await;
            }
            Ok(None) => self.stage.out.aside("no answer broke off").await?,
            Err(error) => tell(&error.into()),
        }
        Ok(None)
    }

    /// What the next turn is run with.
    fn settings(&self) -> TurnSettings {
        let mut settings = self.session.settings(self.usual());
        if self.private {
            settings.memory = None;
        }
        self.equipment.on(self.host, settings)
    }

    async fn show(&mut self, stream: TurnStream) -> Result<Option<Unfinished>, Failure> {
        let asked = Asked {
            host: self.host,
            conversation: &self.conversation,
            desk: &mut self.desk,
        };
        match answer::show(self.stage, asked, stream, false).await? {
            Ending::Given => {}
            Ending::Stopped => note("stopped"),
            Ending::Failed(error) => tell(&error.into()),
            Ending::Terminated(rest) => return Ok(Some(rest)),
        }
        Ok(None)
    }

    /// Does what a command needs done outside the session, and says one line about it.
    async fn carry_out(&mut self, effect: Effect) -> Result<(), Failure> {
        let said = match effect {
            Effect::Say(line) => line,
            Effect::Help => return self.help().await,
            Effect::ShowHistory => return self.history().await,
            Effect::ChooseModel(model) => {
                let said = self.choose(model.clone()).await?;
                self.session.name_model(&model);
                said
            }
            Effect::ChooseAgent(agent) => self.take_agent(agent).await?,
            Effect::ShowAgents => self.agents(),
            Effect::ClearHistory => match self.host.agents().clear(&self.conversation).await {
                Ok(count) => format!("forgot {count} messages"),
                Err(error) => format!("not cleared: {error}"),
            },
            Effect::Save(path) => self.save(&path).await,
            Effect::Leave | Effect::GoOn => return Ok(()),
        };
        self.stage.out.aside(&said).await
    }

    async fn help(&mut self) -> Result<(), Failure> {
        let rows: Vec<Vec<String>> = COMMANDS
            .iter()
            .map(|(name, rest, what)| vec![format!("{name} {rest}"), (*what).to_owned()])
            .collect();
        self.stage.out.text(&table(&rows)).await
    }

    async fn history(&mut self) -> Result<(), Failure> {
        match self.host.agents().history(&self.conversation).await {
            Ok(history) if history.is_empty() => self.stage.out.aside("nothing was said yet").await,
            Ok(history) => {
                let text = transcript::plain(&history, self.stage.out.terminal);
                self.stage.out.text(&text).await
            }
            Err(error) => self.stage.out.aside(&format!("not known: {error}")).await,
        }
    }

    /// Another model for the next turn, if it can be had.
    async fn choose(&mut self, model: ModelName) -> Result<String, Failure> {
        match ensure(self.stage, self.host.store(), &model).await {
            Ok(()) => {
                let said = format!("the next answer comes from {model}");
                self.session.model = model;
                Ok(said)
            }
            Err(signal @ (Failure::Terminated | Failure::HungUp | Failure::NobodyReads)) => {
                Err(signal)
            }
            Err(failure) => {
                tell(&failure);
                Ok(format!("the model is still {}", self.session.model))
            }
        }
    }

    /// Another agent for the next turn, with its model unless one was named.
    async fn take_agent(&mut self, agent: String) -> Result<String, Failure> {
        let settings = match self.host.agent_settings(&agent) {
            Ok(settings) => settings,
            Err(error) => return Ok(error.to_string()),
        };
        let choices = args::Choices {
            agent: Some(agent.clone()),
            ..self.session.choices().clone()
        };
        let gathering = Equipment::gather(
            self.stage,
            self.host,
            &choices,
            &self.documents,
            !self.private,
        );
        let equipment = match gathering.await {
            Ok(equipment) => equipment,
            Err(failure @ (Failure::Failed { .. } | Failure::Usage { .. })) => {
                tell(&failure);
                return Ok("the agent is still the one before".to_owned());
            }
            Err(end) => return Err(end),
        };
        let model = choices.model.unwrap_or(settings.model);
        if model != self.session.model {
            let said = self.choose(model.clone()).await?;
            if self.session.model != model {
                return Ok(said);
            }
        }
        // All of it, or nothing.
        self.equipment = equipment;
        let said = format!("the next answer comes from the agent {agent} and {model}");
        self.session.take_agent(agent);
        Ok(said)
    }

    fn agents(&self) -> String {
        let chosen = self.session.choices().agent.as_deref();
        let chosen = chosen.unwrap_or(DEFAULT_AGENT);
        let there = self.host.agent_names().join(", ");
        format!("the agent is {chosen}; there are {there}")
    }

    async fn save(&mut self, path: &Path) -> String {
        let history = match self.host.agents().history(&self.conversation).await {
            Ok(history) => history,
            Err(error) => return format!("not saved: {error}"),
        };
        if history.is_empty() {
            return "nothing was said yet, so nothing was saved".to_owned();
        }
        let text = transcript::for_file(&history, path);
        let again = self.saved.contains(path);
        match transcript::write(path.to_owned(), text, again).await {
            Ok(()) => {
                self.saved.insert(path.to_owned());
                format!("saved {} messages to {}", history.len(), path.display())
            }
            Err(reason) => format!("not saved: {reason}"),
        }
    }
}
