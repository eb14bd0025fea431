//! A tree with a scripted model, conversations, typing and rooms. On a paused clock.
#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "helpers of tests; not every test file uses all of them"
)]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use agent_worker::{Agents, Config, TurnSettings, Window};
use domain::{ConnectionId, ConversationId, ModelName, Sampling, UserId};
use engine::ModelSource;
use memory_governor::{FileProbe, GovernorConfig};
use model_host::{HostConfig, ModelHostDeps, ResolveModel};
use paraphym_room::{Heard, Member, Room, RoomEvent, Rooms, Say, Seat, rooms};
use supervision::{Handle, SupervisorSpec};
use testkit::scene::Scene;
use testkit::scripted::{Answer, Control, ScriptedLoader};
use typing::Typing;

/// Finds every model at once.
struct Anywhere;

impl ResolveModel for Anywhere {
    fn resolve(&self, model: &ModelName) -> Result<ModelSource, String> {
        let path = PathBuf::from(model.as_str());
        Ok(ModelSource { path })
    }
}

pub struct Stage {
    pub scene: Scene,
    pub rooms: Rooms,
    pub typing: Handle<Typing>,
    pub control: Control,
}

pub const DEADLINE: Duration = Duration::from_secs(5);

impl Stage {
    pub async fn start(answer: Answer) -> Self {
        let loader = ScriptedLoader::new(answer).with_card(|card| card.context_tokens = 4096);
        let control = loader.control();
        let memory = GovernorConfig {
            limit: None,
            poll: Duration::from_hours(10_000),
        };
        let (governor, memory) = memory_governor::child_with(memory, Arc::new(FileProbe));
        let (janitor_spec, janitor) = cache_janitor::child(memory.clone());
        let deps = ModelHostDeps {
            loader: Arc::new(loader),
            resolve: Arc::new(Anywhere),
            governor: memory,
            janitor: janitor.clone(),
        };
        let (models, host) = model_host::children(HostConfig::default(), deps);
        let config = Config::default();
        let (workers_spec, workers) = agent_worker::children(&config);
        let agents = Agents::new(workers, host, config);
        let (typing_spec, typing) = typing::child(typing::EXPIRY).unwrap();
        let keeper = agents.keeper(janitor.clone());
        let clock = Arc::new(|| 1);
        let drain = Duration::from_secs(30);
        let (answers, rooms) = rooms(agents, typing.clone(), clock, drain);
        let tree = models.into_iter().chain(workers_spec);
        let tree = tree.chain([keeper, typing_spec, answers]);
        let first = SupervisorSpec::new("root")
            .child(governor)
            .child(janitor_spec);
        let spec = tree.fold(first, SupervisorSpec::child);
        let scene = Scene::start(spec).await.unwrap();
        Self {
            scene,
            rooms,
            typing,
            control,
        }
    }

    pub fn sit(&self, connection: &str) -> Seat {
        let member = Member {
            connection: ConnectionId::new(connection),
            user: UserId::new("ann"),
            since_ms: 0,
        };
        self.rooms.sit(conversation(), member).unwrap()
    }

    pub async fn say(&self, nonce: &str) -> domain::RequestId {
        self.rooms.say(&conversation(), say(nonce)).await.unwrap()
    }

    /// Nothing of the tree is left, and nothing of the model's memory is in use.
    pub async fn end(self) {
        let report = self.scene.stop().await;
        assert_eq!(report.abandoned, []);
        assert_eq!(self.control.counts().open_now(), 0);
    }
}

pub fn conversation() -> ConversationId {
    ConversationId::new("c")
}

pub fn say(nonce: &str) -> Say {
    Say {
        by: UserId::new("ann"),
        text: "Say something".into(),
        nonce: nonce.into(),
        settings: TurnSettings {
            sampling: Sampling {
                seed: 0,
                max_tokens: 50,
                ..Sampling::greedy()
            },
            context: Window::Refuse,
            ..TurnSettings::new(ModelName::new("scripted"))
        },
        held: None,
    }
}

/// What a viewer has seen of the answers: text and ends, in order.
#[derive(Debug, Default)]
pub struct Viewer {
    pub text: String,
    pub ended: Vec<paraphym_room::Ending>,
    pub missed: u64,
}

impl Viewer {
    /// Looks on until so many answers have ended.
    pub async fn until(&mut self, seat: &mut Seat, ends: usize) {
        while self.ended.len() < ends {
            match seat.next().await {
                Heard::Event(event) => self.hear(&event),
                Heard::Missed(missed, room) => self.look(missed, &room),
            }
        }
    }

    fn hear(&mut self, event: &RoomEvent) {
        match event {
            RoomEvent::Text { at, text, .. } => {
                assert_eq!(self.text.chars().count() as u64, *at, "a piece is missing");
                self.text.push_str(text);
            }
            RoomEvent::Ended { ending, text, .. } => {
                assert_eq!(*text, self.text);
                self.ended.push(ending.clone());
            }
            _ => {}
        }
    }

    fn look(&mut self, missed: u64, room: &Room) {
        self.missed += missed;
        if let Some(live) = room.turns().first() {
            assert!(live.text.starts_with(&self.text));
            self.text.clone_from(&live.text);
        }
    }
}
