//! What the control groups of this process allow and use: a parent's limit binds its children, so all of them are asked.
//!
//! A hybrid host has the memory controller in a v1 hierarchy and a unified one beside it without the controller: both are
//! looked at, and what is not there is no limit.
//!
//! Sources: cgroups(7), the kernel's `cgroup-v2.rst` (`memory.max`, `memory.current`, `memory.stat`) and
//! `cgroup-v1/memory.rst` (`memory.limit_in_bytes`, `memory.usage_in_bytes`).

use std::io;
use std::path::PathBuf;

use domain::Bytes;

use crate::limit::Probe;
use crate::pressure::Fill;

/// Names of the files of one version of control groups.
#[derive(Debug, PartialEq, Eq)]
struct Files {
    /// Where the hierarchy is mounted.
    mount: &'static str,
    /// The limit.
    limit: &'static str,
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
    usage: "memory.current",
    cached: ["inactive_file", "active_file"],
    kept: ["file_mapped", "file_dirty", "file_writeback"],
};
const V1: Files = Files {
    mount: "/sys/fs/cgroup/memory",
    limit: "memory.limit_in_bytes",
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

/// Every group with a limit, from this process's own up to the roots: how much of it is in use; and whether every limit
/// could be read. A limit's file that is not there is no limit.
///
/// In use is what is charged less the page cache that the kernel drops before it kills anyone. The active part of it is
/// dropped as well: a model file that was read once stays there, twice as large as need be, until someone wants the
/// room, and would look like pressure for ever. `resident` stands in where the group does not tell.
pub fn fills(
    probe: &dyn Probe,
    memberships: &[Membership],
    resident: Option<Bytes>,
) -> (Vec<Fill>, bool) {
    let read = |file: PathBuf| probe.read(&file).ok();
    let mut all_read = true;
    let fills = memberships
        .iter()
        .flat_map(|group| folders(group).into_iter().map(|f| (group.files, f)))
        .filter_map(|(files, folder)| {
            let text = probe.read(&folder.join(files.limit)).inspect_err(|error| {
                all_read &= error.kind() == io::ErrorKind::NotFound;
            });
            let of = parse_limit(&text.ok()?)?;
            let usage = read(folder.join(files.usage)).and_then(|text| parse_bytes(&text));
            let stat = read(folder.join("memory.stat")).unwrap_or_default();
            let used = usage.map(|usage| usage.saturating_sub(droppable(files, &stat)));
            Some(Fill {
                used: used.or(resident).unwrap_or(Bytes::ZERO),
                of,
            })
        })
        .collect();
    (fills, all_read)
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
fn folders(group: &Membership) -> Vec<PathBuf> {
    let mount = PathBuf::from(group.files.mount);
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
            let groups = parse_cgroup(&text.unwrap_or_default());
            let (fills, all_read) = fills(&probe, &groups, None);
            assert!(all_read, "{name}");
            let tightest = fills.iter().map(|f| f.of).min();
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
            let groups = parse_cgroup("4:memory:/\n0::/\n");
            let expected = Fill {
                used: Bytes(used),
                of: Bytes(1000),
            };
            let (fills, _) = fills(&probe, &groups, resident.map(Bytes));
            assert_eq!(fills, [expected], "{name}");
        }
    }
}
