//! Words of the command line as messages of the protocol. Pure.

use std::time::Duration;

use paraphym_candle::control::protocol::act::{
    self, Cancel, Change, Chaos, ConfigSet, Drain, Kill, Limit, LoadModel, Log, Pause, PinModel,
    Restart, Resume, Shutdown, Start, Stop, UnloadModel, UnpinModel,
};
use paraphym_candle::control::protocol::connections::Kick;
use paraphym_candle::control::protocol::events::{Events, Filter, WORDS};
use paraphym_candle::control::protocol::look::{Audit, ConfigGet, Conversations, Inspect, Why};
use paraphym_candle::control::protocol::tap::Tap;

use crate::args::{CtlConfig, CtlConnections, Fault, Limited, Verb, loudness};
use crate::failure::Failure;
use crate::size::parse_size;

/// What is asked of the server.
#[derive(Debug)]
pub(super) enum Wish {
    Status,
    Tree,
    Ps,
    Inspect(Inspect),
    Events(Events),
    Why(Why),
    Conversations(Conversations),
    Connections,
    Kick(Kick),
    ConfigGet(ConfigGet),
    Audit(Audit),
    Restart(Restart),
    Stop(Stop),
    Start(Start),
    Kill(Kill),
    Pause(Pause),
    Resume(Resume),
    Chaos(Chaos),
    Tap(Tap),
    Limit(Limit),
    Load(LoadModel),
    Unload(UnloadModel),
    Pin(PinModel),
    Unpin(UnpinModel),
    Cancel(Cancel),
    Log(Log),
    Drain(Drain),
    ConfigSet(ConfigSet),
    Shutdown(Shutdown),
}

/// The message for a verb.
pub(super) fn of(verb: &Verb) -> Result<Wish, Failure> {
    Ok(match verb {
        Verb::Status => Wish::Status,
        Verb::Tree => Wish::Tree,
        Verb::Ps => Wish::Ps,
        Verb::Inspect { actor } => Wish::Inspect(Inspect {
            actor: actor.clone(),
        }),
        Verb::Events { filter, limit, .. } => Wish::Events(Events {
            filter: filter_of(filter)?,
            limit: Some(*limit),
        }),
        Verb::Why { subject, limit } => Wish::Why(Why {
            subject: subject.clone(),
            limit: Some(*limit),
        }),
        Verb::Conversations { limit } => Wish::Conversations(Conversations {
            limit: Some(*limit),
        }),
        Verb::Connections { action: None } => Wish::Connections,
        Verb::Audit { limit } => Wish::Audit(Audit {
            limit: Some(*limit),
        }),
        Verb::Tap {
            actor,
            time,
            messages,
            rate,
        } => Wish::Tap(Tap {
            actor: actor.clone(),
            for_s: Some(time.as_secs()),
            messages: Some(*messages),
            per_second: Some(*rate),
        }),
        Verb::Config {
            action: CtlConfig::Get { key },
        } => Wish::ConfigGet(ConfigGet { key: key.clone() }),
        other => changing(other)?,
    })
}

fn changing(verb: &Verb) -> Result<Wish, Failure> {
    macro_rules! about {
        ($case:ident, $message:ident { $field:ident } = $args:expr) => {
            Wish::$case($message {
                $field: $args.$field.clone(),
                dry_run: $args.dry.dry_run,
            })
        };
    }
    Ok(match verb {
        Verb::Restart(on) => about!(Restart, Restart { actor } = on),
        Verb::Stop(on) => about!(Stop, Stop { actor } = on),
        Verb::Start(on) => about!(Start, Start { actor } = on),
        Verb::Kill(on) => about!(Kill, Kill { actor } = on),
        Verb::Pause(on) => about!(Pause, Pause { actor } = on),
        Verb::Resume(on) => about!(Resume, Resume { actor } = on),
        Verb::Chaos {
            fault,
            actor,
            by,
            time,
            dry,
        } => Wish::Chaos(Chaos {
            actor: actor.clone(),
            fault: named(*fault),
            delay_ms: by.map(millis),
            for_ms: time.map(millis),
            dry_run: dry.dry_run,
        }),
        Verb::Load(on) => about!(Load, LoadModel { model } = on),
        Verb::Unload(on) => about!(Unload, UnloadModel { model } = on),
        Verb::Pin(on) => about!(Pin, PinModel { model } = on),
        Verb::Unpin(on) => about!(Unpin, UnpinModel { model } = on),
        Verb::Cancel { id, dry } => Wish::Cancel(Cancel {
            id: id.clone(),
            dry_run: dry.dry_run,
        }),
        Verb::Connections {
            action: Some(CtlConnections::Kick { id, dry }),
        } => Wish::Kick(Kick {
            id: *id,
            dry_run: dry.dry_run,
        }),
        Verb::Limit { what, value, dry } => Wish::Limit(limit(*what, value, dry.dry_run)?),
        Verb::Log { words, time, dry } => Wish::Log(log(words, *time, dry.dry_run)?),
        Verb::Drain(dry) => Wish::Drain(Drain {
            dry_run: dry.dry_run,
        }),
        Verb::Shutdown { deadline, dry } => Wish::Shutdown(Shutdown {
            deadline_ms: Some(millis(*deadline)),
            dry_run: dry.dry_run,
        }),
        Verb::Config {
            action:
                CtlConfig::Set {
                    changes,
                    expect,
                    dry,
                },
        } => Wish::ConfigSet(ConfigSet {
            changes: all(changes)?,
            expected: *expect,
            dry_run: dry.dry_run,
        }),
        // The others only look.
        other => of(other)?,
    })
}

const fn named(fault: Fault) -> act::Fault {
    match fault {
        Fault::Crash => act::Fault::Crash,
        Fault::Stall => act::Fault::Stall,
        Fault::Slow => act::Fault::Slow,
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// `actor=model_host`, `event=crashed`.
fn filter_of(words: &[String]) -> Result<Filter, Failure> {
    let mut filter = Filter::default();
    for word in words {
        match word.split_once('=') {
            Some(("actor", actor)) if filter.actor.is_none() => {
                filter.actor = Some(actor.to_owned());
            }
            Some(("actor", _)) => {
                let what = "--filter actor= is given twice, and an event is one actor's";
                return Err(Failure::usage(what, "name one above them both"));
            }
            Some(("event", event)) => filter.events.push(event.to_owned()),
            _ => {
                let what = format!("--filter {word} is not accepted: use actor=NAME or event=WORD");
                return Err(Failure::usage(what, "`paraphym ctl tree` lists the actors"));
            }
        }
    }
    if let Some(wrong) = filter.wrong_word() {
        let what = format!("--filter event={wrong} is not accepted");
        return Err(Failure::usage(
            what,
            format!("there are {}", WORDS.join(", ")),
        ));
    }
    Ok(filter)
}

fn limit(what: Limited, value: &str, dry_run: bool) -> Result<Limit, Failure> {
    let (what, value) = match what {
        Limited::Memory if value == "off" => (act::Limited::Memory, None),
        Limited::Memory => {
            let size = parse_size(value).map_err(|_| {
                let what =
                    format!("memory = {value} is not accepted: use a size such as 2GiB, or off");
                Failure::usage(what, "off takes the limit away: then the machine bounds it")
            })?;
            (act::Limited::Memory, Some(size.0))
        }
        Limited::Queue => {
            let hint = "so many requests may wait for each model";
            (act::Limited::Queue, Some(number("queue", value, hint)?))
        }
        Limited::Connections => {
            let count = number("connections", value, "so many connections may be open")?;
            (act::Limited::Connections, Some(count))
        }
    };
    Ok(Limit {
        what,
        value,
        dry_run,
    })
}

fn number(what: &str, value: &str, hint: &str) -> Result<u64, Failure> {
    value.parse().map_err(|_| {
        let what = format!("{what} = {value} is not accepted: use a whole number from 1");
        Failure::usage(what, hint)
    })
}

fn log(words: &[String], time: Duration, dry_run: bool) -> Result<Log, Failure> {
    let (actor, word) = match words {
        [actor, word] => (Some(actor.clone()), word.as_str()),
        [word] => (None, word.as_str()),
        _ => (None, ""),
    };
    let level = loudness(word).ok_or_else(|| {
        let what = format!("{word} is no level");
        Failure::usage(what, "use off, error, warn, info, debug, trace or reset")
    })?;
    Ok(Log {
        actor,
        level,
        for_s: Some(time.as_secs()),
        dry_run,
    })
}

fn all(changes: &[String]) -> Result<Vec<Change>, Failure> {
    changes.iter().map(|one| change(one)).collect()
}

fn change(text: &str) -> Result<Change, Failure> {
    let (key, value) = text.split_once('=').ok_or_else(|| {
        let what = format!("{text} is not accepted: write it as KEY=VALUE");
        Failure::usage(what, "`paraphym ctl config get` lists the keys")
    })?;
    Ok(Change {
        key: key.trim().to_owned(),
        value: value.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    fn wish(line: &str) -> Result<Wish, Failure> {
        let cli = Cli::try_parse_from(format!("paraphym ctl {line}").split(' '));
        let Command::Ctl(ctl) = cli.unwrap().command else {
            panic!("not ctl");
        };
        of(&ctl.verb)
    }

    #[test]
    fn words_become_messages() {
        for (line, expected) in [
            ("status", "Status"),
            (
                "restart model_host",
                r#"Restart(Restart { actor: "model_host", dry_run: false })"#,
            ),
            (
                "kill a/b -n",
                r#"Kill(Kill { actor: "a/b", dry_run: true })"#,
            ),
            (
                "tap a --for 5s --messages 7 --rate 3",
                r#"Tap(Tap { actor: "a", for_s: Some(5), messages: Some(7), per_second: Some(3) })"#,
            ),
            (
                "chaos slow a --by 50ms --for 1s",
                r#"Chaos(Chaos { actor: "a", fault: Slow, delay_ms: Some(50), for_ms: Some(1000), dry_run: false })"#,
            ),
            (
                "load m --dry-run",
                r#"Load(LoadModel { model: "m", dry_run: true })"#,
            ),
            (
                "limit memory 2GiB",
                "Limit(Limit { what: Memory, value: Some(2147483648), dry_run: false })",
            ),
            (
                "limit memory off -n",
                "Limit(Limit { what: Memory, value: None, dry_run: true })",
            ),
            (
                "limit queue 7",
                "Limit(Limit { what: Queue, value: Some(7), dry_run: false })",
            ),
            (
                "limit connections 9 -n",
                "Limit(Limit { what: Connections, value: Some(9), dry_run: true })",
            ),
            ("connections", "Connections"),
            (
                "connections kick 7 -n",
                "Kick(Kick { id: 7, dry_run: true })",
            ),
            (
                "log debug",
                "Log(Log { actor: None, level: Debug, for_s: Some(600), dry_run: false })",
            ),
            (
                "log gateway off --for 0s",
                r#"Log(Log { actor: Some("gateway"), level: Off, for_s: Some(0), dry_run: false })"#,
            ),
            (
                "shutdown --deadline 1m",
                "Shutdown(Shutdown { deadline_ms: Some(60000), dry_run: false })",
            ),
            (
                "events --filter actor=a --filter event=ready --filter event=killed --limit 3",
                r#"Events(Events { filter: Filter { actor: Some("a"), events: ["ready", "killed"] }, limit: Some(3) })"#,
            ),
        ] {
            assert_eq!(format!("{:?}", wish(line).unwrap()), expected, "{line}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_bad_usage() {
        for (line, part) in [
            (
                "limit memory none",
                "memory = none is not accepted: use a size such as 2GiB, or off",
            ),
            ("limit queue many", "queue = many"),
            ("limit connections many", "connections = many"),
            ("log loud", "loud is no level"),
            ("log model_host loud", "loud is no level"),
            ("events --filter colour=red", "colour=red"),
            ("events --filter actor=a --filter actor=b", "twice"),
            ("events --filter event=dead", "event=dead"),
            ("config set model.temperature", "KEY=VALUE"),
        ] {
            let failure = wish(line).unwrap_err();
            assert_eq!(failure.code(), 2, "{line}");
            let lines = failure.lines().join("\n");
            assert!(lines.contains(part), "{part} in {lines}");
        }
    }
}
