//! The document and the program say the same: each route and each field is in both, and what the one accepts the other does.

use std::collections::BTreeSet;

use domain::{
    FinishReason, GenerationEvent, ModelName, Sampling, TokenLogprob, ToolCall, ToolCallId, Usage,
};
use model_host::Embeddings;
use serde_json::{Value, json};

use super::*;
use crate::answer::chunks::Chunks;
use crate::answer::text::TextAnswer;
use crate::answer::whole::{self, Heading, Whole};
use crate::answer::{Written, vectors};
use crate::error::ApiError;
use crate::request::embedding::Encoding;
use crate::request::{Defaults, chat, completion, embedding};
use crate::routes::routes;

fn written() -> Value {
    serde_json::to_value(document(&routes())).unwrap()
}

/// Whether values are what the document says of that component.
fn validator(component: &str) -> jsonschema::Validator {
    let document = written();
    let schema = json!({
        "$ref": format!("#/components/schemas/{component}"),
        "components": document["components"],
    });
    jsonschema::validator_for(&schema).unwrap()
}

#[test]
fn every_route_is_in_the_document_and_no_other() {
    let document = written();
    let mut described = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            assert!(operation["responses"]["200"].is_object(), "{path}");
            described.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    let served = routes();
    let count = served.len();
    let served = served
        .iter()
        .map(|route| format!("{} {}", route.method, route.path()));
    assert_eq!(served.collect::<BTreeSet<_>>(), described);
    assert_eq!(described.len(), count, "none is written over another");
    assert!(
        described.contains("GET /v1/models/{model}"),
        "{described:?}"
    );
}

#[test]
fn what_is_referred_to_is_there_and_all_of_it_is_referred_to() {
    let document = written();
    let all = document.to_string();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let known: BTreeSet<_> = schemas.keys().map(String::as_str).collect();
    let referred = all.split(r##""$ref":"#/components/schemas/"##).skip(1);
    let referred: BTreeSet<_> = referred
        .map(|rest| rest.split('"').next().unwrap())
        .collect();
    assert_eq!(known, referred);
    let paths = document["paths"].as_object().unwrap().values();
    let operations = paths.flat_map(|item| item.as_object().unwrap().values());
    let names: Vec<_> = operations
        .map(|operation| operation["operationId"].as_str().unwrap())
        .collect();
    assert_eq!(
        names.iter().collect::<BTreeSet<_>>().len(),
        names.len(),
        "{names:?}"
    );
}

#[test]
fn the_fields_of_the_document_are_those_of_the_parsers() {
    let document = written();
    for (component, fields) in [
        ("ChatRequest", chat::FIELDS),
        ("CompletionRequest", completion::FIELDS),
        ("EmbeddingRequest", embedding::FIELDS),
        ("Nothing", &[]),
    ] {
        let schema = &document["components"]["schemas"][component];
        let properties = schema["properties"].as_object();
        let described = properties
            .into_iter()
            .flatten()
            .map(|(field, _)| field.as_str());
        let described: BTreeSet<_> = described.collect();
        assert_eq!(described, fields.iter().copied().collect(), "{component}");
        assert_eq!(schema["additionalProperties"], false, "{component}");
    }
}

/// Values of every kind, at and beyond every limit.
fn probes() -> Vec<Value> {
    let texts = |count: usize| Value::from(vec!["x"; count]);
    let mut probes = vec![
        json!(null),
        json!(true),
        json!(false),
        json!(""),
        json!("x"),
        json!("1"),
        json!("float"),
        json!("base64"),
        json!("user"),
        json!("x".repeat(1024)),
        json!("x".repeat(1025)),
        json!("x".repeat(65_536)),
        json!("x".repeat(65_537)),
        texts(0),
        texts(1),
        texts(2),
        texts(16),
        texts(17),
        texts(2048),
        texts(2049),
        json!(["x", ""]),
        json!([""]),
        json!([7]),
        json!([[7]]),
        json!([null]),
        json!([{}]),
        json!({}),
        json!({"x": 1}),
        json!({"include_usage": true}),
        json!({"include_usage": null}),
        json!({"include_usage": 1}),
        json!({"include_usage": true, "x": 1}),
        json!(u64::MAX),
        json!(1e20),
    ];
    probes.extend(lists_of_messages());
    probes.extend(conversations_with_calls());
    probes.extend(forms_and_tools());
    probes.extend(numbers());
    probes
}

fn lists_of_messages() -> Vec<Value> {
    let contents = [json!("x"), json!(""), json!(null), json!(7), json!([])];
    let parts = [
        json!({"type": "text", "text": "x"}),
        json!({"type": "text"}),
        json!({"type": "image_url", "text": "x"}),
        json!({"type": "text", "text": "x", "more": 1}),
    ];
    let contents = contents.into_iter().chain(parts.map(|part| json!([part])));
    let said = contents.map(|content| json!([{"role": "user", "content": content}]));
    let roles = ["system", "developer", "assistant", "tool", "wizard"];
    let roles = roles.map(|role| json!([{"role": role, "content": "x"}]));
    let odd = [
        json!([{"role": "user", "content": "x", "name": "y"}]),
        json!([{"content": "x"}]),
    ];
    said.chain(roles).chain(odd).collect()
}

/// Calls with their results, and pieces of them that are not as they must be.
fn conversations_with_calls() -> Vec<Value> {
    let result = json!({"role": "tool", "tool_call_id": "c", "content": "x"});
    let function = |inside: Value| json!({"id": "c", "type": "function", "function": inside});
    let mut more = function(json!({"name": "f", "arguments": "{}"}));
    more["index"] = json!(0);
    let mut odd = more.clone();
    odd["more"] = json!(0);
    let calls = [
        function(json!({"name": "f", "arguments": "{}"})),
        function(json!({"name": "f", "parsed_arguments": {"x": [1]}})),
        function(json!({"arguments": "{}"})),
        function(json!({"name": "f", "more": 1})),
        json!({"id": "c", "function": {"name": "f"}}),
        json!({"id": "", "function": {"name": "f"}}),
        json!({"id": "c", "type": "custom", "function": {"name": "f"}}),
        json!({"id": "c"}),
        more,
        odd,
    ];
    let calling = |call: &Value| {
        json!([{"role": "assistant", "content": null, "refusal": null, "annotations": [],
            "tool_calls": [call]}, result])
    };
    let refusal = json!([{"role": "assistant", "content": "x", "refusal": "no"}]);
    let mut all: Vec<Value> = calls.iter().map(calling).collect();
    all.push(refusal);
    all
}

fn forms_and_tools() -> Vec<Value> {
    let named = |inside: Value| json!({"type": "json_schema", "json_schema": inside});
    let tool = |inside: Value| json!([{"type": "function", "function": inside}]);
    vec![
        json!({"type": "text"}),
        json!({"type": "text", "more": 1}),
        json!({"type": "json_object"}),
        json!({"type": "wizard"}),
        json!({"type": "json_schema"}),
        named(json!({"name": "n"})),
        named(
            json!({"name": "n", "schema": {"type": "object"}, "strict": true, "description": "d"}),
        ),
        named(json!({"name": "a b"})),
        named(json!({"name": "n", "schema": []})),
        named(json!({"name": "n", "more": 1})),
        tool(json!({"name": "f"})),
        tool(
            json!({"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": null}),
        ),
        tool(json!({"name": "a b"})),
        tool(json!({"name": "f", "parameters": 1})),
        tool(json!({"name": "f", "more": 1})),
        tool(json!({})),
        json!([{"type": "web_search"}]),
        json!(["text"]),
        json!(["text", "audio"]),
        json!("auto"),
        json!("default"),
        json!("flex"),
        json!("required"),
    ]
}

/// Those without a fraction written both ways.
fn numbers() -> Vec<Value> {
    let all = [
        -3.0_f64,
        -2.5,
        -2.0,
        -1.0,
        0.0,
        0.5,
        1.0,
        1.5,
        2.0,
        2.5,
        5.0,
        6.0,
        1_048_576.0,
        1_048_577.0,
        4_294_967_295.0,
        4_294_967_296.0,
    ];
    let whole = all.into_iter().filter(|number| number.fract() == 0.0);
    let whole = whole.map(|number| json!(number as i64));
    all.into_iter().map(Value::from).chain(whole).collect()
}

/// JSON Schema takes 2.0 for a whole number, and the parsers take what is written with a point for none.
fn is_whole_with_a_point(value: &Value) -> bool {
    value.is_f64() && value.as_f64().is_some_and(|n| n.fract() == 0.0)
}

/// What a parser says against a body.
type Read<'a> = &'a dyn Fn(&[u8]) -> Option<ApiError>;

#[test]
fn what_the_document_allows_is_accepted_and_what_it_does_not_is_refused() {
    let defaults = || Defaults {
        model: ModelName::new("m"),
        sampling: Sampling::default(),
    };
    let chat = |body: &[u8]| chat::chat_request(body, defaults()).err();
    let completion = |body: &[u8]| completion::completion_request(body, defaults()).err();
    let embedding = |body: &[u8]| embedding::embedding_request(body).err();
    let message = json!([{"role": "user", "content": "x"}]);
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    for (component, read, least) in [
        (
            "ChatRequest",
            &chat as Read<'_>,
            json!({"messages": message}),
        ),
        ("CompletionRequest", &completion, json!({"prompt": "x"})),
        ("EmbeddingRequest", &embedding, json!({"input": "x"})),
    ] {
        let allowed = validator(component);
        let document = written();
        let properties = &document["components"]["schemas"][component]["properties"];
        let fields = properties.as_object().unwrap().keys().map(String::as_str);
        let mut verdicts = [0, 0];
        for field in fields.chain(["unheard_of"]) {
            for probe in probes() {
                let mut body = least.clone();
                body[field] = probe.clone();
                // What makes sense only beside another.
                match field {
                    "stream_options" => body["stream"] = true.into(),
                    "top_logprobs" => body["logprobs"] = true.into(),
                    "tool_choice" => body["tools"] = tools.clone(),
                    _ => {}
                }
                let refused = read(body.to_string().as_bytes());
                let shown: String = probe.to_string().chars().take(60).collect();
                if field == "unheard_of" && probe.is_null() {
                    // What is null is absent, of whatever name.
                    assert!(refused.is_none());
                    continue;
                }
                let by_document = allowed.is_valid(&body);
                if is_whole_with_a_point(&probe) && by_document && refused.is_some() {
                    continue;
                }
                verdicts[usize::from(by_document)] += 1;
                assert_eq!(
                    refused.is_none(),
                    by_document,
                    "{component}.{field} = {shown}: {refused:?}"
                );
            }
        }
        assert!(verdicts.iter().all(|count| *count > 20), "{verdicts:?}");
        assert!(
            !allowed.is_valid(&json!({})) && read(b"{}").is_some(),
            "{component}"
        );
    }
}

fn heading() -> Heading {
    Heading {
        id: "id".into(),
        created: 5,
        model: ModelName::new("m"),
    }
}

fn events() -> [GenerationEvent; 4] {
    let token = TokenLogprob {
        bytes: b"x".to_vec(),
        logprob: -1.0,
        likeliest: Vec::new(),
    };
    [
        GenerationEvent::Logprobs(vec![token]),
        GenerationEvent::Text("x".into()),
        GenerationEvent::ToolCall(ToolCall {
            id: ToolCallId::new("c"),
            name: "f".into(),
            arguments: "{}".into(),
        }),
        GenerationEvent::Finished {
            reason: FinishReason::Stop,
            usage: Usage::default(),
        },
    ]
}

fn pieces(mut written: impl Written) -> Vec<String> {
    let all: String = events().iter().map(|event| written.event(event)).collect();
    let pieces = all.split_terminator("\n\n");
    let pieces = pieces.map(|piece| piece.strip_prefix("data: ").unwrap().to_owned());
    pieces.filter(|piece| piece != "[DONE]").collect()
}

fn whole_text() -> String {
    let mut text = TextAnswer::new(heading(), true, false);
    for event in &events() {
        text.take(event);
    }
    text.whole(FinishReason::Stop, Usage::default())
}

fn whole_chat(logprobs: bool) -> String {
    let mut chat = Whole::new(heading(), logprobs);
    for event in events() {
        chat.take(event);
    }
    chat.json(FinishReason::Stop, Usage::default())
}

#[test]
fn answers_are_as_the_document_says() {
    let embeddings = Embeddings {
        model: ModelName::new("e"),
        dimensions: 2,
        vectors: vec![[0.5, 0.5].into()],
        tokens: 3,
    };
    let encoded = |encoding| vectors::vectors(&embeddings, encoding).unwrap();
    let models = [ModelName::new("m")];
    for (component, bodies) in [
        ("ChatCompletion", vec![whole_chat(true), whole_chat(false)]),
        ("ChatChunk", pieces(Chunks::new(heading(), true))),
        ("TextCompletion", vec![whole_text()]),
        (
            "TextCompletion",
            pieces(TextAnswer::new(heading(), true, true)),
        ),
        (
            "Embeddings",
            vec![encoded(Encoding::Float), encoded(Encoding::Base64)],
        ),
        ("Models", vec![whole::models(&models, 5).unwrap()]),
        ("Model", vec![whole::model(&models[0], 5).unwrap()]),
        (
            "Error",
            vec![
                ApiError::no_such_path("/x").json(),
                ApiError::bad_request("x").json(),
            ],
        ),
    ] {
        let described = validator(component);
        assert!(!bodies.is_empty(), "{component}");
        for body in bodies {
            let body: Value = serde_json::from_str(&body).unwrap();
            let errors = described.iter_errors(&body);
            let errors: Vec<_> = errors.map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{component}: {body}: {errors:?}");
        }
        assert!(
            !described.is_valid(&json!({})),
            "{component} says something"
        );
    }
}
