//! Why: "no stray thread" is a promise, and a promise needs a count. The census compares what the kernel lists under
//! `/proc/self/task` with the threads that passed through tokio's own start hook; a name alone would prove nothing,
//! because names are inherited.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex, PoisonError};

/// How often a stranger is looked at again; each look takes tens of microseconds, a start hook a few.
const LOOKS_AGAIN_MAX: usize = 20;

/// What a thread is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The process's first thread.
    Main,
    /// Runs async tasks.
    Worker,
    /// Runs blocking work: model steps, files, line editing.
    Blocking,
    /// Was there before we started: the embedding app's own.
    Host,
    /// Appeared after we started and is not tokio's. There should be none.
    Foreign,
}

impl Role {
    /// The metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Worker => "worker",
            Self::Blocking => "blocking",
            Self::Host => "host",
            Self::Foreign => "foreign",
        }
    }

    /// All roles, in display order.
    pub const ALL: [Self; 5] = [
        Self::Main,
        Self::Worker,
        Self::Blocking,
        Self::Host,
        Self::Foreign,
    ];
}

/// One thread of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadInfo {
    /// The kernel's id.
    pub tid: u32,
    /// The kernel's name for it, at most 15 bytes.
    pub name: String,
    /// What it is for.
    pub role: Role,
}

/// All threads of the process at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Census {
    /// Every thread, by id.
    pub threads: Vec<ThreadInfo>,
}

impl Census {
    /// How many threads have this role.
    pub fn count(&self, role: Role) -> usize {
        self.threads.iter().filter(|t| t.role == role).count()
    }
}

/// The threads we know, kept by the runtime's hooks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    roles: Arc<Mutex<BTreeMap<u32, Role>>>,
    /// In a runtime that is not ours its threads have no hook; they are known by its name for them.
    ambient_name: Option<String>,
}

impl Known {
    /// For a runtime of our own: what exists now belongs to the process that starts it.
    pub(crate) fn before_start() -> Self {
        let known = Self::default();
        for (tid, _) in tasks() {
            known.insert(tid, Role::Host);
        }
        known
    }

    /// For an ambient runtime: the same, and what appears later under `name` is taken for that runtime growing its
    /// blocking pool. A thread that the app starts from one of the runtime's inherits the name and is mistaken for one.
    pub(crate) fn ambient(name: Option<String>) -> Self {
        Self {
            ambient_name: name,
            ..Self::before_start()
        }
    }

    pub(crate) fn insert(&self, tid: u32, role: Role) {
        self.roles
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(tid, role);
    }

    pub(crate) fn remove(&self, tid: u32) {
        self.roles
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&tid);
    }

    /// The census. A thread of tokio's is a stranger for the microseconds between its birth and its start hook, so a
    /// stranger is looked at again before it is called one.
    pub(crate) fn census(&self) -> Census {
        let mut census = self.look();
        for _ in 0..LOOKS_AGAIN_MAX {
            if census.count(Role::Foreign) == 0 {
                break;
            }
            std::thread::yield_now();
            census = self.look();
        }
        census
    }

    fn look(&self) -> Census {
        let tasks = tasks();
        let roles = self.roles.lock().unwrap_or_else(PoisonError::into_inner);
        let threads = tasks
            .into_iter()
            .map(|(tid, name)| {
                let role = if tid == std::process::id() {
                    Role::Main
                } else if let Some(role) = roles.get(&tid) {
                    *role
                } else if self.ambient_name.as_deref() == Some(name.as_str()) {
                    Role::Blocking
                } else {
                    Role::Foreign
                };
                ThreadInfo { tid, name, role }
            })
            .collect();
        Census { threads }
    }
}

/// The kernel's list: id and name of each thread. Empty where there is no `/proc`.
pub(crate) fn tasks() -> Vec<(u32, String)> {
    let Ok(entries) = fs::read_dir("/proc/self/task") else {
        return Vec::new();
    };
    let mut tasks: Vec<(u32, String)> = entries
        .flatten()
        .filter_map(|entry| {
            let tid = entry.file_name().to_str()?.parse().ok()?;
            // A thread may end between the listing and the read; then it is no longer a thread of ours.
            let name = fs::read_to_string(entry.path().join("comm")).ok()?;
            Some((tid, name.trim_end().to_owned()))
        })
        .collect();
    tasks.sort_unstable();
    tasks
}

/// The calling thread's kernel id, from `/proc/thread-self` (`PID/task/TID`).
pub(crate) fn current_tid() -> Option<u32> {
    let link = fs::read_link("/proc/thread-self").ok()?;
    link.file_name()?.to_str()?.parse().ok()
}

/// The calling thread's name as the kernel has it.
pub(crate) fn current_name() -> Option<String> {
    let name = fs::read_to_string("/proc/thread-self/comm").ok()?;
    Some(name.trim_end().to_owned())
}
