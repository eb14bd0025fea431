//! The built binary talks with a small made model as the agent that was chosen. What the model says is nonsense.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a broken fixture should fail the test at once"
)]

use crate::common;

use inference::fixture::TinyModel;

use common::{Home, assert_refused};

/// A home with a model.
fn home() -> Home {
    let home = Home::new();
    let model = home.path("tiny.gguf");
    TinyModel::qwen2().write(&model).unwrap();
    home.with("PARAPHYM_MODEL", model)
        .with("PARAPHYM_MAX_TOKENS", "4")
}

#[test]
fn agents_are_chosen_at_the_prompt() {
    let home = home();
    home.say(&["config", "set", "agents.coder.system", "You write Rust."]);
    let lines = "/agent\n/agent coder\n/agent\n/system\n/agent nobody\n";
    let said = home.run_with_input(&["chat"], lines.as_bytes()).well().out;
    for part in [
        "the agent is default; there are default, coder",
        "the next answer comes from the agent coder",
        "the agent is coder;",
        "the instructions are: You write Rust.",
        "there is no agent nobody: there are default, coder",
    ] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    home.run(&["ask", "--agent", "coder", "Hi"]).well();
}

#[test]
fn an_agent_that_is_not_there_is_refused_before_anything_is_loaded() {
    let home = home();
    let nobody = home.run(&["ask", "--agent", "nobody", "Hi"]);
    let parts = [
        "there is no agent nobody: there are default",
        "config set agents.nobody.system",
    ];
    assert_refused(&nobody, 2, &parts);
}
