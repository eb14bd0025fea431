//! A client that hung up must be noticed while its answer is made, or it is made for nobody. hyper listens for that only
//! while it holds no unread byte, so a client that has sent ahead would never be heard leaving. So we read on beside it,
//! into a small buffer that hyper takes from once it reads again.
//!
//! Invariant: nothing is lost and nothing overtakes; nothing is read beside hyper while no answer is being made.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use crate::meters::Connection;

/// How much a client may send ahead of an answer's end: many requests, or the end of a large one. Who sends more is hung
/// up on, because whether it has left could not be told any more.
const AHEAD: usize = 64 << 10;

/// One connection's reading side, for hyper.
pub(crate) struct Reader<R>(Arc<Mutex<Line<R>>>);

/// The same, for who waits for its end.
pub(crate) struct Hangup<R> {
    line: Arc<Mutex<Line<R>>>,
    answering: Answering,
}

/// How many answers of one connection are being made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answering(Arc<AtomicUsize>);

/// One answer is being made while this lives.
pub(crate) struct Busy(Arc<AtomicUsize>);

struct Line<R> {
    reader: R,
    ahead: VecDeque<u8>,
}

impl Answering {
    /// From when the request was read to its end.
    pub(crate) fn begin(&self) -> Busy {
        if self.0.fetch_add(1, Ordering::Relaxed) == 0 {
            Connection::answers();
        }
        Busy(Arc::clone(&self.0))
    }

    fn is_none(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if self.0.fetch_sub(1, Ordering::Relaxed) == 1 {
            Connection::idles();
        }
    }
}

/// Both views of one reading side. They must be polled by the same task, hyper's first.
pub(crate) fn listen<R>(reader: R, answering: Answering) -> (Reader<R>, Hangup<R>) {
    let ahead = VecDeque::new();
    let line = Arc::new(Mutex::new(Line { reader, ahead }));
    (Reader(Arc::clone(&line)), Hangup { line, answering })
}

impl<R> Reader<R> {
    /// What is read from, and what was read ahead of who takes it; nothing while somebody listens for the end.
    pub(crate) fn into_inner(self) -> Option<(R, Vec<u8>)> {
        let line = Arc::into_inner(self.0)?;
        let line = line.into_inner().unwrap_or_else(PoisonError::into_inner);
        Some((line.reader, line.ahead.into()))
    }
}

/// Never waits: one task polls both views.
fn of<R>(line: &Mutex<Line<R>>) -> MutexGuard<'_, Line<R>> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<R: AsyncRead + Unpin> Hangup<R> {
    /// Until the client has hung up, or sent too much ahead, while an answer is being made. Cancel safe.
    pub(crate) async fn happened(&self) {
        poll_fn(|cx| {
            if self.answering.is_none() {
                // The task is polled again when that changes: it is the one that makes the answers.
                return Poll::Pending;
            }
            of(&self.line).poll_end(cx)
        })
        .await;
    }
}

impl<R: AsyncRead + Unpin> Line<R> {
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut piece = [0; 4096];
        while self.ahead.len() < AHEAD {
            let mut buf = ReadBuf::new(&mut piece);
            let read = ready!(Pin::new(&mut self.reader).poll_read(cx, &mut buf));
            if read.is_err() || buf.filled().is_empty() {
                return Poll::Ready(());
            }
            self.ahead.extend(buf.filled());
        }
        Poll::Ready(())
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Reader<R> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let line = &mut *of(&self.0);
        if line.ahead.is_empty() {
            return Pin::new(&mut line.reader).poll_read(cx, buf);
        }
        let (front, _) = line.ahead.as_slices();
        let taken = front.len().min(buf.remaining());
        buf.put_slice(front.get(..taken).unwrap_or_default());
        line.ahead.drain(..taken);
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    fn now<T>(future: impl Future<Output = T>) -> Poll<T> {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        std::pin::pin!(future).poll(&mut cx)
    }

    #[tokio::test]
    async fn what_was_read_ahead_comes_in_order_and_the_end_is_heard_behind_it() {
        let (near, mut far) = duplex(1 << 20);
        let answering = Answering::default();
        let (mut reader, hangup) = listen(near, answering.clone());
        far.write_all(b"one").await.unwrap();
        assert!(now(hangup.happened()).is_pending(), "no answer, no ear");
        assert_eq!(of(&hangup.line).ahead.len(), 0);
        let busy = answering.begin();
        assert!(now(hangup.happened()).is_pending());
        assert_eq!(of(&hangup.line).ahead.len(), 3);
        far.write_all(b"two").await.unwrap();
        let mut text = [0; 6];
        reader.read_exact(&mut text).await.unwrap();
        assert_eq!(&text, b"onetwo");
        far.write_all(b"three").await.unwrap();
        drop(far);
        drop(busy);
        assert!(now(hangup.happened()).is_pending());
        let _busy = answering.begin();
        assert!(now(hangup.happened()).is_ready());
        let mut first = [0; 2];
        reader.read_exact(&mut first).await.unwrap();
        drop(hangup);
        // What it had ahead goes on with whoever takes its place.
        let (mut near, ahead) = reader.into_inner().unwrap();
        assert_eq!((&first, ahead.as_slice()), (b"th", &b"ree"[..]));
        let mut rest = String::new();
        near.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "");
    }

    #[tokio::test]
    async fn who_sends_too_much_ahead_is_hung_up_on() {
        let (near, mut far) = duplex(1 << 20);
        let answering = Answering::default();
        let (_reader, hangup) = listen(near, answering.clone());
        let _busy = answering.begin();
        far.write_all(&vec![0; AHEAD - 1]).await.unwrap();
        assert!(now(hangup.happened()).is_pending());
        far.write_all(&[0; 8192]).await.unwrap();
        assert!(now(hangup.happened()).is_ready());
        assert!(of(&hangup.line).ahead.len() < AHEAD + 4096);
    }
}
