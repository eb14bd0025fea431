//! Numbers and texts of a header, one after another: none is read, or has memory, that cannot be there.

use std::io::{BufRead, Read};

use super::{HeaderError, MAX_NAME_BYTES, malformed};
use crate::texts::Texts;

/// A reader that knows how much may still be read.
pub(super) struct Cursor<R> {
    pub(super) source: R,
    pub(super) read: u64,
    pub(super) end: u64,
    pub(super) file_bytes: u64,
}

impl<R: BufRead> Cursor<R> {
    pub(super) fn remaining(&self) -> u64 {
        self.end.saturating_sub(self.read)
    }

    /// Whether `bytes` more can be there at all.
    pub(super) fn expect(&self, bytes: u64, what: &str) -> Result<(), HeaderError> {
        if bytes <= self.remaining() {
            return Ok(());
        }
        let limit = if self.end < self.file_bytes {
            "of the longest header read"
        } else {
            "of the file"
        };
        malformed(format!(
            "`{what}` needs {bytes} bytes at byte {}; {} {limit} remain",
            self.read,
            self.remaining()
        ))
    }

    fn fill(&mut self, buffer: &mut [u8], what: &str) -> Result<(), HeaderError> {
        let bytes = buffer.len() as u64;
        self.expect(bytes, what)?;
        self.source
            .read_exact(buffer)
            .map_err(|error| HeaderError::Io(format!("reading `{what}`: {error}")))?;
        self.read += bytes;
        Ok(())
    }

    pub(super) fn skip(&mut self, bytes: u64, what: &str) -> Result<(), HeaderError> {
        self.expect(bytes, what)?;
        let skipped = std::io::copy(&mut self.source.by_ref().take(bytes), &mut std::io::sink())
            .map_err(|error| HeaderError::Io(format!("reading `{what}`: {error}")))?;
        if skipped < bytes {
            return Err(HeaderError::Io(format!(
                "reading `{what}`: the file became shorter"
            )));
        }
        self.read += bytes;
        Ok(())
    }

    pub(super) fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], HeaderError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes, what)?;
        Ok(bytes)
    }

    pub(super) fn u32(&mut self, what: &str) -> Result<u32, HeaderError> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    pub(super) fn u64(&mut self, what: &str) -> Result<u64, HeaderError> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// How long a text is; so much is there.
    fn length(&mut self, what: &str) -> Result<usize, HeaderError> {
        let length = self.u64(what)?;
        self.expect(length, what)?;
        usize::try_from(length)
            .map_err(|_| HeaderError::Malformed(format!("`{what}` claims {length} bytes")))
    }

    /// A text that is one of many: most are read where the buffer has them.
    pub(super) fn text_of(&mut self, texts: &mut Texts, what: &str) -> Result<(), HeaderError> {
        let length = self.length(what)?;
        let taken = match self.source.fill_buf() {
            Ok(buffer) => match buffer.get(..length) {
                Some(bytes) => std::str::from_utf8(bytes).is_ok_and(|text| texts.push(text)),
                None => return self.long_text_of(texts, length, what),
            },
            // It fails again where it is read.
            Err(_) => return self.long_text_of(texts, length, what),
        };
        self.source.consume(length);
        self.read += length as u64;
        if taken { Ok(()) } else { no_text(what) }
    }

    fn long_text_of(
        &mut self,
        texts: &mut Texts,
        length: usize,
        what: &str,
    ) -> Result<(), HeaderError> {
        let mut bytes = vec![0; length];
        self.fill(&mut bytes, what)?;
        match std::str::from_utf8(&bytes) {
            Ok(text) if texts.push(text) => Ok(()),
            _ => no_text(what),
        }
    }

    pub(super) fn skip_text(&mut self, what: &str) -> Result<(), HeaderError> {
        let length = self.u64(what)?;
        self.skip(length, what)
    }

    pub(super) fn text(&mut self, what: &str) -> Result<String, HeaderError> {
        let length = self.length(what)?;
        let mut bytes = vec![0; length];
        self.fill(&mut bytes, what)?;
        String::from_utf8(bytes).or_else(|_| no_text(what))
    }

    /// A field's or tensor's name.
    pub(super) fn name(&mut self, what: &str) -> Result<String, HeaderError> {
        let length = self.u64(what)?;
        if length == 0 || length > MAX_NAME_BYTES {
            return malformed(format!(
                "{what} claims {length} bytes; 1 to {MAX_NAME_BYTES} are possible"
            ));
        }
        let mut bytes = vec![0; length as usize];
        self.fill(&mut bytes, what)?;
        String::from_utf8(bytes).map_err(|_| HeaderError::Malformed(format!("{what} is not UTF-8")))
    }
}

fn no_text<T>(what: &str) -> Result<T, HeaderError> {
    malformed(format!("`{what}` holds text that is not UTF-8"))
}
