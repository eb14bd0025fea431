//! Of what a copy was made: the model's file by its path, length and times, and what lies where in the copy.
//!
//! To hash the file itself would take longer than to pack it. The system sets the time of a file's last change whenever it is
//! written or replaced, and nobody else can; so one that was changed has another fingerprint.

use std::path::Path;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::Wanted;

/// How packed lines lie, as `cpu::pack` says; one more whenever that changes (`packed_lines_lie_as_this_form_says`). All kinds
/// of processors read the same.
pub(super) const FORM: u32 = 1;

/// The clock of a file system may stand still for so long, in which a change changes no time.
const TICK: Duration = Duration::from_millis(20);

/// A SHA-256 of all that a copy depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint(pub(super) [u8; 32]);

/// Length of a file, and when its contents and anything of it were last changed, since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    length: u64,
    modified: Duration,
    changed: Duration,
}

impl Fingerprint {
    /// `None` where the path cannot be followed.
    pub(super) fn of(wanted: &Wanted) -> Option<Self> {
        let path = wanted.path.canonicalize().ok()?;
        Some(Self::of_parts(&path, wanted))
    }

    fn of_parts(path: &Path, wanted: &Wanted) -> Self {
        let Stamp {
            length,
            modified,
            changed,
        } = wanted.stamp;
        let mut hash = Sha256::new();
        hash.update(FORM.to_le_bytes());
        // Lines are read as this processor's numbers.
        hash.update(1u32.to_ne_bytes());
        hash.update(length.to_le_bytes());
        for time in [modified, changed] {
            hash.update(time.as_nanos().to_le_bytes());
        }
        hash.update((wanted.bytes as u64).to_le_bytes());
        hash.update(wanted.plan);
        hash.update(path.as_os_str().as_encoded_bytes());
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
        self.changed.saturating_add(TICK) < now.changed
    }
}

#[cfg(test)]
#[path = "form_tests.rs"]
mod form_tests;

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp {
        length: 1000,
        modified: Duration::from_secs(5),
        changed: Duration::from_secs(6),
    };

    fn of(path: &str, stamp: Stamp, plan: u8, bytes: usize) -> Fingerprint {
        let path = Path::new(path);
        let wanted = Wanted {
            path,
            stamp,
            plan: [plan; 32],
            bytes,
        };
        Fingerprint::of_parts(path, &wanted)
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
        let after = |millis| Stamp {
            changed: STAMP.changed + Duration::from_millis(millis),
            ..STAMP
        };
        for (millis, settled) in [(0, false), (20, false), (21, true)] {
            assert_eq!(STAMP.is_settled(&after(millis)), settled, "{millis} ms");
        }
    }
}
