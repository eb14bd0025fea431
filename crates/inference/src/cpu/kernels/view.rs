//! A file as memory: what is read of it is what the system holds of the file anyway, without a copy.

use std::fs::File;
use std::io;
use std::ops::{Deref, Range};

use memmap2::{Mmap, MmapOptions};

/// The beginning of a file, mapped to be read.
pub(crate) struct View(Mmap);

impl View {
    /// The first `length` bytes of a file that nobody writes any more; on large pages, where its file system has it on such.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn of(file: &File, length: usize) -> io::Result<Self> {
        // SAFETY: such memory must not change while it is lent. The only files that come here are packed copies, which nobody
        // but their owner may write: as drafts they are seen before anything is put into them, by a view that is gone by then,
        // and once they are whole; from then on they are only read or unlinked. Whoever has the owner's rights and writes
        // there all the same could as well write into this process.
        let map = unsafe { MmapOptions::new().len(length).map(file)? };
        // Where it cannot be had, whoever asked for the view looks. Miri takes no advice.
        #[cfg(all(target_os = "linux", not(miri)))]
        let _ = map.advise(memmap2::Advice::HugePage);
        Ok(Self(map))
    }

    /// Whether these bytes can be read, which they are: of a page that cannot, a disk that fails for instance, the process would
    /// hear by a signal that ends it. True where the system cannot tell.
    pub(crate) fn can_be_read(&self, range: &Range<usize>) -> bool {
        #[cfg(all(target_os = "linux", not(miri)))]
        {
            let read = memmap2::Advice::PopulateRead;
            let told = self.0.advise_range(read, range.start, range.len());
            // What Linux says that does not know the question, before 5.14.
            told.err()
                .is_none_or(|error| error.kind() == io::ErrorKind::InvalidInput)
        }
        #[cfg(any(not(target_os = "linux"), miri))]
        {
            let _ = range;
            true
        }
    }
}

impl Deref for View {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}
