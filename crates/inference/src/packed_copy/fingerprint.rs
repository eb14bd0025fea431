//! Of what a copy was made: the model's file by its path, inode, length and times, what lies where in the copy, and how each
//! tensor begins.
//!
//! To hash all of the file would take longer than to pack it. Most systems set the time of a file's last change whenever it is
//! written or replaced, and let nobody else do so; for those that do not, the beginnings of all tensors are hashed as well. What
//! is not seen: who writes to a model through a mapping of it that is shared, more than 20 ms after he began, and behind the
//! beginnings alone.

use std::time::Duration;

use sha2::{Digest, Sha256};

use super::Wanted;

/// How packed lines lie, as `cpu::pack` says; one more whenever that changes (`packed_lines_lie_as_this_form_says`). All kinds
/// of processors read the same.
pub(super) const FORM: u32 = 1;

/// The clock of a file system may stand still for so long, in which a change changes no time.
const TICK: Duration = Duration::from_millis(20);
/// That of one that knows no parts of seconds.
const LONG_TICK: Duration = Duration::from_secs(2);

/// A SHA-256 of all that a copy depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint(pub(super) [u8; 32]);

/// Which file it is, its length, and when its contents and anything of it were last changed, since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    inode: u64,
    length: u64,
    modified: Duration,
    changed: Duration,
}

impl Fingerprint {
    pub(super) fn of(wanted: &Wanted) -> Self {
        let Stamp {
            inode,
            length,
            modified,
            changed,
        } = wanted.stamp;
        let mut hash = Sha256::new();
        hash.update(FORM.to_le_bytes());
        // Lines are read as this processor's numbers.
        hash.update(1u32.to_ne_bytes());
        hash.update(inode.to_le_bytes());
        hash.update(length.to_le_bytes());
        for time in [modified, changed] {
            hash.update(time.as_nanos().to_le_bytes());
        }
        hash.update((wanted.bytes as u64).to_le_bytes());
        hash.update(wanted.plan);
        hash.update(wanted.path.as_os_str().as_encoded_bytes());
        Self(hash.finalize().into())
    }
}

impl Stamp {
    /// That of a file; `None` where the system does not tell times of change.
    #[cfg(unix)]
    pub(crate) fn of(file: &std::fs::Metadata) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        let time = |seconds: i64, nanos: i64| {
            let nanos = u32::try_from(nanos).ok()?;
            Some(Duration::new(u64::try_from(seconds).ok()?, nanos))
        };
        Some(Self {
            inode: file.ino(),
            length: file.len(),
            modified: time(file.mtime(), file.mtime_nsec())?,
            changed: time(file.ctime(), file.ctime_nsec())?,
        })
    }

    /// As above.
    #[cfg(not(unix))]
    pub(crate) fn of(_: &std::fs::Metadata) -> Option<Self> {
        None
    }

    /// Whether whatever is changed from `now` on has another time: `now` is the stamp of a file that was just made.
    pub(super) fn is_settled(&self, now: &Self) -> bool {
        let is_coarse = self.changed.subsec_nanos() == 0;
        let tick = if is_coarse { LONG_TICK } else { TICK };
        self.changed.saturating_add(tick) < now.changed
    }
}

#[cfg(test)]
#[path = "form_tests.rs"]
mod form_tests;

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp {
        inode: 3,
        length: 1000,
        modified: Duration::from_secs(5),
        changed: Duration::from_millis(6_001),
    };

    fn of(path: &str, stamp: Stamp, plan: u8, bytes: usize) -> Fingerprint {
        let path = std::path::Path::new(path);
        let wanted = Wanted {
            path,
            stamp,
            plan: [plan; 32],
            bytes,
        };
        Fingerprint::of(&wanted)
    }

    #[test]
    fn whatever_is_other_has_another_one() {
        let first = of("/m/a.gguf", STAMP, 1, 64);
        assert_eq!(first, of("/m/a.gguf", STAMP, 1, 64));
        let later = |time: Duration| time + Duration::from_nanos(1);
        let (length, modified, changed) = (
            STAMP.length + 1,
            later(STAMP.modified),
            later(STAMP.changed),
        );
        for other in [
            of("/m/b.gguf", STAMP, 1, 64),
            of("/m/a.gguf", Stamp { inode: 4, ..STAMP }, 1, 64),
            of("/m/a.gguf", Stamp { length, ..STAMP }, 1, 64),
            of("/m/a.gguf", Stamp { modified, ..STAMP }, 1, 64),
            of("/m/a.gguf", Stamp { changed, ..STAMP }, 1, 64),
            of("/m/a.gguf", STAMP, 2, 64),
            of("/m/a.gguf", STAMP, 1, 128),
        ] {
            assert_ne!(first, other);
        }
    }

    #[test]
    fn a_file_that_was_changed_within_a_tick_is_not_settled() {
        let at = |millis| Stamp {
            changed: Duration::from_millis(millis),
            ..STAMP
        };
        for (changed, now, settled) in [
            (6_001, 6_001, false),
            (6_001, 6_021, false),
            (6_001, 6_022, true),
            (6_001, 5_000, false),
            // Of a clock that tells whole seconds.
            (6_000, 7_000, false),
            (6_000, 8_000, false),
            (6_000, 8_001, true),
        ] {
            assert_eq!(at(changed).is_settled(&at(now)), settled, "{changed} {now}");
        }
    }
}
