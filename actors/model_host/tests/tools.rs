//! Calls of tools through the host: whole, in their places, the same whatever crashes; and what is refused before any of
//! it is computed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

use crate::common;

use common::{Setting, hear, request, user};
use domain::{
    Constraint, FinishReason, GenerationError, GenerationEvent, Prompt, ToolCall, ToolCallId,
    ToolChoice, ToolSpec, Tools,
};
use paraphym_model_host::Request;

const ANSWER: &str = "I look it up. <tool_call>\n{\"name\": \"look\", \"arguments\": {\"for\": \"a <b> ☃\"}}\n</tool_call> \
    <tool_call>{\"name\": \"look\", \"arguments\": {}}</tool_call>";

fn tools(choice: ToolChoice) -> Tools {
    let look = ToolSpec {
        name: "look".to_owned(),
        description: "Looks for it.".to_owned(),
        parameters: r#"{"type":"object"}"#.into(),
    };
    Tools {
        specs: [look].into(),
        choice,
        one_call: false,
    }
}

fn asking(id: &str, tools: Tools) -> Request {
    Request {
        prompt: user("find it"),
        tools,
        ..request(id)
    }
}

fn call(index: u32, arguments: &str) -> GenerationEvent {
    GenerationEvent::ToolCall(ToolCall {
        id: ToolCallId::new(format!("call-r-{index}")),
        name: "look".to_owned(),
        arguments: arguments.to_owned(),
    })
}

/// Text and calls without what came before them, texts merged.
fn said(events: &[GenerationEvent]) -> Vec<GenerationEvent> {
    let mut said: Vec<GenerationEvent> = Vec::new();
    for event in events {
        match (said.last_mut(), event) {
            (Some(GenerationEvent::Text(before)), GenerationEvent::Text(more)) => {
                before.push_str(more);
            }
            (_, GenerationEvent::Text(_) | GenerationEvent::ToolCall(_)) => {
                said.push(event.clone());
            }
            _ => {}
        }
    }
    said
}

fn expected() -> Vec<GenerationEvent> {
    vec![
        GenerationEvent::Text("I look it up. ".to_owned()),
        call(0, "{\"for\":\"a <b> ☃\"}"),
        call(1, "{}"),
    ]
}

#[tokio::test(start_paused = true)]
async fn calls_are_events_between_texts() {
    let stage = Setting::text(ANSWER).start().await;
    let heard = hear(
        stage
            .ask(asking("r", tools(ToolChoice::Auto)))
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(said(&heard.events), expected());
    assert_eq!(heard.finished().0, FinishReason::ToolCalls);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn without_tools_the_same_text_is_text() {
    let stage = Setting::text(ANSWER).start().await;
    for tools in [Tools::default(), tools(ToolChoice::None)] {
        let heard = hear(stage.ask(asking("r", tools)).await.unwrap()).await;
        assert_eq!(heard.text, ANSWER);
        assert_eq!(heard.finished().0, FinishReason::Stop);
    }
    stage.close().await;
}

/// Byte for byte: also a character that is cut by the crash.
#[tokio::test(start_paused = true)]
async fn a_crash_at_any_step_changes_no_call() {
    let answer = testkit::scripted::Answer::Bytes(ANSWER.as_bytes().to_vec());
    let steps = ANSWER.len() as u64 + 1;
    let mut crashed = 0;
    for step in 1..=steps {
        let stage = Setting::new(answer.clone()).start().await;
        stage.control.panic_at(step);
        let mut asked = asking("r", tools(ToolChoice::Auto));
        asked.sampling.max_tokens = 200;
        let heard = hear(stage.ask(asked).await.unwrap()).await;
        assert_eq!(said(&heard.events), expected(), "crash in step {step}");
        assert_eq!(heard.finished().0, FinishReason::ToolCalls);
        crashed += u64::from(stage.control.counts().loads == 2);
        stage.close().await;
    }
    assert_eq!(crashed, steps, "each step crashed once");
}

#[tokio::test(start_paused = true)]
async fn half_a_call_is_none() {
    let stage = Setting::text(ANSWER).start().await;
    let mut asked = asking("r", tools(ToolChoice::Auto));
    asked.sampling.max_tokens = 8;
    let heard = hear(stage.ask(asked).await.unwrap()).await;
    assert_eq!(heard.finished().0, FinishReason::Length);
    assert!(
        !heard
            .events
            .iter()
            .any(|e| matches!(e, GenerationEvent::ToolCall(_))),
        "{:?}",
        heard.events
    );
    assert!(
        heard.text.starts_with("I look it up. <tool_call>"),
        "{}",
        heard.text
    );
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_kept_to_is_refused_by_field_before_anything_is_computed() {
    let stage = Setting::text(ANSWER).start().await;
    let field = |error: &GenerationError| match error {
        GenerationError::Invalid(error) => error.field,
        other => panic!("{other}"),
    };
    let mut both = asking("both", tools(ToolChoice::Required));
    both.sampling.constraint = Some(Constraint::JsonObject);
    let mut plain = asking("plain", tools(ToolChoice::Auto));
    plain.prompt = Prompt::Text("find it".to_owned());
    let nobody = asking("nobody", tools(ToolChoice::Named("nobody".to_owned())));
    for (asked, expected) in [
        (both, "response_format"),
        (plain, "tools"),
        (nobody, "tool_choice"),
    ] {
        let refused = stage.ask(asked).await.unwrap_err();
        assert_eq!(field(&refused), expected, "{refused}");
    }
    // Only the model can tell of these.
    let mut schema = request("schema");
    schema.sampling.constraint = Some(Constraint::JsonSchema("\"refuse me\"".into()));
    let mut bad = tools(ToolChoice::Auto);
    let mut spec = bad.specs[0].clone();
    spec.parameters = r#"{"properties":{"refuse me":true}}"#.into();
    bad.specs = [spec].into();
    for (asked, expected) in [(schema, "response_format"), (asking("bad", bad), "tools")] {
        let heard = hear(stage.ask(asked).await.unwrap()).await;
        assert_eq!(field(heard.failed()), expected);
        assert!(
            heard.failed().to_string().contains("told to refuse"),
            "{}",
            heard.failed()
        );
    }
    let counts = stage.control.counts();
    assert_eq!((counts.steps, counts.opened), (0, 0), "{counts:?}");
    stage.close().await;
}
