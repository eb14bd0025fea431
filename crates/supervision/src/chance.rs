//! Chance as a value: restart jitter is drawn from a seed that comes from outside, so a test can fix it.
//!
//! Nothing here reads the clock or the operating system.

/// A small deterministic generator (`SplitMix64`: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number
/// Generators", OOPSLA 2014). Good enough to spread restarts in time, and for nothing else.
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    /// A generator whose whole future is decided by `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A generator for one place in the tree, so that neighbours with one root seed do not jitter in step.
    pub(crate) fn for_place(seed: u64, place: &str) -> Self {
        // FNV-1a over the path; http://www.isthe.com/chongo/tech/comp/fnv/
        let hash = place.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Self::new(seed ^ hash)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `[0, 1)`.
    pub(crate) fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_tells_the_same_story_and_places_differ() {
        let draw = |mut chance: Chance| (0..8).map(|_| chance.fraction()).collect::<Vec<_>>();
        assert_eq!(draw(Chance::new(7)), draw(Chance::new(7)));
        assert_ne!(
            draw(Chance::for_place(7, "root/a")),
            draw(Chance::for_place(7, "root/b"))
        );
    }

    #[test]
    fn fractions_stay_in_the_unit_interval_and_spread() {
        let mut chance = Chance::new(1);
        let draws: Vec<f64> = (0..1000).map(|_| chance.fraction()).collect();
        assert!(draws.iter().all(|f| (0.0..1.0).contains(f)));
        let mean = draws.iter().sum::<f64>() / 1000.0;
        assert!((0.45..0.55).contains(&mean), "{mean}");
    }
}
