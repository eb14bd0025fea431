//! How scarce memory is: one of four levels, from the fullest of what was promised and what is really in use.
//!
//! A level is entered at one share and left at a lower one, so that a figure that trembles does not make the level
//! tremble. Nothing here reads a file or a clock; shares are whole thousandths, so there is no rounding to argue about.

use std::fmt;

use domain::Bytes;

use crate::events::Strike;

/// How much of something is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// In use.
    pub used: Bytes,
    /// Of this much.
    pub of: Bytes,
}

impl Fill {
    /// In thousandths, rounded down. Of nothing, nothing in use is 0 and anything is the most there is.
    pub fn share(self) -> Share {
        let (used, of) = (u128::from(self.used.0), u128::from(self.of.0));
        let full = if used == 0 { 0 } else { u128::MAX };
        let share = (used * 1000).checked_div(of).unwrap_or(full);
        Share(u16::try_from(share).unwrap_or(u16::MAX))
    }
}

/// Thousandths of a whole; above 1000 when more is in use than there should be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(pub u16);

impl fmt::Display for Share {
    /// In per cent: `87.5%`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}%", self.0 / 10, self.0 % 10)
    }
}

/// How scarce memory is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Plenty.
    #[default]
    Low,
    /// In use, as it should be.
    Normal,
    /// Nearly all is in use: caches should shrink.
    High,
    /// The reserve is being used up: idle models should go.
    Critical,
}

impl Level {
    /// From the highest.
    const FALLING: [Self; 4] = [Self::Critical, Self::High, Self::Normal, Self::Low];

    /// The word for programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// 0 for `Low` to 3 for `Critical`, for a gauge.
    pub const fn rank(self) -> u8 {
        match self {
            Self::Low => 0,
            Self::Normal => 1,
            Self::High => 2,
            Self::Critical => 3,
        }
    }

    /// The level after a look at `share`: the highest whose threshold is reached, which is `leave` for a level that is
    /// held now (and those below it) and `enter` for those above.
    #[must_use]
    pub fn after(self, share: Share, bands: &Bands) -> Self {
        Self::FALLING
            .into_iter()
            .find(|level| {
                bands.of(*level).is_none_or(|band| {
                    let threshold = if *level <= self {
                        band.leave
                    } else {
                        band.enter
                    };
                    share >= threshold
                })
            })
            .unwrap_or_default()
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where a level begins and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Band {
    /// Reaching this share enters the level.
    pub enter: Share,
    /// Falling below this share leaves it. Not above `enter`.
    pub leave: Share,
}

/// The bands of the levels above `Low`, each at or above the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bands {
    /// Of `Level::Normal`.
    pub normal: Band,
    /// Of `Level::High`.
    pub high: Band,
    /// Of `Level::Critical`.
    pub critical: Band,
}

/// The thresholds in force. They follow from the reserve, an eighth of a host or a cgroup (`limit::reserve_of`), and are
/// reasoned, not measured.
///
/// - `High` from 85%: the leased budget ends at 87.5%, so there is next to nothing left to lease.
/// - `Critical` from 94%: half of the reserve is gone, and what it is for (code, stacks, page tables) is in danger.
/// - `Normal` from 60%: below it there is nothing to think about.
/// - Each is left 5 to 6 points lower: what one conversation more or less takes of a small budget does not move it.
pub const BANDS: Bands = Bands {
    normal: Band {
        enter: Share(600),
        leave: Share(550),
    },
    high: Band {
        enter: Share(850),
        leave: Share(800),
    },
    critical: Band {
        enter: Share(940),
        leave: Share(880),
    },
};

/// Where a stall makes it `High`, in thousandths of the last ten seconds: the share the kernel's trigger is set to, and
/// half of it, so that a stall that comes and goes is one.
pub const STALL: Band = Band {
    enter: Share(100),
    leave: Share(50),
};

impl Bands {
    const fn of(&self, level: Level) -> Option<Band> {
        match level {
            Level::Low => None,
            Level::Normal => Some(self.normal),
            Level::High => Some(self.high),
            Level::Critical => Some(self.critical),
        }
    }
}

/// What the share is a share of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// The budget: bytes promised.
    #[default]
    Ledger,
    /// A cgroup's limit: bytes really in use.
    Cgroup,
    /// The host's RAM: bytes not available.
    Host,
    /// Time that tasks lost to waiting for memory.
    Stall,
    /// A cgroup's limit, or its `memory.high`, that was reached while there was little page cache to drop: bytes in use
    /// after that.
    AtLimit,
    /// A cgroup that had nothing left, or where a process was killed for it; the share is of the fullest then.
    OutOfMemory,
}

impl Source {
    /// The word for programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ledger => "ledger",
            Self::Cgroup => "cgroup",
            Self::Host => "host",
            Self::Stall => "stall",
            Self::AtLimit => "at_limit",
            Self::OutOfMemory => "out_of_memory",
        }
    }
}

/// A level and the figures it comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pressure {
    /// The level.
    pub level: Level,
    /// The largest share in use.
    pub share: Share,
    /// Of what.
    pub source: Source,
}

impl Pressure {
    /// What follows on `self` when the fills are these; of equal shares the first counts. Without a fill nothing is in
    /// use.
    #[must_use]
    pub fn after(self, fills: impl IntoIterator<Item = (Source, Fill)>, bands: &Bands) -> Self {
        let fullest = fills
            .into_iter()
            .map(|(source, fill)| (fill.share(), source))
            .reduce(|a, b| if b.0 > a.0 { b } else { a });
        let (share, source) = fullest.unwrap_or_default();
        Self {
            level: self.level.after(share, bands),
            share,
            source,
        }
    }

    /// Lifted to `High` when tasks wait for memory, whatever is in use. `before` is what `self` follows on.
    ///
    /// Never to `Critical`: a stall says that somebody waits, not that memory is at its end, and may be another program's.
    /// So caches and idle models go, and nobody is refused for it.
    #[must_use]
    pub fn or_stalled(self, before: Self, stalled: Option<Share>) -> Self {
        let Some(share) = stalled else {
            return self;
        };
        let threshold = if before.source == Source::Stall && before.level == Level::High {
            STALL.leave
        } else {
            STALL.enter
        };
        if self.level >= Level::High || share < threshold {
            return self;
        }
        Self {
            level: Level::High,
            share,
            source: Source::Stall,
        }
    }
}

impl Pressure {
    /// Lifted to what follows from what the kernel counted since the look before. `before` is what `self` follows on: who
    /// lifted it is named as long as that holds.
    #[must_use]
    pub fn or_struck(self, before: Self, strike: Option<Strike>) -> Self {
        let Some(Strike {
            level,
            source,
            fill,
        }) = strike
        else {
            return self;
        };
        let is_named = before.source == source && level == self.level;
        if level < self.level || (level == self.level && !is_named) {
            return self;
        }
        Self {
            level,
            share: fill.map_or(self.share, Fill::share),
            source,
        }
    }
}

impl fmt::Display for Pressure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (level, share) = (self.level, self.share);
        match self.source {
            Source::Ledger => write!(f, "{level}: {share} of the budget is leased"),
            Source::Cgroup => write!(f, "{level}: {share} of the cgroup's limit is in use"),
            Source::Host => write!(f, "{level}: {share} of the host's RAM is in use"),
            Source::Stall => write!(f, "{level}: tasks waited for memory for {share} of 10 s"),
            Source::AtLimit => write!(f, "{level}: the cgroup was at its limit, {share} is in use"),
            Source::OutOfMemory => write!(f, "{level}: the cgroup ran out of memory"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LEVELS: [Level; 4] = [Level::Low, Level::Normal, Level::High, Level::Critical];

    #[test]
    fn shares_are_whole_thousandths() {
        for (used, of, share, text) in [
            (0, 0, 0, "0.0%"),
            (1, 0, u16::MAX, "6553.5%"),
            (0, 100, 0, "0.0%"),
            (875, 1000, 875, "87.5%"),
            (9999, 10_000, 999, "99.9%"),
            (3, 2, 1500, "150.0%"),
            (u64::MAX, u64::MAX, 1000, "100.0%"),
            (u64::MAX, 1, u16::MAX, "6553.5%"),
        ] {
            let fill = Fill {
                used: Bytes(used),
                of: Bytes(of),
            };
            assert_eq!(fill.share(), Share(share), "{fill:?}");
            assert_eq!(fill.share().to_string(), text);
        }
    }

    #[test]
    fn a_level_is_left_below_where_it_was_entered() {
        use Level::{Critical, High, Low, Normal};
        for (before, share, after) in [
            (Low, 599, Low),
            (Low, 600, Normal),
            (Normal, 550, Normal),
            (Normal, 549, Low),
            (Normal, 849, Normal),
            (Normal, 850, High),
            (High, 800, High),
            (High, 799, Normal),
            (High, 939, High),
            (High, 940, Critical),
            (Critical, 880, Critical),
            (Critical, 879, High),
            // Over several levels at once, both ways.
            (Low, u16::MAX, Critical),
            (Critical, 0, Low),
            (Critical, 560, Normal),
            (Low, 860, High),
        ] {
            assert_eq!(
                before.after(Share(share), &BANDS),
                after,
                "{before} {share}"
            );
        }
    }

    #[test]
    fn the_bands_in_force_rise_and_have_room_between_enter_and_leave() {
        let shares = [
            BANDS.normal.leave,
            BANDS.normal.enter,
            BANDS.high.leave,
            BANDS.high.enter,
            BANDS.critical.leave,
            BANDS.critical.enter,
        ];
        assert!(shares.is_sorted_by(|a, b| a < b), "{shares:?}");
    }

    #[test]
    fn the_fullest_counts_and_is_named() {
        let fill = |used| Fill {
            used: Bytes(used),
            of: Bytes(1000),
        };
        for (ledger, cgroup, host, text) in [
            (100, 100, 100, "low: 10.0% of the budget is leased"),
            (
                100,
                700,
                300,
                "normal: 70.0% of the cgroup's limit is in use",
            ),
            (0, 949, 950, "critical: 95.0% of the host's RAM is in use"),
            (1000, 900, 900, "critical: 100.0% of the budget is leased"),
        ] {
            let fills = [
                (Source::Ledger, fill(ledger)),
                (Source::Cgroup, fill(cgroup)),
                (Source::Host, fill(host)),
            ];
            let pressure = Pressure::default().after(fills, &BANDS);
            assert_eq!(pressure.to_string(), text);
        }
        assert_eq!(Pressure::default().after([], &BANDS), Pressure::default());
    }

    #[test]
    fn a_strike_lifts_the_level_and_never_lowers_it() {
        let at = |level, source| Pressure {
            level,
            share: Share(700),
            source,
        };
        let fill = |used| Fill {
            used: Bytes(used),
            of: Bytes(1000),
        };
        let strike = |level, source, fill| {
            Some(Strike {
                level,
                source,
                fill,
            })
        };
        let limit = strike(Level::High, Source::AtLimit, Some(fill(820)));
        let killed = strike(Level::Critical, Source::OutOfMemory, None);
        for (now, strike, text) in [
            (
                Level::Normal,
                None,
                "normal: 70.0% of the host's RAM is in use",
            ),
            (
                Level::Normal,
                limit,
                "high: the cgroup was at its limit, 82.0% is in use",
            ),
            (
                Level::High,
                limit,
                "high: 70.0% of the host's RAM is in use",
            ),
            (
                Level::Critical,
                limit,
                "critical: 70.0% of the host's RAM is in use",
            ),
            (
                Level::High,
                killed,
                "critical: the cgroup ran out of memory",
            ),
        ] {
            let now = at(now, Source::Host);
            let lifted = now.or_struck(now, strike);
            assert_eq!(lifted.to_string(), text);
            // Judged again with nothing new, it is called the same.
            assert_eq!(now.or_struck(lifted, strike), lifted);
        }
        let (low, high) = (at(Level::Low, Source::Host), at(Level::High, Source::Host));
        assert_eq!(low.or_struck(low, killed).share, Share(700));
        // Held by the band after the first judgement, it is still called what it was.
        let lifted = low.or_struck(low, limit);
        assert_eq!(high.or_struck(lifted, limit), lifted);
    }

    #[test]
    fn a_stall_is_high_pressure_whatever_is_in_use_and_never_more() {
        let at = |level, source| Pressure {
            level,
            share: Share(1),
            source,
        };
        let (host, stall) = (Source::Host, Source::Stall);
        let (low, high) = (at(Level::Low, host), at(Level::High, stall));
        for (before, by_use, stalled, expected) in [
            (low, low, None, (Level::Low, host)),
            (low, low, Some(99), (Level::Low, host)),
            (low, low, Some(100), (Level::High, stall)),
            (high, low, Some(50), (Level::High, stall)),
            (high, low, Some(49), (Level::Low, host)),
            (high, low, None, (Level::Low, host)),
            (at(Level::High, host), low, Some(60), (Level::Low, host)),
            (low, at(Level::High, host), Some(900), (Level::High, host)),
            (
                high,
                at(Level::Critical, host),
                Some(900),
                (Level::Critical, host),
            ),
        ] {
            let now = by_use.or_stalled(before, stalled.map(Share));
            assert_eq!((now.level, now.source), expected, "{before} {stalled:?}");
        }
        let text = low.or_stalled(low, Some(Share(123))).to_string();
        assert_eq!(text, "high: tasks waited for memory for 12.3% of 10 s");
    }

    fn level() -> impl Strategy<Value = Level> {
        prop::sample::select(LEVELS.to_vec())
    }

    proptest! {
        #[test]
        fn more_in_use_is_never_a_lower_level(before in level(), a: u16, b: u16) {
            let (less, more) = (Share(a.min(b)), Share(a.max(b)));
            prop_assert!(before.after(less, &BANDS) <= before.after(more, &BANDS));
        }

        #[test]
        fn a_higher_level_before_is_never_a_lower_one_after(a in level(), b in level(), share in 0u16..1100) {
            let (low, high) = (a.min(b), a.max(b));
            prop_assert!(low.after(Share(share), &BANDS) <= high.after(Share(share), &BANDS));
        }

        #[test]
        fn the_same_share_again_changes_nothing(before in level(), share in 0u16..1100) {
            let once = before.after(Share(share), &BANDS);
            prop_assert_eq!(once.after(Share(share), &BANDS), once);
        }

        #[test]
        fn within_a_band_the_level_changes_at_most_once(
            before in level(),
            band in prop::sample::select(vec![BANDS.normal, BANDS.high, BANDS.critical]),
            trembling in prop::collection::vec(0u16..1000, 1..40),
        ) {
            let width = band.enter.0 - band.leave.0;
            let mut level = before;
            let mut changes = 0;
            for at in trembling {
                let next = level.after(Share(band.leave.0 + at % width), &BANDS);
                changes += usize::from(next != level);
                level = next;
            }
            prop_assert!(changes <= 1, "{changes} changes");
        }
    }
}
