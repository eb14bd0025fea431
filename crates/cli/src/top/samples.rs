//! A server as the tests imagine it.

use paraphym_candle::control::protocol::events::Event;
use paraphym_candle::control::protocol::look::{Actor, Memory, Model};
use paraphym_candle::control::protocol::vitals::{
    ActorVitals, LabelVitals, ModelVitals, RequestVitals, VitalsAnswer,
};

use super::state::State;

pub(super) fn actor(path: &str, kind: &str, messages: u64) -> ActorVitals {
    ActorVitals {
        actor: Actor {
            actor: path.to_owned(),
            depth: path.matches('/').count(),
            kind: kind.to_owned(),
            health: "up".to_owned(),
            life: 1,
            capacity: if kind == "actor" { 64 } else { 0 },
            up_ms: Some(125_000),
            ..Actor::default()
        },
        messages,
        timed: messages,
        handling_us: messages * 120,
    }
}

/// The tree then: one is stuck, one rests, one is paused.
fn actors(second: u64) -> Vec<ActorVitals> {
    let mut actors = vec![
        actor("root", "supervisor", 0),
        actor("root/chat_config", "actor", 10),
        actor("root/memory_governor", "actor", 7 * second),
        actor("root/cache_janitor", "actor", 3),
        actor("root/conversation_store", "actor", 30 + second),
        actor("root/model_host", "actor", 50 * second),
        actor("root/model_lanes", "supervisor", 0),
        actor(
            "root/model_lanes/smollm2-135m-instruct",
            "actor",
            90 * second,
        ),
        actor("root/agent_supervisor", "supervisor", 0),
        actor("root/agent_supervisor/agent_worker-trip", "actor", 4),
        actor("root/gateway", "task", 0),
        actor("root/control", "task", 0),
    ];
    for one in &mut actors {
        let seen = &mut one.actor;
        match seen.actor.rsplit('/').next().unwrap_or_default() {
            "conversation_store" => {
                seen.health = "stuck".to_owned();
                seen.queued = 12;
                seen.handling = Some("Append".to_owned());
                seen.handling_ms = Some(31_000);
            }
            "smollm2-135m-instruct" => {
                seen.queued = 3;
                seen.work = vec!["req-1".to_owned(), "req-2".to_owned()];
            }
            "agent_worker-trip" => {
                seen.health = "backing_off".to_owned();
                seen.restarts = 3;
                seen.life = 4;
                seen.last_error = Some("the index is out of range".to_owned());
            }
            "cache_janitor" => seen.paused = true,
            "gateway" => seen.work = vec!["127.0.0.1:7007".to_owned()],
            _ => {}
        }
    }
    actors
}

/// At that second of its life: everybody has something to show.
pub(super) fn answer(second: u64) -> VitalsAnswer {
    let actors = actors(second);
    let label = |one: &ActorVitals| LabelVitals {
        label: one.actor.actor.clone(),
        messages: one.messages,
        timed: one.timed,
        handling_us: one.handling_us,
    };
    let labels = actors.iter().map(label).collect();
    VitalsAnswer {
        version: "0.1.0".to_owned(),
        pid: 4711,
        uptime_ms: second * 1000,
        actors,
        labels,
        memory: Some(Memory {
            limit_bytes: 2 << 30,
            leased_bytes: 512 << 20,
            available_bytes: 1536 << 20,
            configured_bytes: None,
            pressure: "low".to_owned(),
            pressure_source: "ledger".to_owned(),
            waiting: 0,
        }),
        models: vec![ModelVitals {
            model: Model {
                model: "smollm2-135m-instruct".to_owned(),
                state: "ready".to_owned(),
                weights_bytes: 101 << 20,
                kv_bytes: 45 << 20,
                kept_bytes: 9 << 20,
                leases: 4,
                answering: 2,
                waiting: 1,
                keep_alive_ms: Some(300_000),
                ..Model::default()
            },
            prompt_tokens: 200 * second,
            generated_tokens: 31 * second,
            first_tokens: second,
            first_token_us: 140_000 * second,
        }],
        requests: vec![
            request("req-1", true, 40),
            request("req-2", true, 7),
            request("trip/turn-3", false, 0),
        ],
        unlisted: 0,
        threads: [
            ("main", 1),
            ("worker", 2),
            ("blocking", 3),
            ("host", 0),
            ("foreign", 0),
        ]
        .map(|(role, count)| (role.to_owned(), count))
        .into(),
        silent: Vec::new(),
    }
}

fn request(id: &str, answering: bool, generated_tokens: u64) -> RequestVitals {
    RequestVitals {
        id: id.to_owned(),
        model: "smollm2-135m-instruct".to_owned(),
        answering,
        for_ms: 2_400,
        generated_tokens,
    }
}

pub(super) fn event(second: i64, actor: &str, word: &str, text: &str) -> Event {
    Event {
        at_ms: 1000 * second,
        actor: actor.to_owned(),
        life: 1,
        event: word.to_owned(),
        text: text.to_owned(),
        reason: None,
        abandoned: Vec::new(),
    }
}

/// After three answers, with a few events.
pub(super) fn state() -> State {
    let mut state = State::default();
    let worker = "root/agent_supervisor/agent_worker-trip";
    state.joined(vec![
        event(1, "root/gateway", "ready", "was ready after 3ms"),
        event(62, worker, "crashed", "crashed: the index is out of range"),
        event(
            62,
            worker,
            "backing_off",
            "rests for 213ms before its restart, 3 of 5 allowed",
        ),
        event(
            63,
            "root/conversation_store",
            "stuck",
            "has handled Append for 31.0s; its budget is 10.0s",
        ),
    ]);
    for second in [121, 122, 123] {
        state.hear(answer(second));
    }
    state
}
