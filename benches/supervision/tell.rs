//! Tell: from the first message sent to the answer that shows that all were counted, over the number of messages.

use std::sync::Arc;

use tokio::time::Instant;

use crate::lane::{ACTIX, Column, Group, KAMEO, KAMEO_SUPERVISE, Lane, OURS, RACTOR, RAW, Sample};
use crate::peer::{Address, Failure, Peer, on_worker};
use crate::sizes::Sizes;
use crate::{actix_peer, bare_kameo, kameo_supervise, ours, ractor_peer, raw_tokio};

const COLUMNS: &[Column] = &[Column::ratio("ns/message")];
/// Places in the queue: kameo's default, and one that a burst fits into.
const CAPACITIES: [usize; 2] = [64, 1024];

pub(crate) fn groups(sizes: Sizes) -> Vec<Group> {
    let groups = CAPACITIES.iter().map(|&capacity| Group {
        key: format!("tell-{capacity}"),
        title: format!(
            "tell: {} messages to one actor, queue of {capacity} (ractor and actix: no bound)",
            sizes.tells
        ),
        columns: COLUMNS,
        base: KAMEO,
        rounds: sizes.rounds,
        alone: false,
        lanes: vec![
            lane::<raw_tokio::Task>(RAW, capacity, sizes.tells),
            lane::<bare_kameo::Bare>(KAMEO, capacity, sizes.tells),
            lane::<ours::Supervised>(OURS, capacity, sizes.tells),
            lane::<kameo_supervise::Supervised>(KAMEO_SUPERVISE, capacity, sizes.tells),
            lane::<actix_peer::Alone>(ACTIX, capacity, sizes.tells),
            lane::<ractor_peer::Alone>(RACTOR, capacity, sizes.tells),
        ],
    });
    groups.collect()
}

fn lane<P: Peer>(name: &'static str, capacity: usize, tells: u64) -> Lane {
    Lane::new(name, move || run::<P>(capacity, tells))
}

async fn run<P: Peer>(capacity: usize, tells: u64) -> Result<Sample, Failure> {
    let peer = P::start(capacity, Arc::default()).await?;
    let address = peer.address();
    let took = on_worker(async move {
        address.count().await?;
        let begun = Instant::now();
        for _ in 0..tells {
            address.add().await?;
        }
        let counted = address.count().await?;
        if counted != tells {
            return Err(format!("{counted} of {tells} messages were counted").into());
        }
        Ok(begun.elapsed())
    })
    .await?;
    peer.end().await?;
    Ok(vec![took.as_nanos() as f64 / tells as f64])
}
