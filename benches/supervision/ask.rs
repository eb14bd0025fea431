//! Ask: from the question to its answer, one after the other, the asker on a worker of the runtime.

use std::sync::Arc;

use tokio::time::Instant;

use crate::lane::{
    ACTIX, ACTIX_SAME, Column, Group, KAMEO, KAMEO_SUPERVISE, KAMEO_TIMED, Lane, OURS, RACTOR, RAW,
    Sample,
};
use crate::peer::{Address, Failure, Peer, on_main, on_worker};
use crate::percentile::p50_p99;
use crate::sizes::Sizes;
use crate::{actix_peer, bare_kameo, kameo_supervise, ours, ractor_peer, raw_tokio};

const COLUMNS: &[Column] = &[Column::ratio("p50 ns"), Column::ratio("p99 ns")];
/// Places in the queue. One message is ever in it.
const CAPACITY: usize = 64;

/// Where the asker runs.
#[derive(Clone, Copy)]
enum Asker {
    Worker,
    /// Beside the actors that live on the main thread.
    Main,
}

pub(crate) fn groups(sizes: Sizes) -> Vec<Group> {
    let asks = sizes.asks;
    vec![Group {
        key: "ask".to_owned(),
        title: format!("ask: {asks} questions in turn (paraphym's have a deadline of 5 s)"),
        columns: COLUMNS,
        base: KAMEO,
        rounds: sizes.rounds,
        alone: false,
        lanes: vec![
            lane::<raw_tokio::Task>(RAW, asks, Asker::Worker),
            lane::<bare_kameo::Bare>(KAMEO, asks, Asker::Worker),
            lane::<ours::Supervised>(OURS, asks, Asker::Worker),
            lane::<bare_kameo::BareTimed>(KAMEO_TIMED, asks, Asker::Worker),
            lane::<kameo_supervise::Supervised>(KAMEO_SUPERVISE, asks, Asker::Worker),
            lane::<actix_peer::Alone>(ACTIX, asks, Asker::Worker),
            lane::<actix_peer::Alone>(ACTIX_SAME, asks, Asker::Main),
            lane::<ractor_peer::Alone>(RACTOR, asks, Asker::Worker),
        ],
    }]
}

fn lane<P: Peer>(name: &'static str, asks: usize, asker: Asker) -> Lane {
    Lane::new(name, move || run::<P>(asks, asker))
}

async fn run<P: Peer>(asks: usize, asker: Asker) -> Result<Sample, Failure> {
    let peer = P::start(CAPACITY, Arc::default()).await?;
    let questions = ask_in_turn(peer.address(), asks);
    let times = match asker {
        Asker::Worker => on_worker(questions).await?,
        Asker::Main => on_main(questions).await?,
    };
    peer.end().await?;
    p50_p99(times)
}

async fn ask_in_turn<A: Address>(address: A, asks: usize) -> Result<Vec<u64>, Failure> {
    let mut times = Vec::with_capacity(asks);
    // A tenth unmeasured: pages are touched, both sides are where they will be.
    for _ in 0..asks / 10 {
        address.count().await?;
    }
    for _ in 0..asks {
        let begun = Instant::now();
        address.count().await?;
        times.push(begun.elapsed().as_nanos() as u64);
    }
    Ok(times)
}
