//! Why: "it is never killed for memory" can only be shown where the kernel would kill. A test makes a control group with
//! a limit, starts a program in it, and reads what the kernel counted.
//!
//! Invariants: the group is gone when the value is dropped, however the test ended; nothing but the group's own files is
//! written; where no group can be made (not root, no controller, no Linux), a sentence says why.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use domain::Bytes;

/// Where one version of control groups keeps what is needed here.
#[derive(Debug)]
struct Files {
    mount: &'static str,
    limit: &'static str,
    /// The limit of memory and swap together, or of swap alone, and the value that means "no swap".
    swap: (&'static str, Swap),
    usage: &'static str,
    peak: &'static str,
    events: &'static str,
}

#[derive(Clone, Copy, Debug)]
enum Swap {
    /// Memory and swap together: the limit of memory.
    Together,
    /// Swap alone: nothing.
    Alone,
}

const V1: Files = Files {
    mount: "/sys/fs/cgroup/memory",
    limit: "memory.limit_in_bytes",
    swap: ("memory.memsw.limit_in_bytes", Swap::Together),
    usage: "memory.usage_in_bytes",
    peak: "memory.max_usage_in_bytes",
    events: "memory.oom_control",
};
const V2: Files = Files {
    mount: "/sys/fs/cgroup",
    limit: "memory.max",
    swap: ("memory.swap.max", Swap::Alone),
    usage: "memory.current",
    peak: "memory.peak",
    events: "memory.events",
};

/// A control group of its own with a memory limit.
#[derive(Debug)]
pub struct MemoryCgroup {
    folder: PathBuf,
    files: &'static Files,
}

impl MemoryCgroup {
    /// Makes a group named after this process and `name`, without swap.
    ///
    /// # Errors
    /// Why there can be none here, as a sentence.
    pub fn new(name: &str, limit: Bytes) -> Result<Self, String> {
        let name = format!("paraphym-test-{}-{name}", std::process::id());
        let mut reasons = Vec::new();
        for files in [&V1, &V2] {
            match Self::make(files, &name, limit) {
                Ok(group) => return Ok(group),
                Err(reason) => reasons.push(format!("{}: {reason}", files.mount)),
            }
        }
        Err(format!(
            "no memory cgroup can be made here ({})",
            reasons.join("; ")
        ))
    }

    fn make(files: &'static Files, name: &str, limit: Bytes) -> io::Result<Self> {
        if !Path::new(files.mount).join("cgroup.procs").exists() {
            return Err(io::Error::other("nothing of this version is mounted"));
        }
        let folder = Path::new(files.mount).join(name);
        fs::create_dir(&folder)?;
        // From here on the group is removed if a file cannot be written.
        let group = Self { folder, files };
        group.set_limit(limit)?;
        Ok(group)
    }

    /// Another limit from now on. Below what is in use the kernel takes back what it can, and refuses if that is too
    /// little.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn set_limit(&self, limit: Bytes) -> io::Result<()> {
        let (swap, kind) = self.files.swap;
        let write = |file: &str, bytes: u64| fs::write(self.folder.join(file), bytes.to_string());
        let swap_bytes = match kind {
            Swap::Together => limit.0,
            Swap::Alone => 0,
        };
        // Memory alone may not be above the two together: whichever way the limit moves, one of the two orders works.
        let swapless = !self.folder.join(swap).exists();
        if swapless {
            return write(self.files.limit, limit.0);
        }
        if write(self.files.limit, limit.0).is_ok() {
            return write(swap, swap_bytes);
        }
        write(swap, swap_bytes)?;
        write(self.files.limit, limit.0)
    }

    /// The group may use as much swap as there is: then it is memory's own limit that it meets, and that is counted.
    ///
    /// # Errors
    /// The file is there and cannot be written.
    pub fn allow_swap(&self) -> io::Result<()> {
        let (swap, kind) = self.files.swap;
        let file = self.folder.join(swap);
        let all = match kind {
            Swap::Together => "-1",
            Swap::Alone => "max",
        };
        if file.exists() {
            fs::write(file, all)?;
        }
        Ok(())
    }

    /// A command whose process is in the group before its program begins, so that every byte of it counts.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", "echo $$ > \"$0\" && exec \"$@\""])
            .arg(self.folder.join("cgroup.procs"))
            .arg(program);
        command
    }

    /// What `/proc/self/cgroup` says to a process in the group.
    pub fn membership(&self) -> String {
        let path = self.folder.strip_prefix(self.files.mount);
        let path = path.unwrap_or(&self.folder).display();
        match self.files.swap.1 {
            Swap::Together => format!("4:memory:/{path}\n"),
            Swap::Alone => format!("0::/{path}\n"),
        }
    }

    /// In use now, the page cache included.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn used(&self) -> io::Result<Bytes> {
        self.number(self.files.usage).map(Bytes)
    }

    /// The most that ever was in use.
    ///
    /// # Errors
    /// The file cannot be read; old kernels have none in version 2.
    pub fn most_used(&self) -> io::Result<Bytes> {
        self.number(self.files.peak).map(Bytes)
    }

    /// In use by programs themselves, without the page cache: what could not be had back by forgetting files.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn anonymous(&self) -> io::Result<Bytes> {
        let field = self.field("memory.stat", "total_rss");
        field
            .or_else(|_| self.field("memory.stat", "anon"))
            .map(Bytes)
    }

    /// How often a process of the group was killed for memory.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn kills(&self) -> io::Result<u64> {
        self.field(self.files.events, "oom_kill")
    }

    fn number(&self, file: &str) -> io::Result<u64> {
        let text = fs::read_to_string(self.folder.join(file))?;
        text.trim().parse().map_err(io::Error::other)
    }

    fn field(&self, file: &str, name: &str) -> io::Result<u64> {
        let text = fs::read_to_string(self.folder.join(file))?;
        let mut fields = text.lines().filter_map(|line| line.split_once(' '));
        let (_, number) = fields
            .find(|(field, _)| *field == name)
            .ok_or_else(|| io::Error::other(format!("{file} has no {name}")))?;
        number.trim().parse().map_err(io::Error::other)
    }
}

impl Drop for MemoryCgroup {
    fn drop(&mut self) {
        // A group with a process in it cannot be removed. Whoever started one should have ended it; what is left goes
        // back to everyone else's group, one at a time as the kernel wants it.
        let left = fs::read_to_string(self.folder.join("cgroup.procs")).unwrap_or_default();
        for process in left.lines() {
            let _ = fs::write(Path::new(self.files.mount).join("cgroup.procs"), process);
        }
        let _ = fs::remove_dir(&self.folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_counts_kills_and_goes() {
        let group = match MemoryCgroup::new("self", Bytes::mib(16)) {
            Ok(group) => group,
            Err(reason) => {
                assert!(reason.contains("no memory cgroup"), "{reason}");
                println!("not tested: {reason}");
                return;
            }
        };
        let folder = group.folder.clone();
        let run = |script: &str| {
            let mut command = group.command("/bin/sh");
            command.args(["-c", script]).status().unwrap()
        };
        assert!(run("exit 0").success());
        assert_eq!(group.kills().unwrap(), 0);
        assert!(group.used().unwrap() <= Bytes::mib(16));
        // A text that doubles until it is not there any more.
        let status = run("x=0123456789; while true; do x=$x$x; done");
        assert!(!status.success(), "{status}");
        assert!(group.kills().unwrap() >= 1);
        assert!(group.most_used().unwrap() <= Bytes::mib(16));
        group.set_limit(Bytes::mib(32)).unwrap();
        group.set_limit(Bytes::mib(24)).unwrap();
        assert_eq!(group.number(group.files.limit).unwrap(), 24 << 20);
        drop(group);
        assert!(!folder.exists());
    }
}
