//! What stands behind the lines of a copy: of which file it was made, and a sum for each block. Nothing is believed of it.
//!
//! ```text
//!  lines … │ magic 8 │ fingerprint 32 │ bytes of lines 8 │ sums 4 each │ path │ length of path 4 │ length of seal 4 │ sum 4
//! ```
//!
//! Numbers are little-endian; the last sum is that of the seal before it.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::{BLOCK, Fingerprint};

const MAGIC: [u8; 8] = *b"PARAPACK";

/// Before the sums.
const HEAD: usize = MAGIC.len() + 32 + 8;
/// Behind the path.
const FOOT: usize = 12;
/// The longest: sums of 32 TiB.
const LONGEST: u64 = 64 << 20;

/// See above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seal {
    fingerprint: Fingerprint,
    bytes: usize,
    sums: Vec<u32>,
    path: PathBuf,
}

impl Seal {
    /// Of a copy of the model at `path`, with so many bytes of lines, and the sums of their blocks.
    pub(super) fn new(
        fingerprint: Fingerprint,
        bytes: usize,
        sums: Vec<u32>,
        path: PathBuf,
    ) -> Self {
        Self {
            fingerprint,
            bytes,
            sums,
            path,
        }
    }

    /// Whether the copy is of this.
    pub(super) fn is_of(&self, fingerprint: &Fingerprint) -> bool {
        self.fingerprint == *fingerprint
    }

    /// Bytes of the lines.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The sum of each block.
    pub(super) const fn sums(&self) -> &[u32] {
        self.sums.as_slice()
    }

    /// The model's file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// As it stands in the file.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let path = self.path.as_os_str().as_encoded_bytes();
        let mut bytes = MAGIC.to_vec();
        bytes.extend(self.fingerprint.0);
        bytes.extend((self.bytes as u64).to_le_bytes());
        bytes.extend(self.sums.iter().flat_map(|sum| sum.to_le_bytes()));
        bytes.extend(path);
        bytes.extend((path.len() as u32).to_le_bytes());
        bytes.extend(((bytes.len() + 8) as u32).to_le_bytes());
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    /// That of a file.
    ///
    /// # Errors
    /// Those of reading, and `InvalidData` where there is none.
    pub(super) fn read(mut file: &File) -> io::Result<Self> {
        let none = || io::Error::from(io::ErrorKind::InvalidData);
        let length = file.metadata()?.len();
        let foot = length.checked_sub(FOOT as u64).ok_or_else(none)?;
        let mut last = [0; FOOT];
        file.seek(SeekFrom::Start(foot))?;
        file.read_exact(&mut last)?;
        let own = u64::from(number(&last, 4).ok_or_else(none)?);
        let lines = length.checked_sub(own).filter(|_| own <= LONGEST);
        let lines = lines.ok_or_else(none)?;
        let mut bytes = vec![0; own as usize];
        file.seek(SeekFrom::Start(lines))?;
        file.read_exact(&mut bytes)?;
        let seal = Self::of_bytes(&bytes).ok_or_else(none)?;
        (seal.bytes as u64 == lines)
            .then_some(seal)
            .ok_or_else(none)
    }

    fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let (before, sum) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
        let sound = number(sum, 0)? == crc32fast::hash(before);
        let length = number(before, before.len().checked_sub(4)?)? as usize;
        if !sound || length != bytes.len() || before.get(..MAGIC.len())? != MAGIC {
            return None;
        }
        let fingerprint = Fingerprint(*before.get(MAGIC.len()..)?.first_chunk()?);
        let lines = u64::from_le_bytes(*before.get(HEAD - 8..)?.first_chunk()?);
        let lines = usize::try_from(lines).ok()?;
        let of_path = number(before, before.len().checked_sub(8)?)? as usize;
        let middle = before.get(HEAD..bytes.len().checked_sub(FOOT)?)?;
        let (sums, path) = middle.split_at_checked(middle.len().checked_sub(of_path)?)?;
        let (sums, rest) = sums.as_chunks::<4>();
        let sums: Vec<u32> = sums.iter().map(|sum| u32::from_le_bytes(*sum)).collect();
        (rest.is_empty() && sums.len() == lines.div_ceil(BLOCK)).then_some(Self {
            fingerprint,
            bytes: lines,
            sums,
            path: path_of(path)?,
        })
    }
}

#[cfg(unix)]
#[allow(
    clippy::unnecessary_wraps,
    reason = "elsewhere a path is not any bytes"
)]
fn path_of(bytes: &[u8]) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStringExt;
    Some(PathBuf::from(OsString::from_vec(bytes.to_vec())))
}

#[cfg(not(unix))]
fn path_of(bytes: &[u8]) -> Option<PathBuf> {
    let text = std::str::from_utf8(bytes).ok()?;
    Some(PathBuf::from(OsString::from(text)))
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_le_bytes(*four))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    fn seal() -> impl Strategy<Value = Seal> {
        let sums = proptest::collection::vec(any::<u32>(), 1..6);
        let path = proptest::collection::vec(1u8..=255, 0..40);
        (any::<[u8; 32]>(), 1..=BLOCK, sums, path).prop_map(|(fingerprint, last, sums, path)| {
            Seal {
                fingerprint: Fingerprint(fingerprint),
                bytes: (sums.len() - 1) * BLOCK + last,
                sums,
                path: path_of(&path).unwrap_or_default(),
            }
        })
    }

    proptest! {
        #[test]
        fn it_is_read_as_it_was_written(seal in seal()) {
            prop_assert_eq!(Seal::of_bytes(&seal.to_bytes()), Some(seal));
        }

        #[test]
        fn one_that_was_changed_or_cut_is_none(seal in seal(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let mut bytes = seal.to_bytes();
            let at = at.index(bytes.len());
            prop_assert_eq!(Seal::of_bytes(bytes.get(at + 1..).unwrap_or_default()), None);
            prop_assert_eq!(Seal::of_bytes(bytes.get(..at).unwrap_or_default()), None);
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << bit;
            }
            prop_assert_eq!(Seal::of_bytes(&bytes), None);
        }

        #[test]
        fn any_file_may_come(bytes in proptest::collection::vec(any::<u8>(), 0..200), own in 0u32..220) {
            prop_assert_eq!(Seal::of_bytes(&bytes), None);
            let mut file = tempfile::tempfile()?;
            file.write_all(&bytes)?;
            file.write_all(&own.to_le_bytes())?;
            file.write_all(&[0; 4])?;
            prop_assert!(Seal::read(&file).is_err());
        }
    }

    #[test]
    fn behind_the_wrong_number_of_lines_it_is_none() -> io::Result<()> {
        let seal = Seal::new(Fingerprint([7; 32]), 128, vec![1], PathBuf::from("/m"));
        for (lines, sound) in [(128, true), (127, false), (129, false), (0, false)] {
            let mut file = tempfile::tempfile()?;
            file.write_all(&vec![0; lines])?;
            file.write_all(&seal.to_bytes())?;
            assert_eq!(
                Seal::read(&file).ok() == Some(seal.clone()),
                sound,
                "{lines}"
            );
        }
        Ok(())
    }
}
