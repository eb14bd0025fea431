//! In which order what runs: what uses the processor alone and in alternation, what waits for deadlines all together.

use tokio::task::JoinSet;

use crate::alone;
use crate::lane::{Failure, Lane, Part};
use crate::outcomes::Outcomes;
use crate::sizes::Sizes;

/// A run of one part of one lane in a process of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run<'a> {
    /// The name of the sizes.
    pub(crate) named: &'a str,
    /// For the program, before it knows that it is a fresh one.
    pub(crate) arguments: &'a [&'a str],
}

/// Everything. `tell` hears what was done.
pub(crate) async fn run(
    sizes: &Sizes,
    run: Run<'_>,
    mut tell: impl FnMut(String),
) -> Result<Outcomes, Failure> {
    let mut outcomes = Outcomes::default();
    let [few, many] = sizes.crowds;
    let alternated = [Part::Idle, Part::Crowd(few), Part::Crowd(many), Part::Stop];
    for round in 0..sizes.rounds {
        for part in alternated {
            let mut lanes = [Lane::Before, Lane::Ours];
            // Nobody always runs behind the same neighbour's leavings.
            lanes.rotate_left(round % 2);
            for lane in lanes.into_iter().filter(|lane| is_quick(part, *lane)) {
                let said = alone::run(part, lane, run.named, run.arguments).await?;
                outcomes.add(part, lane, said);
            }
            tell(format!(
                "round {} of {}: {}",
                round + 1,
                sizes.rounds,
                part.name()
            ));
        }
    }
    let patient = [
        (Part::Typing, Lane::Before),
        (Part::Typing, Lane::Ours),
        (Part::Heartbeats, Lane::Before),
        (Part::Heartbeats, Lane::Mended),
        (Part::Heartbeats, Lane::Ours),
        (Part::Stop, Lane::Before),
        (Part::Panic, Lane::Before),
        (Part::Panic, Lane::Ours),
    ];
    tell("deadlines, stops and panics, all at once".to_owned());
    let mut waiting = JoinSet::new();
    for (part, lane) in patient {
        let named = run.named.to_owned();
        let arguments: Vec<String> = run.arguments.iter().map(|&one| one.to_owned()).collect();
        waiting.spawn(async move {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let said = alone::run(part, lane, &named, &arguments).await;
            said.map(|said| (part, lane, said))
        });
    }
    while let Some(one) = waiting.join_next().await {
        let (part, lane, said) = one??;
        outcomes.add(part, lane, said);
    }
    Ok(outcomes)
}

/// The old world's stop is waited for with the deadlines.
fn is_quick(part: Part, lane: Lane) -> bool {
    (part, lane) != (Part::Stop, Lane::Before)
}
