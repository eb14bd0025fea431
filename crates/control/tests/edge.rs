//! What operators do with the server for requests, over a real socket: control asks it, and the model host hears what it
//! must. The server itself is a made one here.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

mod support;

use domain::{ContextPolicy, ModelName, Prompt, RequestId, Sampling};
use model_host::{GenerationStream, Request};
use paraphym_control::Code;
use paraphym_control::edge::Called;
use paraphym_control::protocol::act::Cancel;
use paraphym_control::protocol::look::Audit;
use support::{FOR_EVER, Scene, ask, assert_refused};

/// An answer under way in the model host.
async fn answer(scene: &Scene, id: &str) -> GenerationStream {
    let request = Request {
        id: RequestId::new(id),
        model: ModelName::new("m"),
        prompt: Prompt::Text("Hi".to_owned()),
        sampling: Sampling {
            max_tokens: 500,
            ..Sampling::greedy()
        },
        context: ContextPolicy::Refuse,
        keep_alive: None,
        tools: domain::Tools::default(),
    };
    model_host::generate(&scene.models, request).await.unwrap()
}

/// How it ended.
async fn last_of(mut stream: GenerationStream) -> String {
    let mut last = None;
    while let Some(event) = stream.next().await {
        last = Some(event);
    }
    format!("{last:?}")
}

#[tokio::test]
async fn an_answer_of_the_edge_is_ended_by_either_name_and_the_model_host_hears_of_each() {
    let scene = Scene::start().await;
    let client = &mut scene.client().await;
    let cancel = |id: &str, dry_run| Cancel {
        id: id.to_owned(),
        dry_run,
    };
    let gate = scene.control.gate_step(3);
    let mut streams = Vec::new();
    for (answer_id, request, owner) in [
        ("chatcmpl-1", "mine", None),
        ("chatcmpl-2", "mine", Some("ann")),
        ("chatcmpl-3", "other", Some("bob")),
        ("chatcmpl-4", "fourth", None),
    ] {
        streams.push(answer(&scene, answer_id).await);
        scene.edge.answers.lock().unwrap().push(Called {
            answer: RequestId::new(answer_id),
            request: RequestId::new(request),
            owner: owner.map(str::to_owned),
        });
    }
    // Somebody in this process took the same name for a request of their own.
    streams.push(answer(&scene, "mine").await);
    let two = "chatcmpl-1 (request mine), chatcmpl-2 (request mine, token ann)";
    let would = ask(client, &cancel("mine", true)).await;
    assert_eq!(
        (would.done, would.what),
        (false, format!("would end {two}"))
    );
    assert_eq!(scene.edge.answers.lock().unwrap().len(), 4);
    let did = ask(client, &cancel("mine", false)).await;
    assert_eq!((did.done, did.what), (true, format!("ended: {two}")));
    let did = ask(client, &cancel("chatcmpl-3", false)).await;
    assert_eq!(did.what, "ended: chatcmpl-3 (request other, token bob)");
    for (name, dry_run) in [("mine", false), ("mine", true), ("chatcmpl-9", false)] {
        let again = client.ask(&cancel(name, dry_run), FOR_EVER).await;
        assert_refused(again, Code::NotFound, "x-request-id");
    }
    gate.release();
    for (stream, cancelled) in streams.into_iter().zip([true, true, true, false, true]) {
        let last = last_of(stream).await;
        assert_eq!(last.contains("Cancelled"), cancelled, "{last}");
    }
    let audit = ask(client, &Audit { limit: None }).await;
    let told = |part: &str| audit.acts.iter().any(|act| act.detail.contains(part));
    assert!(told(two) && told("would end"), "{audit:?}");
    scene.end().await;
}
