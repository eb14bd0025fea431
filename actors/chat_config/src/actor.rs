//! The settings' shell: changes are written one after another on the blocking pool, and questions are answered meanwhile.
//!
//! Invariants: no handler waits for the disk, no revision holds that is not written, and nothing is kept here that a
//! crash could lose but the changes still waiting, whose askers hear of it.

mod questions;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::SystemTime;

use kameo::actor::{Actor, ActorRef, WeakActorRef};
use kameo::error::Infallible;
use kameo::message::{Context, Message};
use kameo::reply::{DelegatedReply, ReplySender};
use supervision::{AlarmDue, Birth, ChildSpec, Handle, Inbox, WorkGuard};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::Instrument;

use crate::file::FileError;
use crate::messages::{ConfigError, Current, Rehearse, Reload, Rollback, Update};
use crate::news::News;
use crate::patience::{perform, rehearse};
use crate::quiet::Quiet;
use crate::revisions::{Author, Revision};
use crate::status::{StatusBoard, Watching};
use crate::store::{Outlook, Store, Wish};

/// The name in the tree.
pub const CHILD_ID: &str = "chat_config";
/// Changes that wait for the one being written: a person at a page and some programs. Each takes a disk's flush.
pub const WAITING: usize = 64;
/// Who made a revision that was found in the file, in the history.
const EDITOR: &str = "an editor";
/// Asks waiting at once; each is answered or put into the queue above within microseconds to a millisecond.
const MAILBOX: usize = 64;
/// Changes in one update: several times all settings there are.
const CHANGES: usize = 256;

/// Tells what time it is, for the history.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// What outlives the actor's crashes.
#[derive(Clone)]
pub struct ConfigSeed {
    store: Store,
    news: News,
    board: StatusBoard,
    clock: Clock,
}

/// The one keeper of settings of a tree.
pub struct ChatConfig {
    inbox: Inbox<Self>,
    seed: ConfigSeed,
    me: WeakActorRef<Self>,
    waiting: VecDeque<Job>,
    /// The disk is at work; it ends with a `Written`.
    writing: bool,
    /// The file was changed by somebody, and is read when it is left alone.
    quiet: Quiet,
    /// A watch of the file is being begun.
    opening: bool,
    /// Work on the disk. What is on the blocking pool then ends by itself, with the file whole.
    tasks: JoinSet<()>,
}

/// The place in the tree and the handle.
pub fn child(store: Store, clock: Clock) -> (ChildSpec, Handle<ChatConfig>) {
    let news = News::new(store.current());
    let board = StatusBoard::new(store.path());
    let seed = ConfigSeed {
        store,
        news,
        board,
        clock,
    };
    ChildSpec::actor(CHILD_ID, MAILBOX, seed)
}

type Asker = ReplySender<Result<Current, ConfigError>>;

struct Job {
    author: Author,
    wish: Wish,
    /// Nobody, if this actor asked itself.
    asker: Option<Asker>,
    /// Whose turn it is.
    turn: tracing::Span,
    /// A graceful stop waits for it.
    guard: WorkGuard,
}

/// Somebody changed the file, or we did.
struct Touched;

/// Whether changes of the file are noticed from now on.
struct Watched(Watching);

fn off(error: &std::io::Error) -> Watching {
    Watching::Off {
        reason: error.to_string(),
    }
}

/// Tells this life of the actor; it may have ended.
async fn tell<M: Send + 'static>(me: &WeakActorRef<ChatConfig>, message: M)
where
    ChatConfig: Message<M, Reply = ()>,
{
    if let Some(me) = me.upgrade()
        && let Err(error) = me.tell(message).send().await
    {
        tracing::debug!(%error, "the settings ended first");
    }
}

/// The disk is done.
struct Written {
    /// The file was only read.
    is_look: bool,
    done: Result<Arc<Revision>, ConfigError>,
    asker: Option<Asker>,
    guard: WorkGuard,
}

impl Actor for ChatConfig {
    type Args = Birth<Self, ConfigSeed>;
    type Error = Infallible;

    async fn on_start(birth: Self::Args, me: ActorRef<Self>) -> Result<Self, Infallible> {
        let mut config = Self {
            inbox: birth.inbox,
            seed: birth.seed,
            me: me.downgrade(),
            waiting: VecDeque::new(),
            writing: false,
            quiet: Quiet::default(),
            opening: false,
            tasks: JoinSet::new(),
        };
        // What a former life wrote and did not live to take over is found again.
        config.read_again(CHILD_ID);
        config.watch();
        Ok(config)
    }

    supervision::receive_from!(inbox, alarm);
}

impl ChatConfig {
    /// Reads the file before anything else is done with it; once, however often this is called meanwhile.
    fn read_again(&mut self, who: &str) {
        let next = self.waiting.front();
        let told = next.is_some_and(|job| job.wish == Wish::Reload && job.asker.is_none());
        if !told {
            let job = self.job(who, Wish::Reload, "reading the settings file", None);
            self.waiting.push_front(job);
            self.work();
        }
    }

    /// Hears of changes of the file from now on, in a task that ends with this life.
    fn watch(&mut self) {
        self.opening = true;
        let (me, store) = (self.me.clone(), self.seed.store.clone());
        self.tasks.spawn(async move {
            let opened = tokio::task::spawn_blocking(move || store.watch()).await;
            let opened = opened
                .map_err(std::io::Error::other)
                .and_then(|opened| opened);
            let mut changes = match opened {
                Ok(Some(changes)) => changes,
                Ok(None) => return tell(&me, Watched(Watching::NoFile)).await,
                Err(error) => return tell(&me, Watched(off(&error))).await,
            };
            tell(&me, Watched(Watching::On)).await;
            loop {
                match changes.next().await {
                    Ok(()) => tell(&me, Touched).await,
                    Err(error) => return tell(&me, Watched(off(&error))).await,
                }
            }
        });
    }

    fn job(&self, who: &str, wish: Wish, label: &str, asker: Option<Asker>) -> Job {
        let at = (self.seed.clock)();
        Job {
            author: Author {
                who: who.to_owned(),
                at,
            },
            wish,
            asker,
            turn: self.inbox.turn(),
            guard: self.inbox.work(label),
        }
    }

    fn accept(&mut self, who: &str, wish: Wish, label: &str, asker: Option<Asker>) {
        let waiting = self.waiting.len();
        if waiting >= WAITING {
            return answer(asker, Err(ConfigError::Busy { waiting }));
        }
        let job = self.job(who, wish, label, asker);
        self.waiting.push_back(job);
        self.work();
    }

    /// Takes up what waits until the disk has something to do.
    fn work(&mut self) {
        while !self.writing
            && let Some(job) = self.waiting.pop_front()
        {
            match self.in_time(&job.wish) {
                Err(error) => answer(job.asker, Err(error)),
                Ok(()) => self.on_disk(job),
            }
        }
    }

    /// What is too late now will not be in time after a look at the disk.
    fn in_time(&self, wish: &Wish) -> Result<(), ConfigError> {
        match wish {
            Wish::Update { expected, .. } | Wish::Rollback { expected, .. } => {
                Ok(self.seed.store.revisions().expect(*expected)?)
            }
            Wish::Reload => Ok(()),
        }
    }

    /// Looks what a wish would come to, beside what is written: it changes nothing. As many at once as may wait.
    fn look_ahead(
        &mut self,
        who: &str,
        wish: Wish,
    ) -> Result<impl Future<Output = Result<Outlook, ConfigError>> + use<>, ConfigError> {
        while self.tasks.try_join_next().is_some() {}
        let waiting = self.tasks.len();
        if waiting >= WAITING {
            return Err(ConfigError::Busy { waiting });
        }
        self.in_time(&wish)?;
        let job = self.job(who, wish, "looking ahead at a change of settings", None);
        let store = self.seed.store.clone();
        Ok(async move {
            let outlook = rehearse(&store, job.author, job.wish).await;
            drop(job.guard);
            outlook
        })
    }

    fn on_disk(&mut self, job: Job) {
        self.writing = true;
        let me = self.me.clone();
        let store = self.seed.store.clone();
        while self.tasks.try_join_next().is_some() {}
        let turn = job.turn.clone();
        let writing = async move {
            let is_look = job.wish == Wish::Reload;
            let done = perform(&store, job.author, job.wish).await;
            let written = Written {
                is_look,
                done,
                asker: job.asker,
                guard: job.guard,
            };
            tell(&me, written).await;
        };
        self.tasks.spawn(writing.instrument(turn));
    }

    /// Tells everybody of the revisions they have not heard of: this process's own, and those of others that were found
    /// in the file.
    fn spread(&self) {
        let told = self.seed.news.told();
        let news: Vec<Arc<Revision>> = {
            let revisions = self.seed.store.revisions();
            let fresh = revisions.history().filter(|one| one.number > told);
            fresh.cloned().collect()
        };
        for revision in news {
            let fields: Vec<&str> = revision.changed.iter().map(|c| c.field.as_str()).collect();
            tracing::info!(
                revision = revision.number,
                who = revision.who,
                ?fields,
                "settings changed"
            );
            self.seed.news.tell(&revision);
        }
    }
}

impl Message<Written> for ChatConfig {
    type Reply = ();

    async fn handle(&mut self, written: Written, _: &mut Context<Self, ()>) {
        self.writing = false;
        let Written {
            is_look,
            done,
            asker,
            guard,
        } = written;
        self.spread();
        match &done {
            Ok(_) => self.seed.board.accepted(),
            Err(error) => {
                let news = is_look && self.seed.board.refused((self.seed.clock)(), error);
                if news && asker.is_none() {
                    tracing::warn!(%error, "the settings file was not taken over; the running settings stay");
                }
                let failed = matches!(error, ConfigError::File(FileError::Disk { .. }));
                if failed && asker.is_some() {
                    self.read_again(CHILD_ID);
                }
            }
        }
        answer(asker, done.map(Current));
        drop(guard);
        self.work();
    }
}

impl Message<Watched> for ChatConfig {
    type Reply = ();

    async fn handle(&mut self, Watched(state): Watched, _: &mut Context<Self, ()>) {
        let reason = match &state {
            Watching::Off { reason } => Some(reason.clone()),
            Watching::On | Watching::NoFile | Watching::Starting => None,
        };
        self.opening = false;
        let news = self.seed.board.watching(state.clone());
        if let (Some(reason), true) = (reason, news) {
            tracing::warn!(
                reason,
                "changes of the settings file are not noticed; SIGHUP makes it be read"
            );
        }
        // What was changed before it was watched, or while the watch broke, is found by looking once.
        if state != Watching::NoFile {
            self.touch();
        }
    }
}

impl Message<Touched> for ChatConfig {
    type Reply = ();

    async fn handle(&mut self, _: Touched, _: &mut Context<Self, ()>) {
        self.touch();
    }
}

impl Message<AlarmDue> for ChatConfig {
    type Reply = ();

    async fn handle(&mut self, _: AlarmDue, _: &mut Context<Self, ()>) {
        if self.quiet.take(Instant::now()) {
            self.read_again(EDITOR);
        }
        self.inbox.set_alarm(self.quiet.due());
    }
}

impl ChatConfig {
    fn touch(&mut self) {
        self.quiet.touched(Instant::now());
        self.inbox.set_alarm(self.quiet.due());
    }
}

/// An update as a wish, if it is not too large.
fn counted(update: Update) -> Result<(String, Wish), ConfigError> {
    let Update {
        who,
        expected,
        changes,
    } = update;
    let (given, most) = (changes.len(), CHANGES);
    if given > most {
        return Err(ConfigError::TooMany { given, most });
    }
    Ok((who, Wish::Update { expected, changes }))
}

fn answer(asker: Option<Asker>, result: Result<Current, ConfigError>) {
    if let Some(asker) = asker {
        asker.send(result);
    }
}

impl Message<Update> for ChatConfig {
    type Reply = DelegatedReply<Result<Current, ConfigError>>;

    async fn handle(&mut self, wish: Update, ctx: &mut Context<Self, Self::Reply>) -> Self::Reply {
        let (delegated, asker) = ctx.reply_sender();
        match counted(wish) {
            Ok((who, wish)) => self.accept(&who, wish, "writing a change of settings", asker),
            Err(error) => answer(asker, Err(error)),
        }
        delegated
    }
}

impl Message<Rehearse> for ChatConfig {
    type Reply = DelegatedReply<Result<Outlook, ConfigError>>;

    async fn handle(
        &mut self,
        Rehearse(wish): Rehearse,
        ctx: &mut Context<Self, Self::Reply>,
    ) -> Self::Reply {
        let (delegated, asker) = ctx.reply_sender();
        match counted(wish).and_then(|(who, wish)| self.look_ahead(&who, wish)) {
            Ok(outlook) => drop(self.tasks.spawn(async move {
                let outlook = outlook.await;
                if let Some(asker) = asker {
                    asker.send(outlook);
                }
            })),
            Err(error) => {
                if let Some(asker) = asker {
                    asker.send(Err(error));
                }
            }
        }
        delegated
    }
}

impl Message<Rollback> for ChatConfig {
    type Reply = DelegatedReply<Result<Current, ConfigError>>;

    async fn handle(
        &mut self,
        wish: Rollback,
        ctx: &mut Context<Self, Self::Reply>,
    ) -> Self::Reply {
        let (delegated, asker) = ctx.reply_sender();
        let Rollback { who, expected, to } = wish;
        let wish = Wish::Rollback { expected, to };
        self.accept(&who, wish, "writing former settings", asker);
        delegated
    }
}

impl Message<Reload> for ChatConfig {
    type Reply = DelegatedReply<Result<Current, ConfigError>>;

    async fn handle(&mut self, wish: Reload, ctx: &mut Context<Self, Self::Reply>) -> Self::Reply {
        let (delegated, asker) = ctx.reply_sender();
        if self.seed.board.is_blind() && !self.opening {
            self.watch();
        }
        self.accept(&wish.who, Wish::Reload, "reading the settings file", asker);
        delegated
    }
}
