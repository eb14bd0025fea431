//! What the person chose during the conversation. Pure: a command goes in, what is to be done comes out.

use std::path::PathBuf;

use domain::{FieldError, ModelName};
use paraphym_candle::TurnSettings;

use super::command::Command;
use crate::args::Choices;
use crate::choices::{sampling, turn};

/// The choices of the next turn: what was typed. All else is as the settings say when the turn begins.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Session {
    pub(super) model: ModelName,
    choices: Choices,
    /// The instructions were dropped, those of the settings too.
    no_system: bool,
}

/// What a command needs done outside.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Effect {
    /// Nothing but to say this.
    Say(String),
    Help,
    ChooseModel(ModelName),
    ChooseAgent(String),
    ShowAgents,
    ClearHistory,
    ShowHistory,
    GoOn,
    Save(PathBuf),
    Leave,
}

impl Session {
    pub(super) const fn new(model: ModelName, choices: Choices) -> Self {
        Self {
            model,
            choices,
            no_system: false,
        }
    }

    /// What the next turn is run with, where the settings say this.
    pub(super) fn settings(&self, usual: TurnSettings) -> TurnSettings {
        // What was typed was checked when it was.
        let chosen = turn(usual.clone(), &self.choices, self.model.clone()).unwrap_or(usual);
        let system = chosen.system.filter(|_| !self.no_system);
        TurnSettings { system, ..chosen }
    }

    /// What was typed.
    pub(super) const fn choices(&self) -> &Choices {
        &self.choices
    }

    /// This model was named, and taken if it could be had: no agent chooses another.
    pub(super) fn name_model(&mut self, model: &ModelName) {
        if self.model == *model {
            self.choices.model = Some(model.clone());
        }
    }

    /// The next turn is this agent's; its instructions hold, unless others were typed.
    pub(super) fn take_agent(&mut self, agent: String) {
        self.choices.agent = Some(agent);
        self.no_system = false;
    }

    /// Takes a command; a refused one changes nothing.
    pub(super) fn apply(&mut self, command: Command, usual: &TurnSettings) -> Effect {
        let now = self.settings(usual.clone());
        match command {
            Command::Help => Effect::Help,
            Command::Clear => Effect::ClearHistory,
            Command::History => Effect::ShowHistory,
            Command::Continue => Effect::GoOn,
            Command::Save(path) => Effect::Save(path),
            Command::Exit => Effect::Leave,
            Command::Model(Some(model)) => Effect::ChooseModel(model),
            Command::Model(None) => Effect::Say(format!("the model is {}", self.model)),
            Command::System(None) => Effect::Say(match &now.system {
                Some(text) => format!("the instructions are: {text}"),
                None => "there are no instructions".to_owned(),
            }),
            Command::System(Some(text)) => {
                self.choices.system = Some(text);
                self.no_system = false;
                Effect::Say("the instructions hold from the next turn on".to_owned())
            }
            Command::NoSystem => {
                self.no_system = true;
                Effect::Say("there are no instructions any more".to_owned())
            }
            Command::Agent(Some(agent)) => Effect::ChooseAgent(agent),
            Command::Agent(None) => Effect::ShowAgents,
            Command::Temperature(None) => {
                Effect::Say(format!("the temperature is {}", now.sampling.temperature))
            }
            Command::Temperature(Some(temperature)) => {
                let changed = Choices {
                    temperature: Some(temperature),
                    greedy: false,
                    ..self.choices.clone()
                };
                let said = format!("the temperature is now {temperature}");
                self.take(changed, usual, said)
            }
            Command::Tokens(None) => Effect::Say(format!(
                "an answer has at most {} tokens",
                now.sampling.max_tokens
            )),
            Command::Tokens(Some(max_tokens)) => {
                let changed = Choices {
                    max_tokens: Some(max_tokens),
                    ..self.choices.clone()
                };
                let said = format!("an answer has now at most {max_tokens} tokens");
                self.take(changed, usual, said)
            }
        }
    }

    fn take(&mut self, changed: Choices, usual: &TurnSettings, said: String) -> Effect {
        let wrong: Option<FieldError> = sampling(&usual.sampling, &changed).err();
        match wrong {
            None => {
                self.choices = changed;
                Effect::Say(said)
            }
            Some(error) => Effect::Say(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::command::{Line, parse};
    use super::*;

    fn session() -> Session {
        let choices = Choices {
            greedy: true,
            ..Choices::default()
        };
        Session::new(ModelName::new("tiny"), choices)
    }

    fn usual() -> TurnSettings {
        TurnSettings::new(ModelName::new("usual"))
    }

    fn apply(session: &mut Session, line: &str) -> Effect {
        match parse(line) {
            Line::Do(command) => session.apply(command, &usual()),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn each_command_is_acknowledged_in_one_line_and_holds_for_the_next_turn() {
        let mut session = session();
        for (line, said) in [
            ("/model", "the model is tiny"),
            ("/system", "there are no instructions"),
            (
                "/system Be brief.",
                "the instructions hold from the next turn on",
            ),
            ("/system", "the instructions are: Be brief."),
            ("/temperature", "the temperature is 0"),
            ("/temperature 0.5", "the temperature is now 0.5"),
            ("/tokens", "an answer has at most 512 tokens"),
            ("/tokens 64", "an answer has now at most 64 tokens"),
        ] {
            assert_eq!(
                apply(&mut session, line),
                Effect::Say(said.into()),
                "{line}"
            );
        }
        let settings = session.settings(usual());
        assert_eq!(settings.system.as_deref(), Some("Be brief."));
        assert_eq!(
            (settings.sampling.temperature, settings.sampling.max_tokens),
            (0.5, 64)
        );
        apply(&mut session, "/system off");
        assert_eq!(session.settings(usual()).system, None);
    }

    #[test]
    fn a_change_of_settings_holds_for_the_next_turn_unless_something_else_was_chosen() {
        let mut session = Session::new(ModelName::new("tiny"), Choices::default());
        apply(&mut session, "/tokens 64");
        let mut settings = usual();
        settings.system = Some("Be kind.".into());
        settings.sampling.temperature = 1.0;
        settings.sampling.max_tokens = 5;
        let turn = session.settings(settings.clone());
        assert_eq!(turn.system.as_deref(), Some("Be kind."));
        assert_eq!(
            (turn.sampling.temperature, turn.sampling.max_tokens),
            (1.0, 64)
        );
        apply(&mut session, "/system off");
        assert_eq!(session.settings(settings.clone()).system, None);
        apply(&mut session, "/system Be brief.");
        let turn = session.settings(settings);
        assert_eq!(turn.system.as_deref(), Some("Be brief."));
    }

    #[test]
    fn what_is_refused_changes_nothing() {
        let mut session = session();
        let before = session.clone();
        for (line, field) in [
            ("/temperature 9", "temperature = 9"),
            ("/tokens 0", "max_tokens = 0"),
        ] {
            match apply(&mut session, line) {
                Effect::Say(said) => assert!(said.starts_with(field), "{said}"),
                other => panic!("{line}: {other:?}"),
            }
        }
        assert_eq!(session, before);
    }

    #[test]
    fn what_needs_the_outside_is_passed_on() {
        let mut session = session();
        for (line, effect) in [
            ("/help", Effect::Help),
            ("/model other", Effect::ChooseModel(ModelName::new("other"))),
            ("/agent", Effect::ShowAgents),
            ("/agent coder", Effect::ChooseAgent("coder".into())),
            ("/clear", Effect::ClearHistory),
            ("/history", Effect::ShowHistory),
            ("/continue", Effect::GoOn),
            ("/save \"a b.md\"", Effect::Save("a b.md".into())),
            ("/quit", Effect::Leave),
        ] {
            assert_eq!(apply(&mut session, line), effect, "{line}");
        }
        assert_eq!(session.model, ModelName::new("tiny"));
    }
}
