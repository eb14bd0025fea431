//! Shell: Linux's trigger, written to a pressure file, which becomes ready when it fires.

use std::fs::{File, OpenOptions};
use std::future::Future;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::pin::Pin;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::Stalls;
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
