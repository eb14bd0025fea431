//! Bytes on their way into a model file: written, counted, hashed and checked in one pass.
//!
//! Nothing here waits for a network and nothing is kept in memory; every call is meant for a blocking thread.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use domain::Bytes;
use sha2::{Digest, Sha256};

use crate::{DiskError, SourceError};

/// What every GGUF begins with (<https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>).
const MAGIC: &[u8; 4] = b"GGUF";

/// The largest file taken when no size is known beforehand: more than any one machine could serve.
pub(crate) const LARGEST: Bytes = Bytes(256 << 30);

/// What must come.
#[derive(Clone, Debug, Default)]
pub(crate) struct Expected {
    /// The exact size, where it is known.
    pub(crate) size: Option<u64>,
    /// The checksum in lower-case hex, where it is known.
    pub(crate) sha256: Option<String>,
    /// Whether it may be something else than a GGUF.
    pub(crate) any_kind: bool,
}

impl Expected {
    /// Whether a file announced with `size` bytes is worth bringing.
    pub(crate) fn allows(&self, size: u64) -> Result<(), SourceError> {
        match self.size {
            Some(expected) if expected != size => Err(SourceError::WrongSize {
                expected,
                actual: size,
            }),
            None if size > LARGEST.0 => Err(SourceError::TooLarge {
                limit: LARGEST,
                actual: Bytes(size),
            }),
            _ => Ok(()),
        }
    }
}

/// A file that came whole, was checked and is on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arrived {
    pub(crate) path: PathBuf,
    pub(crate) size: u64,
    pub(crate) sha256: String,
}

/// A file that is being taken in.
pub(crate) struct Intake {
    file: File,
    path: PathBuf,
    hash: Sha256,
    written: u64,
    expected: Expected,
}

impl Intake {
    /// Opens a new file at `path`.
    pub(crate) fn create(path: PathBuf, expected: Expected) -> Result<Self, DiskError> {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(|e| DiskError::new("write", &path, &e))?;
        Ok(Self {
            file,
            path,
            hash: Sha256::new(),
            written: 0,
            expected,
        })
    }

    /// Takes the next bytes; refuses as soon as there are too many, or the first are not a GGUF's.
    /// The first call must bring at least four.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), SourceError> {
        if self.written == 0 && !self.expected.any_kind && !bytes.starts_with(MAGIC) {
            return Err(SourceError::NotGguf);
        }
        let after = self.written.saturating_add(bytes.len() as u64);
        let limit = self.expected.size.unwrap_or(LARGEST.0);
        if after > limit {
            return Err(match self.expected.size {
                Some(expected) => SourceError::WrongSize {
                    expected,
                    actual: after,
                },
                None => SourceError::TooLarge {
                    limit: LARGEST,
                    actual: Bytes(after),
                },
            });
        }
        self.hash.update(bytes);
        self.file
            .write_all(bytes)
            .map_err(|e| DiskError::new("write", &self.path, &e))?;
        self.written = after;
        Ok(())
    }

    /// The end: size and checksum are compared and the file is brought onto the disk.
    pub(crate) fn finish(self) -> Result<Arrived, SourceError> {
        if self.written == 0 {
            return Err(SourceError::NotGguf);
        }
        self.expected.allows(self.written)?;
        let actual = hex(&self.hash.finalize());
        if let Some(expected) = self.expected.sha256.filter(|e| *e != actual) {
            return Err(SourceError::WrongChecksum { expected, actual });
        }
        self.file
            .sync_all()
            .map_err(|e| DiskError::new("write", &self.path, &e))?;
        Ok(Arrived {
            path: self.path,
            size: self.written,
            sha256: actual,
        })
    }
}

/// The SHA-256 of a file, in lower-case hex.
pub(crate) fn sha256_of(path: &Path) -> Result<String, DiskError> {
    let failed = |e: &std::io::Error| DiskError::new("read", path, e);
    let mut file = File::open(path).map_err(|e| failed(&e))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = std::io::Read::read(&mut file, &mut buffer).map_err(|e| failed(&e))?;
        if read == 0 {
            return Ok(hex(&hash.finalize()));
        }
        hash.update(buffer.get(..read).unwrap_or_default());
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = b"GGUF and what follows";

    fn take(pieces: &[&[u8]], expected: Expected) -> Result<Arrived, SourceError> {
        let dir = tempfile::tempdir().map_err(|e| DiskError::new("write", "/tmp", &e))?;
        let mut intake = Intake::create(dir.path().join("x"), expected)?;
        for piece in pieces {
            intake.push(piece)?;
        }
        intake.finish()
    }

    fn sha(bytes: &[u8]) -> String {
        hex(&Sha256::digest(bytes))
    }

    #[test]
    fn what_is_right_arrives_however_it_is_cut() {
        let expected = Expected {
            size: Some(BODY.len() as u64),
            sha256: Some(sha(BODY)),
            ..Expected::default()
        };
        let arrived = take(&[&BODY[..4], &BODY[4..9], &BODY[9..]], expected).unwrap();
        assert_eq!((arrived.size, arrived.sha256), (21, sha(BODY)));
        assert!(take(&[BODY], Expected::default()).is_ok());
    }

    #[test]
    fn what_is_wrong_is_refused() {
        let size = |n| Expected {
            size: Some(n),
            ..Expected::default()
        };
        let wrong = SourceError::WrongSize {
            expected: 20,
            actual: 21,
        };
        assert_eq!(take(&[BODY], size(20)), Err(wrong));
        let short = SourceError::WrongSize {
            expected: 22,
            actual: 21,
        };
        assert_eq!(take(&[BODY], size(22)), Err(short));
        assert_eq!(take(&[b"<html>"], size(6)), Err(SourceError::NotGguf));
        assert_eq!(take(&[], size(0)), Err(SourceError::NotGguf));
        let any = Expected {
            any_kind: true,
            ..Expected::default()
        };
        assert!(take(&[b"{}"], any).is_ok());
        let expected = Expected {
            size: Some(21),
            sha256: Some("00".into()),
            ..Expected::default()
        };
        assert_eq!(
            take(&[BODY], expected),
            Err(SourceError::WrongChecksum {
                expected: "00".into(),
                actual: sha(BODY)
            })
        );
    }

    #[test]
    fn an_announced_size_is_bounded() {
        let any = Expected::default();
        assert_eq!(any.allows(LARGEST.0), Ok(()));
        assert!(matches!(
            any.allows(LARGEST.0 + 1),
            Err(SourceError::TooLarge { .. })
        ));
    }
}
