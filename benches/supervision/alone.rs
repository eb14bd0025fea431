//! One run of one lane in a fresh process: this program once more, told which. It is waited for, and never for ever.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::lane::{Group, Lane, Sample};
use crate::peer::Failure;

/// The argument by which the fresh process knows that it is one.
pub(crate) const FLAG: &str = "alone";
/// No lane takes a tenth of it.
const PATIENCE: Duration = Duration::from_mins(2);

/// Runs the lane in a process of its own and reads its one line.
pub(crate) async fn run(group: &Group, lane: &Lane, quick: bool) -> Result<Sample, Failure> {
    let program = std::env::current_exe()?;
    let mut command = Command::new(program);
    command
        .arg(format!("--{FLAG}={}/{}", group.key, lane.name))
        .args(quick.then_some("--quick"))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await??;
    let said = String::from_utf8(output.stdout)?;
    if !output.status.success() {
        return Err(format!("{} of {}: {}", lane.name, group.key, output.status).into());
    }
    let values = said.split_whitespace().map(str::parse);
    Ok(values.collect::<Result<Sample, _>>()?)
}

/// In the fresh process: the line that the other one reads.
pub(crate) async fn answer(groups: &[Group], which: &str) -> Result<String, Failure> {
    let (key, name) = which.split_once('/').ok_or("alone: GROUP/LANE")?;
    let group = groups.iter().find(|group| group.key == key);
    let mut lanes = group.iter().flat_map(|group| &group.lanes);
    let lane = lanes.find(|lane| lane.name == name);
    let sample = lane.ok_or("alone: no such lane")?.run().await?;
    let values: Vec<String> = sample.iter().map(f64::to_string).collect();
    Ok(values.join(" "))
}
