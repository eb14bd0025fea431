//! How much memory may be leased at all: the tightest of what the host has, what the cgroups allow and what was
//! configured.
//!
//! Parsing is over strings and the files come through [`Probe`], so every layout of `/proc` and `/sys/fs/cgroup` is a
//! line in a table test. Nothing here allocates by what a file claims, and a number that makes no sense is no limit.
//!
//! Sources: proc(5) for `/proc/meminfo` and `/proc/self/status`; for control groups see `cgroup.rs`.

use std::io;
use std::path::Path;

use domain::Bytes;

use crate::cgroup::{self, Group};
use crate::pressure::{Fill, Share, Source};
use crate::psi;
use crate::stalls::Stalls;

/// Reads small text files. The real one is [`FileProbe`]; it may block, so it is called on the blocking pool.
pub trait Probe: Send + Sync + 'static {
    /// The file's text.
    ///
    /// # Errors
    /// As the file system says; a file that is not there is simply no limit.
    fn read(&self, path: &Path) -> io::Result<String>;

    /// Begins to listen for stalls, so that nobody has to look all the time. Called within the runtime, and may block.
    ///
    /// # Errors
    /// This machine does not tell of them; then it is looked at by the clock.
    fn stalls(&self) -> io::Result<Box<dyn Stalls>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// The machine's own files.
#[derive(Clone, Copy, Debug, Default)]
pub struct FileProbe;

impl Probe for FileProbe {
    fn read(&self, path: &Path) -> io::Result<String> {
        std::fs::read_to_string(path)
    }

    #[cfg(target_os = "linux")]
    fn stalls(&self) -> io::Result<Box<dyn Stalls>> {
        let groups = self.read(Path::new("/proc/self/cgroup"));
        let trigger = crate::stalls::Trigger::register(&psi::files(&groups.unwrap_or_default()))?;
        Ok(Box::new(trigger))
    }
}

/// What was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readings {
    /// The host's RAM.
    pub host: Option<Bytes>,
    /// What of it could be had without swapping.
    pub host_available: Option<Bytes>,
    /// The tightest limit of this process's cgroup and its parents.
    pub cgroup: Option<Bytes>,
    /// Of those with a limit, the one most in use; it need not be the tightest.
    pub fullest: Option<Fill>,
    /// What this process has in RAM, where host or cgroup does not tell what is in use.
    pub resident: Option<Bytes>,
    /// The share of the last ten seconds in which tasks waited for memory, of this process's cgroup or of the machine.
    pub stalled: Option<Share>,
    /// A group's limit could not be read: `cgroup` may lack the tightest. A file that is not there is no limit, not this.
    pub groups_unread: bool,
}

impl Readings {
    /// What a reading says that read nothing.
    pub fn failed() -> Self {
        Self {
            groups_unread: true,
            ..Self::default()
        }
    }

    /// What is believed after this reading, if `before` was believed: a limit that could not be read is what it was
    /// last. What is in use is believed only as long as it can be read.
    #[must_use]
    pub fn after(self, before: Self) -> Self {
        let cgroup = if self.groups_unread {
            self.cgroup.into_iter().chain(before.cgroup).min()
        } else {
            self.cgroup
        };
        Self {
            // No host loses its RAM: that nothing was read is always a failure.
            host: self.host.or(before.host),
            cgroup,
            ..self
        }
    }

    /// What is really in use.
    pub fn fills(&self) -> impl Iterator<Item = (Source, Fill)> {
        let cgroup = self.fullest.map(|fill| (Source::Cgroup, fill));
        let host = self.host.and_then(|of| {
            let used = self.host_available.map(|free| of.saturating_sub(free));
            let used = used.or(self.resident)?;
            Some((Source::Host, Fill { used, of }))
        });
        cgroup.into_iter().chain(host)
    }
}

/// Of the memory a host or a cgroup has, this share stays unleased: code, stacks, page tables, activations of a step,
/// and on a host everyone else's memory.
const RESERVED_SHARE: u64 = 8;
/// On large machines an eighth would be waste; what the share is for does not grow with them.
const RESERVED_AT_MOST: Bytes = Bytes::mib(2048);
/// Where nothing can be read and nothing is configured: enough for a small model, little enough for any machine.
pub const UNKNOWN_LIMIT: Bytes = Bytes::mib(2048);

/// What stays unleased of `total`.
pub fn reserve_of(total: Bytes) -> Bytes {
    Bytes(total.0 / RESERVED_SHARE).min(RESERVED_AT_MOST)
}

/// The limit in force. `configured` is taken as it is, but never raises what host and cgroup allow.
pub fn limit(readings: Readings, configured: Option<Bytes>) -> Bytes {
    let less_reserve = |total: Bytes| total.saturating_sub(reserve_of(total));
    [
        readings.host.map(less_reserve),
        readings.cgroup.map(less_reserve),
        configured,
    ]
    .into_iter()
    .flatten()
    .min()
    .unwrap_or(UNKNOWN_LIMIT)
}

/// One look at the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// The figures of the moment.
    pub readings: Readings,
    /// The cgroups, with what the kernel counted in them; none if they could not be read.
    pub groups: Vec<Group>,
}

impl Look {
    /// One that saw nothing.
    pub fn failed() -> Self {
        Self {
            readings: Readings::failed(),
            groups: Vec::new(),
        }
    }
}

/// Reads the host's RAM, the cgroups' limits, what of both is in use, and what was counted where there was no room.
pub fn measure(probe: &dyn Probe) -> Look {
    let read = |path: &str| probe.read(Path::new(path)).ok();
    let meminfo = read("/proc/meminfo").unwrap_or_default();
    let resident = read("/proc/self/status").and_then(|text| parse_kib(&text, "VmRSS:"));
    let groups = read("/proc/self/cgroup");
    let groups_known = groups.is_some();
    let groups = groups.unwrap_or_default();
    let (found, all_read) = cgroup::groups(probe, &cgroup::parse_cgroup(&groups), resident);
    let fills = found.iter().filter_map(|group| group.limit);
    let stall = psi::files(&groups)
        .iter()
        .find_map(|file| psi::parse(&probe.read(file).ok()?));
    let readings = Readings {
        host: parse_meminfo(&meminfo),
        host_available: parse_kib(&meminfo, "MemAvailable:"),
        cgroup: fills.clone().map(|fill| fill.of).min(),
        fullest: fills.max_by_key(|fill| fill.share()),
        resident,
        stalled: stall.map(|stall| stall.avg10),
        groups_unread: !(groups_known && all_read),
    };
    Look {
        readings,
        groups: found,
    }
}

/// `MemTotal` of `/proc/meminfo`. A host without RAM is not one.
pub fn parse_meminfo(text: &str) -> Option<Bytes> {
    parse_kib(text, "MemTotal:").filter(|b| *b > Bytes::ZERO)
}

/// One field of `/proc/meminfo` or `/proc/self/status`, given there in kibibytes.
pub fn parse_kib(text: &str, field: &str) -> Option<Bytes> {
    let rest = text.lines().find_map(|l| l.strip_prefix(field))?;
    let kib: u64 = rest.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(Bytes(kib).saturating_mul(1024))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    struct Files(BTreeMap<&'static str, &'static str>);

    impl Probe for Files {
        fn read(&self, path: &Path) -> io::Result<String> {
            let text = path.to_str().and_then(|path| self.0.get(path));
            text.map(ToString::to_string)
                .ok_or_else(|| io::ErrorKind::NotFound.into())
        }
    }

    const MEMINFO: &str =
        "MemTotal:       16303428 kB\nMemFree:          433160 kB\nMemAvailable:    9801124 kB\n";
    const HOST: u64 = 16_303_428 * 1024;

    #[test]
    fn meminfo_is_read_in_kibibytes() {
        assert_eq!(parse_meminfo(MEMINFO), Some(Bytes(HOST)));
        for bad in [
            "",
            "MemTotal: many kB",
            "MemTotal: 12",
            "MemTotal: 0 kB",
            "memtotal: 1 kB",
            "MemTotal: -1 kB",
        ] {
            assert_eq!(parse_meminfo(bad), None, "{bad:?}");
        }
        let huge = format!("MemTotal: {} kB", u64::MAX);
        assert_eq!(parse_meminfo(&huge), Some(Bytes(u64::MAX)));
    }

    #[test]
    fn the_smallest_of_three_holds_less_a_reserve() {
        let readings = |host, cgroup| Readings {
            host,
            cgroup,
            ..Readings::default()
        };
        let mib = |n| Some(Bytes::mib(n));
        for (reading, configured, expected) in [
            (readings(mib(8192), None), None, Bytes::mib(7168)),
            (readings(mib(65536), None), None, Bytes::mib(63488)),
            (readings(mib(8192), mib(1024)), None, Bytes::mib(896)),
            (readings(mib(8192), mib(1024)), mib(100), Bytes::mib(100)),
            (readings(mib(8192), None), mib(99_999), Bytes::mib(7168)),
            (readings(None, None), mib(5), Bytes::mib(5)),
            (readings(None, None), None, UNKNOWN_LIMIT),
            (readings(mib(8192), Some(Bytes::ZERO)), None, Bytes::ZERO),
        ] {
            assert_eq!(
                limit(reading, configured),
                expected,
                "{reading:?} {configured:?}"
            );
        }
    }

    #[test]
    fn a_whole_machine_is_measured() {
        let probe = Files(BTreeMap::from([
            ("/proc/meminfo", MEMINFO),
            (
                "/proc/self/status",
                "Name:\tparaphym\nVmHWM:\t  900 kB\nVmRSS:\t  800 kB\n",
            ),
            ("/proc/self/cgroup", "0::/user.slice\n"),
            ("/sys/fs/cgroup/user.slice/memory.max", "4294967296\n"),
            ("/sys/fs/cgroup/user.slice/memory.current", "1073741824\n"),
            (
                "/proc/pressure/memory",
                "some avg10=2.50 avg60=0.00 avg300=0.00 total=9\n",
            ),
        ]));
        let readings = measure(&probe).readings;
        let fullest = Fill {
            used: Bytes::mib(1024),
            of: Bytes::mib(4096),
        };
        assert_eq!(
            readings,
            Readings {
                host: Some(Bytes(HOST)),
                host_available: Some(Bytes(9_801_124 * 1024)),
                cgroup: Some(Bytes::mib(4096)),
                fullest: Some(fullest),
                resident: Some(Bytes(800 * 1024)),
                stalled: Some(Share(25)),
                groups_unread: false,
            }
        );
        let host = Fill {
            used: Bytes((16_303_428 - 9_801_124) * 1024),
            of: Bytes(HOST),
        };
        let fills: Vec<_> = readings.fills().collect();
        assert_eq!(fills, [(Source::Cgroup, fullest), (Source::Host, host)]);
    }

    #[test]
    fn a_limit_that_cannot_be_read_is_what_it_was() {
        let reading = |host, cgroup, groups_unread| Readings {
            host: Some(Bytes(host)).filter(|b| b.0 > 0),
            cgroup: Some(Bytes(cgroup)).filter(|b| b.0 > 0),
            groups_unread,
            ..Readings::default()
        };
        let before = reading(100, 50, false);
        for (now, expected) in [
            (Readings::failed(), reading(100, 50, true)),
            (reading(0, 0, false), reading(100, 0, false)),
            (reading(80, 0, true), reading(80, 50, true)),
            (reading(80, 60, true), reading(80, 50, true)),
            (reading(80, 40, true), reading(80, 40, true)),
            (reading(80, 60, false), reading(80, 60, false)),
        ] {
            assert_eq!(now.after(before), expected, "{now:?}");
            assert_eq!(now.after(Readings::default()), now, "nothing was known");
        }
        assert_eq!(Readings::failed().fills().count(), 0);
    }

    #[test]
    fn a_file_that_is_not_there_is_no_limit_and_one_that_cannot_be_read_is_a_failure() {
        struct Groups(io::ErrorKind);
        impl Probe for Groups {
            fn read(&self, path: &Path) -> io::Result<String> {
                match path.to_str() {
                    Some("/proc/self/cgroup") => Ok("0::/app\n".to_owned()),
                    Some("/sys/fs/cgroup/memory.max") => Ok("4096\n".to_owned()),
                    _ => Err(self.0.into()),
                }
            }
        }
        for (error, unread) in [
            (io::ErrorKind::NotFound, false),
            (io::ErrorKind::PermissionDenied, true),
            (io::ErrorKind::Other, true),
        ] {
            let readings = measure(&Groups(error)).readings;
            assert_eq!(readings.cgroup, Some(Bytes(4096)));
            assert_eq!(readings.groups_unread, unread, "{error:?}");
        }
        let nothing = Files(BTreeMap::new());
        assert!(
            measure(&nothing).readings.groups_unread,
            "no one knows the groups"
        );
    }

    #[test]
    fn what_is_resident_stands_in_for_what_is_not_told() {
        let readings = Readings {
            host: Some(Bytes(100)),
            resident: Some(Bytes(30)),
            ..Readings::default()
        };
        let host = Fill {
            used: Bytes(30),
            of: Bytes(100),
        };
        assert_eq!(readings.fills().collect::<Vec<_>>(), [(Source::Host, host)]);
        assert_eq!(Readings::default().fills().count(), 0);
    }
}
