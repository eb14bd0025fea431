//! The two points of a distribution that are printed: what is usual, and what one in a hundred waits for.

use crate::lane::Sample;
use crate::peer::Failure;

/// Median and 99th percentile (nearest rank below), in the unit of the times.
pub(crate) fn p50_p99(mut times: Vec<u64>) -> Result<Sample, Failure> {
    times.sort_unstable();
    let at = |percent: usize| {
        let found = times.get(times.len() * percent / 100);
        found.map(|&time| time as f64).ok_or("nothing was timed")
    };
    Ok(vec![at(50)?, at(99)?])
}
