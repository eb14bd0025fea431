//! Forms are followed, and hostile ones refused, on the tiny vocabularies: no model is computed with.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may fail loudly"
)]

use engine::TextCodec;

use super::*;
use crate::Codec;
use crate::fixture::TinyModel;

fn codec(model: &TinyModel) -> Codec {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tiny.gguf");
    model.write(&path).unwrap();
    let file = crate::file::GgufFile::open(&path).unwrap();
    let vocabulary = Vocabulary::read(&file).unwrap();
    Codec::build(&file, vocabulary).unwrap()
}

fn schema(text: &str) -> Constraint {
    Constraint::JsonSchema(text.into())
}

fn is_allowed(mask: &SimpleVob, token: TokenId) -> bool {
    mask.is_allowed(token)
}

/// Says `text` byte by byte and tells where it is stopped; at the end, whether the turn may end and whether it must.
fn say(codec: &Codec, constraint: &Constraint, text: &str) -> Result<(bool, bool), String> {
    let mut form = codec.grammars().begin(constraint)?;
    let vocabulary = Vocabulary::clone(&codec.grammars().vocabulary);
    let ends: Vec<TokenId> = vocabulary
        .iter()
        .map(|t| t.0)
        .filter(|t| vocabulary.ends_turn(*t))
        .collect();
    let token_of = |byte: u8| {
        let mut all = vocabulary.iter().map(|t| t.0);
        all.find(|t| vocabulary.bytes_of(*t) == [byte] && !vocabulary.ends_turn(*t))
            .unwrap()
    };
    let mut said = Vec::new();
    for (at, byte) in text.bytes().enumerate() {
        let mask = form.mask(&said)?;
        let token = token_of(byte);
        if !is_allowed(&mask, token) {
            return Err(format!("stopped after {:?}", &text[..at]));
        }
        said.push(token);
    }
    let mask = form.mask(&said)?;
    let ending: Vec<bool> = ends.iter().map(|t| is_allowed(&mask, *t)).collect();
    assert!(ending.iter().all(|e| *e == ending[0]), "every end or none");
    Ok((ending[0], ending[0] && mask.num_set() == ends.len()))
}

#[test]
fn a_turn_ends_where_the_form_is_complete() {
    let age = r#"{"type":"object","properties":{"age":{"type":"integer","minimum":0,"maximum":99}},"required":["age"],"additionalProperties":false}"#;
    let go_on = Ok((false, false));
    let stopped = |at: &str| Err(format!("stopped after {at:?}"));
    let cases = [
        (schema(age), "", go_on.clone()),
        (schema(age), "{\"age\": 7", go_on.clone()),
        (schema(age), "{\"age\": 7}", Ok((true, true))),
        (schema(age), "{\"age\":42}", Ok((true, true))),
        (schema(age), "{\"age\": 100", stopped("{\"age\": 10")),
        (schema(age), "{ ", stopped("{")),
        (schema(age), "{\"age\":  ", stopped("{\"age\": ")),
        (schema(age), "{\"x", stopped("{\"")),
        (schema("true"), "[1, null]", Ok((true, true))),
        (Constraint::JsonObject, "{}", Ok((true, true))),
        (Constraint::JsonObject, "[", stopped("")),
        (
            Constraint::Lark("start: \"a\"+".into()),
            "aa",
            Ok((true, false)),
        ),
        (Constraint::Lark("start: \"a\"+".into()), "ab", stopped("a")),
    ];
    let (bytes, sentence) = (
        codec(&TinyModel::llama()),
        codec(&TinyModel::llama().sentencepiece()),
    );
    for (constraint, text, expected) in cases {
        assert_eq!(
            say(&bytes, &constraint, text),
            expected,
            "{constraint:?} {text}"
        );
        assert_eq!(
            say(&sentence, &constraint, text),
            expected,
            "sentence: {constraint:?} {text}"
        );
    }
}

#[test]
fn what_cannot_be_followed_is_refused_in_words() {
    let codec = codec(&TinyModel::llama());
    let lark = |text: &str| Constraint::Lark(text.into());
    let long = format!("{{\"description\":\"{}\"}}", "x".repeat(MAX_BYTES));
    let cases = [
        (schema("{"), "EOF"),
        (schema("3"), "object or boolean"),
        (schema("false"), "Unsatisfiable"),
        (schema(r#"{"type":"foo"}"#), "Invalid type"),
        (
            schema(r#"{"type":"array","uniqueItems":true}"#),
            "uniqueItems",
        ),
        (schema(r##"{"$ref":"#"}"##), "nothing can be said"),
        (schema(r#"{"$ref":"http://example.com/x"}"#), "example.com"),
        (
            schema(r#"{"type":"integer","multipleOf":1000000007}"#),
            "multipleOf",
        ),
        (
            schema(r#"{"type":"array","minItems":1000000000}"#),
            "minItems",
        ),
        (
            schema(
                r#"{"type":"object","properties":{"a":{"type":"integer","minimum":3,"maximum":2}},"required":["a"]}"#,
            ),
            "",
        ),
        (schema(&long), "bytes long"),
        (lark("start: missing"), "missing"),
        (lark("start: <nobody>"), "nobody"),
        (lark("start: /(/"), ""),
    ];
    for (constraint, word) in cases {
        match codec.check(&constraint) {
            Ok(()) if word.is_empty() && !matches!(constraint, Constraint::Lark(_)) => {}
            Err(engine::TextError::Constraint(reason)) => {
                assert!(reason.contains(word), "{word:?} in {reason:?}");
                assert!(!reason.contains('\n'), "{reason:?}");
            }
            other => panic!("{constraint:?}: {other:?}"),
        }
    }
}

/// Reading the same tokens at once or one by one leads to the same mask: a sequence opened anew goes on as it was.
#[test]
fn a_form_is_built_anew_from_the_tokens_alone() {
    let codec = codec(&TinyModel::llama());
    let text = r#"{"a": [1, 2, "x y"], "b": {"c": null}}"#;
    let tokens = codec.encode_text(text).unwrap();
    let tokens: Vec<TokenId> = tokens
        .into_iter()
        .filter(|t| !codec.bytes_of(*t).is_empty())
        .collect();
    let mut whole = codec.grammars().begin(&Constraint::JsonObject).unwrap();
    for said in 0..=tokens.len() {
        let step_by_step = whole.mask(&tokens[..said]).unwrap();
        let mut anew = codec.grammars().begin(&Constraint::JsonObject).unwrap();
        let at_once = anew.mask(&tokens[..said]).unwrap();
        assert!(
            step_by_step.as_slice() == at_once.as_slice(),
            "after {said} tokens"
        );
    }
}
