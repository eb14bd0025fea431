//! A WebSocket as a connection's transport: two halves of one socket, which their tasks poll in turn. What a frame means is
//! decided in `frames`.
//!
//! Invariants: no lock is held while anybody waits; with the life of the listener the transport ends, and says that the
//! client may come again; who was told that it ends has time to read it.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use connection::wire::CloseCode;
use connection::{Gone, Incoming, Outgoing, Transport};
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::guard::counted::Counted;
use crate::guard::seating::Seat;
use crate::ws::frames::{self, Read};
use crate::ws::pieces::{PIECE_BYTES, Pieces};

/// Bytes that are read at once; a client has a buffer as large, always. 1 KiB: most frames of clients are a tenth of it.
const READ_BYTES: usize = 1 << 10;
/// What may wait within the protocol: a piece, and small frames that answer by themselves.
const WRITE_BYTES: usize = 4 * PIECE_BYTES;
/// Bytes that are read and thrown away once the last word was said: a socket that is closed with unread bytes is reset, and
/// the last word with it. 4 MiB: a frame that was too large. Whoever closes it waits for so long, and no longer.
const RUBBISH_BYTES: usize = 4 << 20;

type Socket = WebSocketStream<Counted<TcpStream>>;

/// What both halves have.
struct Line {
    socket: Mutex<Socket>,
    closing: CancellationToken,
    /// The client does not speak the protocol.
    broken: AtomicBool,
    /// The client has closed.
    parted: AtomicBool,
    /// Given back when the socket is closed: it stands behind it.
    seat: Seat,
}

impl Line {
    fn socket(&self) -> MutexGuard<'_, Socket> {
        self.socket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The transport over this socket, of which `ahead` was read already, until `closing`, for frames of at most so many bytes.
pub(crate) async fn over(
    stream: TcpStream,
    ahead: Vec<u8>,
    seat: Seat,
    closing: CancellationToken,
    frame_bytes: usize,
) -> Transport {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BYTES)
        .max_message_size(Some(frame_bytes))
        .max_frame_size(Some(frame_bytes));
    let stream = Counted::new(stream, seat.traffic());
    let socket =
        WebSocketStream::from_partially_read(stream, ahead, Role::Server, Some(config)).await;
    let line = Arc::new(Line {
        socket: Mutex::new(socket),
        closing,
        broken: AtomicBool::new(false),
        parted: AtomicBool::new(false),
        seat,
    });
    Transport {
        incoming: Reader::new(Arc::clone(&line)).boxed(),
        outgoing: Box::pin(Writer::new(line)),
    }
}

/// What comes.
struct Reader {
    line: Arc<Line>,
    closing: Pin<Box<WaitForCancellationFutureOwned>>,
    kicked: Pin<Box<WaitForCancellationFutureOwned>>,
    leaves: bool,
    over: bool,
}

impl Reader {
    fn new(line: Arc<Line>) -> Self {
        Self {
            closing: Box::pin(line.closing.clone().cancelled_owned()),
            kicked: Box::pin(line.seat.kick().cancelled_owned()),
            line,
            leaves: false,
            over: false,
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Option<Incoming>> {
        loop {
            let Some(what) = ready!(self.line.socket().poll_next_unpin(cx)) else {
                self.over = true;
                // Its farewell was answered.
                return Poll::Ready(self.leaves.then_some(Incoming::Left));
            };
            match frames::read(what) {
                Read::Came(came) => return Poll::Ready(Some(came)),
                Read::Closes { for_good } => {
                    self.leaves = for_good;
                    self.line.parted.store(true, Ordering::Relaxed);
                }
                Read::Broken => self.line.broken.store(true, Ordering::Relaxed),
                Read::Nothing => {}
            }
        }
    }
}

impl Stream for Reader {
    type Item = Incoming;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Incoming>> {
        if self.over || self.closing.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        if self.kicked.as_mut().poll(cx).is_ready() {
            self.over = true;
            return Poll::Ready(Some(Incoming::Kicked));
        }
        self.poll_read(cx)
    }
}

/// What goes.
struct Writer {
    line: Arc<Line>,
    text: Option<Pieces>,
    /// Whoever has it closes it, and does not only let go of it.
    closes: bool,
    end: End,
}

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    NotYet,
    /// The last word was said, or there is none.
    Said,
    /// Nothing more is written. So many bytes more are read.
    Shut(usize),
}

impl Writer {
    fn new(line: Arc<Line>) -> Self {
        Self {
            line,
            text: None,
            closes: false,
            end: End::NotYet,
        }
    }

    /// Until all of the text is with the protocol.
    fn poll_text(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        let mut socket = self.line.socket();
        while let Some(pieces) = &mut self.text {
            ready!(socket.poll_ready_unpin(cx)).map_err(|_| Gone)?;
            if let Some(piece) = pieces.next() {
                socket.start_send_unpin(piece).map_err(|_| Gone)?;
            }
            if pieces.are_over() {
                self.text = None;
            }
        }
        socket.poll_ready_unpin(cx).map_err(|_| Gone)
    }

    /// What nobody else said: why the transport ends; for want of another reason, `else_`.
    fn say_last(&mut self, else_: Option<CloseCode>) {
        self.end = End::Said;
        let broken = self.line.broken.load(Ordering::Relaxed);
        let code = if broken {
            None
        } else if self.line.closing.is_cancelled() {
            Some(CloseCode::GoingAway)
        } else {
            else_
        };
        let word = match code {
            Some(code) => frames::close(code),
            None if broken => frames::close_broken(),
            None => return,
        };
        // It may be gone already, or have said the last word itself.
        let said = self.line.socket().start_send_unpin(word);
        if let (Ok(()), Some(code)) = (said, code) {
            connection::closed(code);
        }
    }

    /// Until the client has closed, too, or enough was read. What is behind a frame that was not understood is only bytes.
    fn poll_parted(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut socket = self.line.socket();
        while let End::Shut(left) = self.end
            && left > 0
            && !self.line.parted.load(Ordering::Relaxed)
        {
            let read = match ready!(socket.poll_next_unpin(cx)) {
                Some(Ok(Message::Close(_))) => return Poll::Ready(()),
                Some(Ok(message)) => message.len().max(1),
                Some(Err(_)) | None => ready!(poll_rubbish(&mut socket, cx)),
            };
            let left = if read == 0 {
                0
            } else {
                left.saturating_sub(read)
            };
            self.end = End::Shut(left);
        }
        Poll::Ready(())
    }
}

/// So many bytes were read and thrown away; none at the end.
fn poll_rubbish(socket: &mut Socket, cx: &mut Context<'_>) -> Poll<usize> {
    let mut piece = [0; 4096];
    let mut rubbish = ReadBuf::new(&mut piece);
    let read = ready!(Pin::new(socket.get_mut()).poll_read(cx, &mut rubbish));
    Poll::Ready(read.map_or(0, |()| rubbish.filled().len()))
}

impl Sink<Outgoing> for Writer {
    type Error = Gone;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        self.poll_text(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, what: Outgoing) -> Result<(), Gone> {
        match what {
            Outgoing::Text(text) => self.text = Some(Pieces::of(text)),
            Outgoing::Close(code) => {
                self.end = End::Said;
                let word = frames::close(code);
                let said = self.line.socket().start_send_unpin(word);
                return said.map_err(|_| Gone);
            }
        }
        Ok(())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        ready!(self.poll_text(cx))?;
        let mut socket = self.line.socket();
        // Whoever flushes is woken by what comes, too, as long as its waker is kept. So first one that wakes nobody: it mostly
        // stays with that, and each frame of a client wakes one task instead of two, and one thread.
        let mut nobody = Context::from_waker(Waker::noop());
        let flushed = match socket.poll_flush_unpin(&mut nobody) {
            Poll::Pending => socket.poll_flush_unpin(cx),
            flushed @ Poll::Ready(_) => flushed,
        };
        flushed.map_err(|_| Gone)
    }

    /// Says the last word if nobody did, ends what is written, and waits until the client has closed, too.
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        self.closes = true;
        if self.end == End::NotYet {
            ready!(self.poll_text(cx))?;
            self.say_last(None);
        }
        if self.end == End::Said {
            ready!(self.as_mut().poll_flush(cx))?;
            let mut socket = self.line.socket();
            ready!(Pin::new(socket.get_mut()).poll_shutdown(cx)).map_err(|_| Gone)?;
            drop(socket);
            // Whoever ends the listener does not wait for clients.
            let is_ending = self.line.closing.is_cancelled();
            self.end = End::Shut(if is_ending { 0 } else { RUBBISH_BYTES });
        }
        self.poll_parted(cx).map(Ok)
    }
}

/// Who lets go of it crashed, or was killed. It is said if the kernel takes it at once.
impl Drop for Writer {
    fn drop(&mut self) {
        if !self.closes && self.end == End::NotYet {
            self.say_last(Some(CloseCode::Crashed));
        }
    }
}
