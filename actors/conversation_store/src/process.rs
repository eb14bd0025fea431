//! Who works on a turn: a process, told from a later one with the same number, and one opening of the file by it.
//!
//! Source: `proc(5)`, `/proc/PID/stat`, field 3 (state) and field 22 (start, in clock ticks since boot), and
//! `/proc/sys/kernel/random/boot_id`. Where there is no such folder every other process is taken for dead. A process in
//! another PID namespace cannot be seen, and is taken for dead, too: do not share the file between containers.

use std::fs;

/// A process that opened the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pid: u32,
    /// Clock ticks since boot.
    started: u64,
    boot: String,
}

impl Process {
    /// This one.
    pub(crate) fn this() -> Self {
        let pid = std::process::id();
        Self {
            pid,
            started: started(pid).unwrap_or_default(),
            boot: boot(),
        }
    }

    /// The text in the file. `opening` tells openings of one process apart.
    pub(crate) fn owner(&self, opening: &str) -> String {
        let Self { pid, started, boot } = self;
        format!("{pid} {started} {boot} {opening}")
    }

    /// Whether the process of this text is alive. A text that says nothing of a process is of none.
    pub(crate) fn is_alive(owner: &str) -> bool {
        Self::alive(owner).is_some()
    }

    /// The number of the process of this text, if it is alive.
    pub(crate) fn alive(owner: &str) -> Option<u32> {
        let mut parts = owner.split(' ');
        let mut next = || parts.next().unwrap_or_default();
        let (pid, ticks, from) = (next(), next(), next());
        let (Ok(pid), Ok(ticks)) = (pid.parse::<u32>(), ticks.parse::<u64>()) else {
            return None;
        };
        let alive = if pid == std::process::id() {
            let this = Self::this();
            ticks == this.started && from == this.boot
        } else {
            from == boot() && started(pid) == Some(ticks)
        };
        alive.then_some(pid)
    }
}

fn boot() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

/// When it started; nothing if it is dead, or not to be seen.
fn started(pid: u32) -> Option<u64> {
    started_of(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The name before the fields may hold anything, brackets included; the last bracket ends it.
fn started_of(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?;
    // A zombie has ended, and only waits to be noticed.
    if matches!(state, "Z" | "X" | "x") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(name: &str, state: &str) -> String {
        let between = " 1".repeat(18);
        format!("7 ({name}) {state}{between} 4711 8192")
    }

    #[test]
    fn the_start_is_the_field_that_the_manual_names() {
        for (line, expected) in [
            (stat("sh", "S"), Some(4711)),
            (stat("a ) b (", "R"), Some(4711)),
            (stat("sh", "Z"), None),
            ("7 (sh) S 1".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(started_of(&line), expected, "{line}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn only_this_very_process_is_alive_under_its_number() {
        let this = Process::this();
        assert!(Process::is_alive(&this.owner("x")));
        let other = Process {
            started: this.started + 1,
            ..this.clone()
        };
        assert!(!Process::is_alive(&other.owner("x")));
        let other = Process {
            boot: "another boot".to_owned(),
            ..this
        };
        assert!(!Process::is_alive(&other.owner("x")));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn another_process_is_alive_until_it_has_ended() {
        let mut child = std::process::Command::new("sleep")
            .arg("1000")
            .spawn()
            .unwrap();
        let owner = Process {
            pid: child.id(),
            started: started(child.id()).unwrap(),
            boot: boot(),
        }
        .owner("x");
        assert!(Process::is_alive(&owner));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!Process::is_alive(&owner));
    }

    #[test]
    fn what_names_no_process_is_not_alive() {
        for text in ["", "x", "1", "1 2", "-1 2 3 4", "4294967296 1 x y"] {
            assert!(!Process::is_alive(text), "{text}");
        }
    }
}
