//! Hangs up on whoever takes an answer too slowly ([`Pace`] decides), on the socket's own clock.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::guard::pace::Pace;

/// A stream whose writes fail with `TimedOut` once the other side takes less than it must.
pub(crate) struct Patient<S> {
    stream: S,
    pace: Pace,
    /// Runs while a write waits.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    /// At least `least_bytes` for every `patience` in which bytes wait.
    pub(crate) fn new(stream: S, patience: Duration, least_bytes: usize) -> Self {
        Self {
            stream,
            pace: Pace::new(patience, least_bytes),
            alarm: None,
        }
    }

    pub(crate) fn into_inner(self) -> S {
        self.stream
    }

    fn within_patience<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        taken: impl FnOnce(&T) -> usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        let now = Instant::now();
        if let Poll::Ready(written) = written {
            self.alarm = None;
            self.pace.took(written.as_ref().map_or(0, taken), now);
            return Poll::Ready(written);
        }
        let deadline = self.pace.waits(now);
        let alarm = self
            .alarm
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        std::task::ready!(alarm.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client reads too little of its answer",
        )))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.within_patience(written, |taken| *taken, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.within_patience(written, |taken| *taken, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.within_patience(flushed, |()| 0, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.within_patience(shut, |()| 0, cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::sleep;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_stopped_is_given_up() {
        let (near, _far) = duplex(8);
        let mut patient = Patient::new(near, PATIENCE, 1);
        let begun = Instant::now();
        let error = patient.write_all(&[0; 9]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(begun.elapsed().as_secs(), 30);
    }

    /// `bytes` every second; when it was hung up on, in seconds, or that it read all 4000.
    async fn read_by(bytes: usize) -> Result<(), u64> {
        let (near, mut far) = duplex(64);
        let mut patient = Patient::new(near, PATIENCE, 300);
        let begun = Instant::now();
        let reading = async {
            loop {
                sleep(Duration::from_secs(1)).await;
                far.read_exact(&mut vec![0; bytes]).await.unwrap();
            }
        };
        let written = tokio::select! {
            written = patient.write_all(&[0; 4000]) => written,
            () = reading => unreachable!(),
        };
        written.map_err(|_| begun.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_of_one_byte_a_second_is_given_up_and_a_slow_one_is_not() {
        for (bytes, given_up) in [(1, Err(30)), (9, Err(30)), (11, Ok(())), (32, Ok(()))] {
            assert_eq!(read_by(bytes).await, given_up, "{bytes}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_of_the_writer_is_not_counted() {
        let (near, mut far) = duplex(8);
        let mut patient = Patient::new(near, PATIENCE, 300);
        for _ in 0..100 {
            let reading = async {
                sleep(Duration::from_millis(100)).await;
                far.read_exact(&mut [0; 9]).await.unwrap();
            };
            let (written, ()) = tokio::join!(patient.write_all(&[0; 9]), reading);
            assert!(written.is_ok(), "{written:?}");
            patient.flush().await.unwrap();
            sleep(PATIENCE).await;
        }
    }
}
