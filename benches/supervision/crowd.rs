//! Many idle actors: how long they take to start, what each weighs, and how long the end of all of them takes.

use std::time::Duration;

use tokio::time::Instant;

use crate::lane::{
    ACTIX, Column, Group, KAMEO, KAMEO_SUPERVISE, KAMEO_SUPERVISE_ONCE, Lane, OURS, OURS_DEEP,
    OURS_DYNAMIC, RACTOR, RAW, Sample,
};
use crate::memory::resident_bytes;
use crate::peer::{Crowd, Failure};
use crate::sizes::Sizes;
use crate::{actix_peer, bare_kameo, kameo_supervise, ours, ractor_peer, raw_tokio};

const SPAWN: &[Column] = &[Column::ratio("ns/actor")];
const BYTES: &[Column] = &[Column::ratio("B/actor")];
const STOP: &[Column] = &[Column {
    name: "ms",
    ratio: true,
    digits: 1,
}];
/// Actors that start and end before memory is read: pages every contender needs once are touched.
const FIRST_FEW: usize = 100;

/// Which of the three a lane is about.
#[derive(Clone, Copy)]
enum Aspect {
    Spawn,
    Bytes,
    Stop,
}

pub(crate) fn spawn_groups(sizes: Sizes) -> Vec<Group> {
    let actors = sizes.spawned;
    vec![Group {
        key: "spawn".to_owned(),
        title: format!("spawn: {actors} actors, until each has answered once"),
        columns: SPAWN,
        base: KAMEO,
        rounds: sizes.rounds.div_ceil(2),
        alone: false,
        lanes: lanes(Aspect::Spawn, actors),
    }]
}

pub(crate) fn bytes_groups(sizes: Sizes) -> Vec<Group> {
    let groups = sizes.idle.iter().map(|&actors| Group {
        key: format!("bytes-{actors}"),
        title: format!(
            "bytes: resident memory of each of {actors} idle actors, its handle included"
        ),
        columns: BYTES,
        base: KAMEO,
        rounds: sizes.slow_rounds,
        alone: true,
        lanes: lanes(Aspect::Bytes, actors),
    });
    groups.collect()
}

pub(crate) fn stop_groups(sizes: Sizes) -> Vec<Group> {
    let actors = sizes.tree;
    vec![Group {
        key: "stop".to_owned(),
        title: format!(
            "stop: all of {actors} idle actors (kameo bare and actix have no tree: each is told to)"
        ),
        columns: STOP,
        base: KAMEO,
        rounds: sizes.slow_rounds,
        alone: true,
        lanes: lanes(Aspect::Stop, actors),
    }]
}

fn lanes(aspect: Aspect, actors: usize) -> Vec<Lane> {
    let supervised = match aspect {
        // Its time grows with the square of the children.
        Aspect::Stop => {
            lane::<kameo_supervise::SupervisedCrowd>(KAMEO_SUPERVISE_ONCE, aspect, actors).once()
        }
        Aspect::Spawn | Aspect::Bytes => {
            lane::<kameo_supervise::SupervisedCrowd>(KAMEO_SUPERVISE, aspect, actors)
        }
    };
    vec![
        lane::<raw_tokio::Tasks>(RAW, aspect, actors),
        lane::<bare_kameo::BareCrowd>(KAMEO, aspect, actors),
        lane::<ours::Flat>(OURS, aspect, actors),
        lane::<ours::Deep>(OURS_DEEP, aspect, actors),
        lane::<ours::DynamicCrowd>(OURS_DYNAMIC, aspect, actors),
        supervised,
        lane::<actix_peer::LocalCrowd>(ACTIX, aspect, actors),
        lane::<ractor_peer::Linked>(RACTOR, aspect, actors),
    ]
}

fn lane<C: Crowd>(name: &'static str, aspect: Aspect, actors: usize) -> Lane {
    Lane::new(name, move || run::<C>(aspect, actors))
}

async fn run<C: Crowd>(aspect: Aspect, actors: usize) -> Result<Sample, Failure> {
    C::gather(FIRST_FEW.min(actors)).await?.disperse().await?;
    let before = resident_bytes().await?;
    let begun = Instant::now();
    let crowd = C::gather(actors).await?;
    let gathering = begun.elapsed();
    let after = resident_bytes().await?;
    let begun = Instant::now();
    crowd.disperse().await?;
    let dispersing = begun.elapsed();
    Ok(vec![match aspect {
        Aspect::Spawn => nanoseconds(gathering) / actors as f64,
        Aspect::Bytes => (after - before) / actors as f64,
        Aspect::Stop => nanoseconds(dispersing) / 1e6,
    }])
}

fn nanoseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}
