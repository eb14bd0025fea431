//! Children that come and go: what is left of them in memory when they have ended and their parent has not.

use tokio::time::Instant;

use crate::lane::{Column, Group, KAMEO_SUPERVISE, Lane, OURS_DYNAMIC, RACTOR, RAW, Sample};
use crate::memory::resident_bytes;
use crate::peer::{Failure, Parent};
use crate::sizes::Sizes;
use crate::{kameo_supervise, ours, ractor_peer, raw_tokio};

const COLUMNS: &[Column] = &[
    Column::plain("MiB before", 1),
    Column::plain("MiB after", 1),
    Column::plain("% more", 1),
    Column::ratio("ns/child"),
];
const MIB: f64 = 1024.0 * 1024.0;
/// One in so many generations comes before the first look at memory: a heap has to have met the size it works at, in
/// every thread's share of it. What is kept of each child would show in the rest all the same.
const SETTLING: usize = 5;

pub(crate) fn groups(sizes: Sizes) -> Vec<Group> {
    let (passing, generation) = (sizes.passing, sizes.generation);
    vec![Group {
        key: "passing".to_owned(),
        title: format!(
            "passing: {passing} children of one parent, {generation} at once, started and ended, after {} more",
            passing / SETTLING
        ),
        columns: COLUMNS,
        base: KAMEO_SUPERVISE,
        rounds: sizes.slow_rounds,
        alone: true,
        lanes: vec![
            lane::<raw_tokio::Set>(RAW, passing, generation),
            lane::<kameo_supervise::SupervisedParent>(KAMEO_SUPERVISE, passing, generation),
            lane::<ours::Dynamic>(OURS_DYNAMIC, passing, generation),
            lane::<ractor_peer::LinkedParent>(RACTOR, passing, generation),
        ],
    }]
}

fn lane<P: Parent>(name: &'static str, passing: usize, generation: usize) -> Lane {
    Lane::new(name, move || run::<P>(passing, generation))
}

async fn run<P: Parent>(passing: usize, generation: usize) -> Result<Sample, Failure> {
    let mut parent = P::open().await?;
    let generations = passing.div_ceil(generation);
    for _ in 0..generations.div_ceil(SETTLING) {
        parent.generation(generation).await?;
    }
    let before = resident_bytes().await?;
    let begun = Instant::now();
    for _ in 0..generations {
        parent.generation(generation).await?;
    }
    let took = begun.elapsed();
    let after = resident_bytes().await?;
    parent.close().await?;
    Ok(vec![
        before / MIB,
        after / MIB,
        (after / before - 1.0) * 100.0,
        took.as_nanos() as f64 / passing as f64,
    ])
}
