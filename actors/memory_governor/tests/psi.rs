//! Kernel pressure events on the machine's own files, as far as its kernel lets us.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may stop at the first surprise"
)]

use std::path::PathBuf;

use memory_governor::stalls::Trigger;
use memory_governor::{FileProbe, limit::Probe, psi};
use paraphym_memory_governor as memory_governor;

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
