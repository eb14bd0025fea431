//! The environment is written before there is a second thread, or not at all. Without the test harness, because that
//! is a second thread; each case is this program again, as a child. Here too, because it holds for a whole process: what
//! is freed leaves it.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a program of its own: a thread is what is tested, and its report is printed"
)]

use std::process::Command;

use paraphym_runtime::confine;

const VARIABLES: [&str; 2] = ["CANDLE_NUM_THREADS", "TOKENIZERS_PARALLELISM"];

/// What a test runner calls this file's one test.
const NAME: &str = "the_environment_is_written_alone_or_not_at_all";

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if args.iter().any(|arg| arg == "--list") {
        if !args.iter().any(|arg| arg == "--ignored") {
            println!("{NAME}: test");
        }
        return;
    }
    match std::env::var("CASE").as_deref() {
        Ok("alone") => alone(),
        Ok("crowded") => crowded(),
        Ok("overridden") => overridden(),
        #[cfg(all(target_os = "linux", target_env = "gnu"))]
        Ok("freed") => freed(),
        _ => all(),
    }
}

fn all() {
    let myself = std::env::current_exe().unwrap();
    let cases = ["alone", "crowded", "overridden", "freed"];
    for case in cases {
        if case == "freed" && !cfg!(all(target_os = "linux", target_env = "gnu")) {
            continue;
        }
        let mut child = Command::new(&myself);
        for name in VARIABLES {
            child.env_remove(name);
        }
        // Whoever tunes the allocator is obeyed, and what is freed may stay.
        child.env_remove("MALLOC_MMAP_THRESHOLD_");
        child.env_remove("GLIBC_TUNABLES");
        if case == "overridden" {
            child.env("CANDLE_NUM_THREADS", "4");
        }
        assert!(
            child.env("CASE", case).status().unwrap().success(),
            "{case}"
        );
    }
    // The line that test runners read.
    println!("{} passed, 0 failed", cases.len());
}

fn alone() {
    assert!(confine().is_complete());
    assert_eq!(
        VARIABLES.map(|name| std::env::var(name).unwrap()),
        ["1", "false"]
    );
    assert!(confine().is_complete(), "a second call finds it done");
}

fn crowded() {
    let app = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .unwrap();
    let found = confine();
    assert_eq!(found.missing, VARIABLES);
    assert!(
        VARIABLES
            .iter()
            .all(|name| std::env::var_os(name).is_none()),
        "nothing was written"
    );
    drop(app);
}

fn overridden() {
    let found = confine();
    assert_eq!(
        found.overridden,
        [("CANDLE_NUM_THREADS".to_owned(), "4".to_owned())]
    );
    assert_eq!(std::env::var("CANDLE_NUM_THREADS").unwrap(), "4");
    assert!(!found.is_complete());
}

/// What a model does to the allocator: a large block comes and goes, then there are many of a megabyte, then a small one.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn freed() {
    const MIB: usize = 1 << 20;
    assert!(confine().is_complete());
    drop(vec![1u8; 24 * MIB]);
    let before = anonymous_kib();
    let pages: Vec<Vec<u8>> = (0..64).map(|_| vec![1u8; MIB]).collect();
    // Below what is large, and above the others if they lie in the heap.
    let last = vec![1u8; 100 * 1024];
    let held = anonymous_kib();
    assert!(held >= before + 60 * 1024, "{held} KiB after {before} KiB");
    drop(pages);
    let after = anonymous_kib();
    assert!(
        after <= before + 4 * 1024,
        "{after} KiB are still there of {held} KiB; before it were {before} KiB"
    );
    assert_eq!(last.last(), Some(&1));
}

/// What this process has in RAM that no file holds.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn anonymous_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("RssAnon:"));
    let number = line.unwrap().trim().strip_suffix(" kB").unwrap();
    number.parse().unwrap()
}
