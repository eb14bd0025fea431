//! One part of one lane in a fresh process: this program once more, told which by its environment. It is waited for, and
//! never for ever.

use std::process::Stdio;
use std::time::Duration;

use runtime::RuntimeOptions;
use serde_json::Value;
use tokio::process::Command;

use crate::lane::{Failure, Lane, Part, parse};
use crate::sizes::Sizes;
use crate::{broken, crowd, idle, panics, silence, stop};

/// Tells a process that it is a fresh one: part, lane and sizes.
pub(crate) const TOLD: &str = "PARAPHYM_BENCH_PART";
/// Stands before what it says.
const MARK: &str = "figures: ";
/// No part takes so long.
const PATIENCE: Duration = Duration::from_secs(100);

/// What a fresh process came to. `arguments` are for the program as it was started, not for us.
pub(crate) async fn run(
    part: Part,
    lane: Lane,
    sizes: &str,
    arguments: &[&str],
) -> Result<Value, Failure> {
    let told = format!("{} {} {sizes}", part.name(), lane.name());
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(arguments)
        .env(TOLD, &told)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await;
    let output = output.map_err(|_| format!("{told}: it hangs"))??;
    let said = String::from_utf8(output.stdout)?;
    let figures = said
        .split_once(MARK)
        .and_then(|(_, rest)| rest.lines().next());
    match figures {
        Some(figures) if output.status.success() => Ok(serde_json::from_str(figures)?),
        _ => Err(format!("{told}: {}: {said}", output.status).into()),
    }
}

/// In the fresh process: the line that the other one reads.
pub(crate) fn answer(told: &str) -> Result<String, Failure> {
    let words: Vec<&str> = told.split(' ').collect();
    let [part, lane, sizes] = words[..] else {
        return Err("PART LANE SIZES".into());
    };
    let (part, lane) = parse(part, lane)?;
    let sizes = Sizes::named(sizes).ok_or("the sizes are full, quick and tiny")?;
    panics::hush();
    let figures = match part {
        Part::Stop => stop::measure(lane, &sizes)?,
        other => runtime::run(&RuntimeOptions::default(), |runtime| async move {
            match other {
                Part::Idle => idle::measure(lane, &sizes, &runtime).await,
                Part::Crowd(connections) => crowd::measure(lane, connections, &sizes).await,
                Part::Heartbeats => silence::heartbeats(lane, &sizes).await,
                Part::Typing => silence::typing(lane, &sizes).await,
                Part::Panic | Part::Stop => broken::measure(lane, &sizes).await,
            }
        })??,
    };
    Ok(format!("{MARK}{figures}"))
}
