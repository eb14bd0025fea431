//! Kernel pressure events on the machine's own files, as far as its kernel lets us.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may stop at the first surprise"
)]

use std::path::PathBuf;
use std::time::Duration;

use domain::Bytes;
use memory_governor::stalls::{Stalls, Trigger};
use memory_governor::{FileProbe, limit::Probe, psi};
use paraphym_memory_governor as memory_governor;
use testkit::memory_cgroup::MemoryCgroup;

/// A machine without stalls is silent, so this shows that a trigger is taken and does not fire by itself; where the kernel
/// takes none, the reason is printed.
#[tokio::test]
async fn the_kernel_takes_a_trigger() {
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let files = psi::files(&groups);
    match Trigger::register(&files) {
        Ok(trigger) => {
            assert!(files.iter().any(|file| file == trigger.path()));
            let text = FileProbe.read(trigger.path()).unwrap();
            assert!(psi::parse(&text).is_some(), "{text:?}");
        }
        Err(error) => eprintln!("skipped: no trigger at {files:?}: {error}"),
    }
}

#[tokio::test]
async fn a_file_that_cannot_tell_is_an_error() {
    let missing = [PathBuf::from("/nowhere/memory.pressure")];
    let error = Trigger::register(&missing).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    assert_eq!(
        Trigger::register(&[]).unwrap_err().kind(),
        std::io::ErrorKind::NotFound
    );
    // An ordinary file takes the text, but nobody can wait for it.
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("memory.pressure");
    std::fs::write(&plain, "").unwrap();
    let error = Trigger::register(&[plain]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
}

/// A group of the unified hierarchy, beside the memory group of the other one; gone when dropped.
struct Group(PathBuf);

impl Group {
    fn new() -> std::io::Result<Self> {
        let name = format!("paraphym-test-{}-stall", std::process::id());
        let folder = PathBuf::from("/sys/fs/cgroup/unified").join(name);
        std::fs::create_dir(&folder)?;
        Ok(Self(folder))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// A program that reads a file three times as large as its memory, again and again: it waits for memory all the time, and
/// the kernel tells. On a hybrid host, as root; elsewhere the reason is printed.
#[tokio::test]
async fn the_kernel_tells_of_a_squeezed_program() {
    let memory = MemoryCgroup::new("stall", Bytes::mib(16));
    let (memory, group) = match (memory, Group::new()) {
        (Ok(memory), Ok(group)) => (memory, group),
        (Err(reason), _) => return eprintln!("skipped: {reason}"),
        (_, Err(error)) => return eprintln!("skipped: no group in the unified hierarchy: {error}"),
    };
    let pressure = group.file("memory.pressure");
    let mut trigger = match Trigger::register(std::slice::from_ref(&pressure)) {
        Ok(trigger) => trigger,
        Err(error) => return eprintln!("skipped: no trigger at {}: {error}", pressure.display()),
    };
    let folder = tempfile::tempdir().unwrap();
    let script =
        "echo $$ > \"$0\"; dd if=/dev/urandom of=\"$1\" bs=1M count=48 conv=fsync 2>/dev/null
        while :; do cat \"$1\" \"$1\" > /dev/null; done";
    let mut program = memory
        .command("/bin/sh")
        .args(["-c", script])
        .arg(group.file("cgroup.procs"))
        .arg(folder.path().join("file"))
        .spawn()
        .unwrap();
    let told = tokio::time::timeout(Duration::from_secs(30), trigger.next()).await;
    let stall = std::fs::read_to_string(&pressure).unwrap();
    // The shell's last `cat` ends by itself.
    program.kill().unwrap();
    program.wait().unwrap();
    while !std::fs::read_to_string(group.file("cgroup.procs"))
        .unwrap()
        .is_empty()
    {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    if let Ok(told) = told {
        return told.unwrap();
    }
    let total = psi::parse(&stall).unwrap().total;
    let quiet = total < Duration::from_secs(3);
    assert!(quiet, "tasks waited for {total:?} and nothing was told");
    eprintln!("skipped: the squeezed program waited for {total:?} in 30 s only");
}
