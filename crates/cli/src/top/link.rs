//! Shell: the connection that is looked through, made again when it breaks, and the questions of a person, each on a
//! connection of its own, so that a restart that takes half a minute keeps nobody from watching it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use paraphym_candle::control::protocol::act::{Acted, Cancel, Pause, Restart, Resume, UnloadModel};
use paraphym_candle::control::protocol::events::{Event, Events, Filter, Subscribe};
use paraphym_candle::control::protocol::level::Level;
use paraphym_candle::control::protocol::look::Inspect;
use paraphym_candle::control::protocol::vitals::{Vitals, VitalsAnswer};
use paraphym_candle::control::{Client, ClientError, News};
use tokio::time::{Instant, sleep_until};

use super::act::{Act, Told, Wish};

/// The name in the audit log.
const NAME: &str = "paraphym top";
/// How long a look may take: the server asks its actors for two seconds at most.
const LOOK: Duration = Duration::from_secs(20);
/// How long a change may take: an actor may stop and start for half a minute each.
const ACT: Duration = Duration::from_mins(2);
/// Between two tries to connect: a server that is started again is there within a second or two.
const AGAIN: Duration = Duration::from_secs(1);
/// Events of the past that are shown at first.
const PAST: usize = 100;

/// What is heard through the connection.
#[derive(Debug)]
pub(super) enum Heard {
    Joined(Vec<Event>),
    Lost(ClientError),
    Vitals(Box<VitalsAnswer>),
    Event(Event),
    Lagged(u64),
}

/// The connection that is looked through.
pub(super) struct Feed {
    socket: PathBuf,
    every: Duration,
    client: Option<Client>,
    /// When to ask, or to connect.
    due: Instant,
}

impl Feed {
    /// Connects at once.
    pub(super) fn new(socket: &Path, every: Duration) -> Self {
        Self {
            socket: socket.to_owned(),
            every,
            client: None,
            due: Instant::now(),
        }
    }

    /// Waits for the next that is to be told. Not cancel safe: the feed comes back with what was heard.
    pub(super) async fn next(mut self) -> (Self, Heard) {
        let heard = match self.client.take() {
            None => self.join().await,
            Some(client) => self.hear(client).await,
        };
        let heard = heard.unwrap_or_else(|error| {
            self.due = Instant::now() + AGAIN;
            Heard::Lost(error)
        });
        (self, heard)
    }

    /// Subscribed before the past is asked for: nothing falls between.
    async fn join(&mut self) -> Result<Heard, ClientError> {
        sleep_until(self.due).await;
        // It only looks: what is changed is changed through another.
        let mut client = Client::connect(&self.socket, NAME, Some(Level::Observe)).await?;
        let filter = Filter::default();
        let wish = Subscribe {
            filter: filter.clone(),
        };
        client.ask(&wish, LOOK).await?;
        let limit = Some(PAST);
        let past = client.ask(&Events { filter, limit }, LOOK).await?;
        self.client = Some(client);
        self.due = Instant::now();
        Ok(Heard::Joined(past.events))
    }

    async fn hear(&mut self, mut client: Client) -> Result<Heard, ClientError> {
        let heard = loop {
            tokio::select! {
                news = client.next() => match news? {
                    News::Happened(happened) => break Heard::Event(happened.event),
                    News::Lagged(lagged) => break Heard::Lagged(lagged.lost),
                    // Its actors say so, one by one; and nobody looks at messages here.
                    News::Ending(_) | News::Tapped(_) | News::TapOver(_) => {}
                },
                () = sleep_until(self.due) => {
                    let answer = client.ask(&Vitals {}, LOOK).await?;
                    // From the answer on: a server that is slow is not asked more often for it.
                    self.due = Instant::now() + self.every;
                    break Heard::Vitals(Box::new(answer));
                }
            }
        };
        self.client = Some(client);
        Ok(heard)
    }
}

/// Asks one thing of a person's.
pub(super) async fn ask(socket: &Path, wish: Wish) -> Result<Told, String> {
    let client = Client::connect(socket, NAME, None).await;
    let mut client = client.map_err(|error| error.to_string())?;
    let told = match wish {
        Wish::Inspect(actor) => {
            let answer = client.ask(&Inspect { actor }, LOOK).await;
            answer.map(|answer| Told::Inspected(Box::new(answer)))
        }
        Wish::Try(act) => send(&mut client, act, true).await.map(Told::Acted),
        Wish::Do(act) => send(&mut client, act, false).await.map(Told::Acted),
    };
    told.map_err(|error| error.to_string())
}

async fn send(client: &mut Client, act: Act, dry_run: bool) -> Result<Acted, ClientError> {
    match act {
        Act::Restart(actor) => client.ask(&Restart { actor, dry_run }, ACT).await,
        Act::Pause(actor) => client.ask(&Pause { actor, dry_run }, ACT).await,
        Act::Resume(actor) => client.ask(&Resume { actor, dry_run }, ACT).await,
        Act::Unload(model) => client.ask(&UnloadModel { model, dry_run }, ACT).await,
        Act::Cancel(id) => client.ask(&Cancel { id, dry_run }, ACT).await,
    }
}
