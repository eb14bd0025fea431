//! Shell: the terminal itself, read and written on the one runtime: no thread waits for keys.
//!
//! Invariants: the terminal is opened anew, so that whoever shares it with us keeps its own flags; whatever way this ends
//! (dropped, a signal, a panic), the terminal is as it was found.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ratatui::backend::{Backend, CrosstermBackend};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use rustix::fs::OFlags;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The alternate screen, without a cursor.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[?25l\x1b[2J";
/// Attributes as usual, the cursor, the screen that was there before.
const LEAVE: &[u8] = b"\x1b[0m\x1b[?25h\x1b[?1049l";
const CLEAR: &[u8] = b"\x1b[0m\x1b[2J";
/// Bytes that are read at once: some dozen keys.
const READ: usize = 256;

/// A terminal that is ours for a while.
pub(super) struct Screen {
    terminal: AsyncFd<File>,
    before: Arc<Before>,
    resized: Signal,
    shown: Buffer,
}

/// How the terminal was found.
struct Before {
    terminal: File,
    state: Termios,
    is_restored: AtomicBool,
}

impl Before {
    /// Puts everything back, once. Where that fails the terminal is gone.
    fn restore(&self) {
        if self.is_restored.swap(true, Ordering::SeqCst) {
            return;
        }
        let _ = (&self.terminal).write_all(LEAVE);
        let _ = tcsetattr(&self.terminal, OptionalActions::Flush, &self.state);
    }
}

impl Screen {
    /// Takes the terminal over.
    ///
    /// # Errors
    /// There is none, or it does not obey.
    pub(super) fn enter() -> io::Result<Self> {
        let open = || {
            let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
            let flags = i32::try_from(flags.bits()).unwrap_or_default();
            let mut how = OpenOptions::new();
            how.read(true)
                .write(true)
                .custom_flags(flags)
                .open("/dev/tty")
        };
        let terminal = open()?;
        let state = tcgetattr(&terminal)?;
        let before = Arc::new(Before {
            terminal: open()?,
            state: state.clone(),
            is_restored: AtomicBool::new(false),
        });
        restore_on_panic(&before);
        let mut screen = Self {
            terminal: watched(terminal)?,
            before,
            resized: signal(SignalKind::window_change())?,
            shown: Buffer::empty(Rect::ZERO),
        };
        let mut raw = state;
        raw.make_raw();
        tcsetattr(screen.terminal.get_ref(), OptionalActions::Now, &raw)?;
        screen.terminal.get_mut().write_all(ENTER)?;
        Ok(screen)
    }

    /// Its size, in cells.
    pub(super) fn size(&self) -> Rect {
        let size = tcgetwinsize(self.terminal.get_ref());
        // A terminal that knows no size has the usual one.
        match size.map(|size| (size.ws_col, size.ws_row)) {
            Ok((width @ 1.., height @ 1..)) => Rect::new(0, 0, width, height),
            _ => Rect::new(0, 0, 80, 24),
        }
    }

    /// Shows a picture: only what is different from the last one is written.
    pub(super) async fn show(&mut self, picture: Buffer) -> io::Result<()> {
        let bytes = difference(&self.shown, &picture)?;
        self.shown = picture;
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let mut ready = self.terminal.writable_mut().await?;
            match ready.try_io(|terminal| terminal.get_mut().write(rest)) {
                Ok(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(Ok(written)) => rest = rest.get(written..).unwrap_or_default(),
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Err(error),
                Err(_would_block) => {}
            }
        }
        Ok(())
    }

    /// Bytes that were typed, at least one; or none, because the size is another. Cancel safe.
    ///
    /// # Errors
    /// The terminal is gone.
    pub(super) async fn next(&mut self) -> io::Result<Vec<u8>> {
        loop {
            let mut ready = tokio::select! {
                Some(()) = self.resized.recv() => return Ok(Vec::new()),
                ready = self.terminal.readable_mut() => ready?,
            };
            let mut bytes = [0_u8; READ];
            match ready.try_io(|terminal| terminal.get_mut().read(&mut bytes)) {
                Ok(Ok(0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(Ok(read)) => return Ok(bytes.get(..read).unwrap_or_default().to_vec()),
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Err(error),
                Err(_would_block) => {}
            }
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.before.restore();
    }
}

#[allow(
    deprecated,
    reason = "deprecated for types that may answer with another descriptor later; a `File` owns one, and keeps it"
)]
fn watched(terminal: File) -> io::Result<AsyncFd<File>> {
    AsyncFd::new(terminal)
}

/// The words of a panic belong on the screen that is left behind: first that is put back.
fn restore_on_panic(before: &Arc<Before>) {
    let (before, usual) = (Arc::clone(before), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |panic| {
        before.restore();
        usual(panic);
    }));
}

/// The bytes that make one picture of the other; all of it, where the size is another.
fn difference(shown: &Buffer, picture: &Buffer) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let blank = Buffer::empty(picture.area);
    let from = if shown.area == picture.area {
        shown
    } else {
        bytes.extend_from_slice(CLEAR);
        &blank
    };
    CrosstermBackend::new(&mut bytes).draw(from.diff(picture).into_iter())?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use ratatui::style::Style;

    use super::*;

    #[test]
    fn only_what_is_different_is_written() {
        let area = Rect::new(0, 0, 20, 3);
        let mut first = Buffer::empty(area);
        first.set_string(2, 1, "hello", Style::new());
        let text = |from: &Buffer, to: &Buffer| String::from_utf8(difference(from, to).unwrap());
        let whole = text(&Buffer::empty(Rect::ZERO), &first).unwrap();
        assert!(
            whole.contains("\x1b[2J") && whole.contains("hello"),
            "{whole:?}"
        );
        let same = text(&first, &first).unwrap();
        assert!(!same.contains("\x1b[2J") && !same.contains('h'), "{same:?}");
        let mut second = first.clone();
        second.set_string(2, 1, "hallo", Style::new());
        let changed = text(&first, &second).unwrap();
        assert!(
            changed.contains("\x1b[2;4H") && changed.contains('a'),
            "{changed:?}"
        );
        assert!(!changed.contains("hallo"), "{changed:?}");
    }
}
