//! One answer of the real model through the whole tree, with the process's threads counted while it speaks. Alone in
//! its file, because it owns the process's one runtime.
//!
//! The model is the one that `PARAPHYM_TEST_MODEL` names, or the default model in the XDG data folder.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use std::path::PathBuf;

use paraphym_candle::{
    Bytes, ContextPolicy, FinishReason, GenerationEvent, LeaseInfo, Message, ModelName, Paraphym,
    Prompt, Request, RequestId, Runtime, RuntimeOptions, Sampling, Store, StoreConfig, ThreadRole,
    run,
};

const WORKERS: usize = 2;

pub(crate) fn model() -> PathBuf {
    if let Some(path) = std::env::var_os("PARAPHYM_TEST_MODEL") {
        let path = PathBuf::from(path);
        assert!(
            path.is_file(),
            "PARAPHYM_TEST_MODEL names {}, which is not there",
            path.display()
        );
        return path;
    }
    let store = Store::open(StoreConfig::at(None)).unwrap();
    store
        .resolve(&ModelName::new(paraphym_candle::DEFAULT_MODEL))
        .unwrap_or_else(|error| panic!("{error}; `cargo xtask test` brings it"))
}

fn check_threads(runtime: &Runtime) {
    let census = runtime.census();
    assert_eq!(census.count(ThreadRole::Foreign), 0, "{census:?}");
    assert_eq!(census.count(ThreadRole::Worker), WORKERS, "{census:?}");
    let ours = census.threads.len() - census.count(ThreadRole::Host);
    assert!(ours <= WORKERS + 8, "{census:?}");
}

async fn answer(host: &Paraphym, model: &ModelName) -> (String, u32) {
    let prompt = Prompt::Chat(vec![Message::user("What is gravity?")]);
    let request = Request {
        id: RequestId::new("gravity"),
        model: model.clone(),
        prompt,
        sampling: Sampling {
            max_tokens: 48,
            ..Sampling::greedy()
        },
        context: ContextPolicy::Refuse,
        keep_alive: None,
        tools: domain::Tools::default(),
    };
    let mut stream = host.generate(request).await.unwrap();
    let (mut said, mut pieces) = (String::new(), 0);
    while let Some(event) = stream.next().await {
        check_threads(host.runtime());
        match event {
            GenerationEvent::Text(text) => {
                said.push_str(&text);
                pieces += 1;
            }
            GenerationEvent::Finished { reason, usage } => {
                assert!(matches!(reason, FinishReason::Stop | FinishReason::Length));
                assert!(pieces > 1, "the answer was streamed, not handed over whole");
                return (said, usage.completion_tokens);
            }
            GenerationEvent::Failed(error) => panic!("{error}"),
            GenerationEvent::Queued { .. }
            | GenerationEvent::Loading { .. }
            | GenerationEvent::Prefill { .. }
            | GenerationEvent::Logprobs(_)
            | GenerationEvent::ToolCall(_) => {}
        }
    }
    panic!("the stream had no end");
}

#[test]
fn real_model_answers_on_our_threads_alone_and_leaves_nothing() {
    let path = model();
    let threads_now = || std::fs::read_dir("/proc/self/task").unwrap().count();
    let before = threads_now();
    let options = RuntimeOptions {
        workers: Some(WORKERS),
    };
    run(&options, |runtime| async move {
        let name = ModelName::new(path.to_str().unwrap());
        let host = Paraphym::builder()
            .runtime(runtime)
            .model(name.clone())
            .copies_dir(env!("CARGO_TARGET_TMPDIR"))
            .start()
            .await
            .unwrap();
        let (said, tokens) = answer(&host, &name).await;
        assert!(
            said.contains("Gravity") && said.contains("physics"),
            "{said}"
        );
        assert!(tokens > 3, "{tokens} tokens");
        // The same question has the same answer: greedy, on the same engine.
        assert_eq!(answer(&host, &name).await, (said, tokens));

        let status = host.status().await.unwrap();
        let resident = status.models.models.first().unwrap();
        assert_eq!(resident.kv_leased, Bytes::ZERO);
        // It began with what was kept of the first, and both leave one memory.
        assert_eq!(resident.prefixes, 1);
        // The tokens of what was said are kept, too, in one piece.
        let of_tokens = |lease: &&LeaseInfo| lease.purpose == "tokenised prompts";
        let tokens: Vec<Bytes> = status
            .memory
            .leases
            .iter()
            .filter(of_tokens)
            .map(|lease| lease.bytes)
            .collect();
        assert_eq!(tokens, [Bytes(256 << 10)]);
        let model = resident.weights_bytes.saturating_add(resident.kv_kept);
        assert_eq!(status.memory.leased, model.saturating_add(Bytes(256 << 10)));
        assert!(
            resident.weights_bytes > Bytes::mib(90),
            "{}",
            resident.weights_bytes
        );

        host.unload(&name).await.unwrap();
        assert_eq!(host.memory().await.unwrap().leased, Bytes::ZERO);
        assert!(host.shutdown().await.abandoned.is_empty());
        check_threads(host.runtime());
    })
    .unwrap();
    // A joined thread is listed for some microseconds more, until the kernel has cleared it away.
    let settled = (0..10_000).any(|_| {
        std::thread::yield_now();
        threads_now() == before
    });
    assert!(settled, "a thread outlived the runtime");
}
