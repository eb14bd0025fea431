//! How much memory may be leased at all: the tightest of what the host has, what the cgroups allow and what was
//! configured.
//!
//! Parsing is over strings and the files come through [`Probe`], so every layout of `/proc` and `/sys/fs/cgroup` is a
//! line in a table test. Nothing here allocates by what a file claims, and a number that makes no sense is no limit.
//!
//! Sources: proc(5) for `/proc/meminfo`, cgroups(7), the kernel's `cgroup-v2.rst` (`memory.max`) and
//! `cgroup-v1/memory.rst` (`memory.limit_in_bytes`).

use std::io;
use std::path::{Path, PathBuf};

use domain::Bytes;

/// Reads small text files. The real one is [`FileProbe`]; it may block, so it is called on the blocking pool.
pub trait Probe: Send + Sync + 'static {
    /// The file's text.
    ///
    /// # Errors
    /// As the file system says; a file that is not there is simply no limit.
    fn read(&self, path: &Path) -> io::Result<String>;
}

/// The machine's own files.
#[derive(Clone, Copy, Debug, Default)]
pub struct FileProbe;

impl Probe for FileProbe {
    fn read(&self, path: &Path) -> io::Result<String> {
        std::fs::read_to_string(path)
    }
}

/// What was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readings {
    /// The host's RAM.
    pub host: Option<Bytes>,
    /// The tightest limit of this process's cgroup and its parents.
    pub cgroup: Option<Bytes>,
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

/// Reads the host's RAM and the cgroup's limit.
pub fn measure(probe: &dyn Probe) -> Readings {
    let host = probe
        .read(Path::new("/proc/meminfo"))
        .ok()
        .and_then(|text| parse_meminfo(&text));
    let cgroup = probe
        .read(Path::new("/proc/self/cgroup"))
        .ok()
        .and_then(|text| tightest(probe, &parse_cgroup(&text)));
    Readings { host, cgroup }
}

/// `MemTotal` of `/proc/meminfo`, given there in kibibytes.
pub fn parse_meminfo(text: &str) -> Option<Bytes> {
    let rest = text.lines().find_map(|l| l.strip_prefix("MemTotal:"))?;
    let kib: u64 = rest.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(Bytes(kib).saturating_mul(1024)).filter(|b| *b > Bytes::ZERO)
}

/// One hierarchy this process is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// Where the hierarchy is mounted.
    mount: &'static str,
    /// The file that holds a group's limit.
    file: &'static str,
    /// The group's path within it.
    path: String,
}

/// The hierarchies of `/proc/self/cgroup` that can limit memory: the unified one and v1's `memory`.
pub fn parse_cgroup(text: &str) -> Vec<Membership> {
    text.lines()
        .filter_map(|line| {
            let mut parts = line.splitn(3, ':');
            let (id, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
            let (mount, file) = if id == "0" && controllers.is_empty() {
                ("/sys/fs/cgroup", "memory.max")
            } else if controllers.split(',').any(|c| c == "memory") {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            } else {
                return None;
            };
            Some(Membership {
                mount,
                file,
                path: path.to_owned(),
            })
        })
        .collect()
}

/// A group's limit file: a number, or `max`. v1 says "none" with a number near 2^63 (`PAGE_COUNTER_MAX`).
pub fn parse_limit(text: &str) -> Option<Bytes> {
    const NO_LIMIT_FROM: u64 = 1 << 62;
    let bytes: u64 = text.trim().parse().ok()?;
    Some(Bytes(bytes)).filter(|b| b.0 < NO_LIMIT_FROM)
}

/// The smallest limit from each group up to its hierarchy's root: a parent's limit binds its children.
fn tightest(probe: &dyn Probe, memberships: &[Membership]) -> Option<Bytes> {
    memberships
        .iter()
        .flat_map(|group| folders(group).into_iter().map(|f| f.join(group.file)))
        .filter_map(|file| probe.read(&file).ok())
        .filter_map(|text| parse_limit(&text))
        .min()
}

/// The group's folder and those of its parents, the mount itself last. In a container the path may be the host's, or
/// begin with `..`: what does not exist here is skipped by the caller, and the mount is then the container's own group.
fn folders(group: &Membership) -> Vec<PathBuf> {
    let mount = PathBuf::from(group.mount);
    let names: Vec<&str> = group
        .path
        .split('/')
        .filter(|name| !name.is_empty() && *name != ".." && *name != ".")
        .collect();
    (0..=names.len())
        .rev()
        .map(|depth| mount.join(names.iter().take(depth).collect::<PathBuf>()))
        .collect()
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
    fn a_limit_file_holds_a_number_or_none() {
        for (text, bytes) in [
            ("max\n", None),
            ("536870912\n", Some(Bytes::mib(512))),
            ("0\n", Some(Bytes::ZERO)),
            ("9223372036854771712\n", None),
            ("", None),
            ("-1", None),
        ] {
            assert_eq!(parse_limit(text), bytes, "{text:?}");
        }
    }

    type Case = (
        &'static str,
        &'static [(&'static str, &'static str)],
        Option<Bytes>,
    );

    const GROUPS: [Case; 7] = [
        ("no cgroup file", &[], None),
        (
            "v2, a parent is tighter",
            &[
                ("/proc/self/cgroup", "0::/system.slice/paraphym.service\n"),
                (
                    "/sys/fs/cgroup/system.slice/paraphym.service/memory.max",
                    "max\n",
                ),
                ("/sys/fs/cgroup/system.slice/memory.max", "1073741824\n"),
            ],
            Some(Bytes::mib(1024)),
        ),
        (
            "v2 in a container with its own namespace",
            &[
                ("/proc/self/cgroup", "0::/\n"),
                ("/sys/fs/cgroup/memory.max", "2147483648\n"),
            ],
            Some(Bytes::mib(2048)),
        ),
        (
            "v2, a path from outside the namespace",
            &[
                ("/proc/self/cgroup", "0::/../../kubepods/pod1\n"),
                ("/sys/fs/cgroup/memory.max", "268435456\n"),
            ],
            Some(Bytes::mib(256)),
        ),
        (
            "v1 in docker: the path is the host's, the mount is ours",
            &[
                (
                    "/proc/self/cgroup",
                    "12:cpu,cpuacct:/docker/ab\n7:memory:/docker/ab\n1:name=systemd:/docker/ab\n",
                ),
                ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "134217728\n"),
            ],
            Some(Bytes::mib(128)),
        ),
        (
            "hybrid: both count",
            &[
                ("/proc/self/cgroup", "4:memory:/a/b\n0::/a/b\n"),
                ("/sys/fs/cgroup/a/b/memory.max", "805306368\n"),
                (
                    "/sys/fs/cgroup/memory/a/memory.limit_in_bytes",
                    "402653184\n",
                ),
                (
                    "/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes",
                    "9223372036854771712\n",
                ),
            ],
            Some(Bytes::mib(384)),
        ),
        (
            "nonsense is no limit",
            &[
                ("/proc/self/cgroup", "garbage\n0::/x:y\n"),
                ("/sys/fs/cgroup/x:y/memory.max", "a lot\n"),
            ],
            None,
        ),
    ];

    #[test]
    fn the_tightest_group_on_the_way_up_binds() {
        for (name, files, expected) in GROUPS {
            let probe = Files(files.iter().copied().collect());
            assert_eq!(measure(&probe).cgroup, expected, "{name}");
        }
    }

    #[test]
    fn the_smallest_of_three_holds_less_a_reserve() {
        let readings = |host, cgroup| Readings { host, cgroup };
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
            ("/proc/self/cgroup", "0::/user.slice\n"),
            ("/sys/fs/cgroup/user.slice/memory.max", "4294967296\n"),
        ]));
        assert_eq!(
            measure(&probe),
            Readings {
                host: Some(Bytes(HOST)),
                cgroup: Some(Bytes::mib(4096)),
            }
        );
    }
}
