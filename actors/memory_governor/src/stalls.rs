//! Shell: hears from the kernel, on the one runtime, that tasks wait for memory.
//!
//! A trigger is written to a pressure file, and the file becomes ready when it fires. Nothing polls here, nothing is
//! read, and no thread waits: who waits is a task. A machine that cannot tell says so with an error, and the governor
//! looks at it by the clock instead.

use std::future::Future;
use std::io;
use std::pin::Pin;

#[cfg(target_os = "linux")]
pub use linux::Trigger;

/// Tells of stalls, one at a time.
pub trait Stalls: Send + 'static {
    /// Resolves when tasks waited for memory. Stalls that come faster than they are asked for are one.
    ///
    /// # Errors
    /// Nothing will ever be told again: the group is gone, or the kernel gave the trigger up.
    fn next(&mut self) -> Pin<Box<dyn Future<Output = io::Result<()>> + Send + '_>>;
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::{File, OpenOptions};
    use std::io::Write;
    use std::path::{Path, PathBuf};

    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    use super::{Future, Pin, Stalls, io};
    use crate::psi;

    /// A trigger at the kernel. Dropping it takes it back.
    #[derive(Debug)]
    pub struct Trigger {
        path: PathBuf,
        file: AsyncFd<File>,
    }

    impl Trigger {
        /// Registers at the first of `files` that is there.
        ///
        /// It opens files and needs the runtime: call it on the blocking pool.
        ///
        /// # Errors
        /// As the kernel says of the first that is there: it has no pressure files (`NotFound`), keeps none
        /// (`Unsupported`), or takes no triggers from this process.
        pub fn register(files: &[PathBuf]) -> io::Result<Self> {
            for path in files {
                match Self::at(path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    other => return other,
                }
            }
            Err(io::ErrorKind::NotFound.into())
        }

        fn at(path: &Path) -> io::Result<Self> {
            let mut file = OpenOptions::new().read(true).write(true).open(path)?;
            // With its end, as the kernel's own example writes it.
            file.write_all(format!("{}\0", psi::TRIGGER).as_bytes())?;
            Ok(Self {
                path: path.to_owned(),
                file: listen(file)?,
            })
        }

        /// Where it is registered.
        pub fn path(&self) -> &Path {
            &self.path
        }

        async fn fired(&mut self) -> io::Result<()> {
            let interest = Interest::PRIORITY | Interest::ERROR;
            let mut ready = self.file.ready(interest).await?;
            let told = ready.ready();
            // The kernel has taken the event back by telling it; what comes next rings anew.
            ready.clear_ready();
            if told.is_error() || told.is_read_closed() {
                let path = self.path.display();
                return Err(io::Error::other(format!("{path} tells no more")));
            }
            Ok(())
        }
    }

    impl Stalls for Trigger {
        fn next(&mut self) -> Pin<Box<dyn Future<Output = io::Result<()>> + Send + '_>> {
            Box::pin(self.fired())
        }
    }

    #[allow(
        deprecated,
        reason = "deprecated for types that may answer with another descriptor later; a `File` owns one, and keeps it"
    )]
    fn listen(file: File) -> io::Result<AsyncFd<File>> {
        AsyncFd::with_interest(file, Interest::PRIORITY | Interest::ERROR)
    }
}
