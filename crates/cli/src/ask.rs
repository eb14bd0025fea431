//! A question from the command line, from standard input or from both is answered once. Nothing of it is kept, unless its
//! conversation has a name.

use std::io::IsTerminal;
use std::os::unix::fs::FileTypeExt;

use chat_config::settings::DEFAULT_AGENT;
use domain::{ConversationId, ModelName, Sampling};
use paraphym_candle::{Builder, Paraphym, TurnSettings, TurnStream};
use tokio::io::AsyncReadExt;

use crate::answer::{self, Asked, Ending};
use crate::args::Ask;
use crate::choices::{sampling, turn, usual};
use crate::equip::{Equipment, calls_servers};
use crate::failure::Failure;
use crate::fetch::ensure;
use crate::out::note;
use crate::permission::Desk;
use crate::progress::SILENCE;
use crate::render;
use crate::stage::{Kept, Stage, leave_now};
use crate::thread::{BrokenOff, broken_off};

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
    let question = question(stage, ask).await?;
    let model = stage.chosen(&ask.choices);
    let host = builder(stage, ask, &model).start().await?;
    let ended = turn_of(stage, &host, ask, model, question).await;
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

/// The host that this question needs, and no more.
fn builder(stage: &Stage, ask: &Ask, model: &ModelName) -> Builder {
    let name = ask.choices.agent.as_deref().unwrap_or(DEFAULT_AGENT);
    let agent = stage.first().agent(name).unwrap_or_default();
    let looks_up =
        agent.memory || !agent.documents.is_empty() || !ask.documents.documents.is_empty();
    let kept = match (ask.thread.is_said(), looks_up) {
        (true, _) => Kept::All,
        (false, true) => Kept::Memories,
        (false, false) => Kept::Nothing,
    };
    let builder = stage.builder(model, kept);
    if calls_servers(&agent.tools) {
        builder
    } else {
        builder.without_servers_of_settings()
    }
}

/// The turn: a new one for a question, without one the turn that broke off.
async fn turn_of(
    stage: &mut Stage,
    host: &Paraphym,
    ask: &Ask,
    model: ModelName,
    question: Option<String>,
) -> Result<Ending, Failure> {
    // A conversation that is not there is no reason to bring a model.
    let conversation = ask.thread.find(host, || ConversationId::new("ask")).await?;
    ensure(stage, host.store(), &model).await?;
    let equipment = Equipment::gather(stage, host, &ask.choices, &ask.documents, true).await?;
    // These were checked before the start, and the settings when they were read.
    let settings = turn(usual(host, &ask.choices)?, &ask.choices, model)?;
    let settings = equipment.on(host, settings);
    // A token's life, stop 1: a question becomes a turn of a conversation.
    let stream = match question {
        Some(question) => {
            if ask.thread.is_said() && broken_off(host, &conversation).await? != BrokenOff::None {
                note(&format!(
                    "an answer of this conversation broke off: `paraphym ask --conversation {conversation}` without \
                     a text goes on with it"
                ));
            }
            host.ask(&conversation, &question, settings).await?
        }
        None => go_on(host, &conversation, settings).await?,
    };
    let desk = &mut Desk::open();
    let asked = Asked {
        host,
        conversation: &conversation,
        desk,
    };
    answer::show(stage, asked, stream, ask.json).await
}

/// The turn that broke off goes on.
async fn go_on(
    host: &Paraphym,
    conversation: &ConversationId,
    settings: TurnSettings,
) -> Result<TurnStream, Failure> {
    let agents = host.agents();
    let left = agents.continue_turn(conversation, settings).await?;
    left.ok_or_else(|| {
        Failure::usage(
            format_args!("no answer of the conversation {conversation} broke off"),
            format!("say something: paraphym ask --conversation {conversation} \"And then?\""),
        )
    })
}

/// The question: what was typed, and what comes on standard input where that is not a terminal. None where the answer that
/// broke off is to go on.
async fn question(stage: &mut Stage, ask: &Ask) -> Result<Option<String>, Failure> {
    let typed = ask.text.join(" ");
    let needed = typed.is_empty() && !ask.thread.is_said();
    let read = read_question(stage, &typed, needed).await?;
    if read.is_none() && !ask.thread.is_said() {
        let example = "paraphym ask \"What is a monad?\"";
        return Err(Failure::usage("there is no question", example));
    }
    Ok(read)
}

/// `needed`: without what is read there is nothing to do.
async fn read_question(
    stage: &mut Stage,
    typed: &str,
    needed: bool,
) -> Result<Option<String>, Failure> {
    let input = if std::io::stdin().is_terminal() || (!needed && is_socket()) {
        String::new()
    } else {
        let read = read_input(needed);
        match stage.unless_signalled(read).await {
            Ok(read) => read?,
            // The thread that reads cannot be told to stop, and nothing else has begun.
            Err(signal) => leave_now(signal.code()),
        }
    };
    Ok(join(typed, &input))
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

/// Standard input to its end. Where it is not needed, a silent one is named: it may have been left open by mistake.
async fn read_input(needed: bool) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let mut input = tokio::io::stdin().take(INPUT_MAX + 1);
    let mut read = std::pin::pin!(input.read_to_end(&mut bytes));
    let first = tokio::time::timeout(SILENCE, &mut read).await;
    let done = if let Ok(done) = first {
        done
    } else {
        if !needed {
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
