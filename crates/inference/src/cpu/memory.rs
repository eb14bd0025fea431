//! Memory of packed weights: one run for a whole model, on large pages where the system gives them.
//!
//! Every page of a model is read for every token. On pages of 4 KiB the processor spends as long on finding them as on reading
//! them; pages of 2 MiB are given only to a run that is much longer than they are, so matrices do not have memory of their own.
//!
//! Invariant: written while a model is packed, each line once; never after.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use memmap2::MmapMut;

use super::pack::Line;

/// A line's bytes.
const LINE: usize = size_of::<Line>();

/// Memory that is still written.
pub(crate) struct Ground(Mutex<Option<MmapMut>>);

/// Memory that is only read.
#[derive(Clone)]
pub(crate) struct Memory(Arc<Option<MmapMut>>);

/// Some lines of it.
pub(super) struct Lines {
    memory: Memory,
    bytes: Range<usize>,
}

impl Ground {
    /// Memory for so many lines, all zero; `None` where there is not so much.
    pub(crate) fn new(lines: usize) -> Option<Self> {
        if lines == 0 {
            return Some(Self(Mutex::new(None)));
        }
        // Of no file: nobody can cut it short.
        let map = MmapMut::map_anon(lines.checked_mul(LINE)?).ok()?;
        // Where it cannot be had, small pages do. Miri takes no advice.
        #[cfg(all(target_os = "linux", not(miri)))]
        let _ = map.advise(memmap2::Advice::HugePage);
        Some(Self(Mutex::new(Some(map))))
    }

    /// Puts lines where line `first` is and behind it; false where there is no such place.
    pub(super) fn put(&self, first: usize, lines: &[Line]) -> bool {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let target = map.as_deref_mut().unwrap_or_default();
        let target = first
            .checked_mul(LINE)
            .and_then(|from| target.get_mut(from..)?.get_mut(..size_of_val(lines)));
        target.is_some_and(|target| {
            target.copy_from_slice(bytemuck::cast_slice(lines));
            true
        })
    }

    /// All that was written. Nothing can be put here any more.
    pub(crate) fn finish(&self) -> Memory {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Memory(Arc::new(map.take()))
    }
}

impl Lines {
    /// These lines of the memory; `None` if there are not so many.
    pub(super) fn of(memory: &Memory, lines: Range<usize>) -> Option<Self> {
        let bytes = lines.start.checked_mul(LINE)?..lines.end.checked_mul(LINE)?;
        let lines = Self {
            memory: memory.clone(),
            bytes: bytes.clone(),
        };
        (size_of_val(lines.all()) == bytes.len()).then_some(lines)
    }

    /// How many bytes they are.
    pub(super) const fn bytes(&self) -> u64 {
        (self.bytes.end - self.bytes.start) as u64
    }

    /// The lines.
    #[inline]
    pub(super) fn all(&self) -> &[Line] {
        let map = self.memory.0.as_deref().unwrap_or_default();
        let bytes = map.get(self.bytes.clone()).unwrap_or_default();
        // A page begins where a line does.
        bytemuck::try_cast_slice(bytes).unwrap_or_default()
    }
}
