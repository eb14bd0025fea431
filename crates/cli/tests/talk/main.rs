//! The built binary talks with small made models, as a person, a script and a program use it: what is kept, what is looked up,
//! who allows what, and what broke off. What the models say is nonsense.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

#[path = "../common/mod.rs"]
mod common;

mod broken_off;
mod documents;
mod kept;
mod permission;
mod servers;
mod terminal;

use inference::fixture::{Field, TinyModel};
use serde_json::Value;

use common::{Home, Ran};

/// Where conversations are kept.
const DATABASE: &str = ".local/share/paraphym/paraphym.db";

/// Tokens of one call of the made model: a letter each, and the schema has room for 70.
const CALL: &str = "100";

/// Where a model is that never ends its answer: it has no token for that.
fn talker() -> Home {
    let model = TinyModel::qwen2()
        .context(1 << 17)
        .without("tokenizer.ggml.eos_token_id")
        .without("tokenizer.ggml.token_type");
    with_model(&model).with("PARAPHYM_MAX_TOKENS", "4")
}

/// Its answer is one call and nothing else, where it has to call: such is the form of models with this word in their template.
const CALLS: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] \
    + '<|im_end|>\n' }}{% endfor %}{% if tools %}{{ '{\"parameters\": {}}' }}{% endif %}<|im_start|>assistant\n";

/// Where a model is that calls a tool, once for each question if its choice is `required`.
fn caller() -> Home {
    let template = Field::Text(CALLS.to_owned());
    let model = TinyModel::qwen2()
        .context(4096)
        .field("tokenizer.chat_template", template);
    with_model(&model)
        .with("PARAPHYM_MAX_TOKENS", CALL)
        .with("PARAPHYM_TEMPERATURE", "1")
        .with("PARAPHYM_SEED", "8")
}

fn with_model(model: &TinyModel) -> Home {
    let home = Home::new();
    let path = home.path("tiny.gguf");
    model.write(&path).unwrap();
    home.with("PARAPHYM_MODEL", path)
}

/// The flags that set these.
fn set<'a>(settings: &[&'a str]) -> Vec<&'a str> {
    settings.iter().flat_map(|one| ["--set", one]).collect()
}

/// The roles of a kept conversation's messages.
fn roles(home: &Home, conversation: &str) -> Vec<String> {
    let shown = home.json(&["history", "show", conversation]);
    let messages = shown["messages"].as_array().unwrap().iter();
    messages
        .map(|one| one["role"].as_str().unwrap().to_owned())
        .collect()
}

/// The names of the kept conversations, the latest first.
fn conversations(home: &Home) -> Vec<String> {
    let list = home.json(&["history", "list"]);
    let all = list["conversations"].as_array().unwrap().iter();
    all.map(|one| one["id"].as_str().unwrap().to_owned())
        .collect()
}

/// What a command with `--json` told.
fn events(ran: &Ran) -> Vec<Value> {
    let lines = ran.out.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The events of this name.
fn named<'a>(events: &'a [Value], name: &str) -> Vec<&'a Value> {
    let is_named = |event: &&Value| event["event"] == name;
    events.iter().filter(is_named).collect()
}
