//! Events as they happen, until somebody has seen enough or the server ends.

use paraphym_candle::control::News;
use paraphym_candle::control::protocol::events::{Event, Events, Happened, Subscribe};
use serde_json::json;

use super::{Asking, LOOK, failure, json, show};
use crate::failure::Failure;

/// By how much two readings of one moment may differ.
const CLOCKS_MS: u64 = 5;

/// First those of the past, then those to come. Subscribed before the past is asked for: nothing falls between.
pub(super) async fn follow(asking: &mut Asking<'_>, past: Events) -> Result<(), Failure> {
    let filter = past.filter.clone();
    asking.ask(&Subscribe { filter }, LOOK).await?;
    let past = asking.ask(&past, LOOK).await?;
    for event in &past.events {
        tell(asking, event).await?;
    }
    loop {
        let next = asking.client.next();
        match asking
            .stage
            .unless_signalled(next)
            .await?
            .map_err(failure)?
        {
            News::Happened(Happened { event, .. }) => {
                // What happened between the two questions is in both answers.
                if !past.events.iter().any(|told| is_same(told, &event)) {
                    tell(asking, &event).await?;
                }
            }
            // Whoever follows sees the actors stop.
            News::Ending(_) | News::Tapped(_) | News::TapOver(_) => {}
            News::Lagged(lagged) => {
                let (lost, out) = (lagged.lost, &mut asking.stage.out);
                if asking.as_json {
                    out.json(&json!({"event": "lagged", "lost": lost})).await?;
                } else {
                    out.aside(&format!(
                        "{lost} events were lost: they came faster than they were read"
                    ))
                    .await?;
                }
            }
        }
    }
}

/// Whether two answers tell of one step; each has read the clocks for itself.
fn is_same(one: &Event, other: &Event) -> bool {
    let step = |event: &Event| (event.life, event.actor.clone(), event.event.clone());
    step(one) == step(other) && one.at_ms.abs_diff(other.at_ms) <= CLOCKS_MS
}

async fn tell(asking: &mut Asking<'_>, event: &Event) -> Result<(), Failure> {
    let out = &mut asking.stage.out;
    if asking.as_json {
        return out.json(&json(event)?).await;
    }
    let text = show::one_event(event).text(out);
    out.text(&text).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_the_same_if_it_is_the_same_life_and_word_at_about_the_same_moment() {
        let event = |life, word: &str, at_ms| Event {
            at_ms,
            actor: "root/a".to_owned(),
            life,
            event: word.to_owned(),
            text: String::new(),
            reason: None,
            abandoned: Vec::new(),
        };
        let first = event(1, "ready", 100);
        for (other, same) in [
            (event(1, "ready", 100), true),
            (event(1, "ready", 102), true),
            (event(1, "ready", 200), false),
            (event(2, "ready", 100), false),
            (event(1, "stopped", 100), false),
        ] {
            assert_eq!(is_same(&first, &other), same, "{other:?}");
        }
    }
}
