//! A stream, told to an actix actor message by message. The actor holds it back: the next item is taken when the ones
//! before were handled. An actor that goes, or takes too long, ends it, and to drop a stream of the host is to cancel.
//!
//! An actor that may have the stream itself needs none of this: `ctx.add_stream(stream)` holds back and cancels, too.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix::{MailboxError, Message, Recipient};
use futures_util::stream::FuturesUnordered;
use futures_util::{Stream, StreamExt};
use supervision::{ChildId, ChildSpec};

/// How a stream is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliveryLimits {
    /// Messages that may be with the actor unhandled, from 1. No more items are taken from the stream meanwhile.
    pub window: usize,
    /// How long one message may take, in the mailbox and in the actor's hands together.
    pub patience: Duration,
}

impl Default for DeliveryLimits {
    /// 8, half of an actix mailbox; 10 s, as an actor of ours may handle a message before it is called stuck.
    fn default() -> Self {
        Self {
            window: 8,
            patience: Duration::from_secs(10),
        }
    }
}

/// Why a stream was not told to its end. It is dropped by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// The actor has ended, or panicked. With nothing unhandled this is noticed at the next item.
    #[error("the actix actor ended after {delivered} messages of the stream")]
    Closed {
        /// Messages it had handled.
        delivered: u64,
    },
    /// It did not handle a message in time.
    #[error(
        "the actix actor did not handle a message within {patience:?}, after {delivered} of the stream"
    )]
    TimedOut {
        /// Messages it had handled.
        delivered: u64,
        /// What was allowed.
        patience: Duration,
    },
}

/// Tells the actor every item of `stream`, in order, and says how many those were. Their answers are thrown away.
/// Dropped, it drops the stream. To give it an owner: `ctx.spawn` of an actix actor, a `JoinSet` of ours, or [`delivery`].
///
/// # Errors
/// The actor ended, or was too slow.
pub async fn deliver<S, M>(
    stream: S,
    to: Recipient<M>,
    limits: DeliveryLimits,
) -> Result<u64, DeliveryError>
where
    S: Stream<Item = M>,
    M: Message + Send + 'static,
    M::Result: Send,
{
    let DeliveryLimits { window, patience } = limits;
    let mut stream = pin!(stream);
    let mut open = true;
    let mut unhandled = FuturesUnordered::new();
    let mut delivered = 0;
    loop {
        tokio::select! {
            biased;
            Some(handled) = unhandled.next() => match handled {
                Ok(Ok(_)) => delivered += 1,
                Ok(Err(MailboxError::Closed | MailboxError::Timeout)) => {
                    return Err(DeliveryError::Closed { delivered });
                }
                Err(_) => return Err(DeliveryError::TimedOut { delivered, patience }),
            },
            item = stream.next(), if open && unhandled.len() < window.max(1) => match item {
                None => open = false,
                // One that finds the mailbox full gets its place when it is first polled: above, before the next is taken.
                Some(message) => unhandled.push(tokio::time::timeout(patience, to.send(message))),
            },
            else => return Ok(delivered),
        }
    }
}

/// [`deliver`] as a temporary child, to be started at run time. A stop drops the stream. It ends normally when the stream
/// is over or the actor has gone, and crashes, without being started again, when the actor was too slow.
pub fn delivery<S, M>(
    id: impl Into<ChildId>,
    stream: S,
    to: Recipient<M>,
    limits: DeliveryLimits,
) -> ChildSpec
where
    S: Stream<Item = M> + Send + 'static,
    M: Message + Send + 'static,
    M::Result: Send,
{
    // Taken by its one life.
    let once = Arc::new(Mutex::new(Some((stream, to))));
    let start = move |context: supervision::TaskContext| {
        let parts = once.lock().unwrap_or_else(PoisonError::into_inner).take();
        async move {
            context.ready();
            let Some((stream, to)) = parts else {
                return Ok(());
            };
            tokio::select! {
                biased;
                () = context.stopping() => Ok(()),
                told = deliver(stream, to, limits) => match told {
                    Ok(_) => Ok(()),
                    Err(error @ DeliveryError::Closed { .. }) => {
                        tracing::debug!(child = context.child().as_str(), %error, "a delivery was cancelled");
                        Ok(())
                    }
                    Err(error @ DeliveryError::TimedOut { .. }) => Err(error.into()),
                },
            }
        }
    };
    ChildSpec::task(id, start).temporary()
}
