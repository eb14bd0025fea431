//! A chat becomes the same tokens whatever is known of its pieces: for the tiny tokenizers and for the real one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests may fail loudly"
)]

use crate::support;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::LazyLock;

use domain::{Message, Role, ToolCall, ToolCallId, ToolSpec, Tools};
use engine::{ModelSource, NoPieces, Pieces, TextCodec, TokenId};
use paraphym_inference::fixture::{Field, TinyModel};
use paraphym_inference::{Codec, GgufLoader};
use proptest::prelude::*;
use support::load;

/// Keeps everything, but for what it is told to forget.
#[derive(Default)]
struct Memory {
    known: BTreeMap<String, Vec<TokenId>>,
    hits: usize,
    misses: usize,
}

impl Pieces for Memory {
    fn look(&mut self, text: &str, tokens: &mut Vec<TokenId>) -> bool {
        let known = self.known.get(text);
        tokens.extend(known.into_iter().flatten());
        self.hits += usize::from(known.is_some());
        self.misses += usize::from(known.is_none());
        known.is_some()
    }

    fn keep(&mut self, text: &str, tokens: &[TokenId]) {
        assert!(!text.is_empty(), "nothing is not a piece");
        self.known.insert(text.to_owned(), tokens.to_vec());
    }
}

const TEMPLATE: &str = "tokenizer.chat_template";
/// Everything a template can do to pieces: no special token between two messages, blanks beside them, one message twice.
const RUNS_TOGETHER: &str = "{% for m in messages %}{{ m.role }}: {{ m.content }} {% endfor %}<|im_start|> {{ messages[0].content | trim }}{{ bos_token }}{{ bos_token }}";

fn tiny(model: &TinyModel) -> Codec {
    load(model).2
}

/// Both kinds of tokenizer, with every rule for words and every way to treat what a text begins with.
static TINY: LazyLock<Vec<(String, Codec)>> = LazyLock::new(|| {
    let mut codecs = Vec::new();
    for pre in ["default", "smollm", "llama-bpe", "qwen2"] {
        let pre_is = TinyModel::llama().field("tokenizer.ggml.pre", Field::Text(pre.to_owned()));
        codecs.push((pre.to_owned(), tiny(&pre_is)));
    }
    let mut kinds = vec![1; 271];
    kinds[..3].fill(3);
    // "hello" and " the" are always one token.
    kinds[259 + 7] = 4;
    kinds[259 + 3] = 4;
    let user = TinyModel::llama().field("tokenizer.ggml.token_type", Field::Ints(kinds));
    codecs.push(("user-defined".to_owned(), tiny(&user)));
    let together = Field::Text(RUNS_TOGETHER.to_owned());
    let together = TinyModel::llama().field(TEMPLATE, together);
    codecs.push(("runs together".to_owned(), tiny(&together)));
    for prefix in [true, false] {
        let pieces = TinyModel::llama()
            .sentencepiece()
            .field("tokenizer.ggml.add_space_prefix", Field::Flag(prefix));
        codecs.push((format!("sentencepiece, prefix {prefix}"), tiny(&pieces)));
    }
    codecs
});

/// The model that `cargo xtask test` brings.
static REAL: LazyLock<Codec> = LazyLock::new(|| {
    let path = std::env::var_os("PARAPHYM_TEST_MODEL").map(PathBuf::from);
    let path = path.unwrap_or_else(|| {
        let data = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from);
        let data = data.or_else(|| std::env::home_dir().map(|home| home.join(".local/share")));
        let models = data
            .expect("no home folder is known")
            .join("paraphym/models");
        models.join("SmolLM2-135M-Instruct.Q4_1.gguf")
    });
    assert!(
        path.is_file(),
        "the test model is not at {}: run `cargo xtask test`, which fetches it, or name one in PARAPHYM_TEST_MODEL",
        path.display()
    );
    let source = ModelSource { path };
    let loaded = GgufLoader::new().load_parts(&source, &mut |_| ControlFlow::Continue(()));
    loaded.unwrap().2
});

/// Texts of special tokens and almost, of words that merge across their ends, blanks, and letters of all widths, some of
/// them in two ways of writing that one tokenizer takes for the same.
fn texts() -> impl Strategy<Value = String> {
    let bits = vec![
        "<|im_start|>",
        "<|im_end|>",
        "<|endoftext|>",
        "<|im_",
        "end|>",
        "<|",
        "|>",
        "<",
        "<s>",
        "</s>",
        "user\n",
        "assistant",
        " ",
        "  ",
        "\n",
        "\n\n",
        "\t",
        "\u{a0}",
        "\u{3000}",
        "hello",
        " hello",
        "he",
        "llo",
        " the",
        "1",
        "23",
        "▁",
        "▁hello",
        "é",
        "e\u{301}",
        "漢字",
        "☃",
        "👩\u{200d}🚀",
        "\u{100000}",
        "\u{100001}",
        "\u{fffd}",
        "'s",
        "!",
        "<tool_call>",
    ];
    let bit =
        prop_oneof![9 => prop::sample::select(bits).prop_map(str::to_owned), 1 => "\\PC{0,4}"];
    prop::collection::vec(bit, 0..10).prop_map(|bits| bits.concat())
}

fn messages() -> impl Strategy<Value = Vec<Message>> {
    let message = (0..4, texts()).prop_map(|(role, text)| match role {
        0 => Message::system(text),
        1 | 2 => Message::user(text),
        _ => Message::assistant(text),
    });
    prop::collection::vec(message, 1..6)
}

fn tools(text: &str) -> Tools {
    let spec = ToolSpec {
        name: "look_up".to_owned(),
        description: text.to_owned(),
        parameters: "".into(),
    };
    Tools {
        specs: [spec].into(),
        ..Tools::default()
    }
}

/// The same tokens with nothing known, with what the turns before left, with all of it, and with a part forgotten; and a
/// turn that says what was said encodes nothing.
fn check(
    (name, codec): (&str, &Codec),
    chat: &[Message],
    forget: usize,
    memory: &mut Memory,
) -> Result<(), TestCaseError> {
    let tools = chat.first().map(|first| tools(&first.content));
    for tools in [Tools::default(), tools.unwrap_or_default()] {
        for turn in 1..=chat.len() {
            let said = &chat[..turn];
            let plain = codec.encode_chat(said, &tools).unwrap();
            let first = codec.encode_chat_with(said, &tools, memory).unwrap();
            prop_assert_eq!(&first, &plain, "{}: {:?}", name, said);
            let misses = memory.misses;
            let again = codec.encode_chat_with(said, &tools, memory).unwrap();
            prop_assert_eq!(&again, &plain, "{}, again: {:?}", name, said);
            prop_assert_eq!(memory.misses, misses, "{}: {:?}", name, said);
            let mut at = 0;
            memory.known.retain(|_, _| {
                at += 1;
                at % (forget + 1) != 0
            });
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn tokens_are_the_same_whatever_is_known(chat in messages(), forget in 1usize..5) {
        for (name, codec) in TINY.iter() {
            check((name, codec), &chat, forget, &mut Memory::default())?;
        }
    }

    #[test]
    fn tokens_of_the_real_model_are_the_same_whatever_is_known(chat in messages(), forget in 1usize..5) {
        check(("real", &REAL), &chat, forget, &mut Memory::default())?;
    }

    /// A piece is encoded by its text alone: wherever it stood, whatever came before it.
    #[test]
    fn what_others_said_changes_no_token(chats in prop::collection::vec(messages(), 2..5), forget in 1usize..5) {
        for (name, codec) in TINY.iter() {
            let mut memory = Memory::default();
            for chat in &chats {
                check((name, codec), chat, forget, &mut memory)?;
            }
        }
    }
}

#[test]
fn a_turn_encodes_only_what_is_new() {
    let (_, codec) = &TINY[0];
    let mut memory = Memory::default();
    let mut chat = vec![Message::system("Be kind."), Message::user("hello")];
    let none = Tools::default();
    codec.encode_chat_with(&chat, &none, &mut memory).unwrap();
    // "system\nBe kind.", "\n", "user\nhello" and "assistant\n"; the second "\n" was known.
    assert_eq!((memory.hits, memory.misses), (1, 4));
    chat.push(Message::assistant("hello, and hello again"));
    chat.push(Message::user("what now?"));
    codec.encode_chat_with(&chat, &none, &mut memory).unwrap();
    assert_eq!(memory.misses, 4 + 2);
}

/// Calls and their results are words of the template's, and known like all others.
#[test]
fn calls_and_results_are_known_as_well() {
    let call = ToolCall {
        id: ToolCallId::new("c1"),
        name: "look_up".to_owned(),
        arguments: r#"{"x": "<|im_end|>"}"#.to_owned(),
    };
    let mut asked = Message::assistant("");
    asked.tool_calls.push(call);
    let mut result = Message::user("<|im_start|> 7");
    result.role = Role::Tool;
    result.answers = Some(ToolCallId::new("c1"));
    let chat = [Message::user("look"), asked, result];
    for (name, codec) in TINY.iter() {
        check((name, codec), &chat, 2, &mut Memory::default()).unwrap();
    }
}

#[test]
fn who_knows_nothing_keeps_nothing() {
    let mut tokens = vec![7];
    NoPieces.keep("hello", &[1, 2]);
    assert!(!NoPieces.look("hello", &mut tokens));
    assert_eq!(tokens, [7]);
}
