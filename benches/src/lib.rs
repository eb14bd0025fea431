//! What the benches share: the plain arithmetic of repeated measurements.
//!
//! Invariant: a figure here is always a ratio of two things measured alternately in one process. A machine's mood
//! changes both.

/// The middle of the values; `None` if there are none. NaN sorts last.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[9.0, 1.0, 5.0]), Some(5.0));
    }
}
