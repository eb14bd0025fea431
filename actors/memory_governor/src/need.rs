//! How much memory would have to come free for the machine to be well again.
//!
//! Only what is really in use counts here: a model that fills nine tenths of the budget by right is no emergency. Nothing
//! here reads a file or a clock.

use domain::Bytes;

use crate::pressure::{BANDS, Fill, Level, Pressure, Share};

/// What brings the machine below the share at which [`Level::High`] is left, by the fullest of what it has; zero below
/// `High`.
///
/// A stall, and a group where someone was killed, come without a number of bytes: then a step as wide as `High`'s band, of the budget, which is what one change
/// of level is about.
pub fn of_machine(real: Pressure, fills: impl IntoIterator<Item = Fill>, budget: Bytes) -> Bytes {
    if real.level < Level::High {
        return Bytes::ZERO;
    }
    let leave = BANDS.high.leave;
    let over = fills
        .into_iter()
        .map(|fill| fill.used.saturating_sub(part(fill.of, leave)))
        .max()
        .unwrap_or(Bytes::ZERO);
    if over > Bytes::ZERO {
        return over;
    }
    let step = BANDS.high.enter.0.saturating_sub(leave.0);
    part(budget, Share(step)).max(Bytes(1))
}

/// So many thousandths of it, rounded down.
fn part(of: Bytes, share: Share) -> Bytes {
    let part = u128::from(of.0) * u128::from(share.0) / 1000;
    Bytes(u64::try_from(part).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::Readings;

    #[test]
    fn the_need_is_what_brings_the_fullest_below_high() {
        let fill = |used, of| {
            let (used, of) = (Bytes(used), Bytes(of));
            Some(Fill { used, of })
        };
        for (name, level, cgroup, host, expected) in [
            ("well", Level::Normal, fill(990, 1000), None, 0),
            ("a full group", Level::High, fill(870, 1000), None, 70),
            (
                "a full host",
                Level::Critical,
                fill(10, 1000),
                Some((10_000, 500)),
                1500,
            ),
            (
                "both",
                Level::Critical,
                fill(3900, 4000),
                Some((10_000, 1900)),
                700,
            ),
            ("in the band", Level::High, fill(801, 1000), None, 1),
            // A stall, with enough of everything.
            ("a stall", Level::High, fill(100, 1000), None, 25),
            (
                "a stall on a machine that tells nothing",
                Level::High,
                None,
                None,
                25,
            ),
        ] {
            let readings = Readings {
                host: host.map(|(total, _)| Bytes(total)),
                host_available: host.map(|(_, free)| Bytes(free)),
                fullest: cgroup,
                ..Readings::default()
            };
            let real = Pressure {
                level,
                ..Pressure::default()
            };
            let fills = readings.fills().map(|(_, fill)| fill);
            assert_eq!(
                of_machine(real, fills, Bytes(500)),
                Bytes(expected),
                "{name}"
            );
        }
        let high = Pressure {
            level: Level::High,
            ..Pressure::default()
        };
        let nothing = of_machine(high, [], Bytes::ZERO);
        assert_eq!(nothing, Bytes(1), "a need is never nothing");
    }
}
