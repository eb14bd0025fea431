//! Orders to actors over a real socket: restarted, killed, paused, looked at, and broken on purpose; and what becomes of
//! answers meanwhile.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "whoever reads an answer here is nobody's child"
)]

use crate::support;

use domain::{ContextPolicy, ConversationId, GenerationEvent, Prompt, RequestId, Sampling};
use model_host::Request;
use paraphym_control::protocol::act::{Chaos, Fault, Kill, Pause, Restart, Resume, Stop};
use paraphym_control::protocol::events::Unsubscribe;
use paraphym_control::protocol::look::{Inspect, Status, Tree, Why};
use paraphym_control::protocol::tap::Tap;
use paraphym_control::{Code, News};
use support::{FOR_EVER, Scene, ask, assert_refused};
use testkit::scripted::{Control, Gate};

/// A message about one actor.
macro_rules! about {
    ($order:ident $actor:expr) => {
        $order {
            actor: $actor.to_owned(),
            dry_run: false,
        }
    };
    ($order:ident $actor:expr, dry) => {
        $order {
            actor: $actor.to_owned(),
            dry_run: true,
        }
    };
}

fn request(id: &str) -> Request {
    Request {
        id: RequestId::new(id),
        model: domain::ModelName::new("m"),
        prompt: Prompt::Text(format!("Hi from {id}")),
        sampling: Sampling {
            max_tokens: 400,
            ..Sampling::greedy()
        },
        context: ContextPolicy::Refuse,
        keep_alive: None,
        tools: domain::Tools::default(),
    }
}

/// What an answer says, and how it ends.
async fn whole(mut stream: model_host::GenerationStream) -> (String, String) {
    let (mut text, mut end) = (String::new(), String::new());
    while let Some(event) = stream.next().await {
        match event {
            GenerationEvent::Text(piece) => text.push_str(&piece),
            GenerationEvent::Finished { reason, .. } => end = format!("{reason:?}"),
            GenerationEvent::Failed(error) => end = error.to_string(),
            _ => {}
        }
    }
    (text, end)
}

/// From one step, which waits at the gate, to one at which all four answers are in the middle; that one waits, too.
async fn all_begun(control: &Control, mut step: u64, mut gate: Gate) -> Gate {
    loop {
        let counts = control.wait_until(|counts| counts.steps == step).await;
        if counts.open_now() == 4 {
            return gate;
        }
        step += 1;
        let next = control.gate_step(step);
        gate.release();
        gate = next;
    }
}

#[tokio::test]
async fn four_answers_that_stream_while_the_model_host_is_restarted_are_as_they_would_have_been() {
    let scene = Scene::start().await;
    let names = ["a", "b", "c", "d"];
    let mut undisturbed = Vec::new();
    for name in names {
        let stream = model_host::generate(&scene.models, request(name)).await;
        undisturbed.push(whole(stream.unwrap()).await);
    }
    for order in ["restart", "kill"] {
        let client = &mut scene.client().await;
        let first = scene.control.counts().steps + 1;
        let gate = scene.control.gate_step(first);
        let mut streams = Vec::new();
        for name in names {
            let stream = model_host::generate(&scene.models, request(name)).await;
            streams.push(tokio::spawn(whole(stream.unwrap())));
        }
        let gate = all_begun(&scene.control, first, gate).await;
        let orders = async {
            if order == "restart" {
                ask(client, &about!(Restart "model_host")).await
            } else {
                ask(client, &about!(Kill "model_host")).await
            }
        };
        let opened = async { gate.release() };
        let (acted, ()) = tokio::join!(orders, opened);
        assert!(acted.done, "{acted:?}");
        for (stream, whole) in streams.into_iter().zip(&undisturbed) {
            assert_eq!(&stream.await.unwrap(), whole, "{order}");
        }
        let actor = "model_host".to_owned();
        let shown = ask(client, &Inspect { actor }).await;
        assert!(shown.actor.life > 1);
    }
    scene.end().await;
}

#[tokio::test]
async fn a_paused_actor_keeps_what_comes_until_it_is_resumed() {
    let scene = Scene::start().await;
    let client = &mut scene.client().await;
    let dry = ask(client, &about!(Pause "model_host", dry)).await;
    assert!(!dry.done && dry.what.contains("would pause root/model_host"));
    assert!(ask(client, &about!(Pause "model_host")).await.done);
    let status = ask(client, &Status {}).await;
    assert_eq!((status.paused.len(), status.stopped.len()), (1, 0));
    assert_eq!(status.paused[0], "root/model_host");
    let again = client.ask(&about!(Pause "model_host"), FOR_EVER).await;
    assert_refused(again, Code::Refused, "paused already");
    let models = scene.models.clone();
    let waits = tokio::spawn(async move {
        let stream = model_host::generate(&models, request("late")).await;
        whole(stream.unwrap()).await
    });
    let inspect = Inspect {
        actor: "model_host".to_owned(),
    };
    loop {
        let shown = ask(client, &inspect).await.actor;
        assert!(shown.paused);
        if shown.queued > 0 {
            break;
        }
    }
    assert!(!waits.is_finished());
    let acted = ask(client, &about!(Resume "model_host")).await;
    assert!(acted.what.contains("resumed"), "{acted:?}");
    let (text, _) = waits.await.unwrap();
    assert!(!text.is_empty());
    let again = client.ask(&about!(Resume "model_host"), FOR_EVER).await;
    assert_refused(again, Code::Refused, "not paused");
    for actor in ["control", "agent_supervisor"] {
        let none = client.ask(&about!(Pause actor), FOR_EVER).await;
        assert_refused(none, Code::Refused, "no queue");
    }
    scene.end().await;
}

#[tokio::test]
async fn what_is_below_a_supervisor_is_reached_and_what_goes_with_it_is_told_beforehand() {
    let scene = Scene::start().await;
    let client = &mut scene.client().await;
    let settings = agent_worker::settings::TurnSettings::new(domain::ModelName::new("m"));
    let conversation = ConversationId::new("trip");
    let mut turn = scene
        .agents
        .ask(&conversation, "Hi", settings)
        .await
        .unwrap();
    while turn.next().await.is_some() {}
    let worker = "agent_worker-trip";
    let dry = ask(client, &about!(Restart "agent_supervisor", dry)).await;
    let path = format!("root/agent_supervisor/{worker}");
    assert!(!dry.done && dry.what.contains(&format!(", with {path}")));
    assert!(
        dry.what.contains(&format!("not started again: {path}")),
        "{dry:?}"
    );
    let life = |tree: &paraphym_control::protocol::look::TreeAnswer| {
        let of = tree.actors.iter().find(|one| one.actor == path);
        of.map(|one| one.life)
    };
    let before = life(&ask(client, &Tree {}).await).unwrap();
    assert!(ask(client, &about!(Restart worker)).await.done);
    assert_eq!(life(&ask(client, &Tree {}).await), Some(before + 1));
    assert!(ask(client, &about!(Restart "agent_supervisor")).await.done);
    assert_eq!(life(&ask(client, &Tree {}).await), None);
    for (actor, part) in [("root", "use shutdown"), ("control", "who answers you")] {
        let refused = client.ask(&about!(Restart actor), FOR_EVER).await;
        assert_refused(refused, Code::Refused, part);
    }
    scene.end().await;
}

#[tokio::test]
async fn who_is_killed_is_started_again_and_why_tells_who_asked() {
    let scene = Scene::start().await;
    let client = &mut scene.client().await;
    let dry = ask(client, &about!(Kill "memory_governor", dry)).await;
    assert!(dry.what.contains("no message is in hand"), "{dry:?}");
    assert!(ask(client, &about!(Kill "memory_governor")).await.done);
    // The events of others do not push out what is known of this one.
    for _ in 0..40 {
        ask(client, &about!(Restart "cache_janitor")).await;
    }
    // It rests before it is started again.
    while !ask(client, &Status {}).await.unwell.is_empty() {}
    let why = Why {
        subject: Some("memory_governor".to_owned()),
        limit: Some(200),
    };
    let why = ask(client, &why).await;
    let told: Vec<&str> = why
        .reasons
        .iter()
        .filter(|one| one.source == "supervision")
        .map(|one| one.text.as_str())
        .collect();
    let parts = [
        "kill, ordered by a test (uid ",
        "was killed",
        "rests for",
        "was started again",
    ];
    for part in parts {
        assert!(
            told.iter().any(|one| one.contains(part)),
            "{part}: {told:?}"
        );
    }
    assert!(told.iter().all(|one| !one.contains("cache_janitor")));
    let nobody = Why {
        subject: Some("nobody".to_owned()),
        limit: None,
    };
    assert_eq!(ask(client, &nobody).await.reasons, []);
    let down = ask(client, &about!(Stop "cache_janitor")).await;
    assert!(down.done);
    let killed = client.ask(&about!(Kill "cache_janitor"), FOR_EVER).await;
    assert_refused(killed, Code::Refused, "is not up");
    let whole = client.ask(&about!(Kill "agent_supervisor"), FOR_EVER).await;
    assert_refused(whole, Code::Refused, "is a supervisor");
    scene.end().await;
}

#[tokio::test]
async fn a_fault_on_purpose_is_one_and_the_tree_mends_it() {
    let scene = Scene::start().await;
    let client = &mut scene.client().await;
    let mut chaos = Chaos {
        actor: "memory_governor".to_owned(),
        fault: Fault::Stall,
        delay_ms: None,
        for_ms: Some(600_001),
        dry_run: false,
    };
    let refused = client.ask(&chaos, FOR_EVER).await;
    assert_refused(
        refused,
        Code::Params,
        "for_ms = 600001 is not accepted: use 1 to 600000",
    );
    chaos.for_ms = Some(600_000);
    chaos.actor = String::new();
    let refused = client.ask(&chaos, FOR_EVER).await;
    assert_refused(refused, Code::NotFound, r#"actor = "" is not in the tree"#);
    chaos.actor = "memory_governor".to_owned();
    chaos.dry_run = true;
    let dry = ask(client, &chaos).await;
    assert!(
        dry.what.contains("would make root/memory_governor stall"),
        "{dry:?}"
    );
    chaos.dry_run = false;
    assert!(ask(client, &chaos).await.done);
    let inspect = Inspect {
        actor: "memory_governor".to_owned(),
    };
    while ask(client, &inspect).await.actor.handling.as_deref() != Some("chaos stall") {}
    // A kill ends it, as it ends whatever else hangs.
    assert!(ask(client, &about!(Kill "memory_governor")).await.done);
    while ask(client, &Status {}).await.memory.is_none() {}
    chaos.fault = Fault::Crash;
    chaos.for_ms = None;
    assert!(ask(client, &chaos).await.done);
    while ask(client, &Status {}).await.memory.is_none() {}
    let shown = ask(client, &inspect).await.actor;
    assert!(shown.last_error.unwrap().contains("chaos"));
    scene.end().await;
}

#[tokio::test]
async fn the_messages_of_an_actor_are_looked_at_until_the_look_is_over() {
    let scene = Scene::start().await;
    let client = &mut scene.client().await;
    let look = |messages| Tap {
        actor: "memory_governor".to_owned(),
        for_s: None,
        messages: Some(messages),
        per_second: Some(1000),
    };
    let zero = client.ask(&look(0), FOR_EVER).await;
    assert_refused(zero, Code::Params, "messages is 0");
    let first = ask(client, &look(2)).await.subscription;
    let mut other = scene.client().await;
    for _ in 0..3 {
        ask(&mut other, &Status {}).await;
    }
    let mut seen = Vec::new();
    let over = loop {
        match client.next().await.unwrap() {
            News::Tapped(one) => seen.push(one),
            News::TapOver(over) => break over.subscription,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((seen.len(), over), (2, first));
    for one in seen {
        assert_eq!(
            (one.message.as_str(), one.outcome.as_str()),
            ("Status", "handled")
        );
        assert_eq!((one.subscription, one.life), (first, 1));
    }
    // Four at a time; what is given back is free for another.
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(ask(client, &look(100)).await.subscription);
    }
    assert_refused(client.ask(&look(1), FOR_EVER).await, Code::Busy, "");
    let subscription = held[1];
    ask(client, &Unsubscribe { subscription }).await;
    // The actor's place forgets it at its next message.
    ask(&mut other, &Status {}).await;
    ask(client, &look(100)).await;
    let never = client.ask(&Unsubscribe { subscription }, FOR_EVER).await;
    assert_refused(never, Code::NotFound, "is not held");
    let mut task = look(1);
    task.actor = "control".to_owned();
    ask(
        client,
        &Unsubscribe {
            subscription: held[0],
        },
    )
    .await;
    assert_refused(client.ask(&task, FOR_EVER).await, Code::Refused, "no queue");
    scene.end().await;
}
