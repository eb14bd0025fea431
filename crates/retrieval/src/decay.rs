//! How fresh a memory is, computed when somebody reads it. Nothing here is ever written: what is kept is an importance and
//! a stamp, so reading twice gives the same as reading once.

const MS_PER_DAY: f64 = 86_400_000.0;

/// How age counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decay {
    /// What a day takes: `exp(-per_day)` of the freshness is left after one. 0 and up.
    pub per_day: f64,
    /// What is left at least; 0 to 1.
    pub floor: f64,
    /// How much freshness may take off a score: from 0, nothing, to 1, all but the floor.
    pub sway: f64,
}

impl Default for Decay {
    /// A tenth each day, down to a hundredth, and at most a quarter of the score.
    ///
    /// Not all of it: fused scores of one search differ by a factor of four at most, so with a sway of 1 anything said
    /// today would come before the one right answer of last month.
    fn default() -> Self {
        Self {
            per_day: 0.1,
            floor: 0.01,
            sway: 0.25,
        }
    }
}

impl Decay {
    /// `max(floor, importance * exp(-per_day * days))`, from `floor` to 1. `age_ms` below 0, as after a clock that was set
    /// back, is no age.
    pub fn freshness(&self, importance: f32, age_ms: i64) -> f64 {
        let days = age_ms.max(0) as f64 / MS_PER_DAY;
        let importance = f64::from(importance.clamp(0.0, 1.0));
        (importance * (-self.per_day * days).exp()).max(self.floor)
    }

    /// `score * (1 - sway + sway * freshness)`.
    pub fn weighted(&self, score: f64, freshness: f64) -> f64 {
        score * (1.0 - self.sway + self.sway * freshness)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: i64 = 86_400_000;

    #[test]
    fn a_day_takes_a_tenth_and_a_hundredth_is_left() {
        let decay = Decay::default();
        for (importance, days, expected) in [
            (1.0, 0, 1.0),
            (0.8, 0, 0.8),
            (1.0, 1, 0.904_837),
            (0.5, 10, 0.183_940),
            (1.0, 46, 0.010_052),
            (1.0, 47, 0.01),
            (0.001, 0, 0.01),
            (1.0, 100_000, 0.01),
            (1.0, -3, 1.0),
        ] {
            let freshness = decay.freshness(importance, days * DAY);
            assert!(
                (freshness - expected).abs() < 1e-6,
                "{importance} after {days} days: {freshness}"
            );
        }
    }

    #[test]
    fn age_takes_a_quarter_of_a_score_at_most() {
        let decay = Decay::default();
        assert!((decay.weighted(1.0, 1.0) - 1.0).abs() < 1e-12);
        assert!((decay.weighted(1.0, 0.01) - 0.7525).abs() < 1e-12);
        let all = Decay { sway: 1.0, ..decay };
        assert!((all.weighted(1.0, 0.01) - 0.01).abs() < 1e-12);
    }

    proptest! {
        /// It depends on the age alone, not on how often or when one looked before.
        #[test]
        fn looking_in_between_changes_nothing(importance in 0.0..=1.0_f32, first in 0..1000_i64, then in 0..1000_i64) {
            let decay = Decay::default();
            let straight = decay.freshness(importance, (first + then) * DAY);
            let _ = decay.freshness(importance, first * DAY);
            prop_assert!((decay.freshness(importance, (first + then) * DAY) - straight).abs() < f64::EPSILON);
            prop_assert!(straight <= decay.freshness(importance, first * DAY));
        }

        #[test]
        fn it_stays_between_the_floor_and_one(importance in any::<f32>(), age_ms in any::<i64>()) {
            let freshness = Decay::default().freshness(importance, age_ms);
            prop_assert!(freshness.is_nan() || (0.01..=1.0).contains(&freshness), "{}", freshness);
            prop_assert!(!freshness.is_nan());
        }
    }
}
