//! The settings' shell: changes are written one after another on the blocking pool, and questions are answered meanwhile.
//!
//! Invariants: no handler waits for the disk, no revision holds that is not written, and nothing is kept here that a
//! crash could lose but the changes still waiting, whose askers hear of it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::SystemTime;

use kameo::actor::{Actor, ActorRef, WeakActorRef};
use kameo::error::Infallible;
use kameo::message::{Context, Message};
use kameo::reply::{DelegatedReply, ReplySender};
use supervision::{Birth, ChildSpec, Handle, Inbox, WorkGuard};
use tokio::task::JoinSet;

use crate::file::FileError;
use crate::messages::{
    ConfigError, Current, Diff, Differences, Get, History, Reload, Revised, Rollback, Subscribe,
    Update,
};
use crate::news::{News, Subscription};
use crate::patience::perform;
use crate::revisions::{Author, PlanError, Revision};
use crate::store::{Store, Wish};

/// The name in the tree.
pub const CHILD_ID: &str = "chat_config";
/// Changes that wait for the one being written: a person at a page and some programs. Each takes a disk's flush.
pub const WAITING: usize = 64;
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
    /// Work on the disk. What is on the blocking pool then ends by itself, with the file whole.
    tasks: JoinSet<()>,
}

/// The place in the tree and the handle.
pub fn child(store: Store, clock: Clock) -> (ChildSpec, Handle<ChatConfig>) {
    let news = News::new(store.current());
    let seed = ConfigSeed { store, news, clock };
    ChildSpec::actor(CHILD_ID, MAILBOX, seed)
}

type Asker = ReplySender<Result<Current, ConfigError>>;

struct Job {
    author: Author,
    wish: Wish,
    /// Nobody, if this actor asked itself.
    asker: Option<Asker>,
    /// A graceful stop waits for it.
    guard: WorkGuard,
}

/// The disk is done.
struct Written {
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
            tasks: JoinSet::new(),
        };
        // What a former life wrote and did not live to take over is found again.
        config.read_again();
        Ok(config)
    }

    supervision::receive_from!(inbox);
}

impl ChatConfig {
    fn read_again(&mut self) {
        let job = self.job(CHILD_ID, Wish::Reload, "reading the settings file", None);
        self.waiting.push_front(job);
        self.work();
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
            // What is too late now will not be in time after a look at the disk.
            let late = match job.wish {
                Wish::Update { expected, .. } | Wish::Rollback { expected, .. } => {
                    self.seed.store.revisions().expect(expected).err()
                }
                Wish::Reload => None,
            };
            match late {
                Some(error) => answer(job.asker, Err(error.into())),
                None => self.on_disk(job),
            }
        }
    }

    fn on_disk(&mut self, job: Job) {
        self.writing = true;
        let me = self.me.clone();
        let store = self.seed.store.clone();
        while self.tasks.try_join_next().is_some() {}
        self.tasks.spawn(async move {
            let done = perform(&store, job.author, job.wish).await;
            let written = Written {
                done,
                asker: job.asker,
                guard: job.guard,
            };
            if let Some(me) = me.upgrade()
                && let Err(error) = me.tell(written).send().await
            {
                tracing::debug!(%error, "the settings ended before their file was written");
            }
        });
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
        let Written { done, asker, guard } = written;
        self.spread();
        if let Err(error) = &done {
            let failed = matches!(error, ConfigError::File(FileError::Disk { .. }));
            if failed && asker.is_some() {
                self.read_again();
            } else if asker.is_none() {
                tracing::warn!(%error, "the settings file was not taken over; the running settings stay");
            }
        }
        answer(asker, done.map(Current));
        drop(guard);
        self.work();
    }
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
        let given = wish.changes.len();
        if given > CHANGES {
            let most = CHANGES;
            answer(asker, Err(ConfigError::TooMany { given, most }));
        } else {
            let Update {
                who,
                expected,
                changes,
            } = wish;
            let wish = Wish::Update { expected, changes };
            self.accept(&who, wish, "writing a change of settings", asker);
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
        self.accept(&wish.who, Wish::Reload, "reading the settings file", asker);
        delegated
    }
}

impl Message<Get> for ChatConfig {
    type Reply = Current;

    async fn handle(&mut self, _: Get, _: &mut Context<Self, Current>) -> Current {
        Current(self.seed.store.current())
    }
}

impl Message<History> for ChatConfig {
    type Reply = Revised;

    async fn handle(&mut self, _: History, _: &mut Context<Self, Revised>) -> Revised {
        Revised(self.seed.store.revisions().history().cloned().collect())
    }
}

impl Message<Diff> for ChatConfig {
    type Reply = Result<Differences, PlanError>;

    async fn handle(&mut self, wish: Diff, _: &mut Context<Self, Self::Reply>) -> Self::Reply {
        self.seed.store.revisions().diff(wish.from, wish.to)
    }
}

impl Message<Subscribe> for ChatConfig {
    type Reply = Subscription;

    async fn handle(&mut self, _: Subscribe, _: &mut Context<Self, Subscription>) -> Subscription {
        self.seed.news.subscribe()
    }
}
