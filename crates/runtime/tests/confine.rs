//! The environment is written before there is a second thread, or not at all. Without the test harness, because that
//! is a second thread; each case is this program again, as a child.
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
        _ => all(),
    }
}

fn all() {
    let myself = std::env::current_exe().unwrap();
    let cases = ["alone", "crowded", "overridden"];
    for case in cases {
        let mut child = Command::new(&myself);
        for name in VARIABLES {
            child.env_remove(name);
        }
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
