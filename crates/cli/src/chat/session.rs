//! What the person chose during the conversation. Pure: a command goes in, what is to be done comes out.

use std::path::PathBuf;

use domain::{ModelName, Sampling};
use paraphym_candle::TurnSettings;

use super::command::Command;
use crate::choices::with_temperature;

/// The choices of the next turn.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Session {
    pub(super) model: ModelName,
    system: Option<String>,
    sampling: Sampling,
}

/// What a command needs done outside.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Effect {
    /// Nothing but to say this.
    Say(String),
    Help,
    ChooseModel(ModelName),
    ClearHistory,
    ShowHistory,
    Save(PathBuf),
    Leave,
}

impl Session {
    pub(super) const fn new(model: ModelName, system: Option<String>, sampling: Sampling) -> Self {
        Self {
            model,
            system,
            sampling,
        }
    }

    /// What the next turn is run with.
    pub(super) fn settings(&self) -> TurnSettings {
        TurnSettings {
            system: self.system.clone(),
            sampling: self.sampling.clone(),
            ..TurnSettings::new(self.model.clone())
        }
    }

    /// Takes a command; a refused one changes nothing.
    pub(super) fn apply(&mut self, command: Command) -> Effect {
        match command {
            Command::Help => Effect::Help,
            Command::Clear => Effect::ClearHistory,
            Command::History => Effect::ShowHistory,
            Command::Save(path) => Effect::Save(path),
            Command::Exit => Effect::Leave,
            Command::Model(Some(model)) => Effect::ChooseModel(model),
            Command::Model(None) => Effect::Say(format!("the model is {}", self.model)),
            Command::System(None) => Effect::Say(match &self.system {
                Some(text) => format!("the instructions are: {text}"),
                None => "there are no instructions".to_owned(),
            }),
            Command::System(Some(text)) => {
                self.system = Some(text);
                Effect::Say("the instructions hold from the next turn on".to_owned())
            }
            Command::NoSystem => {
                self.system = None;
                Effect::Say("there are no instructions any more".to_owned())
            }
            Command::Temperature(None) => {
                Effect::Say(format!("the temperature is {}", self.sampling.temperature))
            }
            Command::Temperature(Some(temperature)) => {
                let changed = with_temperature(&self.sampling, temperature);
                self.take(changed, &format!("the temperature is now {temperature}"))
            }
            Command::Tokens(None) => Effect::Say(format!(
                "an answer has at most {} tokens",
                self.sampling.max_tokens
            )),
            Command::Tokens(Some(max_tokens)) => {
                let changed = Sampling {
                    max_tokens,
                    ..self.sampling.clone()
                };
                let changed = changed.validate().map(|()| changed);
                self.take(
                    changed,
                    &format!("an answer has now at most {max_tokens} tokens"),
                )
            }
        }
    }

    fn take(&mut self, changed: Result<Sampling, domain::FieldError>, said: &str) -> Effect {
        match changed {
            Ok(sampling) => {
                self.sampling = sampling;
                Effect::Say(said.to_owned())
            }
            Err(error) => Effect::Say(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::command::{Line, parse};
    use super::*;

    fn session() -> Session {
        Session::new(ModelName::new("tiny"), None, Sampling::greedy())
    }

    fn apply(session: &mut Session, line: &str) -> Effect {
        match parse(line) {
            Line::Do(command) => session.apply(command),
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
        let settings = session.settings();
        assert_eq!(settings.system.as_deref(), Some("Be brief."));
        assert_eq!(
            (settings.sampling.temperature, settings.sampling.max_tokens),
            (0.5, 64)
        );
        apply(&mut session, "/system off");
        assert_eq!(session.settings().system, None);
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
            ("/clear", Effect::ClearHistory),
            ("/history", Effect::ShowHistory),
            ("/save \"a b.md\"", Effect::Save("a b.md".into())),
            ("/quit", Effect::Leave),
        ] {
            assert_eq!(apply(&mut session, line), effect, "{line}");
        }
        assert_eq!(session.model, ModelName::new("tiny"));
    }
}
