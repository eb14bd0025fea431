//! Restart: from the message that makes the actor panic to the first answer after it. No backoff anywhere.

use std::sync::Arc;

use tokio::time::Instant;

use crate::lane::{
    ACTIX_CATCH, Column, Group, KAMEO_SUPERVISE, Lane, OURS, RACTOR_OWN, RAW, Sample,
};
use crate::peer::{Address, Failure, Ledger, Peer, on_worker};
use crate::percentile::p50_p99;
use crate::sizes::Sizes;
use crate::{actix_peer, kameo_supervise, ours, ractor_peer, raw_tokio};

const COLUMNS: &[Column] = &[Column::ratio("p50 ns"), Column::ratio("p99 ns")];
const CAPACITY: usize = 64;
/// Questions after one crash before the contender counts as dead. Who keeps its queue needs one.
const QUESTIONS: usize = 1_000;

pub(crate) fn groups(sizes: Sizes) -> Vec<Group> {
    let restarts = sizes.restarts;
    vec![Group {
        key: "restart".to_owned(),
        title: format!("restart: panic to the next answer, {restarts} times in turn, no backoff"),
        columns: COLUMNS,
        base: KAMEO_SUPERVISE,
        rounds: sizes.rounds,
        alone: false,
        lanes: vec![
            lane::<raw_tokio::Respawned>(RAW, restarts),
            lane::<kameo_supervise::Supervised>(KAMEO_SUPERVISE, restarts),
            lane::<ours::Supervised>(OURS, restarts),
            lane::<actix_peer::Restarted>(ACTIX_CATCH, restarts),
            lane::<ractor_peer::Respawned>(RACTOR_OWN, restarts),
        ],
    }]
}

fn lane<P: Peer>(name: &'static str, restarts: usize) -> Lane {
    Lane::new(name, move || run::<P>(restarts))
}

async fn run<P: Peer>(restarts: usize) -> Result<Sample, Failure> {
    let ledger = Arc::<Ledger>::default();
    let peer = P::start(CAPACITY, ledger.clone()).await?;
    let address = peer.address();
    let times = on_worker(async move {
        answer_again(&address).await?;
        let mut times = Vec::with_capacity(restarts);
        for _ in 0..restarts {
            let begun = Instant::now();
            address.crash().await?;
            answer_again(&address).await?;
            times.push(begun.elapsed().as_nanos() as u64);
        }
        Ok(times)
    })
    .await?;
    peer.end().await?;
    let lives = ledger.lives();
    if lives != restarts as u64 + 1 {
        return Err(format!("{restarts} crashes made {lives} lives").into());
    }
    p50_p99(times)
}

/// The first answer of the life that is now.
pub(crate) async fn answer_again<A: Address>(address: &A) -> Result<u64, Failure> {
    let mut last = None;
    for _ in 0..QUESTIONS {
        match address.count().await {
            Ok(count) => return Ok(count),
            Err(failure) => last = Some(failure),
        }
        tokio::task::yield_now().await;
    }
    Err(last.unwrap_or_else(|| "nobody was asked".into()))
}
