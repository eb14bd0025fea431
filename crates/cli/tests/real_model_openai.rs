//! The built binary and the real models, asked by the official Python client as its users ask.
//!
//! The client lies in the folder that `PARAPHYM_TEST_OPENAI` names; `cargo xtask test` brings it, and the models.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

use crate::common;
use crate::server;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::Home;
use server::Server;

/// Runs one file of the suite; every test in it must have run and passed.
fn suite(server: &Server, file: &str, environment: &[(&str, &str)]) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/openai")
        .join(file);
    let written = std::fs::read_to_string(&file).unwrap();
    let tests = written.matches("    def test_").count();
    let run = Command::new("python3")
        .arg(&file)
        .arg("--verbose")
        .env("PYTHONPATH", official())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("OPENAI_BASE_URL", format!("http://{}/v1", server.address))
        .env("OPENAI_API_KEY", "none")
        .env("METRICS_URL", format!("http://{}/metrics", server.address))
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}");
    assert!(
        tests > 0 && said.contains(&format!("Ran {tests} tests")),
        "{tests} tests are written: {said}"
    );
    assert!(!said.contains("skipped"), "{said}");
}

/// The folder with the official client.
fn official() -> PathBuf {
    let named = std::env::var_os("PARAPHYM_TEST_OPENAI").map(PathBuf::from);
    let named = named.unwrap_or_else(|| {
        // Beside the built binary's folder, where `cargo xtask test` puts it.
        let target = Path::new(env!("CARGO_BIN_EXE_paraphym")).ancestors().nth(2);
        target.unwrap().join("openai")
    });
    assert!(
        named.join("openai/__init__.py").is_file(),
        "the official client is not in {}: `cargo xtask test` brings it",
        named.display()
    );
    named
}

#[test]
fn real_model_speaks_with_the_official_python_client() {
    suite(&Server::real(Home::new(), &[]), "suite.py", &[]);
}

#[test]
fn real_model_lets_in_only_who_has_a_token_and_keeps_their_limit() {
    let home = Home::new();
    let token = |name: &str, limits: &[&str]| {
        let made = home.json(&[&["token", "new", "--name", name], limits].concat());
        made["token"].as_str().unwrap().to_owned()
    };
    let (free, limited) = (token("free", &[]), token("limited", &["--rpm", "3"]));
    let keys = [
        ("OPENAI_API_KEY", free.as_str()),
        ("LIMITED_KEY", limited.as_str()),
    ];
    suite(&Server::real(home, &[]), "guarded.py", &keys);
}

/// The blocks of code of the page in one language, with the server's address instead of the usual one.
fn examples(language: &str, server: &Server) -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/api.md");
    let page = std::fs::read_to_string(page).unwrap();
    let fenced = page.split("```").skip(1).step_by(2);
    let of_language = fenced.filter_map(|block| block.strip_prefix(&format!("{language}\n")));
    let here = |block: &str| block.replace("127.0.0.1:7007", &server.address);
    of_language.map(here).collect()
}

fn runs(program: &str, script: &str) -> String {
    let run = Command::new(program)
        .args(["-c", script])
        .env("PYTHONPATH", official())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let said = String::from_utf8(run.stdout).unwrap();
    let err = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{script}: {err}");
    said
}

#[test]
fn real_model_answers_the_examples_of_the_page() {
    let server = Server::real(Home::new(), &[]);
    let [curl] = &examples("sh", &server)[..] else {
        panic!("one example for curl")
    };
    let stream = runs("bash", curl);
    let pieces = stream.split("\"content\":\"").skip(1);
    let said: String = pieces.filter_map(|piece| piece.split('"').next()).collect();
    assert!(
        said.contains("ravity") && stream.trim_end().ends_with("data: [DONE]"),
        "{stream}"
    );
    let [python] = &examples("python", &server)[..] else {
        panic!("one example for Python")
    };
    let said = runs("python3", python);
    assert!(said.contains("ravity"), "{said}");
}
