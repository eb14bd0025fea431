//! The built binary with the real model and packed copies on disk: who asks again hears the same, and what is kept can be seen,
//! moved and left out.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

use crate::real_model::{model, paraphym, text};

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// What it says, with caches in this folder, and further flags.
fn asked(caches: &Path, flags: &[&str]) -> String {
    asked_and_logged(caches, flags).0
}

fn asked_and_logged(caches: &Path, flags: &[&str]) -> (String, String) {
    let mut ask = paraphym(
        "ask",
        &["--greedy", "--max-tokens", "12", "What is gravity?"],
    );
    let ran = ask.args(flags).args(["--log", "debug"]);
    let ran = ran.env("XDG_CACHE_HOME", caches).output().unwrap();
    assert_eq!(ran.status.code(), Some(0), "{}", text(&ran.stderr));
    (text(&ran.stdout), text(&ran.stderr))
}

/// What the doctor finds of copies.
fn found(caches: &Path, flags: &[&str]) -> Option<Value> {
    let mut doctor = paraphym("doctor", &["--json"]);
    let ran = doctor.args(flags).env("XDG_CACHE_HOME", caches).output();
    let report: Value = serde_json::from_slice(&ran.unwrap().stdout).unwrap();
    let checks = report["checks"].as_array().unwrap();
    checks.iter().find(|c| c["name"] == "copies").cloned()
}

fn copies(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let paths = entries.map(|entry| entry.unwrap().path());
    let ends = |path: &PathBuf| path.extension().is_some_and(|end| end != "TAG");
    paths.filter(ends).collect()
}

#[test]
fn real_model_asked_again_answers_from_its_packed_copy() {
    // Where models lie: there files are on large pages, if they are anywhere.
    let beside = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let folder = beside.path().join("paraphym/packed");
    let none = ["--set", "model.packed_copies=false"];
    let plain = asked(beside.path(), &none);
    assert_eq!(found(beside.path(), &none), None);
    assert!(!folder.exists());

    let before = found(beside.path(), &[]).unwrap();
    assert_eq!(before["verdict"], "ok", "{before}");
    let can_be = !before["found"].as_str().unwrap().contains("file system");
    let (said, log) = asked_and_logged(beside.path(), &[]);
    assert_eq!(said, plain);
    let made = copies(&folder);
    // Where memory is in small pieces there is none, and that is told.
    let is_told = log.contains("there is no packed copy");
    assert_eq!(made.is_empty(), is_told, "{log}");
    assert!(can_be || is_told, "{log}");
    let last_written = || {
        let times = made
            .iter()
            .map(|copy| fs::metadata(copy).unwrap().modified());
        times.map(Result::unwrap).collect::<Vec<_>>()
    };
    let before = last_written();
    assert_eq!(asked(beside.path(), &[]), plain);
    assert_eq!(last_written(), before, "what is there is used");
    let Some(copy) = made.first() else { return };
    let size = fs::metadata(copy).unwrap().len();
    assert!(size > 32 << 20, "{size}");
    let after = found(beside.path(), &[]).unwrap();
    let after = after["found"].as_str().unwrap();
    assert!(after.starts_with("1 of models, "), "{after}");

    // One that was damaged is seen, and made again.
    let damaged = fs::read(copy).unwrap();
    fs::remove_file(copy).unwrap();
    fs::write(copy, &damaged[..damaged.len() / 2]).unwrap();
    assert_eq!(asked(beside.path(), &[]), plain);
    assert_eq!(copies(&folder), made);
    assert_eq!(fs::metadata(copy).unwrap().len(), size);
}

#[test]
fn real_model_whose_copies_cannot_be_written_answers_all_the_same() {
    let caches = tempfile::tempdir().unwrap();
    let place = ["--set", "model.copies_dir=/proc/none"];
    let check = found(caches.path(), &place).unwrap();
    assert_eq!(check["verdict"], "warn", "{check}");
    assert!(
        check["advice"]
            .as_str()
            .unwrap()
            .contains("model.copies_dir"),
        "{check}"
    );
    let plain = asked(caches.path(), &["--set", "model.packed_copies=false"]);
    assert_eq!(asked(caches.path(), &place), plain);
}

#[test]
fn real_model_that_is_removed_takes_its_copy_along() {
    let beside = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let models = beside.path().join("models");
    fs::create_dir(&models).unwrap();
    fs::copy(model(), models.join("mine.gguf")).unwrap();
    let run = |args: &[&str]| {
        let mut process = crate::real_model::bare(args);
        let ran = process
            .env("PARAPHYM_MODELS_DIR", &models)
            .env("XDG_CACHE_HOME", beside.path())
            .output();
        let ran = ran.unwrap();
        assert_eq!(ran.status.code(), Some(0), "{}", text(&ran.stderr));
        text(&ran.stderr)
    };
    let folder = beside.path().join("paraphym/packed");
    let log = run(&[
        "ask",
        "-m",
        "mine",
        "--max-tokens",
        "1",
        "--log",
        "debug",
        "hello",
    ]);
    let is_told = log.contains("there is no packed copy");
    assert_eq!(copies(&folder).len(), usize::from(!is_told), "{log}");
    run(&["model", "rm", "mine"]);
    assert_eq!(copies(&folder), Vec::<PathBuf>::new());
}
