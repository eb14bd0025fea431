//! What the control groups of this process allow and use: a parent's limit binds its children, so all of them are asked.
//!
//! A hybrid host has the memory controller in a v1 hierarchy and a unified one beside it without the controller: both are
//! looked at, and what is not there is no limit.
//!
//! Sources: cgroups(7), the kernel's `cgroup-v2.rst` (`memory.max`, `memory.high`, `memory.current`, `memory.stat`) and
//! `cgroup-v1/memory.rst` (`memory.limit_in_bytes`, `memory.usage_in_bytes`); for the counters see `events.rs`.

use std::io;
use std::path::{Path, PathBuf};

use domain::Bytes;

use crate::events::Counts;
use crate::limit::Probe;
use crate::pressure::Fill;

/// Names of the files of one version of control groups.
#[derive(Debug, PartialEq, Eq)]
struct Files {
    /// Where the hierarchy is mounted.
    mount: &'static str,
    /// The limit.
    limit: &'static str,
    /// From where on tasks are held up; v1 has no such thing.
    throttle: Option<&'static str>,
    /// What is charged, the page cache included.
    usage: &'static str,
    /// The fields of `memory.stat` that together are the page cache, children included.
    cached: [&'static str; 2],
    /// Those that say how much of that cannot go at once, or is missed at once: mapped (the program itself), dirty, on
    /// its way to the disk.
    kept: [&'static str; 3],
}

const V2: Files = Files {
    mount: "/sys/fs/cgroup",
    limit: "memory.max",
    throttle: Some("memory.high"),
    usage: "memory.current",
    cached: ["inactive_file", "active_file"],
    kept: ["file_mapped", "file_dirty", "file_writeback"],
};
const V1: Files = Files {
    mount: "/sys/fs/cgroup/memory",
    limit: "memory.limit_in_bytes",
    throttle: None,
    usage: "memory.usage_in_bytes",
    cached: ["total_inactive_file", "total_active_file"],
    kept: ["total_mapped_file", "total_dirty", "total_writeback"],
};

/// One hierarchy this process is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    files: &'static Files,
    /// The group's path within it.
    path: String,
}

/// The hierarchies of `/proc/self/cgroup` that can limit memory: the unified one and v1's `memory`.
pub fn parse_cgroup(text: &str) -> Vec<Membership> {
    text.lines()
        .filter_map(|line| {
            let mut parts = line.splitn(3, ':');
            let (id, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
            let files = if id == "0" && controllers.is_empty() {
                &V2
            } else if controllers.split(',').any(|c| c == "memory") {
                &V1
            } else {
                return None;
            };
            Some(Membership {
                files,
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

/// One field of `memory.stat`: a name, a space, a number of bytes.
pub fn parse_stat(text: &str, field: &str) -> Option<Bytes> {
    let mut fields = text.lines().filter_map(|line| line.split_once(' '));
    let (_, number) = fields.find(|(name, _)| *name == field)?;
    number.trim().parse().ok().map(Bytes)
}

/// One group of this process, or a parent of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Where its files are.
    pub folder: PathBuf,
    /// How much of its limit is in use, if it has one.
    pub limit: Option<Fill>,
    /// How much is in use of what it may use before its tasks are held up, if there is such a figure.
    pub throttle: Option<Fill>,
    /// What the kernel counted.
    pub counts: Counts,
}

/// Every group, from this process's own up to the roots; and whether every limit could be read. A limit's file that is not
/// there is no limit.
///
/// In use is what is charged less the page cache that the kernel drops before it kills anyone. The active part of it is
/// dropped as well: a model file that was read once stays there, twice as large as need be, until someone wants the
/// room, and would look like pressure for ever. `resident` stands in where the group does not tell.
///
/// Killed processes are counted in the own group alone: those of a parent are not what this one's memory is about.
pub fn groups(
    probe: &dyn Probe,
    memberships: &[Membership],
    resident: Option<Bytes>,
) -> (Vec<Group>, bool) {
    let mut all_read = true;
    let mut groups = Vec::new();
    for Membership { files, path } in memberships {
        let mut is_own = true;
        for folder in folders(files, path) {
            let limit = probe.read(&folder.join(files.limit));
            let is_there = !matches!(&limit, Err(error) if error.kind() == io::ErrorKind::NotFound);
            all_read &= limit.is_ok() || !is_there;
            let mut group = Group {
                folder,
                limit: None,
                throttle: None,
                counts: Counts::default(),
            };
            if is_there {
                let limit = limit.ok().and_then(|text| parse_limit(&text));
                group.fill(probe, files, limit, resident);
                group.counts = counts(probe, files, &group.folder, is_own);
                is_own &= group.counts == Counts::default();
            }
            groups.push(group);
        }
    }
    (groups, all_read)
}

impl Group {
    fn fill(
        &mut self,
        probe: &dyn Probe,
        files: &Files,
        limit: Option<Bytes>,
        resident: Option<Bytes>,
    ) {
        let read = |name: &str| probe.read(&self.folder.join(name)).ok();
        let throttle = files.throttle.and_then(read);
        let throttle = throttle.and_then(|text| parse_limit(&text));
        if limit.is_none() && throttle.is_none() {
            return;
        }
        let usage = read(files.usage).and_then(|text| parse_bytes(&text));
        let stat = read("memory.stat").unwrap_or_default();
        let used = usage.map(|usage| usage.saturating_sub(droppable(files, &stat)));
        let used = used.or(resident).unwrap_or(Bytes::ZERO);
        self.limit = limit.map(|of| Fill { used, of });
        self.throttle = throttle.map(|of| Fill { used, of });
    }
}

/// What the kernel counted in this group itself, not below it: what a sibling's own limit does to it is none of ours. A
/// group with processes has none with memory limits below it, so that for the own one both files say the same.
fn counts(probe: &dyn Probe, files: &Files, folder: &Path, is_own: bool) -> Counts {
    let read = |name: &str| probe.read(&folder.join(name)).ok();
    let mut counts = if *files == V1 {
        let failcnt = read("memory.failcnt").unwrap_or_default();
        let swap = read("memory.memsw.failcnt").unwrap_or_default();
        let control = read("memory.oom_control").unwrap_or_default();
        Counts::parse_v1(&failcnt, &swap, &control)
    } else {
        let all = || read("memory.events").filter(|_| is_own);
        let text = read("memory.events.local").or_else(all);
        Counts::parse_v2(&text.unwrap_or_default())
    };
    counts.oom_kill = counts.oom_kill.filter(|_| is_own);
    counts
}

/// The part of the page cache that can be had back at once.
fn droppable(files: &Files, stat: &str) -> Bytes {
    let sum = |fields: &[&str]| -> Bytes {
        let found = fields.iter().filter_map(|field| parse_stat(stat, field));
        found.fold(Bytes::ZERO, Bytes::saturating_add)
    };
    sum(&files.cached).saturating_sub(sum(&files.kept))
}

fn parse_bytes(text: &str) -> Option<Bytes> {
    text.trim().parse().ok().map(Bytes)
}

/// The group's folder and those of its parents, the mount itself last. In a container the path may be the host's, or
/// begin with `..`: what does not exist here is skipped by the caller, and the mount is then the container's own group.
fn folders(files: &Files, path: &str) -> Vec<PathBuf> {
    let mount = PathBuf::from(files.mount);
    let names: Vec<&str> = path
        .split('/')
        .filter(|name| !name.is_empty() && *name != ".." && *name != ".")
        .collect();
    (0..=names.len())
        .rev()
        .map(|depth| {
            let mut folder = mount.clone();
            folder.extend(names.iter().take(depth));
            folder
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io;
    use std::path::Path;

    use super::*;

    struct Disk(BTreeMap<&'static str, &'static str>);

    impl Probe for Disk {
        fn read(&self, path: &Path) -> io::Result<String> {
            let text = path.to_str().and_then(|path| self.0.get(path));
            text.map(ToString::to_string)
                .ok_or_else(|| io::ErrorKind::NotFound.into())
        }
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
            let probe = Disk(files.iter().copied().collect());
            let text = probe.read(Path::new("/proc/self/cgroup"));
            let memberships = parse_cgroup(&text.unwrap_or_default());
            let (groups, all_read) = groups(&probe, &memberships, None);
            assert!(all_read, "{name}");
            let limits = groups.iter().filter_map(|group| group.limit);
            let tightest = limits.map(|fill| fill.of).min();
            assert_eq!(tightest, expected, "{name}");
        }
    }

    type Use = (
        &'static str,
        &'static [(&'static str, &'static str)],
        Option<u64>,
        u64,
    );

    const USES: [Use; 7] = [
        (
            "v2: what the page cache can drop is not in use",
            &[
                ("/sys/fs/cgroup/memory.max", "1000"),
                ("/sys/fs/cgroup/memory.current", "900\n"),
                (
                    "/sys/fs/cgroup/memory.stat",
                    "anon 300\nfile 600\nfile_mapped 40\nfile_dirty 7\nfile_writeback 3\ninactive_file 500\nactive_file 100\n",
                ),
            ],
            Some(77),
            350,
        ),
        (
            "v1: the children's counts, too",
            &[
                ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "1000"),
                ("/sys/fs/cgroup/memory/memory.usage_in_bytes", "900\n"),
                (
                    "/sys/fs/cgroup/memory/memory.stat",
                    "inactive_file 5\ntotal_mapped_file 10\ntotal_inactive_file 100\ntotal_active_file 30\n",
                ),
            ],
            Some(77),
            780,
        ),
        (
            "without memory.stat all of it is in use",
            &[
                ("/sys/fs/cgroup/memory.max", "1000"),
                ("/sys/fs/cgroup/memory.current", "900"),
            ],
            Some(77),
            900,
        ),
        (
            "more cache than there is use",
            &[
                ("/sys/fs/cgroup/memory.max", "1000"),
                ("/sys/fs/cgroup/memory.current", "900"),
                ("/sys/fs/cgroup/memory.stat", "inactive_file 901"),
            ],
            Some(77),
            0,
        ),
        (
            "all of the cache is mapped",
            &[
                ("/sys/fs/cgroup/memory.max", "1000"),
                ("/sys/fs/cgroup/memory.current", "900"),
                (
                    "/sys/fs/cgroup/memory.stat",
                    "inactive_file 100\nactive_file 200\nfile_mapped 301",
                ),
            ],
            Some(77),
            900,
        ),
        (
            "a group that does not tell",
            &[("/sys/fs/cgroup/memory.max", "1000")],
            Some(77),
            77,
        ),
        (
            "nobody tells",
            &[
                ("/sys/fs/cgroup/memory.max", "1000"),
                ("/sys/fs/cgroup/memory.current", "much"),
            ],
            None,
            0,
        ),
    ];

    #[test]
    fn what_is_in_use_is_the_working_set() {
        for (name, files, resident, used) in USES {
            let probe = Disk(files.iter().copied().collect());
            let memberships = parse_cgroup("4:memory:/\n0::/\n");
            let expected = Fill {
                used: Bytes(used),
                of: Bytes(1000),
            };
            let (groups, _) = groups(&probe, &memberships, resident.map(Bytes));
            let fills: Vec<_> = groups.iter().filter_map(|group| group.limit).collect();
            assert_eq!(fills, [expected], "{name}");
        }
    }

    #[test]
    fn what_was_counted_is_read_of_the_group_itself_and_kills_of_the_own_one() {
        let files = [
            ("/sys/fs/cgroup/a/b/memory.max", "max\n"),
            (
                "/sys/fs/cgroup/a/b/memory.events",
                "low 0\nhigh 1\nmax 2\noom 3\noom_kill 4\noom_group_kill 0\n",
            ),
            ("/sys/fs/cgroup/a/memory.max", "max\n"),
            ("/sys/fs/cgroup/a/memory.events", "max 90\noom 90\n"),
            (
                "/sys/fs/cgroup/a/memory.events.local",
                "low 0\nhigh 5\nmax 6\noom 7\noom_kill 8\n",
            ),
            ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "1000\n"),
            ("/sys/fs/cgroup/memory/memory.failcnt", "9\n"),
            (
                "/sys/fs/cgroup/memory/memory.oom_control",
                "oom_kill_disable 0\nunder_oom 0\noom_kill 10\n",
            ),
        ];
        let probe = Disk(files.into());
        let memberships = parse_cgroup("4:memory:/docker/ab\n0::/a/b\n");
        let (groups, _) = groups(&probe, &memberships, None);
        let counts = |high, max, oom, oom_kill| Counts {
            high,
            max,
            oom,
            oom_kill,
        };
        let nothing = Counts::default();
        let found: Vec<_> = groups
            .iter()
            .map(|group| (group.folder.to_str().unwrap(), group.counts))
            .collect();
        assert_eq!(
            found,
            [
                ("/sys/fs/cgroup/memory/docker/ab", nothing),
                ("/sys/fs/cgroup/memory/docker", nothing),
                // The container's own: the path is the host's.
                (
                    "/sys/fs/cgroup/memory",
                    counts(None, Some(9), None, Some(10))
                ),
                (
                    "/sys/fs/cgroup/a/b",
                    counts(Some(1), Some(2), Some(3), Some(4))
                ),
                ("/sys/fs/cgroup/a", counts(Some(5), Some(6), Some(7), None)),
                ("/sys/fs/cgroup", nothing),
            ]
        );
    }

    #[test]
    fn a_parent_that_counts_its_children_with_itself_tells_nothing_of_itself() {
        let files = [
            ("/sys/fs/cgroup/a/b/memory.max", "max\n"),
            ("/sys/fs/cgroup/a/b/memory.events", "max 2\n"),
            ("/sys/fs/cgroup/a/memory.max", "max\n"),
            ("/sys/fs/cgroup/a/memory.events", "max 90\n"),
        ];
        let (groups, _) = groups(&Disk(files.into()), &parse_cgroup("0::/a/b\n"), None);
        let counted: Vec<_> = groups.iter().map(|group| group.counts.max).collect();
        assert_eq!(counted, [Some(2), None, None]);
    }

    #[test]
    fn what_is_in_use_counts_against_what_holds_tasks_up_too() {
        let files = [
            ("/sys/fs/cgroup/memory.max", "max\n"),
            ("/sys/fs/cgroup/memory.high", "500\n"),
            ("/sys/fs/cgroup/memory.current", "400\n"),
            ("/sys/fs/cgroup/memory.stat", "inactive_file 50\n"),
        ];
        let (groups, _) = groups(&Disk(files.into()), &parse_cgroup("0::/\n"), None);
        let throttle = Fill {
            used: Bytes(350),
            of: Bytes(500),
        };
        let found: Vec<_> = groups.iter().map(|g| (g.limit, g.throttle)).collect();
        assert_eq!(found, [(None, Some(throttle))]);
    }
}
