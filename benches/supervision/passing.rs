//! Children that come and go: what is left of them in memory when they have ended and their parent has not.

use tokio::time::Instant;

use crate::lane::{Column, Group, KAMEO_SUPERVISE, Lane, OURS_DYNAMIC, RACTOR, RAW, Sample};
use crate::memory::resident_bytes;
use crate::peer::{Failure, Parent, on_worker};
use crate::sizes::Sizes;
use crate::{kameo_supervise, ours, ractor_peer, raw_tokio};

const COLUMNS: &[Column] = &[
    Column::plain("MiB before", 1),
    Column::plain("MiB after", 1),
    Column::plain("% more", 1),
    Column::ratio("ns/child"),
];
const MIB: f64 = 1024.0 * 1024.0;
/// Children that live at once: one by one, and by the thousand, where the heap has to find room again and again.
const TOGETHER: [usize; 2] = [1, 1_000];
/// One in so many comes before the first look at memory: a heap has to have met the size it works at, in every thread's
/// share of it. What is kept of each child would show in the rest all the same.
const SETTLING: usize = 3;

pub(crate) fn groups(sizes: Sizes) -> Vec<Group> {
    let passing = sizes.passing;
    let groups = TOGETHER.iter().map(|&together| Group {
        key: format!("passing-{together}"),
        title: format!(
            "passing: {passing} children of one parent, {together} at once, started and ended, after {} more",
            passing / SETTLING
        ),
        columns: COLUMNS,
        base: KAMEO_SUPERVISE,
        rounds: sizes.slow_rounds,
        alone: true,
        lanes: vec![
            lane::<raw_tokio::Set>(RAW, passing, together),
            lane::<kameo_supervise::SupervisedParent>(KAMEO_SUPERVISE, passing, together),
            lane::<ours::Dynamic>(OURS_DYNAMIC, passing, together),
            lane::<ractor_peer::LinkedParent>(RACTOR, passing, together),
        ],
    });
    groups.collect()
}

fn lane<P: Parent>(name: &'static str, passing: usize, together: usize) -> Lane {
    Lane::new(name, move || run::<P>(passing, together))
}

async fn run<P: Parent>(passing: usize, together: usize) -> Result<Sample, Failure> {
    let mut parent = P::open().await?;
    let generations = passing.div_ceil(together);
    let (parent, before, took) = on_worker(async move {
        for _ in 0..generations.div_ceil(SETTLING) {
            parent.generation(together).await?;
        }
        let before = resident_bytes().await?;
        let begun = Instant::now();
        for _ in 0..generations {
            parent.generation(together).await?;
        }
        Ok((parent, before, begun.elapsed()))
    })
    .await?;
    let after = resident_bytes().await?;
    parent.close().await?;
    Ok(vec![
        before / MIB,
        after / MIB,
        (after / before - 1.0) * 100.0,
        took.as_nanos() as f64 / (generations * together) as f64,
    ])
}
