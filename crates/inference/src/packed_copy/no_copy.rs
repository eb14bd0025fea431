//! Why there is no packed copy: nobody's failure, but worth a line in a log.

use std::io;
use std::path::PathBuf;

use domain::Bytes;
use thiserror::Error;

/// Why a model has no packed copy. It is loaded all the same.
#[derive(Debug, Error)]
pub enum NoCopy {
    /// Something could not be read or written.
    #[error("{}: {reason}", path.display())]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What the system says.
        reason: io::Error,
    },
    /// The disk is too full: as much again has to stay free.
    #[error("{} has {free} free, and a copy takes {needed}: as much again is left to others", folder.display())]
    Room {
        /// Where copies lie.
        folder: PathBuf,
        /// What is free there.
        free: Bytes,
        /// What the copy would take.
        needed: Bytes,
    },
    /// A file there may go while it is used, or is not known not to.
    #[error("{} is on none of the file systems that keep a file for who has it open: ext4, xfs, btrfs, tmpfs, overlayfs", folder.display())]
    FileSystem {
        /// Where copies lie.
        folder: PathBuf,
    },
    /// Decoding would be slower.
    #[error("{} is on a file system that does not hold files on large pages", folder.display())]
    SmallPages {
        /// Where copies lie.
        folder: PathBuf,
    },
    /// Others than their owner may write what is made there.
    #[error("{}: others may write there", path.display())]
    Shared {
        /// The file that was made.
        path: PathBuf,
    },
    /// Its next change might not be seen.
    #[error("{} was changed just now", path.display())]
    Unsettled {
        /// The model's file.
        path: PathBuf,
    },
    /// One that was there could not be read, or said something else than when it was written; it was removed.
    #[error("{} was damaged, and is removed", path.display())]
    Damaged {
        /// The copy.
        path: PathBuf,
    },
}

impl NoCopy {
    /// Whether it is how this machine is, and nothing that went wrong.
    pub const fn is_usual(&self) -> bool {
        matches!(
            self,
            Self::FileSystem { .. } | Self::SmallPages { .. } | Self::Unsettled { .. }
        )
    }
}
