//! The folder of the copies: their names, who was left behind, how much room there is.

use std::fs::{DirBuilder, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::seal::Seal;

/// How the name of a copy ends.
const COPY: &str = "packed";
/// How that of a draft does.
const DRAFT: &str = "part";

/// So that programs that make backups leave it out: <https://bford.info/cachedir/>.
const TAG: (&str, &str) = (
    "CACHEDIR.TAG",
    "Signature: 8a477f597d28d172789f06886806bc55\n",
);

/// See above.
pub(super) struct Folder<'a>(&'a Path);

impl<'a> Folder<'a> {
    pub(super) const fn of(path: &'a Path) -> Self {
        Self(path)
    }

    /// Where the copy of a model's file is; one for each file. `None` where the path cannot be followed.
    pub(super) fn copy_of(&self, model: &Path) -> Option<PathBuf> {
        let path = model.canonicalize().ok()?;
        let hash = Sha256::digest(path.as_os_str().as_encoded_bytes());
        let name = u128::from_be_bytes(*hash.first_chunk()?);
        Some(self.0.join(format!("{name:032x}.{COPY}")))
    }

    /// A name for a draft of `copy` that no other has, in this process or elsewhere.
    pub(super) fn draft_of(copy: &Path, number: u64) -> PathBuf {
        copy.with_extension(format!("{}-{number}.{DRAFT}", std::process::id()))
    }

    /// A name for what is no copy's draft, to look up something.
    pub(super) fn probe(&self, number: u64) -> PathBuf {
        Self::draft_of(&self.0.join("probe"), number)
    }

    /// How many copies there are, and how many bytes they take.
    pub(super) fn total(&self) -> (usize, u64) {
        let entries = std::fs::read_dir(self.0).into_iter().flatten().flatten();
        let copies = entries.filter(|entry| {
            let path = entry.path();
            path.extension().is_some_and(|own| own == COPY)
        });
        let lengths = copies.filter_map(|copy| Some(copy.metadata().ok()?.len()));
        lengths.fold((0, 0), |(count, bytes), own| (count + 1, bytes + own))
    }

    /// Makes it, for its owner alone.
    pub(super) fn make(&self) -> io::Result<()> {
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(self.0)?;
        let (name, text) = TAG;
        let tag = self.0.join(name);
        if !tag.exists() {
            std::fs::write(tag, text)?;
        }
        Ok(())
    }

    /// Removes drafts that nobody writes any more, and copies that are none or whose model is gone.
    pub(super) fn tidy(&self) {
        let Ok(entries) = std::fs::read_dir(self.0) else {
            return;
        };
        for path in entries.flatten().map(|entry| entry.path()) {
            let ends = |end: &str| path.extension().is_some_and(|own| own == end);
            let is_left = (ends(DRAFT) && !is_written(&path)) || (ends(COPY) && !is_wanted(&path));
            if is_left {
                // Whoever could not remove it tries again next time.
                let _ = std::fs::remove_file(&path);
            }
        }
    }

    /// Whether as much again is free as a copy of so many bytes takes.
    pub(super) fn has_room_for(&self, bytes: usize) -> bool {
        free(self.0).is_some_and(|free| free / 2 >= bytes as u64)
    }
}

/// Whether somebody holds the draft's lock, which the system takes back from those who died.
fn is_written(draft: &Path) -> bool {
    let lock = File::open(draft).map(|file| file.try_lock_shared());
    matches!(lock, Ok(Err(TryLockError::WouldBlock)))
}

/// Whether there is a model that a copy may be of.
fn is_wanted(copy: &Path) -> bool {
    let seal = File::open(copy).and_then(|file| Seal::read(&file));
    match seal {
        Ok(seal) => seal.path().is_file(),
        Err(error) => !matches!(
            error.kind(),
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
        ),
    }
}

/// Whether nobody else may write a file.
#[cfg(unix)]
pub(super) fn is_ours(file: &File) -> bool {
    use std::os::unix::fs::MetadataExt;
    let ours = rustix::process::geteuid().as_raw();
    file.metadata()
        .is_ok_and(|file| file.uid() == ours && file.mode() & 0o022 == 0)
}

#[cfg(not(unix))]
pub(super) fn is_ours(_: &File) -> bool {
    false
}

/// Bytes that are free for this user on the disk of a folder; `None` where that is not known.
#[cfg(unix)]
fn free(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    disk.f_bavail.checked_mul(disk.f_frsize)
}

#[cfg(not(unix))]
fn free(_: &Path) -> Option<u64> {
    None
}
