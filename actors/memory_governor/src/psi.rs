//! What the kernel says of time lost to waiting for memory: the text of a pressure file, and the trigger to hear of it.
//!
//! Free memory says how much there is, a stall says that someone missed it: a machine may stall with a tenth of its RAM
//! free, because a group's limit binds, and be well with next to none. Nothing here opens a file.
//!
//! Source: the kernel's `accounting/psi.rst`.

use std::path::PathBuf;
use std::time::Duration;

use crate::pressure::Share;

/// What is written to a pressure file to hear of stalls: how long some task waited, and within which window, in
/// microseconds.
///
/// A tenth of two seconds: what systemd, too, tells its services about by default. A machine that is well shows nothing at
/// all, so it is early; a page that has to be read again is not yet an event. A window of a multiple of 2 s needs no
/// privilege, and the kernel tells once a window at most.
pub const TRIGGER: &str = "some 200000 2000000";

/// What a pressure file says of tasks that waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stall {
    /// The share of the last ten seconds in which some task waited.
    pub avg10: Share,
    /// Since the start of the machine or the group.
    pub total: Duration,
}

/// The line `some avg10=0.00 avg60=0.00 avg300=0.00 total=0` of a pressure file, shares in per cent, the total in
/// microseconds.
pub fn parse(text: &str) -> Option<Stall> {
    let line = text.lines().find_map(|line| line.strip_prefix("some "))?;
    let field = |name: &str| {
        line.split_ascii_whitespace()
            .find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
    };
    let total: u64 = field("total")?.parse().ok()?;
    Some(Stall {
        avg10: parse_share(field("avg10")?)?,
        total: Duration::from_micros(total),
    })
}

/// A share in per cent with two decimals, rounded down to thousandths.
fn parse_share(text: &str) -> Option<Share> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let whole: u16 = whole.parse().ok()?;
    let tenths = decimals.chars().next()?.to_digit(10)?;
    if !decimals.chars().all(|c| c.is_ascii_digit()) || whole > 100 {
        return None;
    }
    Some(Share(
        (whole * 10).saturating_add(u16::try_from(tenths).ok()?),
    ))
}

/// Where this process's stalls are told, the narrowest first, by the text of `/proc/self/cgroup`.
///
/// Only the unified hierarchy has these files. On a hybrid host it is mounted apart, and tells of stalls that a limit of the
/// other hierarchy causes. The own group is enough: a parent's limit makes its children's tasks wait.
pub fn files(groups: &str) -> Vec<PathBuf> {
    let own = groups.lines().find_map(|line| line.strip_prefix("0::"));
    let path: PathBuf = own
        .unwrap_or_default()
        .split('/')
        .filter(|name| !matches!(*name, "" | "." | ".."))
        .collect();
    ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
        .iter()
        .map(|mount| PathBuf::from(mount).join(&path).join("memory.pressure"))
        .chain([PathBuf::from("/proc/pressure/memory")])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_and_the_total_of_some_are_read() {
        let stall = |share, micros| {
            Some(Stall {
                avg10: Share(share),
                total: Duration::from_micros(micros),
            })
        };
        for (text, expected) in [
            (
                "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=9.00 avg60=0.00 avg300=0.00 total=7\n",
                stall(0, 0),
            ),
            (
                "some avg10=12.39 avg60=1.00 avg300=0.10 total=21332",
                stall(123, 21_332),
            ),
            (
                "full avg10=1.00 total=1\nsome avg10=100.00 total=2\n",
                stall(1000, 2),
            ),
            ("some total=3 avg10=5", stall(50, 3)),
            ("full avg10=1.00 avg60=1.00 avg300=1.00 total=1", None),
            ("some avg10=1.00 avg60=1.00", None),
            ("some avg10=101.00 total=1", None),
            ("some avg10=-1.00 total=1", None),
            ("some avg10=1. total=1", None),
            ("some avg10=1.x0 total=1", None),
            ("some avg10=nan total=1", None),
            ("some avg10=1.00 total=18446744073709551616", None),
            ("", None),
        ] {
            assert_eq!(parse(text), expected, "{text:?}");
        }
    }

    #[test]
    fn the_own_group_is_looked_for_in_both_places_and_then_the_machine() {
        for (groups, first, second) in [
            (
                "0::/system.slice/app.service\n",
                "/sys/fs/cgroup/system.slice/app.service/memory.pressure",
                "/sys/fs/cgroup/unified/system.slice/app.service/memory.pressure",
            ),
            (
                "4:memory:/a\n0::/\n",
                "/sys/fs/cgroup/memory.pressure",
                "/sys/fs/cgroup/unified/memory.pressure",
            ),
            (
                "0::/../../pod\n",
                "/sys/fs/cgroup/pod/memory.pressure",
                "/sys/fs/cgroup/unified/pod/memory.pressure",
            ),
            (
                "4:memory:/a\n",
                "/sys/fs/cgroup/memory.pressure",
                "/sys/fs/cgroup/unified/memory.pressure",
            ),
        ] {
            let files: Vec<_> = files(groups);
            assert_eq!(
                files,
                [first, second, "/proc/pressure/memory"].map(PathBuf::from),
                "{groups:?}"
            );
        }
    }

    #[test]
    fn the_trigger_needs_no_privilege() {
        let words: Vec<&str> = TRIGGER.split(' ').collect();
        let window: u64 = words[2].parse().unwrap();
        let stall: u64 = words[1].parse().unwrap();
        assert_eq!((words[0], window % 2_000_000), ("some", 0));
        // What the kernel takes: half a second to ten, and no more stall than window.
        assert!((500_000..=10_000_000).contains(&window) && stall <= window);
    }
}
