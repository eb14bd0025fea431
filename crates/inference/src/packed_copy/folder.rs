//! The folder of the copies: their names, who was left behind, how much room there is.

#[cfg(unix)]
use std::fs::Metadata;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::seal::Seal;

/// How the name of a copy ends.
const COPY: &str = "packed";
/// How that of a draft does.
const DRAFT: &str = "part";
/// Of one copy a process writes no more drafts than this at once.
const DRAFTS: u32 = 16;

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

    /// Where it is.
    pub(super) fn path(&self) -> PathBuf {
        self.0.to_owned()
    }

    /// Where the copy of the model at this path is; one for each.
    pub(super) fn copy_of(&self, model: &Path) -> PathBuf {
        let hash = Sha256::digest(model.as_os_str().as_encoded_bytes());
        let half = hash.first_chunk().copied().unwrap_or_default();
        self.0.join(name(u128::from_be_bytes(half)))
    }

    /// What is only tried out goes by this.
    pub(super) fn trial(&self) -> PathBuf {
        self.0.join(name(0))
    }

    /// A new file, for its owner alone, beside `copy` and with its name, as long as it is a draft; with its path.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn draft_of(copy: &Path) -> io::Result<(File, PathBuf)> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        for number in 0..DRAFTS {
            let path = copy.with_extension(format!("{}-{number}.{DRAFT}", std::process::id()));
            match options.open(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                other => return other.map(|file| (file, path)),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Makes it, for its owner alone, where it is not there.
    pub(super) fn make(&self) -> io::Result<()> {
        if self.0.is_dir() {
            return Ok(());
        }
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(self.0)?;
        let (name, text) = TAG;
        std::fs::write(self.0.join(name), text)
    }

    /// Removes drafts that nobody writes any more, and copies that are none or whose model is gone. What has another name
    /// is somebody else's.
    pub(super) fn tidy(&self) {
        for path in self.files() {
            let is_left = match kind_of(&path) {
                Some(Kind::Draft) => !is_written(&path),
                Some(Kind::Copy) => !is_wanted(&path),
                None => false,
            };
            if is_left {
                // Whoever could not remove it tries again next time.
                let _ = std::fs::remove_file(&path);
            }
        }
    }

    /// How many copies there are, and how many bytes they take.
    pub(super) fn total(&self) -> (usize, u64) {
        let copies = self
            .files()
            .filter(|path| kind_of(path) == Some(Kind::Copy));
        let lengths = copies.filter_map(|path| Some(path.metadata().ok()?.len()));
        lengths.fold((0, 0), |(count, bytes), own| (count + 1, bytes + own))
    }

    fn files(&self) -> impl Iterator<Item = PathBuf> {
        let entries = std::fs::read_dir(self.0).into_iter().flatten().flatten();
        entries.map(|entry| entry.path())
    }

    /// Bytes that are free for this user on its disk; `None` where that is not known.
    pub(super) fn free(&self) -> Option<u64> {
        free(self.0)
    }
}

/// What a file in it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Copy,
    Draft,
}

/// By its name: 32 hexadecimal digits, and for a draft a process and a number as well; `None` for what is not ours.
fn kind_of(path: &Path) -> Option<Kind> {
    let (stem, rest) = path.file_name()?.to_str()?.split_once('.')?;
    let is_hash = stem.len() == 32 && stem.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if !is_hash {
        return None;
    }
    if rest == COPY {
        return Some(Kind::Copy);
    }
    let (process, number) = rest
        .strip_suffix(DRAFT)?
        .strip_suffix('.')?
        .split_once('-')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    (is_number(process) && is_number(number)).then_some(Kind::Draft)
}

fn name(hash: u128) -> String {
    format!("{hash:032x}.{COPY}")
}

/// Whether somebody holds the draft's lock, which the system takes back from those who died; or nobody knows.
fn is_written(draft: &Path) -> bool {
    let lock = File::open(draft).map(|file| file.try_lock_shared());
    !matches!(lock, Ok(Ok(())))
}

/// Whether there is a model that a copy may be of. One that is not there now, with all that was around it, may come back.
fn is_wanted(copy: &Path) -> bool {
    let seal = File::open(copy).and_then(|file| Seal::read(&file));
    match seal {
        Ok(seal) => {
            let found = seal.path().symlink_metadata();
            let is_gone = found.is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
            !(is_gone && seal.path().parent().is_some_and(Path::is_dir))
        }
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

/// Whether what has a name still has this file.
#[cfg(unix)]
pub(super) fn is_named(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let same = |a: Metadata, b: Metadata| a.ino() == b.ino() && a.dev() == b.dev();
    let both = file.metadata().ok().zip(path.symlink_metadata().ok());
    both.is_some_and(|(a, b)| same(a, b))
}

#[cfg(not(unix))]
pub(super) fn is_named(_: &File, _: &Path) -> bool {
    false
}

/// A file of this process may have so many bytes and a seal; the system ends with a signal who writes more.
///
/// # Errors
/// It may not.
#[cfg(unix)]
pub(super) fn may_be_written(bytes: u64) -> io::Result<()> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Fsize);
    let most = limit.current.unwrap_or(u64::MAX);
    if most / 2 < bytes {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(())
}

#[cfg(not(unix))]
pub(super) fn may_be_written(_: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Whether its file system keeps a file, unlinked or replaced, for whoever has it open. Those over a network do not for all.
#[cfg(target_os = "linux")]
pub(super) fn keeps_what_is_open(file: &File) -> bool {
    /// ext4, xfs, btrfs, tmpfs, overlayfs: `include/uapi/linux/magic.h` of Linux.
    const KNOWN: [u32; 5] = [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630];
    let disk = rustix::fs::fstatfs(file);
    disk.is_ok_and(|disk| KNOWN.contains(&(disk.f_type as u32)))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn keeps_what_is_open(_: &File) -> bool {
    false
}

#[cfg(unix)]
fn free(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    disk.f_bavail.checked_mul(disk.f_frsize)
}

#[cfg(not(unix))]
fn free(_: &Path) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_another_name_is_not_ours() {
        let hash = "0123456789abcdef0123456789abcdef";
        let named = |tail: &str| kind_of(Path::new(&format!("/c/{hash}{tail}")));
        assert!(named(".packed") == Some(Kind::Copy));
        assert!(named(".71-0.part") == Some(Kind::Draft));
        for tail in [
            "",
            ".part",
            ".packed.part",
            ".71.part",
            ".-0.part",
            ".71-.part",
            ".x-0.part",
            "0.packed",
        ] {
            assert!(named(tail).is_none(), "{tail}");
        }
        for path in [
            "/c/film.mkv.part",
            "/c/a.packed",
            "/c/0123456789ABCDEF0123456789ABCDEF.packed",
        ] {
            assert!(kind_of(Path::new(path)).is_none(), "{path}");
        }
    }
}
