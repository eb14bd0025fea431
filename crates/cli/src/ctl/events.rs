//! Events as they happen, until somebody has seen enough or the server ends.

use paraphym_candle::control::News;
use paraphym_candle::control::protocol::events::{Events, Subscribe};
use serde_json::json;

use super::{Asking, LOOK, failure, json, show};
use crate::failure::Failure;

/// First those of the past, then those to come. Subscribed before the past is asked for: nothing falls between.
pub(super) async fn follow(asking: &mut Asking<'_>, past: Events) -> Result<(), Failure> {
    let filter = past.filter.clone();
    asking.ask(&Subscribe { filter }, LOOK).await?;
    let past = asking.ask(&past, LOOK).await?;
    let mut last = None;
    for event in &past.events {
        tell(asking, event).await?;
        last = Some(event.clone());
    }
    loop {
        let next = asking.client.next();
        match asking
            .stage
            .unless_signalled(next)
            .await?
            .map_err(failure)?
        {
            News::Happened(happened) => {
                // What happened between the two questions is in both answers.
                if last
                    .as_ref()
                    .is_some_and(|last| happened.event.at_ms < last.at_ms)
                {
                    continue;
                }
                tell(asking, &happened.event).await?;
            }
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

async fn tell(
    asking: &mut Asking<'_>,
    event: &paraphym_candle::control::protocol::events::Event,
) -> Result<(), Failure> {
    let out = &mut asking.stage.out;
    if asking.as_json {
        return out.json(&json(event)?).await;
    }
    let text = show::one_event(event).text(out);
    out.text(&text).await
}
