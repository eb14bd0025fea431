//! What moves is counted: two answers of one server, between them a request that is held, answered and gone.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

use crate::support;

use domain::{ContextPolicy, ModelName, Prompt, RequestId, Sampling};
use model_host::Request;
use paraphym_control::protocol::look::{Ps, Tree};
use paraphym_control::protocol::vitals::{ActorVitals, Vitals, VitalsAnswer};
use paraphym_control::{Client, Level};
use support::{FOR_EVER, Scene};

async fn vitals(client: &mut Client) -> VitalsAnswer {
    client.ask(&Vitals {}, FOR_EVER).await.unwrap()
}

fn actor<'a>(answer: &'a VitalsAnswer, path: &str) -> &'a ActorVitals {
    let mut all = answer.actors.iter();
    let found = all.find(|one| one.actor.actor == path);
    found.unwrap_or_else(|| panic!("{path} in {:?}", answer.actors))
}

fn request(id: &str, max_tokens: u32) -> Request {
    Request {
        id: RequestId::new(id),
        model: ModelName::new("m"),
        prompt: Prompt::Text("Hi there".to_owned()),
        sampling: Sampling {
            max_tokens,
            ..Sampling::greedy()
        },
        context: ContextPolicy::Refuse,
        keep_alive: None,
        tools: domain::Tools::default(),
    }
}

#[tokio::test]
async fn counters_grow_and_requests_come_and_go() {
    let scene = Scene::start().await;
    // Looking needs no more than this.
    let client = &mut scene.client_as(Level::Observe).await;
    let before = vitals(client).await;
    assert_eq!((before.models.len(), before.requests.len()), (0, 0));
    assert_eq!(before.silent, [""; 0]);
    assert!(before.memory.as_ref().unwrap().limit_bytes > 0);
    let gate = scene.control.gate_step(2);
    let mut stream = model_host::generate(&scene.models, request("req-1", 5))
        .await
        .unwrap();
    let counts = scene
        .control
        .wait_until(|counts| counts.open_now() > 0)
        .await;
    assert_eq!(counts.open_now(), 1);
    let held = vitals(client).await;
    let [one] = held.requests.as_slice() else {
        panic!("{:?}", held.requests);
    };
    assert_eq!((one.id.as_str(), one.model.as_str()), ("req-1", "m"));
    assert!(one.answering && held.unlisted == 0, "{held:?}");
    assert_eq!(held.models[0].model.answering, 1);
    gate.release();
    let mut generated = 0;
    while let Some(event) = stream.next().await {
        if let domain::GenerationEvent::Finished { usage, .. } = event {
            generated = u64::from(usage.completion_tokens);
        }
    }
    let after = vitals(client).await;
    let model = &after.models[0];
    assert_eq!((generated, model.generated_tokens), (5, 5));
    // Text is a token a byte here.
    assert_eq!((model.prompt_tokens, model.first_tokens), (8, 1));
    assert!(model.first_token_us > 0, "{model:?}");
    assert_eq!(after.requests, []);
    let (host, then) = (
        actor(&after, "root/model_host"),
        actor(&before, "root/model_host"),
    );
    assert!(host.messages > then.messages, "{host:?}");
    assert!(host.timed >= then.timed && host.handling_us >= then.handling_us);
    assert!(after.uptime_ms >= before.uptime_ms && after.pid == before.pid);
    scene.end().await;
}

#[tokio::test]
async fn it_says_what_tree_and_ps_say() {
    let scene = Scene::start().await;
    let client = &mut scene.client().await;
    let warm = model_host::warm(
        &scene.models,
        RequestId::new("w"),
        ModelName::new("m"),
        None,
    );
    let mut warm = warm.await.unwrap();
    while warm.next().await.is_some() {}
    let tree = client.ask(&Tree {}, FOR_EVER).await.unwrap();
    let ps = client.ask(&Ps {}, FOR_EVER).await.unwrap();
    let seen = vitals(client).await;
    let paths = |actors: Vec<&paraphym_control::protocol::look::Actor>| {
        let paths = actors
            .into_iter()
            .map(|one| (one.actor.clone(), one.health.clone()));
        paths.collect::<Vec<_>>()
    };
    assert_eq!(
        paths(seen.actors.iter().map(|one| &one.actor).collect()),
        paths(tree.actors.iter().collect())
    );
    let (mine, theirs) = (&seen.models[0].model, &ps.models[0]);
    assert_eq!(
        (&mine.model, &mine.state, mine.weights_bytes, mine.leases),
        (
            &theirs.model,
            &theirs.state,
            theirs.weights_bytes,
            theirs.leases
        )
    );
    assert!(mine.leases > 0);
    scene.end().await;
}

/// What was counted under a label.
fn label(answer: &VitalsAnswer, label: &str) -> u64 {
    let mut all = answer.labels.iter();
    all.find(|one| one.label == label).unwrap().messages
}

/// What the lanes that live have handled, each for itself.
fn of_lanes(answer: &VitalsAnswer) -> u64 {
    let all = answer.actors.iter();
    let lanes = all.filter(|one| one.actor.actor.starts_with("root/lane_supervisor/"));
    lanes.map(|one| one.messages).sum()
}

/// Asks the model one thing, and hears it to its end.
async fn use_the_model(scene: &Scene, id: &str) {
    let stream = model_host::generate(&scene.models, request(id, 3)).await;
    let mut stream = stream.unwrap();
    while stream.next().await.is_some() {}
}

#[tokio::test]
async fn no_counter_goes_back_when_actors_are_restarted_and_those_that_are_gone_stay_counted() {
    let scene = Scene::start().await;
    let client = &mut scene.client().await;
    use_the_model(&scene, "one").await;
    let mut before = vitals(client).await;
    let lanes = "root/lane_supervisor/*";
    assert!(of_lanes(&before) > 0);
    assert_eq!(of_lanes(&before), label(&before, lanes));
    let administration = scene.root.supervisor().administration();
    // The host, which the spec names; then the supervisor of the lanes, which end with it.
    for whom in ["model_host", "lane_supervisor"] {
        administration.restart(whom, FOR_EVER).await.unwrap();
        let after = vitals(client).await;
        for one in &before.labels {
            assert!(label(&after, &one.label) >= one.messages, "{whom}: {one:?}");
        }
        for one in &after.actors {
            let path = one.actor.actor.as_str();
            if after.labels.iter().any(|named| named.label == path) {
                assert_eq!(one.messages, label(&after, path), "{whom}: {path}");
            }
        }
        before = after;
    }
    assert_eq!(of_lanes(&before), 0, "they are gone");
    assert!(label(&before, lanes) > 0, "{:?}", before.labels);
    use_the_model(&scene, "two").await;
    let after = vitals(client).await;
    let new = of_lanes(&after);
    assert!(new > 0);
    assert_eq!(label(&after, lanes), label(&before, lanes) + new);
    scene.end().await;
}

#[tokio::test]
async fn a_queue_that_was_told_to_wait_is_paused() {
    let scene = Scene::start().await;
    let client = &mut scene.client().await;
    let path = "root/cache_janitor";
    assert!(!actor(&vitals(client).await, path).actor.paused);
    let administration = scene.root.supervisor().administration();
    administration.pause(path, FOR_EVER).await.unwrap();
    assert!(actor(&vitals(client).await, path).actor.paused);
    administration.resume(path, FOR_EVER).await.unwrap();
    assert!(!actor(&vitals(client).await, path).actor.paused);
    scene.end().await;
}

#[tokio::test]
async fn whoever_is_silent_is_named_and_hides_nobody() {
    let scene = Scene::start().await;
    let client = &mut scene.client().await;
    let supervisor = scene.root.supervisor();
    supervisor
        .terminate_child(&"memory_governor".into())
        .await
        .unwrap();
    let seen = vitals(client).await;
    assert_eq!(
        (seen.memory, seen.silent.len()),
        (None, 1),
        "{:?}",
        seen.silent
    );
    assert!(
        seen.silent[0].contains("memory_governor"),
        "{:?}",
        seen.silent
    );
    assert!(seen.actors.len() > 5);
    supervisor
        .restart_child(&"memory_governor".into())
        .await
        .unwrap();
    scene.end().await;
}
