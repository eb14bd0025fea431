//! Answers that are held to a form, by whole engines: tiny ones of random weights, and the real one at temperature 1.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests may fail loudly, and their figures are worth reading"
)]

use crate::support;

use std::ops::ControlFlow;
use std::path::PathBuf;

use domain::{Constraint, Message, RequestId, Sampling, ToolCall, ToolChoice, ToolSpec, Tools};
use engine::{
    Beginning, Engine, ModelSource, Piece, PrefixId, Said, SequenceId, Speech, StepError,
    TextCodec, TokenId, ToolSpeech, tools,
};
use paraphym_inference::fixture::TinyModel;
use paraphym_inference::{Codec, Decoder, GgufLoader};
use serde_json::Value;
use support::{input, load, plan};

/// What a person might ask for: nothing in it is without a bound.
const PERSON: &str = r#"{
    "type": "object",
    "properties": {
        "name": { "type": "string", "minLength": 1, "maxLength": 8 },
        "age": { "type": "integer", "minimum": 0, "maximum": 120 },
        "mood": { "enum": ["happy", "sad", "unsure"] }
    },
    "required": ["name", "age", "mood"],
    "additionalProperties": false
}"#;
/// More than the longest text of that form has bytes: 46 around the values, 8 characters of up to 12 bytes (two escapes), 3
/// and 8.
const PERSON_TOKENS: u32 = 160;
/// Answers at once.
const BATCH: usize = 16;

fn wild(constraint: Constraint, seed: u64, max_tokens: u32) -> Sampling {
    Sampling {
        temperature: 1.0,
        seed,
        max_tokens,
        constraint: Some(constraint),
        ..Sampling::greedy()
    }
}

/// The default model, as `golden.rs` finds it.
fn real_model() -> (Decoder, Codec) {
    let path = std::env::var_os("PARAPHYM_TEST_MODEL").map_or_else(
        || {
            let data = std::env::var_os("XDG_DATA_HOME")
                .map(PathBuf::from)
                .or_else(|| std::env::home_dir().map(|home| home.join(".local/share")))
                .expect("neither XDG_DATA_HOME nor a home folder is known");
            data.join("paraphym/models/SmolLM2-135M-Instruct.Q4_1.gguf")
        },
        PathBuf::from,
    );
    assert!(
        path.is_file(),
        "the test model is not at {}: run `cargo xtask test`, which fetches it",
        path.display()
    );
    let loaded =
        GgufLoader::new().load_parts(&ModelSource { path }, &mut |_| ControlFlow::Continue(()));
    let (_, decoder, codec) = loaded.unwrap();
    (decoder, codec)
}

/// An answer on its way.
struct Answer {
    seed: u64,
    next: TokenId,
    said: Vec<TokenId>,
    ended: bool,
}

/// Answers to one prompt, one for each seed and its sampling, [`BATCH`] at once. All begin behind one kept prompt.
/// `None` where `max_tokens` came first.
fn answers(
    decoder: &mut Decoder,
    codec: &Codec,
    prompt: &[TokenId],
    samplings: &[Sampling],
) -> Vec<Option<String>> {
    let (last, front) = prompt.split_last().unwrap();
    let prefix = PrefixId(1);
    let reading = SequenceId(u64::MAX);
    decoder
        .open(
            reading,
            plan(front.len() as u32, front.len() as u32, Sampling::greedy()),
        )
        .unwrap();
    decoder.step(&[input(reading.0, front, false)]).unwrap();
    let kept = decoder.keep(reading, prefix, front.len() as u32);
    let from = Beginning {
        prefix,
        tokens: kept,
    };
    let mut texts = vec![None; samplings.len()];
    let mut waiting = samplings.iter().enumerate();
    let mut open: Vec<Answer> = Vec::new();
    loop {
        while open.len() < BATCH
            && let Some((at, sampling)) = waiting.next()
        {
            let capacity = prompt.len() as u32 + sampling.max_tokens;
            let plan = plan(capacity, prompt.len() as u32, sampling.clone());
            decoder
                .open_from(SequenceId(at as u64), plan, from)
                .unwrap();
            open.push(Answer {
                seed: at as u64,
                next: *last,
                said: Vec::new(),
                ended: false,
            });
        }
        if open.is_empty() {
            decoder.forget(prefix);
            return texts;
        }
        let batch: Vec<_> = open
            .iter()
            .map(|a| input(a.seed, &[a.next], true))
            .collect();
        for (answer, output) in open.iter_mut().zip(decoder.step(&batch).unwrap()) {
            assert_eq!(output.stuck, None);
            answer.next = output.token.unwrap();
            let at = answer.seed as usize;
            if codec.ends_turn(answer.next) {
                texts[at] = Some(text_of(codec, &answer.said));
                answer.ended = true;
            }
            answer.said.push(answer.next);
            answer.ended |= answer.said.len() >= samplings[at].max_tokens as usize;
        }
        for answer in open.extract_if(.., |answer| answer.ended) {
            decoder.close(SequenceId(answer.seed));
        }
    }
}

fn text_of(codec: &Codec, tokens: &[TokenId]) -> String {
    let bytes: Vec<u8> = tokens
        .iter()
        .flat_map(|t| codec.bytes_of(*t).to_vec())
        .collect();
    String::from_utf8(bytes).unwrap()
}

/// As `PERSON` says it, in Rust's own words.
fn is_person(value: &Value) -> bool {
    let Some(fields) = value.as_object() else {
        return false;
    };
    let name = fields
        .get("name")
        .and_then(Value::as_str)
        .map(|name| name.chars().count());
    let age = fields.get("age").and_then(Value::as_i64);
    let mood = fields.get("mood").and_then(Value::as_str);
    fields.len() == 3
        && name.is_some_and(|length| (1..=8).contains(&length))
        && age.is_some_and(|age| (0..=120).contains(&age))
        && mood.is_some_and(|mood| ["happy", "sad", "unsure"].contains(&mood))
}

/// As `WEATHER` or `ADD` say it.
fn follows(call: &ToolCall) -> bool {
    let arguments: Value = serde_json::from_str(&call.arguments).unwrap();
    let fields = arguments.as_object().unwrap();
    let number = |key: &str| {
        let number = fields.get(key).and_then(Value::as_i64);
        number.is_some_and(|number| number.abs() <= 999)
    };
    match call.name.as_str() {
        "get_weather" => {
            let city = fields.get("city").and_then(Value::as_str);
            let length = city.map(|city| city.chars().count());
            fields.len() == 1 && length.is_some_and(|length| (1..=12).contains(&length))
        }
        "add" => fields.len() == 2 && number("a") && number("b"),
        _ => false,
    }
}

/// A schema such as people write, with room for its longest text. `PARAPHYM_FORMS=200` asks so often instead of 16 times;
/// that takes minutes.
#[test]
fn a_real_model_at_temperature_1_follows_its_schema_every_time() {
    let times: u64 = std::env::var("PARAPHYM_FORMS").map_or(16, |times| times.parse().unwrap());
    let (mut decoder, codec) = real_model();
    let chat = [Message::user(
        "Invent a person. Answer in JSON with name, age and mood.",
    )];
    let prompt = codec.encode_chat(&chat, &Tools::default()).unwrap();
    let constraint = Constraint::JsonSchema(PERSON.into());
    let samplings: Vec<Sampling> = (0..times)
        .map(|seed| wild(constraint.clone(), seed, PERSON_TOKENS))
        .collect();
    let texts = answers(&mut decoder, &codec, &prompt, &samplings);
    let valid = texts.iter().flatten().filter(|text| {
        let value: Value = serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"));
        assert!(is_person(&value), "{text}");
        true
    });
    assert_eq!(valid.count() as u64, times, "{texts:?}");
    let mut different: Vec<_> = texts.iter().collect();
    different.sort();
    different.dedup();
    println!(
        "{} different answers, such as {:?}",
        different.len(),
        different[0]
    );
    assert!(
        different.len() as u64 > times / 10,
        "the model is still the one who answers: {different:?}"
    );
}

fn spec(name: &str, description: &str, parameters: &str) -> ToolSpec {
    ToolSpec {
        name: name.to_owned(),
        description: description.to_owned(),
        parameters: parameters.into(),
    }
}

const WEATHER: &str = r#"{"type":"object","properties":{"city":{"type":"string","minLength":1,"maxLength":12}},"required":["city"],"additionalProperties":false}"#;
const ADD: &str = r#"{"type":"object","properties":{"a":{"type":"integer","minimum":-999,"maximum":999},"b":{"type":"integer","minimum":-999,"maximum":999}},"required":["a","b"],"additionalProperties":false}"#;

/// What the tools hear of an answer's text.
fn calls_of(codec: &Codec, text: &str) -> Vec<ToolCall> {
    let mut speech = Speech::new(&[]);
    let mut calls = ToolSpeech::new(codec.tool_syntax(), RequestId::new("r"));
    let Said::Text(text) = speech.push(text.as_bytes()) else {
        panic!("nothing stops it");
    };
    let mut pieces = calls.push(&text);
    pieces.extend(calls.finish());
    let call = |piece| match piece {
        Piece::Call(call) => call,
        Piece::Text(text) => panic!("no call: {text:?}"),
    };
    pieces.into_iter().map(call).collect()
}

#[test]
fn a_real_model_that_must_call_a_tool_calls_one_that_is_there() {
    let (mut decoder, codec) = real_model();
    let specs = [
        spec("get_weather", "The weather of a city.", WEATHER),
        spec("add", "Adds two numbers.", ADD),
    ];
    let chat = [Message::user("What is the weather in Paris?")];
    for choice in [ToolChoice::Required, ToolChoice::Named("add".to_owned())] {
        let shown = Tools {
            specs: specs.clone().into(),
            choice,
            ..Tools::default()
        };
        let prompt = codec.encode_chat(&chat, &shown).unwrap();
        let constraint = tools::constraint(&shown, codec.tool_syntax()).unwrap();
        codec.check(&constraint).unwrap();
        // Eight calls of up to 150 bytes.
        let samplings: Vec<Sampling> = (0..8)
            .map(|seed| wild(constraint.clone(), seed, 1300))
            .collect();
        for text in answers(&mut decoder, &codec, &prompt, &samplings) {
            let text = text.expect("there is room for the longest");
            println!("{:?}: {text}", shown.choice);
            let calls = calls_of(&codec, &text);
            assert!((1..=8).contains(&calls.len()), "{text}");
            for call in calls {
                assert!(follows(&call), "{call:?}");
                let named = matches!(&shown.choice, ToolChoice::Named(name) if *name != call.name);
                assert!(!named, "{call:?}");
            }
        }
    }
}

/// As it goes on after a crash: the engine is another one, and is given prompt and answer again.
#[test]
fn a_crash_in_the_middle_of_a_form_changes_no_byte() {
    let prompt: Vec<TokenId> = support::some_tokens(9, 1);
    let constraint = Constraint::JsonSchema(PERSON.into());
    let sampling = wild(constraint, 7, PERSON_TOKENS);
    let plan = || plan(200, prompt.len() as u32, sampling.clone());
    let goes_on = |said: &[TokenId]| -> (Vec<TokenId>, Codec) {
        let (_, mut decoder, codec) = load(&TinyModel::llama());
        decoder.open(SequenceId(1), plan()).unwrap();
        let (mut next, mut said) = ([&prompt, said].concat(), said.to_vec());
        loop {
            let output = decoder.step(&[input(1, &next, true)]).unwrap().remove(0);
            let token = output.token.unwrap_or_else(|| panic!("{output:?}"));
            if codec.ends_turn(token) || said.len() > 180 {
                return (said, codec);
            }
            said.push(token);
            next = vec![token];
        }
    };
    let (whole, codec) = goes_on(&[]);
    let text = text_of(&codec, &whole);
    let value: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
    assert!(value["age"].is_number(), "{text}");
    for crash in 0..whole.len() {
        assert_eq!(goes_on(&whole[..crash]).0, whole, "after {crash} tokens");
    }
}

/// One whose form is refused or leads nowhere leaves the others alone.
#[test]
fn forms_are_each_sequences_own() {
    let (_, mut decoder, codec) = load(&TinyModel::qwen2());
    let bad = wild(Constraint::JsonSchema("{\"type\":\"foo\"}".into()), 1, 10);
    let refused = decoder.open(SequenceId(1), plan(40, 2, bad));
    assert!(
        matches!(refused, Err(StepError::Constraint(_))),
        "{refused:?}"
    );
    let digits = Constraint::Lark("start: /[0-9]{3}/".into());
    decoder
        .open(SequenceId(1), plan(40, 2, wild(digits, 3, 10)))
        .unwrap();
    decoder
        .open(SequenceId(2), plan(40, 2, Sampling::greedy()))
        .unwrap();
    let mut alone = load(&TinyModel::qwen2()).1;
    alone
        .open(SequenceId(2), plan(40, 2, Sampling::greedy()))
        .unwrap();
    let (mut one, mut two) = (vec![5, 6], vec![7, 8]);
    let mut text = Vec::new();
    for _ in 0..4 {
        let both = decoder
            .step(&[input(1, &one, true), input(2, &two, true)])
            .unwrap();
        let expected = alone.step(&[input(2, &two, true)]).unwrap();
        assert_eq!(both[1], expected[0]);
        (one, two) = (vec![both[0].token.unwrap()], vec![both[1].token.unwrap()]);
        text.extend_from_slice(codec.bytes_of(one[0]));
        if codec.ends_turn(one[0]) {
            break;
        }
    }
    assert!(codec.ends_turn(one[0]));
    assert!(
        text.len() == 3 && text.iter().all(u8::is_ascii_digit),
        "{text:?}"
    );
}
