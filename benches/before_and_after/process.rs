//! What the kernel counts of this process: its threads, how often they were switched, their processor time, its memory.
//! Linux only.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use crate::lane::Failure;

/// Everything of all threads that are there at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Look {
    pub(crate) threads: usize,
    /// A thread went to sleep: each time something has to wake it.
    pub(crate) voluntary: u64,
    /// A thread was taken off its processor.
    pub(crate) involuntary: u64,
    pub(crate) processor: Duration,
}

/// Looks at every thread. One that ends meanwhile is left out.
pub(crate) fn look() -> Result<Look, Failure> {
    let mut look = Look::default();
    for entry in fs::read_dir("/proc/self/task")? {
        let folder = entry?.path();
        let Ok(status) = fs::read_to_string(folder.join("status")) else {
            continue;
        };
        look.threads += 1;
        look.voluntary += number(&status, "voluntary_ctxt_switches:").unwrap_or(0);
        look.involuntary += number(&status, "nonvoluntary_ctxt_switches:").unwrap_or(0);
        let spent = fs::read_to_string(folder.join("schedstat")).unwrap_or_default();
        let nanoseconds = spent.split_whitespace().next().map(str::parse);
        look.processor += Duration::from_nanos(nanoseconds.transpose()?.unwrap_or(0));
    }
    Ok(look)
}

/// What happened between two looks, each figure for one second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rates {
    pub(crate) threads: usize,
    pub(crate) switches: f64,
    pub(crate) wakeups: f64,
    pub(crate) processor_ms: f64,
}

impl Rates {
    pub(crate) fn between(before: Look, after: Look, took: Duration) -> Self {
        let per_second = |count: u64| count as f64 / took.as_secs_f64();
        let voluntary = after.voluntary.saturating_sub(before.voluntary);
        let involuntary = after.involuntary.saturating_sub(before.involuntary);
        let processor = after.processor.saturating_sub(before.processor);
        Self {
            threads: after.threads,
            switches: per_second(voluntary + involuntary),
            wakeups: per_second(voluntary),
            processor_ms: processor.as_secs_f64() * 1e3 / took.as_secs_f64(),
        }
    }
}

/// The names of all threads, by the kernel's ids.
pub(crate) fn threads() -> Result<BTreeMap<String, String>, Failure> {
    let mut threads = BTreeMap::new();
    for entry in fs::read_dir("/proc/self/task")? {
        let entry = entry?;
        // It may have ended since it was listed.
        if let Ok(name) = fs::read_to_string(entry.path().join("comm")) {
            let id = entry.file_name().to_string_lossy().into_owned();
            threads.insert(id, name.trim_end().to_owned());
        }
    }
    Ok(threads)
}

/// Resident memory, in bytes.
pub(crate) fn resident_bytes() -> Result<f64, Failure> {
    let status = fs::read_to_string("/proc/self/status")?;
    let kib = number(&status, "VmRSS:").ok_or("no VmRSS in /proc/self/status")?;
    Ok(kib as f64 * 1024.0)
}

fn number(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}
