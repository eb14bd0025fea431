//! The floor: a tokio task that reads a bounded channel, and for restarts a second task that awaits its `JoinHandle` and
//! starts the next. No names, no stop order, no limit, no backoff.

use std::sync::Arc;

use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinSet;

use crate::peer::{
    Address, CROWD_CAPACITY, Crowd, Failure, Ledger, Parent, Peer, bug, hear_all, on_worker,
};

enum Say {
    Add,
    Count(oneshot::Sender<u64>),
    Crash,
}

async fn life(mut queue: mpsc::Receiver<Say>, ledger: Arc<Ledger>) {
    read(&mut queue, &ledger).await;
}

async fn read(queue: &mut mpsc::Receiver<Say>, ledger: &Ledger) {
    ledger.born();
    let mut count = 0;
    while let Some(say) = queue.recv().await {
        match say {
            Say::Add => count += 1,
            Say::Count(reply) => {
                // An error only means that the asker has gone.
                let _ = reply.send(count);
            }
            Say::Crash => {
                ledger.dies(count);
                bug();
            }
        }
    }
}

#[derive(Clone)]
pub(crate) struct Sender(mpsc::Sender<Say>);

impl Address for Sender {
    async fn add(&self) -> Result<(), Failure> {
        Ok(self.0.send(Say::Add).await?)
    }

    async fn count(&self) -> Result<u64, Failure> {
        let (reply, answer) = oneshot::channel();
        self.0.send(Say::Count(reply)).await?;
        Ok(answer.await?)
    }

    async fn crash(&self) -> Result<(), Failure> {
        Ok(self.0.send(Say::Crash).await?)
    }
}

/// One task.
pub(crate) struct Task {
    sender: mpsc::Sender<Say>,
    tasks: JoinSet<()>,
}

impl Peer for Task {
    type Address = Sender;

    async fn start(capacity: usize, ledger: Arc<Ledger>) -> Result<Self, Failure> {
        let (sender, queue) = mpsc::channel(capacity);
        let mut tasks = JoinSet::new();
        tasks.spawn(life(queue, ledger));
        Ok(Self { sender, tasks })
    }

    fn address(&self) -> Sender {
        Sender(self.sender.clone())
    }

    async fn end(mut self) -> Result<(), Failure> {
        drop(self.sender);
        while self.tasks.join_next().await.is_some() {}
        Ok(())
    }
}

/// One task after another: whoever awaits the `JoinHandle` starts the next.
pub(crate) struct Respawned(Task);

impl Peer for Respawned {
    type Address = Sender;

    async fn start(capacity: usize, ledger: Arc<Ledger>) -> Result<Self, Failure> {
        let (sender, queue) = mpsc::channel(capacity);
        let queue = Arc::new(Mutex::new(queue));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut lives = JoinSet::new();
            loop {
                let (queue, ledger) = (queue.clone(), ledger.clone());
                lives.spawn(async move { read(&mut *queue.lock().await, &ledger).await });
                if !matches!(lives.join_next().await, Some(Err(_))) {
                    break;
                }
            }
        });
        Ok(Self(Task { sender, tasks }))
    }

    fn address(&self) -> Sender {
        self.0.address()
    }

    async fn end(self) -> Result<(), Failure> {
        self.0.end().await
    }
}

/// Many tasks in one `JoinSet`.
pub(crate) struct Tasks {
    senders: Vec<Sender>,
    tasks: JoinSet<()>,
}

impl Crowd for Tasks {
    async fn gather(actors: usize) -> Result<Self, Failure> {
        on_worker(async move {
            let mut tasks = JoinSet::new();
            let mut senders = Vec::with_capacity(actors);
            for _ in 0..actors {
                let (sender, queue) = mpsc::channel(CROWD_CAPACITY);
                tasks.spawn(life(queue, Arc::default()));
                senders.push(Sender(sender));
            }
            hear_all(&senders).await?;
            Ok(Self { senders, tasks })
        })
        .await
    }

    async fn disperse(mut self) -> Result<(), Failure> {
        on_worker(async move {
            drop(self.senders);
            while self.tasks.join_next().await.is_some() {}
            Ok(())
        })
        .await
    }
}

/// A `JoinSet` whose tasks come and go.
pub(crate) struct Set;

impl Parent for Set {
    async fn open() -> Result<Self, Failure> {
        Ok(Self)
    }

    async fn generation(&mut self, children: usize) -> Result<(), Failure> {
        Tasks::gather(children).await?.disperse().await
    }

    async fn close(self) -> Result<(), Failure> {
        Ok(())
    }
}
