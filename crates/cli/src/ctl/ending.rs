//! Ends the server and looks on until its process is gone: each step is said as it comes, and what was not finished at the
//! end. A server that hangs up without its last word was cut off, and nothing is taken for finished. As JSON it is one line.

use std::time::Duration;

use paraphym_candle::control::News;
use paraphym_candle::control::protocol::act::Shutdown;
use paraphym_candle::control::protocol::ending::{Ending, Phase};
use serde_json::json;
use tokio::time::{sleep, timeout};

use super::{ACT, Asking, json, show};
use crate::failure::Failure;

/// How long the process may take after the last word: its threads end.
const GONE: Duration = Duration::from_mins(1);
/// How often it is looked for.
const GLANCE: Duration = Duration::from_millis(20);

/// Asks for it, and looks on.
pub(super) async fn follow(asking: &mut Asking<'_>, wish: Shutdown) -> Result<(), Failure> {
    // Its start tells it from a later process of the same number.
    let process = asking.client.pid().and_then(Process::find);
    let acted = asking.acted(&wish, ACT).await?;
    if !asking.as_json {
        let text = format!("{}\n", show::plain(&acted.what));
        asking.stage.out.text(&text).await?;
    }
    let mut phases = Vec::new();
    if acted.done {
        // It hangs up when all of its actors have ended, or when it is killed.
        loop {
            let next = asking.client.next();
            let Ok(news) = asking.stage.unless_signalled(next).await? else {
                break;
            };
            if let News::Ending(ending) = news {
                if !asking.as_json {
                    asking.stage.out.text(&line(&ending)).await?;
                }
                phases.push(ending);
            }
        }
    }
    let gone = match &process {
        Some(process) if acted.done => {
            let ended = timeout(GONE, process.gone());
            asking.stage.unless_signalled(ended).await?.is_ok()
        }
        _ => false,
    };
    let cut_off = acted.done.then(|| cut_off(phases.last())).flatten();
    if asking.as_json {
        let mut whole = json(&acted)?;
        if let (Some(whole), true) = (whole.as_object_mut(), acted.done) {
            whole.insert("phases".to_owned(), json!(phases));
            whole.insert("cut_off".to_owned(), json!(cut_off));
            whole.insert("gone".to_owned(), gone.into());
        }
        asking.stage.out.json(&whole).await?;
    } else {
        if let Some(still) = &cut_off {
            let still = show::plain(&still.join(", "));
            let text = format!("cut off before its last word: {still}; its log tells the rest\n");
            asking.stage.out.text(&text).await?;
        }
        if gone {
            asking.stage.out.text("the server is gone\n").await?;
        }
    }
    if let Some(process) = process.filter(|_| acted.done && !gone) {
        return Err(still_there(process.pid));
    }
    let unfinished = |last: &Ending| !last.abandoned.is_empty() || !last.killed.is_empty();
    if cut_off.is_some() || phases.last().is_some_and(unfinished) {
        return Err(Failure::Abandoned);
    }
    Ok(())
}

/// What was under way, as far as is known, when a server hung up without its last word: its deadline came, or it was killed.
fn cut_off(last: Option<&Ending>) -> Option<Vec<String>> {
    match last {
        Some(last) if last.is_last() => None,
        Some(last) if !last.under_way.is_empty() => Some(last.under_way.clone()),
        _ => Some(vec!["it did not say what was under way".to_owned()]),
    }
}

fn still_there(pid: i32) -> Failure {
    let error = format!("process {pid} has hung up, and is still there a minute later");
    Failure::failed(
        error,
        format!("its log tells what it waits for; kill -9 {pid} ends it"),
    )
}

/// A process, known by its number and when it started.
struct Process {
    pid: i32,
    started: String,
}

impl Process {
    fn find(pid: i32) -> Option<Self> {
        let started = started(pid)?;
        Some(Self { pid, started })
    }

    /// Until it has ended. It is not our child, so nobody tells us.
    async fn gone(&self) {
        while started(self.pid).as_ref() == Some(&self.started) {
            sleep(GLANCE).await;
        }
    }
}

/// When this process started, as the kernel counts; none where there is none, or only what its parent has not looked at.
fn started(pid: i32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Its name may hold anything, brackets too.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    let state = fields.next()?;
    let started = fields.nth(18)?.to_owned();
    (state != "Z").then_some(started)
}

fn many(number: usize, what: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {what}{s}")
}

/// One step, for people.
fn line(ending: &Ending) -> String {
    let seconds = Duration::from_millis(ending.left_ms).as_secs_f32();
    let still = &ending.under_way;
    let what = match ending.phase {
        Phase::Draining => "nothing new is taken".to_owned(),
        Phase::Answers => format!(
            "{} under way, {seconds:.1} s left",
            many(still.len(), "answer")
        ),
        Phase::Actors => format!(
            "{} to stop, {seconds:.1} s left",
            many(still.len(), "actor")
        ),
        Phase::Runtime => "all actors have stopped".to_owned(),
    };
    let mut text = format!("{}: {what}", ending.phase.as_str());
    if !still.is_empty() && still.len() <= 4 {
        text = format!("{text}: {}", show::plain(&still.join(", ")));
    }
    for abandoned in &ending.abandoned {
        text = format!("{text}\n  abandoned: {}", show::plain(abandoned));
    }
    for killed in &ending.killed {
        text = format!("{text}\n  killed: {}", show::plain(killed));
    }
    format!("{text}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_word_says_that_nothing_was_cut_off() {
        let ending = |phase, under_way: &[&str]| Ending {
            phase,
            under_way: under_way.iter().map(|&one| one.to_owned()).collect(),
            left_ms: 0,
            abandoned: Vec::new(),
            killed: Vec::new(),
        };
        let runtime = ending(Phase::Runtime, &["root/control"]);
        assert_eq!(cut_off(Some(&runtime)), None);
        let actors = ending(Phase::Actors, &["root/control", "root/typing"]);
        assert_eq!(cut_off(Some(&actors)), Some(actors.under_way.clone()));
        for silent in [None, Some(&ending(Phase::Draining, &[]))] {
            assert_eq!(cut_off(silent).unwrap().len(), 1, "{silent:?}");
        }
    }
}
