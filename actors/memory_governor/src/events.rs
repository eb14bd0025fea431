//! What the kernel counted because a control group had no room, and what follows from it.
//!
//! How full a group is, is a figure of one moment; these counters tell of what was between two of them. Only growth counts,
//! and only where it tells of memory that is missed: a group at its limit that gives up page cache does what page cache is
//! for. Nothing here reads a file or a clock.
//!
//! Source: the kernel's `cgroup-v2.rst` (`memory.events`, `memory.events.local`) and `cgroup-v1/memory.rst`
//! (`memory.failcnt`, `memory.memsw.failcnt`, `memory.oom_control`).

use std::fmt;
use std::path::PathBuf;

use crate::cgroup::Group;
use crate::pressure::{Bands, Fill, Level, Source};

/// One group's counters, since the group was made. What the kernel does not tell is `None`, never zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Tasks were held up because the group was above `memory.high`.
    pub high: Option<u64>,
    /// The group was at its limit, and something had to go first.
    pub max: Option<u64>,
    /// There was nothing left to go.
    pub oom: Option<u64>,
    /// Processes of the group that were killed for it.
    pub oom_kill: Option<u64>,
}

impl Counts {
    /// `memory.events` or `memory.events.local`: a name and a number on each line.
    pub fn parse_v2(text: &str) -> Self {
        Self {
            high: field(text, "high"),
            max: field(text, "max"),
            oom: field(text, "oom"),
            oom_kill: field(text, "oom_kill"),
        }
    }

    /// `memory.failcnt` and `memory.memsw.failcnt`, a number each, and `memory.oom_control`, where older kernels count no
    /// kills. A group whose memory and swap together have the same limit as its memory is at the former first, and the
    /// other counter stands still; since Linux 6.14 both do.
    pub fn parse_v1(failcnt: &str, swap_failcnt: &str, oom_control: &str) -> Self {
        let swap: u64 = swap_failcnt.trim().parse().unwrap_or_default();
        let max = failcnt.trim().parse::<u64>().ok();
        Self {
            max: max.map(|max| max.saturating_add(swap)),
            oom_kill: field(oom_control, "oom_kill"),
            ..Self::default()
        }
    }

    fn or(self, before: Self) -> Self {
        Self {
            high: self.high.or(before.high),
            max: self.max.or(before.max),
            oom: self.oom.or(before.oom),
            oom_kill: self.oom_kill.or(before.oom_kill),
        }
    }
}

fn field(text: &str, name: &str) -> Option<u64> {
    let mut fields = text.lines().filter_map(|line| line.split_once(' '));
    let (_, number) = fields.find(|(field, _)| *field == name)?;
    number.trim().parse().ok()
}

/// By how much a counter grew. One that was not known, or that went back (another group, made anew under the same name),
/// begins now.
fn growth(before: Option<u64>, now: Option<u64>) -> u64 {
    before.zip(now).map_or(0, |(b, n)| n.saturating_sub(b))
}

/// The counters that were read last, by group.
#[derive(Clone, Debug, Default)]
pub struct Seen(Vec<(PathBuf, Counts)>);

impl Seen {
    /// What grew since they were seen last; from now on these are. A group that is seen for the first time has no past. What
    /// cannot be read now is compared when it can be, as long as the process is in the group.
    pub fn compare(&mut self, groups: &[Group]) -> Vec<Grown> {
        // Nobody leaves all groups: they could not be read.
        if groups.is_empty() {
            return Vec::new();
        }
        let mut grown = Vec::new();
        let mut seen = Vec::with_capacity(groups.len());
        for group in groups {
            let before = self.0.iter().find(|(folder, _)| *folder == group.folder);
            let before = before.map(|(_, counts)| *counts).unwrap_or_default();
            let now = group.counts;
            seen.push((group.folder.clone(), now.or(before)));
            let these = Grown {
                folder: group.folder.clone(),
                limit: group.limit,
                throttle: group.throttle,
                high: growth(before.high, now.high),
                max: growth(before.max, now.max),
                oom: growth(before.oom, now.oom),
                oom_kill: growth(before.oom_kill, now.oom_kill),
            };
            if these.high.max(these.max).max(these.oom).max(these.oom_kill) > 0 {
                grown.push(these);
            }
        }
        self.0 = seen;
        grown
    }
}

/// How much one group's counters grew, and how full it is after that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grown {
    /// The group.
    pub folder: PathBuf,
    /// What of its limit is in use, less what the kernel would drop first.
    pub limit: Option<Fill>,
    /// The same of `memory.high`.
    pub throttle: Option<Fill>,
    /// As in [`Counts`].
    pub high: u64,
    /// As in [`Counts`].
    pub max: u64,
    /// As in [`Counts`].
    pub oom: u64,
    /// As in [`Counts`].
    pub oom_kill: u64,
}

impl Grown {
    /// Whether there was no room at all, or someone was killed for it.
    pub const fn is_out_of_memory(&self) -> bool {
        self.oom > 0 || self.oom_kill > 0
    }

    /// What follows from it, if anything does.
    ///
    /// A group that ran out of memory, or where someone was killed for it, is `Critical`, however full it is now: the one who
    /// was killed has given back what was missed. One that was at its limit, or held up, is `High` from the share on at
    /// which `High` would be left: below that, what was missed was room for page cache.
    pub fn strike(&self, bands: &Bands) -> Option<Strike> {
        if self.is_out_of_memory() {
            let fill = self.limit.or(self.throttle);
            return Some(Strike {
                level: Level::Critical,
                source: Source::OutOfMemory,
                fill,
            });
        }
        let from = bands.high.leave;
        let at_limit = self.limit.filter(|_| self.max > 0);
        let held_up = self.throttle.filter(|_| self.high > 0);
        let fill = fuller(at_limit, held_up).filter(|fill| fill.share() >= from)?;
        Some(Strike {
            level: Level::High,
            source: Source::AtLimit,
            fill: Some(fill),
        })
    }
}

fn fuller(a: Option<Fill>, b: Option<Fill>) -> Option<Fill> {
    a.into_iter().chain(b).max_by_key(|fill| fill.share())
}

impl fmt::Display for Grown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.folder.display())?;
        let counts = [
            (self.oom_kill, "killed"),
            (self.oom, "out of memory"),
            (self.max, "at the limit"),
            (self.high, "held up"),
        ];
        let mut between = " ";
        for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
            write!(f, "{between}{what} {count}×")?;
            between = ", ";
        }
        match self.limit {
            Some(Fill { used, of }) => write!(f, "; now {used} of {of} in use"),
            None => f.write_str("; no limit of its own"),
        }
    }
}

/// A level that holds until a reading without growth, whatever is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strike {
    /// `High` or `Critical`.
    pub level: Level,
    /// Why.
    pub source: Source,
    /// How full the group is, if it has a limit.
    pub fill: Option<Fill>,
}

impl Strike {
    /// The worst of what grew; of the same level, the fullest.
    pub fn worst(grown: &[Grown], bands: &Bands) -> Option<Self> {
        let strikes = grown.iter().filter_map(|grown| grown.strike(bands));
        strikes.max_by_key(|strike| (strike.level, strike.fill.map(Fill::share)))
    }
}

#[cfg(test)]
#[path = "events_tests.rs"]
mod tests;
