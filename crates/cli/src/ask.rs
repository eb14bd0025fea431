//! A question from the command line, from standard input or from both is answered once, and nothing of it is kept.

use std::io::IsTerminal;
use std::os::unix::fs::FileTypeExt;

use domain::{ConversationId, Sampling};
use tokio::io::AsyncReadExt;

use crate::answer::{self, Ending};
use crate::args::Ask;
use crate::choices::{sampling, turn, usual};
use crate::failure::Failure;
use crate::fetch::ensure;
use crate::out::note;
use crate::progress::SILENCE;
use crate::render;
use crate::stage::{Stage, leave_now};

/// More than this on standard input is no question: no model here has a window for it.
const INPUT_MAX: u64 = 1 << 20;

/// Answers one question. With `--json` the last line is always an end.
pub(crate) async fn run(stage: &mut Stage, ask: &Ask) -> Result<(), Failure> {
    let mut told = false;
    let result = answered(stage, ask, &mut told).await;
    if let Err(failure) = &result
        && ask.json
        && !told
    {
        stage.out.json(&render::failed(failure)).await?;
    }
    result
}

/// `told` becomes true when the answer's own last event was shown.
async fn answered(stage: &mut Stage, ask: &Ask, told: &mut bool) -> Result<(), Failure> {
    // What is wrong with what was typed is said before anything is read or loaded.
    sampling(&Sampling::default(), &ask.choices)?;
    stage.check_agent(&ask.choices)?;
    let question = question(stage, &ask.text.join(" ")).await?;
    let model = stage.chosen(&ask.choices);
    let store = stage.store()?;
    ensure(stage, &store, &model).await?;
    let host = stage.builder(&model).start().await?;
    // These were checked above, and the settings when they were read.
    let settings = turn(usual(&host, &ask.choices)?, &ask.choices, model)?;
    let conversation = ConversationId::new("ask");
    // A token's life, stop 1: a question becomes a turn of a conversation.
    let ended = match host.ask(&conversation, &question, settings).await {
        Ok(stream) => answer::show(stage, stream, ask.json).await,
        Err(error) => Err(error.into()),
    };
    let (result, unfinished) = match ended {
        Ok(Ending::Given) => (Ok(()), None),
        Ok(Ending::Failed(error)) => {
            *told = true;
            (Err(Failure::from(error)), None)
        }
        Ok(Ending::Stopped) => (Err(Failure::Interrupted), None),
        Ok(Ending::Terminated(rest)) => (Err(rest.why.clone()), Some(rest)),
        Err(failure) => (Err(failure), None),
    };
    *told |= stage.drain(&host, unfinished).await;
    result
}

/// The question: what was typed, and what comes on standard input where that is not a terminal.
async fn question(stage: &mut Stage, typed: &str) -> Result<String, Failure> {
    let input = if std::io::stdin().is_terminal() || (!typed.is_empty() && is_socket()) {
        String::new()
    } else {
        let read = read_input(!typed.is_empty());
        match stage.unless_signalled(read).await {
            Ok(read) => read?,
            // The thread that reads cannot be told to stop, and nothing else has begun.
            Err(signal) => leave_now(signal.code()),
        }
    };
    join(typed, &input)
        .ok_or_else(|| Failure::usage("there is no question", "paraphym ask \"What is a monad?\""))
}

/// Whether standard input is a socket: what many programs give a child they have nothing to say to, and never close.
/// A shell's pipe is none.
fn is_socket() -> bool {
    std::fs::metadata("/dev/stdin").is_ok_and(|input| input.file_type().is_socket())
}

/// Text, blank line, input; or the one that is there.
fn join(typed: &str, input: &str) -> Option<String> {
    match (typed.trim(), input.trim()) {
        ("", "") => None,
        (one, "") | ("", one) => Some(one.to_owned()),
        (typed, input) => Some(format!("{typed}\n\n{input}")),
    }
}

/// Standard input to its end. Where a question was typed too, a silent input is named: it may have been left open by
/// mistake.
async fn read_input(typed: bool) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let mut input = tokio::io::stdin().take(INPUT_MAX + 1);
    let mut read = std::pin::pin!(input.read_to_end(&mut bytes));
    let first = tokio::time::timeout(SILENCE, &mut read).await;
    let done = if let Ok(done) = first {
        done
    } else {
        if typed {
            note("reading standard input to its end (to ask without it: < /dev/null)");
        }
        read.await
    };
    done.map_err(|error| {
        Failure::failed(
            format_args!("standard input cannot be read: {error}"),
            "check where it comes from",
        )
    })?;
    if bytes.len() as u64 > INPUT_MAX {
        return Err(Failure::usage(
            "standard input has more than 1 MiB",
            "ask about a part of it",
        ));
    }
    String::from_utf8(bytes).map_err(|_| {
        Failure::usage(
            "standard input is not UTF-8 text",
            "only text can be asked about",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_and_what_was_piped_are_joined() {
        for (typed, input, expected) in [
            ("", "", None),
            (" ", "\n", None),
            ("a", "", Some("a")),
            ("", "b\n", Some("b")),
            ("a", "b\nc\n", Some("a\n\nb\nc")),
        ] {
            assert_eq!(join(typed, input).as_deref(), expected);
        }
    }
}
