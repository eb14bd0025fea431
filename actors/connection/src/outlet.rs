//! Shell: where the frames of one transport go: into it at once while it takes them, and by a task that waits for it when it
//! does not. Most clients read what they are sent, and a task between would be woken for each frame.
//!
//! Invariants: frames leave in the order in which they were given; while the task has something to do nobody else writes;
//! the lock is held by nobody who waits; once nothing more is given the transport is gone within [`LAST`], whoever reads.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_util::SinkExt;
use kameo::actor::WeakActorRef;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::actor::Connection;
use crate::pumps::{Incoming, LAST, tell};
use crate::transport::{Gone, Outgoing, Writer};
use crate::wire::CloseCode;

/// Frames that wait behind one that the transport did not take. Few: what waits in the session can still be joined.
const WAITING: usize = 2;

/// Nothing is left to write, and something was.
pub(crate) struct Wrote;

/// Where the frames of one transport go.
pub(crate) struct Outlet {
    line: Arc<Line>,
    works: mpsc::Sender<Work>,
}

/// What the task is to do.
enum Work {
    Send(Outgoing),
    /// It is with the transport, which did not take all of it.
    Flush,
    /// The transport was found gone.
    Gone,
}

/// What both have.
struct Line {
    end: Mutex<End>,
    hunger: Hunger,
    /// Nothing more is given.
    over: Notify,
}

struct End {
    writer: Writer,
    /// The task has something to do.
    busy: bool,
}

/// Whether frames wait for room. To say each time that there is some would wake a connection twice for each frame.
#[derive(Debug, Default)]
struct Hunger(AtomicBool);

impl Hunger {
    /// Said before room is looked for: who makes room in between sees it.
    fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Nothing waits.
    fn end(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// Whether somebody is to be told, once.
    fn is_to_be_told(&self) -> bool {
        fence(Ordering::SeqCst);
        self.0.swap(false, Ordering::Relaxed)
    }
}

impl Line {
    fn end(&self) -> MutexGuard<'_, End> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn carry(&self, work: Work) -> Result<(), Gone> {
        match work {
            Work::Gone => Err(Gone),
            Work::Flush => poll_fn(|cx| self.end().writer.poll_flush_unpin(cx)).await,
            Work::Send(frame) => {
                poll_fn(|cx| self.end().writer.poll_ready_unpin(cx)).await?;
                self.end().writer.start_send_unpin(frame)?;
                poll_fn(|cx| self.end().writer.poll_flush_unpin(cx)).await
            }
        }
    }

    /// Whether there is nothing left to do for the task; then others may write.
    fn rests(&self, works: &mpsc::Receiver<Work>) -> bool {
        let mut end = self.end();
        end.busy = !works.is_empty();
        !end.busy
    }
}

impl End {
    /// Writes it if that needs no waiting; what is left to do if it does.
    fn offer(&mut self, frame: Outgoing) -> Option<Work> {
        // Whoever waits is the task; it has a waker of its own.
        let mut nobody = Context::from_waker(Waker::noop());
        let mut writer = self.writer.as_mut();
        match writer.as_mut().poll_ready(&mut nobody) {
            Poll::Pending => return Some(Work::Send(frame)),
            Poll::Ready(Err(Gone)) => return Some(Work::Gone),
            Poll::Ready(Ok(())) => {}
        }
        if writer.as_mut().start_send(frame).is_err() {
            return Some(Work::Gone);
        }
        match writer.poll_flush(&mut nobody) {
            Poll::Pending => Some(Work::Flush),
            Poll::Ready(Err(Gone)) => Some(Work::Gone),
            Poll::Ready(Ok(())) => None,
        }
    }
}

impl Outlet {
    /// The outlet of the transport of that number; its task is among `tasks`.
    pub(crate) fn new(
        writer: Writer,
        number: u64,
        me: WeakActorRef<Connection>,
        tasks: &mut JoinSet<()>,
    ) -> Self {
        let line = Arc::new(Line {
            end: Mutex::new(End {
                writer,
                busy: false,
            }),
            hunger: Hunger::default(),
            over: Notify::new(),
        });
        let (works, given) = mpsc::channel(WAITING);
        tasks.spawn(carry_all(Arc::clone(&line), given, number, me));
        Self { line, works }
    }

    /// Writes what comes next, until nothing does or there is no room. Then [`Wrote`] is told when all of it is written.
    pub(crate) fn feed(&self, mut next: impl FnMut() -> Option<Arc<str>>) {
        self.line.hunger.begin();
        let mut end = self.line.end();
        while let Ok(place) = self.works.try_reserve() {
            let Some(frame) = next().map(Outgoing::Text) else {
                self.line.hunger.end();
                return;
            };
            let left = if end.busy {
                Some(Work::Send(frame))
            } else {
                end.offer(frame)
            };
            if let Some(work) = left {
                end.busy = true;
                place.send(work);
            }
        }
    }

    /// Says one thing more, and why it ends. Nothing may be fed after it.
    pub(crate) fn close(&self, word: Option<Arc<str>>, code: CloseCode, tasks: &mut JoinSet<()>) {
        // One place is for the close.
        if let Some(word) = word
            && self.works.capacity() > 1
        {
            let _ = self.works.try_send(Work::Send(Outgoing::Text(word)));
        }
        self.line.over.notify_one();
        let works = self.works.clone();
        tasks.spawn(async move {
            let _ = timeout(LAST, works.send(Work::Send(Outgoing::Close(code)))).await;
        });
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        self.line.over.notify_one();
    }
}

/// Does what there is to do, and lets go of the transport. Who does not read what is left has a bounded time.
async fn carry_all(
    line: Arc<Line>,
    works: mpsc::Receiver<Work>,
    number: u64,
    me: WeakActorRef<Connection>,
) {
    let enough = async {
        line.over.notified().await;
        sleep(LAST).await;
    };
    tokio::select! {
        () = work(&line, works, number, &me) => {}
        () = enough => {}
    }
}

/// Does what is left to do, and says when there is room again for who waits for it.
async fn work(
    line: &Line,
    mut works: mpsc::Receiver<Work>,
    number: u64,
    me: &WeakActorRef<Connection>,
) {
    while let Some(work) = works.recv().await {
        let last = matches!(work, Work::Send(Outgoing::Close(_)));
        if line.carry(work).await.is_err() {
            let what = None;
            tell(me, Incoming { number, what }).await;
            return;
        }
        if last {
            break;
        }
        if line.rests(&works) && line.hunger.is_to_be_told() && !tell(me, Wrote).await {
            break;
        }
    }
    // It may be gone already.
    let _ = poll_fn(|cx| line.end().writer.poll_close_unpin(cx)).await;
}
