//! How likely the tokens of an answer were, as its asker hears it: before their text, each once, whoever is slow and
//! whatever crashes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

use crate::common;

use common::{Heard, Setting, Stage, counting, hear, request, user};
use domain::{FinishReason, GenerationEvent, TokenLogprob, ToolChoice, ToolSpec, Tools};
use paraphym_model_host::Request;
use testkit::scripted::{Answer, logprob};

/// All that was told, with a look at the order: never nothing, and before the text it belongs to.
fn told(heard: &Heard) -> Vec<TokenLogprob> {
    let (mut told, mut bytes, mut said) = (Vec::new(), Vec::new(), String::new());
    for event in &heard.events {
        match event {
            GenerationEvent::Logprobs(odds) => {
                assert!(!odds.is_empty());
                bytes.extend(odds.iter().flat_map(|o| o.bytes.clone()));
                told.extend(odds.iter().cloned());
            }
            GenerationEvent::Text(text) => {
                said.push_str(text);
                assert!(
                    bytes.starts_with(said.as_bytes()),
                    "{said:?} before its tokens"
                );
            }
            _ => {}
        }
    }
    told
}

fn formula<'a>(tokens: impl IntoIterator<Item = &'a [u8]>, most: u32) -> Vec<TokenLogprob> {
    let tokens = tokens.into_iter().zip(0..);
    tokens
        .map(|(bytes, place)| logprob(place, bytes, most))
        .collect()
}

fn words(text: &str, most: u32) -> Vec<TokenLogprob> {
    formula(text.split_inclusive(' ').map(str::as_bytes), most)
}

fn asking(mut request: Request, most: u32) -> Request {
    request.sampling.logprobs = Some(most);
    request
}

async fn answer(stage: &Stage, request: Request) -> Heard {
    hear(stage.ask(request).await.unwrap()).await
}

#[tokio::test(start_paused = true)]
async fn each_token_is_told_before_its_text_and_only_to_those_who_ask() {
    const ANSWER: &str = "Eat well and sleep enough.";
    let stage = Setting::text(ANSWER).start().await;
    for most in [0, 1, 20] {
        let heard = answer(&stage, asking(request("a"), most)).await;
        assert_eq!(heard.text, ANSWER);
        assert_eq!(told(&heard), words(ANSWER, most));
        assert_eq!(
            heard.finished().1.completion_tokens,
            6,
            "the end is not told"
        );
    }
    let heard = answer(&stage, request("b")).await;
    assert_eq!(heard.text, ANSWER);
    let is_told = |event: &GenerationEvent| matches!(event, GenerationEvent::Logprobs(_));
    assert!(!heard.events.iter().any(is_told), "{:?}", heard.events);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_character_over_tokens_is_told_whole_and_a_stop_cuts_what_it_cuts() {
    let text = "a ☃ b stop c";
    let stage = Setting::new(Answer::Bytes(text.as_bytes().to_vec()))
        .start()
        .await;
    let heard = answer(&stage, asking(request("a"), 2)).await;
    assert_eq!(heard.text, text);
    assert_eq!(told(&heard), formula(text.as_bytes().chunks(1), 2));
    let mut stopped = asking(request("b"), 2);
    stopped.sampling.stop = vec!["stop".to_owned()];
    let heard = answer(&stage, stopped).await;
    assert_eq!(heard.text, "a ☃ b ");
    assert_eq!(told(&heard), formula("a ☃ b ".as_bytes().chunks(1), 2));
    assert_eq!(heard.finished().0, FinishReason::Stop);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_told_all_of_it_in_order() {
    let setting = Setting::new(Answer::Counting).card(|c| c.context_tokens = 1024);
    let stage = setting.start().await;
    let slow = stage.ask(asking(counting(1, 900), 3)).await.unwrap();
    stage
        .control
        .wait_until(|counts| counts.sampled == 900)
        .await;
    let heard = hear(slow).await;
    let text = Answer::counting(1, 900);
    assert_eq!(heard.text, text);
    assert_eq!(told(&heard), words(&text, 3));
    let merged = heard.events.iter().filter_map(|event| match event {
        GenerationEvent::Logprobs(odds) => Some(odds.len()),
        _ => None,
    });
    assert!(merged.max().unwrap() > 1, "nothing waited");
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_step_tells_nothing_twice_and_loses_nothing() {
    // With a beginning of a stop text and a character that wait in some of the crashes.
    let text = "a ☃ sto b";
    for step in 1..=text.len() as u64 + 1 {
        let stage = Setting::new(Answer::Bytes(text.as_bytes().to_vec()))
            .start()
            .await;
        stage.control.panic_at(step);
        let mut asked = asking(request("r"), 1);
        asked.sampling.stop = vec!["stop".to_owned()];
        let heard = answer(&stage, asked).await;
        assert_eq!(heard.text, text, "crash in step {step}");
        assert_eq!(
            told(&heard),
            formula(text.as_bytes().chunks(1), 1),
            "crash in step {step}"
        );
        assert_eq!(stage.control.counts().loads, 2);
        stage.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_tokens_of_a_call_are_told_before_it() {
    const ANSWER: &str = "So <tool_call>{\"name\":\"look\"}</tool_call>";
    let stage = Setting::text(ANSWER).start().await;
    let look = ToolSpec {
        name: "look".to_owned(),
        description: "Looks for it.".to_owned(),
        parameters: r#"{"type":"object"}"#.into(),
    };
    let mut asked = asking(request("r"), 1);
    asked.prompt = user("find it");
    asked.tools = Tools {
        specs: [look].into(),
        choice: ToolChoice::Auto,
        ..Tools::default()
    };
    let heard = answer(&stage, asked).await;
    assert_eq!(told(&heard), words(ANSWER, 1));
    let from = heard.events.len() - 3;
    assert!(
        matches!(
            &heard.events[from..],
            [
                GenerationEvent::Logprobs(_),
                GenerationEvent::ToolCall(_),
                GenerationEvent::Finished { .. }
            ]
        ),
        "{:?}",
        heard.events
    );
    stage.close().await;
}
