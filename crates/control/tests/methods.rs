//! Every method over a real socket, against a tree with a scripted model: what it says, what it does, what it leaves in the
//! audit log.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

use crate::support;

use std::time::Duration;

use domain::{ContextPolicy, ConversationId, Prompt, RequestId, Sampling};
use model_host::Request;
use paraphym_control::protocol::act::{
    Acted, Cancel, Change, ConfigSet, Limit, Limited, LoadModel, Log, Loudness, PinModel, Restart,
    Shutdown, Start, Stop, UnloadModel, UnpinModel,
};
use paraphym_control::protocol::ending::{Ending, Phase};
use paraphym_control::protocol::events::{Events, Filter, Subscribe};
use paraphym_control::protocol::look::{
    Audit, ConfigGet, Conversations, Inspect, Ps, Status, Tree, Why,
};
use paraphym_control::{ClientError, Code, Level, News};
use support::{FOR_EVER, Scene, ask, assert_refused};

fn named(actor: &str) -> String {
    actor.to_owned()
}

#[tokio::test]
async fn the_tree_and_its_actors_are_shown() {
    let scene = Scene::start().await;
    let client = &mut scene.client().await;
    assert_eq!(client.greeting().level, Level::Admin);
    let status = ask(client, &Status {}).await;
    assert_eq!((status.unwell.len(), status.silent.len()), (0, 0));
    assert!(status.memory.unwrap().limit_bytes > 0);
    let tree = ask(client, &Tree {}).await;
    assert_eq!(tree.actors.len(), status.actors);
    assert_eq!(tree.actors[0].actor, "root");
    let host = tree
        .actors
        .iter()
        .find(|one| one.actor == "root/model_host")
        .unwrap();
    assert_eq!(
        (host.kind.as_str(), host.health.as_str(), host.depth),
        ("actor", "up", 1)
    );
    let control = tree.actors.last().unwrap();
    assert_eq!(
        (control.actor.as_str(), control.kind.as_str()),
        ("root/control", "task")
    );
    let actor = named("model_host");
    let shown = ask(client, &Inspect { actor }).await;
    assert_eq!(shown.spec.unwrap().restart, "permanent");
    assert_eq!(shown.events.last().unwrap().event, "ready");
    let wrong = client
        .ask(
            &Inspect {
                actor: named("host"),
            },
            FOR_EVER,
        )
        .await;
    assert_refused(wrong, Code::NotFound, "root/model_host");
    scene.end().await;
}

#[tokio::test]
async fn a_restart_is_done_heard_explained_and_written_down() {
    let scene = Scene::start().await;
    let client = &mut scene.client().await;
    let filter = Filter {
        actor: Some(named("memory_governor")),
        events: Vec::new(),
    };
    ask(client, &Subscribe { filter }).await;
    let mut wish = Restart {
        actor: named("memory_governor"),
        dry_run: true,
    };
    let acted = ask(client, &wish).await;
    assert!(!acted.done && acted.audited, "{acted:?}");
    wish.dry_run = false;
    let acted = ask(client, &wish).await;
    let what = "root/memory_governor was stopped and started again".to_owned();
    let audited = true;
    assert_eq!(
        acted,
        Acted {
            done: true,
            what,
            audited
        }
    );
    let mut words = Vec::new();
    while words
        .last()
        .is_none_or(|word| word != "ready" && word != "restarted")
    {
        match client.next().await.unwrap() {
            News::Happened(happened) => words.push(happened.event.event),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(words[..3], ["ordered", "stopping", "stopped"]);
    let subject = Some(named("memory_governor"));
    let why = ask(
        client,
        &Why {
            subject,
            limit: None,
        },
    )
    .await;
    let told: Vec<&str> = why.reasons.iter().map(|one| one.source.as_str()).collect();
    assert!(
        told.contains(&"supervision") && told.contains(&"control"),
        "{why:?}"
    );
    let audit = ask(client, &Audit { limit: None }).await;
    let entries: Vec<(&str, bool)> = audit
        .acts
        .iter()
        .map(|act| (act.action.as_str(), act.detail.contains("started again\"")))
        .collect();
    // The latest first: what came of it, what was asked; and the same for the dry run.
    assert_eq!(entries[0], ("control.restart", true));
    assert_eq!(entries.len(), 4);
    assert!(audit.acts[0].who.starts_with("a test (uid "), "{audit:?}");
    scene.end().await;
}

#[tokio::test]
async fn what_is_stopped_is_down_until_it_is_started() {
    let scene = Scene::start().await;
    let client = &mut scene.client().await;
    let (actor, dry_run) = (named("cache_janitor"), false);
    let start = Start {
        actor: actor.clone(),
        dry_run,
    };
    assert_refused(
        client.ask(&start, FOR_EVER).await,
        Code::Refused,
        "up, not down",
    );
    let stop = Stop {
        actor: actor.clone(),
        dry_run,
    };
    assert!(ask(client, &stop).await.done);
    let status = ask(client, &Status {}).await;
    // It was asked to: that is no illness, and is told all the same.
    assert_eq!(status.unwell, []);
    assert_eq!(status.stopped, [format!("root/{actor}")]);
    assert_eq!((status.paused.len(), status.ending), (0, None));
    assert_refused(
        client.ask(&stop, FOR_EVER).await,
        Code::Refused,
        "down already",
    );
    assert!(ask(client, &start).await.done);
    for (actor, code, part) in [
        ("root", Code::Refused, "use shutdown"),
        ("control", Code::Refused, "who answers you"),
        ("nobody", Code::NotFound, "not in the tree"),
        ("", Code::NotFound, "not in the tree"),
    ] {
        let stop = Stop {
            actor: named(actor),
            dry_run,
        };
        assert_refused(client.ask(&stop, FOR_EVER).await, code, part);
    }
    scene.end().await;
}

#[tokio::test]
async fn a_model_is_loaded_and_shown() {
    let scene = Scene::start().await;
    let client = &mut scene.client().await;
    let (model, dry_run) = (named("m"), false);
    assert_eq!(ask(client, &Ps {}).await.models, []);
    let would = ask(
        client,
        &LoadModel {
            model: model.clone(),
            dry_run: true,
        },
    )
    .await;
    assert!(!would.done && would.what.contains("1.0 MiB"), "{would:?}");
    assert_eq!(scene.control.counts().open_now(), 0);
    assert!(
        ask(
            client,
            &LoadModel {
                model: model.clone(),
                dry_run
            }
        )
        .await
        .done
    );
    let shown = ask(client, &Ps {}).await.models.remove(0);
    assert_eq!((shown.model.as_str(), shown.state.as_str()), ("m", "ready"));
    assert!(
        shown.weights_bytes >= 1 << 20 && shown.leases > 0,
        "{shown:?}"
    );
    assert!(
        shown.idle_ms.is_some() && shown.expires_in_ms.is_some(),
        "{shown:?}"
    );
    scene.end().await;
}

#[tokio::test]
async fn a_pinned_model_is_not_let_go_and_one_that_is_not_there_not_loaded() {
    let scene = Scene::start().await;
    let client = &mut scene.client().await;
    let (model, dry_run) = (named("m"), false);
    let load = LoadModel {
        model: model.clone(),
        dry_run,
    };
    assert!(ask(client, &load).await.done);
    let pin = PinModel {
        model: model.clone(),
        dry_run,
    };
    assert!(ask(client, &pin).await.done);
    assert!(ask(client, &Ps {}).await.models[0].pinned);
    let unload = UnloadModel {
        model: model.clone(),
        dry_run,
    };
    assert_refused(client.ask(&unload, FOR_EVER).await, Code::Refused, "pinned");
    let unpin = UnpinModel {
        model: model.clone(),
        dry_run,
    };
    assert!(ask(client, &unpin).await.done);
    assert_refused(
        client.ask(&unpin, FOR_EVER).await,
        Code::NotFound,
        "not pinned",
    );
    assert!(ask(client, &unload).await.done);
    assert_refused(
        client.ask(&unload, FOR_EVER).await,
        Code::NotFound,
        "not loaded",
    );
    let missing = LoadModel {
        model: named("missing"),
        dry_run,
    };
    assert_refused(
        client.ask(&missing, FOR_EVER).await,
        Code::NotFound,
        "fetch it first",
    );
    scene.end().await;
}

#[tokio::test]
async fn an_answer_is_ended_by_its_id_and_so_is_a_turn() {
    let scene = Scene::start().await;
    let client = &mut scene.client().await;
    let gate = scene.control.gate_step(3);
    let request = Request {
        id: RequestId::new("req-7"),
        model: domain::ModelName::new("m"),
        prompt: Prompt::Text("Hi".to_owned()),
        sampling: Sampling {
            max_tokens: 500,
            ..Sampling::greedy()
        },
        context: ContextPolicy::Refuse,
        keep_alive: None,
        tools: domain::Tools::default(),
    };
    let mut stream = model_host::generate(&scene.models, request).await.unwrap();
    scene
        .control
        .wait_until(|counts| counts.open_now() > 0)
        .await;
    let cancel = |id: &str, dry_run| Cancel {
        id: id.to_owned(),
        dry_run,
    };
    assert!(!ask(client, &cancel("req-7", true)).await.done);
    assert!(ask(client, &cancel("req-7", false)).await.done);
    gate.release();
    let mut last = None;
    while let Some(event) = stream.next().await {
        last = Some(event);
    }
    assert!(format!("{last:?}").contains("Cancelled"), "{last:?}");
    for dry_run in [false, true] {
        let again = client.ask(&cancel("req-7", dry_run), FOR_EVER).await;
        assert_refused(again, Code::NotFound, "x-request-id");
    }
    let conversation = ConversationId::new("trip");
    let gate = scene.control.gate_load(0);
    let settings = agent_worker::settings::TurnSettings::new(domain::ModelName::new("other"));
    let mut turn = scene
        .agents
        .ask(&conversation, "Hi", settings)
        .await
        .unwrap();
    let live = ask(client, &Conversations::default()).await.live;
    assert_eq!(live[0].conversation, "trip");
    assert!(ask(client, &cancel("trip/turn-1", false)).await.done);
    gate.release();
    let mut last = None;
    while let Some(event) = turn.next().await {
        last = Some(event);
    }
    assert!(format!("{last:?}").contains("Cancelled"), "{last:?}");
    let never = client.ask(&cancel("nobody/turn-1", false), FOR_EVER).await;
    assert_refused(never, Code::NotFound, "x-request-id");
    scene.end().await;
}

#[tokio::test]
async fn limits_are_changed() {
    let scene = Scene::start().await;
    let client = &mut scene.client().await;
    let limit = |what, value| Limit {
        what,
        value,
        dry_run: false,
    };
    let acted = ask(client, &limit(Limited::Memory, Some(64 << 20))).await;
    assert!(acted.what.contains("64.0 MiB"), "{acted:?}");
    let memory = ask(client, &Status {}).await.memory.unwrap();
    assert_eq!(
        (memory.limit_bytes, memory.configured_bytes),
        (64 << 20, Some(64 << 20))
    );
    ask(client, &limit(Limited::Memory, None)).await;
    assert!(ask(client, &limit(Limited::Queue, Some(3))).await.done);
    for (what, value) in [
        (Limited::Memory, Some(0)),
        (Limited::Queue, Some(0)),
        (Limited::Queue, None),
    ] {
        let refused = client.ask(&limit(what, value), FOR_EVER).await;
        assert_refused(refused, Code::Params, "value =");
    }
    scene.end().await;
}

#[tokio::test]
async fn settings_are_changed_and_the_log_of_another_is_not() {
    let scene = Scene::start().await;
    let client = &mut scene.client().await;
    let set = |key: &str, value: &str, expected, dry_run| ConfigSet {
        changes: vec![Change {
            key: key.to_owned(),
            value: value.to_owned(),
        }],
        expected,
        dry_run,
    };
    let key = "model.temperature";
    assert!(!ask(client, &set(key, "0.7", None, true)).await.done);
    let before = ask(
        client,
        &ConfigGet {
            key: Some(key.to_owned()),
        },
    )
    .await;
    assert!(
        ask(client, &set(key, "0.7", Some(before.revision), false))
            .await
            .done
    );
    let after = ask(
        client,
        &ConfigGet {
            key: Some(key.to_owned()),
        },
    )
    .await;
    assert_eq!(
        (after.settings.len(), after.revision),
        (1, before.revision + 1)
    );
    assert_eq!(after.settings[0].value, 0.7);
    assert!(after.settings[0].origin.contains("file"), "{after:?}");
    assert!(ask(client, &ConfigGet { key: None }).await.settings.len() > 20);
    for (wish, code, part) in [
        (
            set(key, "9", None, false),
            Code::Params,
            "model.temperature",
        ),
        (
            set("model.temprature", "1", None, false),
            Code::NotFound,
            "did you mean model.temperature",
        ),
        (
            set(key, "0.8", Some(before.revision), false),
            Code::Refused,
            "at revision",
        ),
    ] {
        assert_refused(client.ask(&wish, FOR_EVER).await, code, part);
    }
    let log = Log {
        actor: None,
        level: Loudness::Debug,
        for_s: None,
        dry_run: false,
    };
    assert_refused(client.ask(&log, FOR_EVER).await, Code::Refused, "not ours");
    scene.end().await;
}

#[tokio::test]
async fn whoever_started_the_tree_is_asked_to_end_it_and_the_answer_comes_first() {
    let mut scene = Scene::start().await;
    let client = &mut scene.client().await;
    let shutdown = |deadline_ms, dry_run| Shutdown {
        deadline_ms,
        dry_run,
    };
    let long = client.ask(&shutdown(Some(u64::MAX), false), FOR_EVER).await;
    assert_refused(long, Code::Params, "deadline_ms =");
    assert!(!ask(client, &shutdown(None, true)).await.done);
    assert_eq!(*scene.stop.borrow(), None);
    assert!(ask(client, &shutdown(Some(1500), false)).await.done);
    let asked = scene.stop.wait_for(Option::is_some).await.unwrap();
    assert_eq!(*asked, Some(Duration::from_millis(1500)));
    drop(asked);
    scene.end().await;
    assert!(matches!(
        client.next().await,
        Err(ClientError::HungUp { .. })
    ));
}

#[tokio::test]
async fn everybody_is_told_how_far_an_ending_is_to_its_last_step() {
    let scene = Scene::start().await;
    let client = &mut scene.client_as(Level::Observe).await;
    let ending = |phase, under_way: &[&str]| Ending {
        phase,
        under_way: under_way.iter().map(|what| (*what).to_owned()).collect(),
        left_ms: 5,
        abandoned: vec!["root/a: 1 queued `B`".to_owned()],
        killed: Vec::new(),
    };
    let (first, last) = (
        ending(Phase::Answers, &["POST / req-1"]),
        ending(Phase::Actors, &[]),
    );
    scene.ending.send_replace(Some(first.clone()));
    assert_eq!(client.next().await.unwrap(), News::Ending(first));
    scene.ending.send_replace(Some(last.clone()));
    scene.end().await;
    assert_eq!(client.next().await.unwrap(), News::Ending(last));
    let ended = client.next().await;
    assert!(
        matches!(ended, Err(ClientError::HungUp { .. })),
        "{ended:?}"
    );
}

#[tokio::test]
async fn whoever_gave_up_the_right_may_only_look() {
    let scene = Scene::start().await;
    let client = &mut scene.client_as(Level::Observe).await;
    assert_eq!(client.greeting().level, Level::Observe);
    ask(client, &Status {}).await;
    let stop = Stop {
        actor: named("gateway"),
        dry_run: true,
    };
    assert_refused(
        client.ask(&stop, FOR_EVER).await,
        Code::Level,
        "needs the level operate",
    );
    let client = &mut scene.client_as(Level::Operate).await;
    let end = client.ask(&Shutdown::default(), FOR_EVER).await;
    assert_refused(end, Code::Level, "needs the level admin");
    assert_eq!(*scene.stop.borrow(), None);
    scene.end().await;
}

#[tokio::test]
async fn a_store_that_is_down_keeps_nobody_from_mending_it() {
    let scene = Scene::start().await;
    let client = &mut scene.client().await;
    let (actor, dry_run) = (named("conversation_store"), false);
    let stopped = ask(
        client,
        &Stop {
            actor: actor.clone(),
            dry_run,
        },
    )
    .await;
    assert!(stopped.done && !stopped.audited, "{stopped:?}");
    let started = ask(client, &Start { actor, dry_run }).await;
    assert!(started.done, "{started:?}");
    let janitor = named("cache_janitor");
    let again = ask(
        client,
        &Restart {
            actor: janitor,
            dry_run,
        },
    )
    .await;
    assert!(again.done && again.audited, "{again:?}");
    scene.end().await;
}

#[tokio::test]
async fn what_happened_can_be_read_later_and_survives_control_itself() {
    let scene = Scene::start().await;
    let supervisor = scene.root.supervisor();
    let id = "control".into();
    supervisor.terminate_child(&id).await.unwrap();
    supervisor.restart_child(&id).await.unwrap();
    let client = &mut scene.client().await;
    let filter = Filter {
        actor: Some(named("control")),
        events: vec!["stopped".to_owned(), "restarted".to_owned()],
    };
    let past = ask(
        client,
        &Events {
            filter,
            limit: Some(2),
        },
    )
    .await;
    let words: Vec<&str> = past.events.iter().map(|one| one.event.as_str()).collect();
    assert_eq!((words, past.forgotten), (vec!["stopped", "restarted"], 0));
    let wrong = Filter {
        actor: None,
        events: vec!["dead".to_owned()],
    };
    let wrong = client
        .ask(
            &Events {
                filter: wrong,
                limit: None,
            },
            FOR_EVER,
        )
        .await;
    assert_refused(wrong, Code::Params, "dead is no event");
    scene.end().await;
}
