//! Memory of packed weights: a few long runs for a whole model, on large pages where the system gives them; or a packed copy
//! on disk as it is mapped (`packed_copy`).
//!
//! Every page of a model is read for every token. On pages of 4 KiB the processor spends as long on finding them as on reading
//! them; pages of 2 MiB are given only to a run that is much longer than they are, so matrices do not have memory of their own.
//! Nor is it one run: whoever puts something in holds a lock, and waits under it for the system to give the pages.
//!
//! Invariant: written while a model is packed, each line once; never after.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use memmap2::MmapMut;

use super::kernels::View;
use super::pack::Line;

/// A line's bytes.
pub(crate) const LINE: usize = size_of::<Line>();

/// Lines of a run after which another one begins: a few large pages are not broken at its ends.
pub(crate) const RUN_LINES: usize = (16 << 20) / LINE;

/// Where packed lines are put, by several threads at once, each line once.
pub(crate) trait Ground {
    /// Puts whole lines where byte `at` of all of them is and behind it; false where they have no place there.
    fn put(&self, at: usize, lines: &[u8]) -> bool;
}

/// Memory of this process that is still written.
pub(crate) struct Runs(Vec<Run<Mutex<Option<MmapMut>>>>);

/// Memory that is only read.
#[derive(Clone)]
pub(crate) struct Memory(Arc<[Run<Pages>]>);

/// Whose memory a run is.
enum Pages {
    /// This process's own.
    Own(MmapMut),
    /// The system's, which holds a file there.
    Copy(Arc<View>),
}

/// A run, and which byte of all lines is its first.
struct Run<T> {
    first: usize,
    map: T,
}

/// Some lines of it.
pub(super) struct Lines {
    memory: Memory,
    /// The run that they are in.
    run: usize,
    bytes: Range<usize>,
}

impl<T> Run<T> {
    /// The run that byte `at` of all lines is in, and which byte of the run it is.
    fn of(runs: &[Self], at: usize) -> Option<(usize, usize)> {
        let run = runs.partition_point(|run| run.first <= at).checked_sub(1)?;
        Some((run, at - runs.get(run)?.first))
    }
}

impl Runs {
    /// Memory for so many lines in each run, all zero; `None` where there is not so much.
    pub(crate) fn new(runs: &[usize]) -> Option<Self> {
        let mut made = Vec::new();
        let mut first = 0usize;
        for lines in runs.iter().filter(|lines| **lines > 0) {
            // Of no file: nobody can cut it short.
            let bytes = lines.checked_mul(LINE)?;
            let map = MmapMut::map_anon(bytes).ok()?;
            // Where it cannot be had, small pages do. Miri takes no advice.
            #[cfg(all(target_os = "linux", not(miri)))]
            let _ = map.advise(memmap2::Advice::HugePage);
            let map = Mutex::new(Some(map));
            made.push(Run { first, map });
            first = first.checked_add(bytes)?;
        }
        Some(Self(made))
    }

    /// All that was written. Nothing can be put here any more.
    pub(crate) fn finish(&self) -> Memory {
        let runs = self.0.iter().filter_map(|run| {
            let mut map = run.map.lock().unwrap_or_else(PoisonError::into_inner);
            let (first, map) = (run.first, Pages::Own(map.take()?));
            Some(Run { first, map })
        });
        Memory(runs.collect())
    }
}

impl Ground for Runs {
    /// Lines have their place in one run.
    fn put(&self, at: usize, lines: &[u8]) -> bool {
        let place = Run::of(&self.0, at);
        let Some((run, from)) = place.and_then(|(run, from)| Some((self.0.get(run)?, from))) else {
            return false;
        };
        let mut map = run.map.lock().unwrap_or_else(PoisonError::into_inner);
        let target = map.as_deref_mut().unwrap_or_default();
        let target = target.get_mut(from..);
        let target = target.and_then(|target| target.get_mut(..lines.len()));
        target.is_some_and(|target| {
            target.copy_from_slice(lines);
            true
        })
    }
}

impl Memory {
    /// A packed copy, whole.
    pub(crate) fn of_copy(view: Arc<View>) -> Self {
        let (first, map) = (0, Pages::Copy(view));
        Self(Arc::new([Run { first, map }]))
    }

    /// What a packed copy says, in memory of this process with so many lines in each run; `None` where there is not so much.
    pub(crate) fn read_from(view: &View, runs: &[usize]) -> Option<Self> {
        let memory = Runs::new(runs)?;
        let mut left: &[u8] = view;
        for Run { first, map } in &memory.0 {
            let length = {
                let map = map.lock().unwrap_or_else(PoisonError::into_inner);
                map.as_deref().map_or(0, <[u8]>::len)
            };
            let (here, later) = left.split_at_checked(length)?;
            if !memory.put(*first, here) {
                return None;
            }
            left = later;
        }
        left.is_empty().then(|| memory.finish())
    }
}

impl Pages {
    #[inline]
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Own(map) => map,
            Self::Copy(view) => view,
        }
    }
}

impl Lines {
    /// These lines of the memory; `None` if there are not so many.
    pub(super) fn of(memory: &Memory, lines: Range<usize>) -> Option<Self> {
        let (run, from) = Run::of(&memory.0, lines.start.checked_mul(LINE)?)?;
        let bytes = from..from.checked_add(lines.len().checked_mul(LINE)?)?;
        let lines = Self {
            memory: memory.clone(),
            run,
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
        let run = self.memory.0.get(self.run);
        let bytes = run.and_then(|run| run.map.bytes().get(self.bytes.clone()));
        let bytes = bytes.unwrap_or_default();
        // A page begins where a line does.
        bytemuck::try_cast_slice(bytes).unwrap_or_default()
    }
}
