//! Crashes in a row: messages are sent without waiting, some make the actor panic, and in the end everything that was
//! sent must have been counted by some life.

use std::sync::Arc;

use tokio::time::Instant;

use crate::lane::{
    ACTIX_CATCH, Column, Group, KAMEO_SUPERVISE, Lane, OURS, RACTOR_OWN, RAW, Sample,
};
use crate::peer::{Address, Failure, Ledger, Peer, on_worker};
use crate::restart::answer_again;
use crate::sizes::Sizes;
use crate::{actix_peer, kameo_supervise, ours, ractor_peer, raw_tokio};

const COLUMNS: &[Column] = &[
    Column::ratio("ns/restart"),
    Column::plain("lives", 0),
    Column::plain("lost", 0),
];
const CAPACITY: usize = 64;
/// Messages to be counted after each crash; so a crash always has others queued behind it.
const BETWEEN: u64 = 4;

pub(crate) fn groups(sizes: Sizes) -> Vec<Group> {
    let crashes = sizes.crashes;
    let sent = crashes * BETWEEN;
    vec![Group {
        key: "crashes".to_owned(),
        title: format!(
            "crashes: {crashes} in a row with {sent} messages between them; lost = taken and never counted"
        ),
        columns: COLUMNS,
        base: KAMEO_SUPERVISE,
        rounds: sizes.slow_rounds,
        alone: false,
        lanes: vec![
            lane::<raw_tokio::Respawned>(RAW, crashes),
            lane::<kameo_supervise::Supervised>(KAMEO_SUPERVISE, crashes),
            lane::<ours::Supervised>(OURS, crashes),
            lane::<actix_peer::Restarted>(ACTIX_CATCH, crashes),
            lane::<ractor_peer::Respawned>(RACTOR_OWN, crashes),
        ],
    }]
}

fn lane<P: Peer>(name: &'static str, crashes: u64) -> Lane {
    Lane::new(name, move || run::<P>(crashes))
}

async fn run<P: Peer>(crashes: u64) -> Result<Sample, Failure> {
    let ledger = Arc::<Ledger>::default();
    let peer = P::start(CAPACITY, ledger.clone()).await?;
    let address = peer.address();
    let (last, took) = on_worker(async move {
        answer_again(&address).await?;
        let begun = Instant::now();
        for _ in 0..crashes {
            address.crash().await?;
            for _ in 0..BETWEEN {
                address.add().await?;
            }
        }
        // Behind everything that was sent: what is not counted by now is lost.
        let last = answer_again(&address).await?;
        Ok((last, begun.elapsed()))
    })
    .await?;
    peer.end().await?;
    // Per life that really began: a crash whose message was lost cost nothing.
    let restarts = ledger.lives().saturating_sub(1);
    let missing = (crashes * BETWEEN).saturating_sub(ledger.counted() + last);
    Ok(vec![
        took.as_nanos() as f64 / restarts as f64,
        ledger.lives() as f64,
        missing as f64,
    ])
}
