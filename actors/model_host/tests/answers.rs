//! What an asker hears when all goes well, and what is refused.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

use crate::common;

use common::{DEADLINE, Setting, counting, hear, request, user};
use domain::{
    Bytes, ContextPolicy, FinishReason, GenerationError, GenerationEvent, Message, ModelName,
    Prompt, RequestId, Usage,
};
use paraphym_model_host::{ModelState, Unload, UnloadError, warm};
use testkit::scripted::Answer;

#[tokio::test(start_paused = true)]
async fn one_answer_from_end_to_end() {
    let stage = Setting::text("Eat well and sleep enough.").start().await;
    let heard = hear(stage.ask(request("a")).await.unwrap()).await;
    assert_eq!(heard.text, "Eat well and sleep enough.");
    let usage = Usage {
        prompt_tokens: 11,
        cached_tokens: 0,
        completion_tokens: 6,
    };
    assert_eq!(heard.finished(), (FinishReason::Stop, usage));
    assert_eq!(
        heard.events[0],
        GenerationEvent::Loading { fraction: 0.0 },
        "{:?}",
        heard.events
    );
    let prefill = GenerationEvent::Prefill {
        done: 11,
        total: 11,
    };
    assert!(heard.events.contains(&prefill), "{:?}", heard.events);
    let queued = |event: &GenerationEvent| matches!(event, GenerationEvent::Queued { .. });
    assert!(
        !heard.events.iter().any(queued),
        "it waited for nobody: {:?}",
        heard.events
    );
    let models = stage.models().await;
    assert_eq!(models[0].state, ModelState::Ready);
    assert_eq!(models[0].weights_bytes, Bytes::mib(1));
    assert_eq!((models[0].active, models[0].waiting), (0, 0));
    assert!(models[0].idle_for.is_some());
    assert_eq!(stage.ledger().await.leased, Bytes::mib(1));
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_long_prompt_is_read_in_chunks() {
    let stage = Setting::text("ok").start().await;
    let mut ask = request("a");
    ask.prompt = Prompt::Text("x".repeat(100));
    let heard = hear(stage.ask(ask).await.unwrap()).await;
    let read: Vec<u32> = heard
        .events
        .iter()
        .filter_map(|event| match event {
            GenerationEvent::Prefill { done, total: 100 } => Some(*done),
            _ => None,
        })
        .collect();
    assert_eq!(read, [32, 64, 96, 100]);
    assert_eq!(stage.control.counts().longest_step, 32);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn eight_at_once_are_all_whole_and_at_most_four_run() {
    let stage = Setting::new(Answer::Counting).start().await;
    // Held until all have asked: steps run on real threads, and the first four could be done before.
    let gate = stage.control.gate_step(1);
    let mut streams = Vec::new();
    for seed in 0..8 {
        streams.push(stage.count(seed * 100, 40).await);
    }
    // And until four are admitted: the first three could have said everything while the fourth is being prepared.
    while stage.models().await[0].active < 4 {
        tokio::task::yield_now().await;
    }
    gate.release();
    for (seed, stream) in streams.into_iter().enumerate() {
        let heard = hear(stream).await;
        assert_eq!(heard.text, Answer::counting(seed as u64 * 100, 40));
        assert_eq!(heard.finished().0, FinishReason::Length);
    }
    let counts = stage.control.counts();
    assert_eq!((counts.most_open, counts.opened), (4, 8));
    assert_eq!(counts.sampled, 8 * 40);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_step_moves_everyone() {
    let stage = Setting::new(Answer::Counting).start().await;
    let gate = stage.control.gate_step(1);
    let mut streams = Vec::new();
    for seed in 0..4 {
        streams.push(stage.count(seed, 40).await);
    }
    // While the first step is held, the others are admitted beside it.
    while stage.models().await[0].active < 4 {
        tokio::task::yield_now().await;
    }
    gate.release();
    for stream in streams {
        hear(stream).await.finished();
    }
    // One prompt is read per step, and beside it everyone moves. The first is read at once, the others by eight tokens
    // beside those who speak: the last begins in step 1 + 3 * 2 and has 40 tokens to say.
    assert_eq!(stage.control.counts().steps, 7 + 39);
    assert_eq!(stage.control.counts().sampled, 4 * 40);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_hear_their_place() {
    let setting = Setting::new(Answer::Counting).config(|c| c.max_batch = 1);
    let stage = setting.start().await;
    // Held until all have asked: steps run on real threads, and the first could be done before.
    let gate = stage.control.gate_step(1);
    let first = stage.count(1, 30).await;
    let second = stage.count(2, 5).await;
    let third = stage.count(3, 5).await;
    gate.release();
    hear(first).await;
    hear(second).await;
    let heard = hear(third).await;
    let places: Vec<usize> = heard
        .events
        .iter()
        .filter_map(|event| match event {
            GenerationEvent::Queued { position } => Some(*position),
            _ => None,
        })
        .collect();
    assert!(places.ends_with(&[2, 1]), "{:?}", heard.events);
    assert_eq!(heard.text, Answer::counting(3, 5));
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_at_once() {
    let setting = Setting::new(Answer::Counting).config(|c| (c.max_batch, c.queue) = (1, 2));
    let stage = setting.start().await;
    let gate = stage.control.gate_load(1);
    let first = stage.count(1, 5).await;
    let second = stage.count(2, 5).await;
    let refused = stage.ask(counting(3, 5)).await.unwrap_err();
    let GenerationError::Overloaded {
        waiting,
        retry_after_ms,
    } = refused
    else {
        panic!("{refused:?}");
    };
    assert_eq!(waiting, 2);
    assert!(retry_after_ms >= 100, "{retry_after_ms}");
    // Who goes makes room, without waiting for the lane.
    drop(second);
    let third = stage.count(3, 5).await;
    gate.release();
    assert_eq!(hear(first).await.text, Answer::counting(1, 5));
    assert_eq!(hear(third).await.text, Answer::counting(3, 5));
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn bad_requests_are_refused_by_name() {
    let stage = Setting::text("never").start().await;
    let mut hot = request("hot");
    hot.sampling.temperature = 9.0;
    let refused = stage.ask(hot).await.unwrap_err();
    assert!(refused.to_string().contains("temperature = 9"), "{refused}");
    let mut missing = request("missing");
    missing.model = ModelName::new("missing");
    assert_eq!(
        stage.ask(missing).await.unwrap_err(),
        GenerationError::ModelNotFound {
            model: ModelName::new("missing"),
            hint: "look elsewhere".to_owned(),
        }
    );
    assert_eq!(stage.control.counts().loads, 0);
    let mut untemplated = request("template");
    untemplated.prompt = user("refuse me");
    let heard = hear(stage.ask(untemplated).await.unwrap()).await;
    assert!(matches!(heard.failed(), GenerationError::Invalid(_)));
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_chat_too_long_is_refused_or_shortened() {
    let stage = Setting::text("ok").start().await;
    let old = Message::user("o".repeat(300));
    let answer = Message::assistant("a");
    let mut ask = request("long");
    ask.prompt = Prompt::Chat(vec![
        Message::system("s"),
        old,
        answer,
        Message::user("new"),
    ]);
    let heard = hear(stage.ask(ask.clone()).await.unwrap()).await;
    assert_eq!(
        *heard.failed(),
        GenerationError::ContextOverflow {
            prompt_tokens: 10 + 307 + 13 + 10,
            context_tokens: 256,
        }
    );
    ask.context = ContextPolicy::DropOldest;
    let heard = hear(stage.ask(ask).await.unwrap()).await;
    assert_eq!(heard.text, "ok");
    assert_eq!(heard.finished().1.prompt_tokens, 10 + 10);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn the_window_ends_an_answer() {
    let stage = Setting::new(Answer::Counting).start().await;
    let mut ask = counting(0, 1000);
    ask.prompt = Prompt::Text("x".repeat(250));
    let heard = hear(stage.ask(ask).await.unwrap()).await;
    assert_eq!(heard.text, Answer::counting(0, 6));
    assert_eq!(heard.finished().0, FinishReason::Length);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn stop_texts_may_span_tokens() {
    let stage = Setting::text("one two three four").start().await;
    let mut ask = request("stop");
    ask.sampling.stop = vec!["o thr".to_owned()];
    let heard = hear(stage.ask(ask).await.unwrap()).await;
    assert_eq!(heard.text, "one tw");
    assert_eq!(heard.finished().0, FinishReason::Stop);
    assert_eq!(heard.finished().1.completion_tokens, 3);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn characters_are_never_split() {
    let answer = "Grüße ☃ für 東京";
    let stage = Setting::new(Answer::Bytes(answer.as_bytes().to_vec()))
        .start()
        .await;
    let heard = hear(stage.ask(request("utf8")).await.unwrap()).await;
    assert_eq!(heard.text, answer);
    stage.close().await;
}

/// Nothing is read until the answer is complete, and far more was said than the channel holds.
#[tokio::test(start_paused = true)]
async fn a_slow_reader_loses_nothing_and_delays_nobody() {
    let setting = Setting::new(Answer::Counting).card(|card| card.context_tokens = 2048);
    let stage = setting.start().await;
    let slow = stage.count(1, 900).await;
    let quick = stage.count(2, 900).await;
    assert_eq!(hear(quick).await.text, Answer::counting(2, 900));
    stage.control.wait_until(|c| c.sampled == 1800).await;
    stage.until_only_kept().await;
    tokio::time::sleep(std::time::Duration::from_mins(1)).await;
    let heard = hear(slow).await;
    assert_eq!(heard.text, Answer::counting(1, 900));
    assert_eq!(heard.finished().1.completion_tokens, 900);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_model_is_warmed_once_and_unloaded_after_keep_alive() {
    let stage = Setting::text("hi").start().await;
    let id = RequestId::new("warm");
    let stream = warm(&stage.host, id.clone(), ModelName::new("m"), None).await;
    let heard = hear(stream.unwrap()).await;
    assert_eq!(heard.finished().1, Usage::default());
    let fractions: Vec<f32> = heard
        .events
        .iter()
        .filter_map(|event| match event {
            GenerationEvent::Loading { fraction } => Some(*fraction),
            _ => None,
        })
        .collect();
    assert_eq!(fractions, [0.0, 0.25, 0.5, 0.75]);
    let again = warm(&stage.host, id, ModelName::new("m"), None)
        .await
        .unwrap();
    hear(again).await;
    assert_eq!(stage.control.counts().loads, 1);
    tokio::time::sleep(std::time::Duration::from_secs(299)).await;
    assert_eq!(stage.ledger().await.leased, Bytes::mib(1));
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    stage.control.wait_until(|c| c.engines == 0).await;
    stage
        .settle("without leases", |l| l.leased == Bytes::ZERO)
        .await;
    assert_eq!(stage.models().await, []);
    assert_eq!(
        hear(stage.ask(request("again")).await.unwrap()).await.text,
        "hi"
    );
    assert_eq!(stage.control.counts().loads, 2);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_model_is_unloaded_when_told_unless_it_is_answering() {
    let stage = Setting::new(Answer::Counting).start().await;
    let model = ModelName::new("m");
    let unload = || {
        stage.host.ask(
            Unload {
                model: model.clone(),
            },
            DEADLINE,
        )
    };
    let refusal = |result: Result<(), supervision::AskError<UnloadError>>| match result {
        Err(supervision::AskError::Handler(error)) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        refusal(unload().await),
        UnloadError::NotLoaded {
            model: model.clone()
        }
    );
    let gate = stage.control.gate_step(3);
    let stream = stage.count(1, 10).await;
    stage.control.wait_until(|c| c.steps == 3).await;
    let busy = UnloadError::Busy {
        model: model.clone(),
        active: 1,
        waiting: 0,
    };
    assert_eq!(refusal(unload().await), busy);
    gate.release();
    assert_eq!(hear(stream).await.text, Answer::counting(1, 10));
    unload().await.unwrap();
    assert_eq!(stage.control.counts().engines, 0);
    assert_eq!(stage.ledger().await.leased, Bytes::ZERO);
    stage.close().await;
}
