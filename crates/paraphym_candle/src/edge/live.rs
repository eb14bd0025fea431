//! Conversations in real time, as children of the tree: who types, the rooms and their answers, those who are connected,
//! and the picture of the tree that they may watch. They stand before the server for requests, which brings clients.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bearer::Names;
use connection::{Connections, Deps, TreeFeed};
use domain::{FieldError, ModelName, Sampling};
use room::Rooms;
use root::Tree;
use supervision::Handle;
use typing::Typing;

use crate::agents;
use crate::history::now_ms;
use crate::start_error::StartError;

use super::said::Said;
use super::{bounds, picture};

/// Conversations that one connection may show at once: as many as a person has windows.
const JOINED: usize = 16;
/// Clients that are told at once to come again, and how long it is until the next ones are: so they do not all come together.
const AT_ONCE: usize = 200;
const BETWEEN: Duration = Duration::from_millis(50);
/// How often it is looked whether all have heard the last words.
const GLANCE: Duration = Duration::from_millis(20);
/// How long those last words may take: whoever is slower hears them when it comes again.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// What is live, as whoever ends the host sees it.
#[derive(Clone)]
pub(crate) struct Live {
    pub(crate) rooms: Rooms,
    pub(crate) connections: Connections,
    /// Who types.
    pub(crate) typing: Handle<Typing>,
}

impl Live {
    /// Adds the children behind all others that are there, where anything is served.
    ///
    /// # Errors
    /// The system gives no random bytes for the names of sessions.
    pub(crate) fn where_served(
        bind: Option<SocketAddr>,
        tree: &mut Tree,
        store: &chat_config::Store,
        model: &ModelName,
    ) -> Result<Option<Self>, StartError> {
        let served = bind.map(|_| Self::add_to(tree, store, model));
        served.transpose()
    }

    fn add_to(
        tree: &mut Tree,
        store: &chat_config::Store,
        model: &ModelName,
    ) -> Result<Self, StartError> {
        let first = Arc::clone(&store.current().settings);
        let bounds = bounds::live(&first);
        let (typing_spec, typing) = typing::child(bounds.typing)?;
        let said = Said::new(tree.store.clone());
        let drain = first.chat.drain.duration();
        let clock: Arc<dyn Fn() -> i64 + Send + Sync> = Arc::new(now_ms);
        let (rooms_spec, rooms) = room::rooms(
            tree.agents.clone(),
            typing.clone(),
            Arc::clone(&clock),
            drain,
        );
        let rooms = rooms.with_record(Arc::new(said.clone()));
        let feed = TreeFeed::default();
        let deps = Deps {
            rooms: rooms.clone(),
            typing: typing.clone(),
            history: Arc::new(said),
            settings: turns(store.clone(), model.clone()),
            tree: feed.clone(),
            clock,
            limits: bounds.limits,
            joined: JOINED,
        };
        let (connections_spec, instances) = connection::children();
        let names = Names::fresh()?;
        let ids = Arc::new(move || names.next());
        let connections = Connections::new(instances, deps, bounds.seats, ids, bounds.frame_bytes);
        let watched = picture::child(tree.spec.handle(), tree.governor.clone(), feed);
        for child in [typing_spec, rooms_spec, watched, connections_spec] {
            tree.add(child);
        }
        Ok(Self {
            rooms,
            connections,
            typing,
        })
    }

    /// Answers that still run end as stopped; what they said so far is kept.
    pub(crate) async fn end(&self) {
        // Whose worker does not answer is stopped with the tree.
        let _ = tokio::time::timeout(LAST_WORDS, self.rooms.end()).await;
    }

    /// Tells all clients to come again, when another process is there; the last words of an answer come before that.
    pub(crate) async fn send_away(&self) {
        let heard = async {
            while !self.rooms.is_heard() {
                tokio::time::sleep(GLANCE).await;
            }
            // What was heard is on its way to the client.
            tokio::time::sleep(GLANCE).await;
        };
        let _ = tokio::time::timeout(LAST_WORDS, heard).await;
        self.connections.drain(AT_ONCE, BETWEEN).await;
    }
}

/// What a turn is run with: the settings as they are then, and what its asker chose.
fn turns(settings: chat_config::Store, usual: ModelName) -> Arc<connection::deps::Settings> {
    Arc::new(move |model, temperature| {
        let now = Arc::clone(&settings.current().settings);
        let model = model.map_or_else(|| usual.clone(), ModelName::new);
        let agent = chat_config::settings::DEFAULT_AGENT;
        let mut turn = agents::turn_of(&now, agent, &model)
            .map_err(|_| FieldError::new("agent", agent, "an agent of the settings"))?;
        if let Some(temperature) = temperature {
            turn.sampling = Sampling {
                temperature,
                ..turn.sampling
            };
            turn.sampling.validate()?;
        }
        Ok(turn)
    })
}
