//! Shell: the reading end of a stream of events, which somebody else than its reader can close: that is how an answer is
//! cancelled from another task. To whoever writes it looks as if the reader had gone.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use tokio::sync::mpsc;

/// The reading end. Dropping it closes the channel.
pub struct Reader<T>(Arc<Shared<T>>);

struct Shared<T>(Mutex<Inner<T>>);

struct Inner<T> {
    events: mpsc::Receiver<T>,
    cancelled: bool,
    /// The last event was read.
    ended: bool,
    /// Closing a channel wakes its writers alone.
    reader: Option<Waker>,
}

/// What a look into the channel finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read<T> {
    /// The next event.
    Event(T),
    /// Nothing comes any more, because it was cancelled.
    Cancelled,
    /// The writer is gone.
    Gone,
}

impl<T: Send + 'static> Reader<T> {
    /// Reads these events.
    pub fn new(events: mpsc::Receiver<T>) -> Self {
        Self(Arc::new(Shared(Mutex::new(Inner {
            events,
            cancelled: false,
            ended: false,
            reader: None,
        }))))
    }

    /// The next event: what was sent before a cancel is still read. After one, what is read next is [`Read::Cancelled`], or, with
    /// `until_told`, what the writer says of its end in the place it had kept for that.
    pub fn poll(&self, until_told: bool, cx: &mut Context<'_>) -> Poll<Read<T>> {
        let mut inner = self.0.lock();
        match inner.events.poll_recv(cx) {
            Poll::Ready(Some(event)) => Poll::Ready(Read::Event(event)),
            Poll::Ready(None) if inner.cancelled => Poll::Ready(Read::Cancelled),
            Poll::Ready(None) => Poll::Ready(Read::Gone),
            Poll::Pending if inner.cancelled && !until_told => Poll::Ready(Read::Cancelled),
            Poll::Pending => {
                inner.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// The last event was read: there is nothing to cancel any more.
    pub fn end(&self) {
        self.0.lock().ended = true;
    }

    /// Cancels it from elsewhere.
    pub fn canceller(&self) -> Canceller {
        let shared = Arc::downgrade(&self.0);
        Canceller(shared)
    }
}

impl<T> fmt::Debug for Reader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.0.lock();
        f.debug_struct("Reader")
            .field("cancelled", &inner.cancelled)
            .field("ended", &inner.ended)
            .finish_non_exhaustive()
    }
}

impl<T> Shared<T> {
    // Held for a look or a note, never across anything that waits.
    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

trait Close: Send + Sync {
    fn close(&self) -> bool;
}

impl<T: Send> Close for Shared<T> {
    fn close(&self) -> bool {
        let mut inner = self.lock();
        if inner.cancelled || inner.ended {
            return false;
        }
        inner.cancelled = true;
        inner.events.close();
        let reader = inner.reader.take();
        drop(inner);
        if let Some(reader) = reader {
            reader.wake();
        }
        true
    }
}

/// Cancels one answer from wherever it is held. Cloning gives another for the same answer; it keeps nothing alive, and dropping
/// it changes nothing.
#[derive(Clone)]
pub struct Canceller(Weak<dyn Close>);

impl Canceller {
    /// Stops the answer: computing ends within one step, as if the stream was dropped, and whoever reads the stream hears what
    /// was said before and then `Failed(Cancelled)`. Waits for nothing. Whether there was something to stop: an answer whose end
    /// was heard, that was cancelled before, or whose stream was dropped, is over.
    pub fn cancel(&self) -> bool {
        self.0.upgrade().is_some_and(|shared| shared.close())
    }
}

impl fmt::Debug for Canceller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Canceller")
            .field(&(self.0.strong_count() > 0))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    async fn read(reader: &Reader<u8>, until_told: bool) -> Read<u8> {
        poll_fn(|cx| reader.poll(until_told, cx)).await
    }

    #[tokio::test]
    async fn what_was_sent_before_a_cancel_is_read_and_nothing_can_be_sent_after() {
        let (sender, events) = mpsc::channel(4);
        let reader = Reader::new(events);
        sender.try_send(1).unwrap();
        let canceller = reader.canceller();
        assert!(canceller.clone().cancel());
        assert!(!canceller.cancel(), "twice");
        assert!(sender.is_closed() && sender.try_send(2).is_err());
        assert_eq!(read(&reader, false).await, Read::Event(1));
        assert_eq!(read(&reader, false).await, Read::Cancelled);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_waits_is_woken() {
        let (_sender, events) = mpsc::channel(4);
        let reader = Reader::<u8>::new(events);
        let canceller = reader.canceller();
        let later = async {
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            canceller.cancel()
        };
        let (heard, was_open) = tokio::join!(read(&reader, false), later);
        assert_eq!((heard, was_open), (Read::Cancelled, true));
    }

    #[tokio::test]
    async fn who_kept_a_place_has_the_last_word_where_it_is_waited_for() {
        let (sender, events) = mpsc::channel(4);
        let place = sender.try_reserve_owned().unwrap();
        let reader = Reader::new(events);
        reader.canceller().cancel();
        let told = async {
            tokio::task::yield_now().await;
            drop(place.send(9));
        };
        let (heard, ()) = tokio::join!(read(&reader, true), told);
        assert_eq!(heard, Read::Event(9));
        assert_eq!(read(&reader, true).await, Read::Cancelled);
    }

    #[tokio::test]
    async fn what_is_over_cannot_be_cancelled() {
        let (sender, events) = mpsc::channel::<u8>(4);
        let reader = Reader::new(events);
        let canceller = reader.canceller();
        reader.end();
        assert!(!canceller.cancel());
        assert!(!sender.is_closed());
        drop(sender);
        assert_eq!(read(&reader, false).await, Read::Gone);

        let (sender, events) = mpsc::channel::<u8>(4);
        let reader = Reader::new(events);
        let canceller = reader.canceller();
        drop(reader);
        assert!(sender.is_closed(), "a canceller keeps nothing open");
        assert!(!canceller.cancel());
    }
}
