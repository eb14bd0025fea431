//! What did not work, in the two lines a person reads: what happened, and what to do. And the exit status it means.

use std::net::SocketAddr;

use domain::{FieldError, GenerationError, TurnError};
use model_store::{PullError, ResolveError, StoreError};
use paraphym_candle::{NoAgent, StartError};

/// Why a command ends without its result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// What was typed cannot be done.
    Usage { error: String, hint: String },
    /// It was tried and failed.
    Failed { error: String, hint: String },
    /// There is no server to speak to, or it went away.
    Unreachable { error: String, hint: String },
    /// It ended as it was told to, and something was not finished.
    Abandoned,
    /// Ctrl-C.
    Interrupted,
    /// SIGTERM.
    Terminated,
    /// SIGHUP: the terminal is gone.
    HungUp,
    /// Whoever read the output went away: they had enough, and nothing is wrong.
    NobodyReads,
}

impl Failure {
    /// Something that was tried and failed.
    pub(crate) fn failed(error: impl std::fmt::Display, hint: impl Into<String>) -> Self {
        Self::Failed {
            error: format!("{error}"),
            hint: hint.into(),
        }
    }

    /// Something that was typed wrongly.
    pub(crate) fn usage(error: impl std::fmt::Display, hint: impl Into<String>) -> Self {
        Self::Usage {
            error: format!("{error}"),
            hint: hint.into(),
        }
    }

    /// The exit status, as a shell expects it: 128 + the signal for signals.
    pub(crate) const fn code(&self) -> u8 {
        match self {
            Self::NobodyReads => 0,
            Self::Failed { .. } => 1,
            Self::Usage { .. } => 2,
            Self::Unreachable { .. } => 3,
            Self::Abandoned => 4,
            Self::HungUp => 129,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }

    /// The lines for standard error; none where there is nothing to say.
    pub(crate) fn lines(&self) -> Vec<String> {
        let (Self::Usage { error, hint }
        | Self::Failed { error, hint }
        | Self::Unreachable { error, hint }) = self
        else {
            return Vec::new();
        };
        let mut lines = vec![format!("error: {}", one_line(error))];
        if !hint.is_empty() {
            lines.push(format!("hint: {}", one_line(hint)));
        }
        lines
    }
}

/// Without line breaks and other control characters.
fn one_line(text: &str) -> String {
    let words = text.split(|c: char| c.is_control() || c == ' ');
    words
        .filter(|w| !w.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

impl From<NoAgent> for Failure {
    fn from(error: NoAgent) -> Self {
        let hint = format!(
            "make it with `paraphym config set agents.{}.system \"...\"`",
            error.name
        );
        Self::usage(error, hint)
    }
}

impl From<FieldError> for Failure {
    fn from(error: FieldError) -> Self {
        Self::usage(error, "--help tells what each option takes")
    }
}

impl From<PullError> for Failure {
    fn from(error: PullError) -> Self {
        match error {
            PullError::Name(field) => Self::usage(field, "see `paraphym model list`"),
            error => Self::failed(&error, error.hint()),
        }
    }
}

impl From<ResolveError> for Failure {
    fn from(error: ResolveError) -> Self {
        match error {
            ResolveError::Name(field) => Self::usage(field, "see `paraphym model list`"),
            error => Self::failed(&error, error.hint()),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Resolve(error) => error.into(),
            error => Self::failed(&error, error.hint()),
        }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Store(error) => error.into(),
            StartError::Settings(refusals) => crate::settings::refused(&refusals),
            StartError::Gateway(error) => Self::usage(
                error,
                "--bind takes an address of this machine, such as 127.0.0.1:7007",
            ),
            StartError::Tokens(error) => error.into(),
            StartError::Device(field) => field.into(),
            StartError::NotServed { bind, reason } => Self::failed(
                reason,
                format!(
                    "another server may be running there; choose with --bind, such as --bind {}",
                    SocketAddr::new(bind.ip(), bind.port().checked_add(1).unwrap_or_default())
                ),
            ),
            StartError::NotControlled { reason } => {
                Self::failed(reason, "--control off serves without it")
            }
            error => Self::failed(error, "run `paraphym doctor`, or again with --log debug"),
        }
    }
}

impl From<GenerationError> for Failure {
    fn from(error: GenerationError) -> Self {
        match error {
            GenerationError::Invalid(field) => field.into(),
            GenerationError::ModelNotFound { model, hint } => {
                Self::failed(format_args!("model {model} is not here"), hint)
            }
            error => {
                let hint = hint(&error);
                Self::failed(error, hint)
            }
        }
    }
}

impl From<TurnError> for Failure {
    fn from(error: TurnError) -> Self {
        match error {
            TurnError::Generation(error) => error.into(),
            error => Self::failed(error, ""),
        }
    }
}

/// What to do, where the error's own text does not say it.
fn hint(error: &GenerationError) -> &'static str {
    match error {
        GenerationError::LoadFailed { .. } => {
            "take what it says is supported; or check the file with `paraphym model show`, and pull it again"
        }
        GenerationError::MemoryExhausted { .. } => "see the budget with `paraphym doctor`",
        GenerationError::ContextOverflow { .. } => "or use a model with a larger window",
        GenerationError::EngineCrashed { .. } => "please report it, with the output of --log debug",
        GenerationError::Unavailable { .. } => "try again; if it stays, run with --log debug",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use domain::ModelName;

    use super::*;

    #[test]
    fn every_end_has_its_status() {
        for (failure, code) in [
            (Failure::NobodyReads, 0),
            (Failure::failed("x", ""), 1),
            (Failure::usage("x", ""), 2),
            (Failure::Interrupted, 130),
            (Failure::HungUp, 129),
            (Failure::Terminated, 143),
        ] {
            assert_eq!(failure.code(), code);
        }
    }

    #[test]
    fn an_error_is_one_line_and_a_hint() {
        let failure = Failure::failed("two\nlines\tand \u{1b}[31mred", "do\nthis");
        assert_eq!(
            failure.lines(),
            ["error: two lines and [31mred", "hint: do this"]
        );
        assert_eq!(Failure::failed("x", "").lines(), ["error: x"]);
        assert_eq!(Failure::Interrupted.lines(), [""; 0]);
    }

    #[test]
    fn a_missing_model_says_what_to_do_once() {
        let failure = Failure::from(GenerationError::ModelNotFound {
            model: ModelName::new("m"),
            hint: "pull it".into(),
        });
        assert_eq!(
            failure.lines(),
            ["error: model m is not here", "hint: pull it"]
        );
    }

    #[test]
    fn a_field_out_of_range_is_bad_usage() {
        let field = FieldError::new("temperature", 9, "a number from 0 to 2");
        assert_eq!(Failure::from(GenerationError::Invalid(field)).code(), 2);
    }
}
