//! Shell: hears from the kernel, on the one runtime, that a file was changed.
//!
//! The folder is watched and not the file: editors, and we, put a new file in the place of the old one. No thread waits
//! here and nothing polls; who waits is a task.

use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;

/// Tells of changes of one file.
pub trait Changes: Send + 'static {
    /// Resolves when the file was, or may have been, written, moved or removed. Changes that come faster than they are
    /// asked for are one.
    ///
    /// # Errors
    /// Nothing will ever be told again; the text says why.
    fn next(&mut self) -> Pin<Box<dyn Future<Output = io::Result<()>> + Send + '_>>;
}

/// Watches the folder of `file`, and the one it leads to if it is a link. Works on the disk and needs the runtime: call it
/// on the blocking pool.
///
/// # Errors
/// As the system says: it has no inotify, no watch is left, or the folder cannot be read.
#[cfg(target_os = "linux")]
pub(crate) fn watch(file: &Path) -> io::Result<Box<dyn Changes>> {
    Ok(Box::new(linux::Watch::of(file)?))
}

/// This system cannot tell.
///
/// # Errors
/// Always `Unsupported`.
#[cfg(not(target_os = "linux"))]
pub(crate) fn watch(_: &Path) -> io::Result<Box<dyn Changes>> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(target_os = "linux")]
mod linux {
    use std::ffi::OsString;
    use std::fs;
    use std::mem::MaybeUninit;
    use std::os::fd::OwnedFd;
    use std::os::unix::ffi::OsStrExt;
    use std::path::PathBuf;
    use std::sync::Arc;

    use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
    use rustix::io::Errno;
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    use super::{Changes, Future, Path, Pin, io};
    use crate::file::folder;

    /// Room for a dozen events with the longest names; what does not fit is read next.
    const BUFFER: usize = 4096;

    /// A file's names, as they are told: the watch of the folder, and the name in it.
    type Names = Vec<(i32, OsString)>;

    pub(super) struct Watch {
        file: PathBuf,
        kernel: Arc<AsyncFd<OwnedFd>>,
        names: Names,
    }

    /// What was read.
    #[derive(PartialEq)]
    enum Seen {
        Nothing,
        Change,
    }

    impl Watch {
        pub(super) fn of(file: &Path) -> io::Result<Self> {
            let kernel = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
            let names = arm(&kernel, file)?;
            Ok(Self {
                file: file.to_owned(),
                kernel: Arc::new(listen(kernel)?),
                names,
            })
        }

        async fn changed(&mut self) -> io::Result<()> {
            loop {
                let mut ready = self.kernel.readable().await?;
                let names = &self.names;
                match ready.try_io(|kernel| drain(kernel.get_ref(), names)) {
                    Ok(Ok(Seen::Change)) => break,
                    Ok(Ok(Seen::Nothing)) | Err(_) => {}
                    Ok(Err(error)) => return Err(error),
                }
            }
            // The file may be a link that leads somewhere else now; and a folder that is gone is noticed here.
            let (kernel, file) = (Arc::clone(&self.kernel), self.file.clone());
            let armed = tokio::task::spawn_blocking(move || arm(kernel.get_ref(), &file));
            self.names = armed.await.map_err(io::Error::other)??;
            Ok(())
        }
    }

    impl Changes for Watch {
        fn next(&mut self) -> Pin<Box<dyn Future<Output = io::Result<()>> + Send + '_>> {
            Box::pin(self.changed())
        }
    }

    /// Watches where the name lies and where the file lies. A folder that is watched already keeps its watch.
    fn arm(kernel: &OwnedFd, file: &Path) -> io::Result<Names> {
        let changes = WatchFlags::CLOSE_WRITE
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::ONLYDIR;
        let real = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
        let mut names = Names::new();
        for path in [file, real.as_path()] {
            let watch = inotify::add_watch(kernel, folder(path), changes)?;
            let name = path.file_name().unwrap_or_default().to_owned();
            names.push((watch, name));
        }
        Ok(names)
    }

    /// Reads what is there, without waiting.
    fn drain(kernel: &OwnedFd, names: &Names) -> io::Result<Seen> {
        let mut buffer = [MaybeUninit::uninit(); BUFFER];
        let mut reader = Reader::new(kernel, &mut buffer);
        let (mut seen, mut any) = (Seen::Nothing, false);
        loop {
            match reader.next() {
                Ok(event) => {
                    any = true;
                    let lost = ReadFlags::QUEUE_OVERFLOW | ReadFlags::IGNORED | ReadFlags::UNMOUNT;
                    let told = event.file_name().is_some_and(|told| {
                        let ours = |(watch, name): &(i32, OsString)| {
                            *watch == event.wd() && name.as_bytes() == told.to_bytes()
                        };
                        names.iter().any(ours)
                    });
                    if told || event.events().intersects(lost) {
                        seen = Seen::Change;
                    }
                }
                // Everything was read: said as an answer, and as an error if there was nothing, so that it is waited for.
                Err(Errno::WOULDBLOCK) if any => return Ok(seen),
                Err(error) => return Err(error.into()),
            }
        }
    }

    #[allow(
        deprecated,
        reason = "deprecated for types that may answer with another descriptor later; this one is owned, and kept"
    )]
    fn listen(kernel: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
        AsyncFd::with_interest(kernel, Interest::READABLE)
    }
}
