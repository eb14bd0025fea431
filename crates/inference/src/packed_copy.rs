//! Packed copies on disk: what was packed once is mapped the next time, and not read, packed or copied.
//!
//! ```text
//!  first load:  GGUF ── rows ── packed ── blocks of 2 MiB ──> draft ── seal, rename ──> copy ─┐
//!  later ones:  fingerprint ── is there such a copy, sound, on large pages? ──────────────────┴── mapped ──> weights
//! ```
//!
//! The file of a copy is the lines of all packed matrices as they lie in memory, and behind them a seal: of which file it was
//! made, and a check sum of each block. It is written by 2 MiB at multiples of 2 MiB, because a file system that can keeps
//! those in memory as large pages, and maps them so; without these decoding is slower by a third, so there is no copy where
//! there are none.
//!
//! Read on in this order: `fingerprint` (of what a copy is), `seal`, `draft` (one that is written), `folder`, `large_pages`,
//! `no_copy` (why there is none).
//!
//! Invariants: a copy is used only if its fingerprint is that of the file as it is, and every block's sum is right; it is never
//! written again, only unlinked. Whatever goes wrong with one while a model is loaded, it is loaded without.

mod draft;
mod fingerprint;
mod folder;
mod large_pages;
mod no_copy;
mod seal;

use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

pub(crate) use draft::Draft;
pub(crate) use fingerprint::{Fingerprint, Stamp};
pub use no_copy::NoCopy;

use crate::cpu::View;
use folder::Folder;
use seal::Seal;

/// What has a check sum of its own, and is written at once: a large page where small ones have 4 KiB.
pub(crate) const BLOCK: usize = 2 << 20;

/// Models whose packed weights are smaller are loaded in some milliseconds anyway.
const AT_LEAST: u64 = 32 << 20;

/// Where packed copies lie, and of what they are made.
#[derive(Clone)]
pub struct PackedCopies {
    folder: PathBuf,
    at_least: u64,
    on_any_pages: bool,
    hears: Arc<dyn Fn(&NoCopy) + Send + Sync>,
}

/// A copy, mapped.
pub(crate) struct PackedCopy {
    path: PathBuf,
    view: Arc<View>,
    seal: Seal,
    on_any_pages: bool,
    /// Whether it lies on such pages as are wanted, once somebody looked.
    on_wanted_pages: OnceLock<bool>,
}

/// What is to be copied: of which file, and how many bytes its packed lines are.
pub(crate) struct Wanted<'a> {
    /// The model's file, by its path without links.
    pub(crate) path: &'a Path,
    /// Which file that is, its length and times.
    pub(crate) stamp: Stamp,
    /// A hash of what lies where, and how it begins.
    pub(crate) plan: [u8; 32],
    /// Bytes of all packed lines.
    pub(crate) bytes: usize,
}

impl fmt::Debug for PackedCopies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PackedCopies")
            .field("folder", &self.folder)
            .field("at_least", &self.at_least)
            .field("on_any_pages", &self.on_any_pages)
            .finish_non_exhaustive()
    }
}

impl PackedCopies {
    /// Copies in this folder. Where it is not there it is made when the first is written, for its owner alone; each copy is for
    /// its owner alone as well. Removed are copies of models that are gone, and what was left of some that nobody writes any
    /// more; both are known by their names, of 32 hexadecimal digits, and nothing else there is touched.
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            at_least: AT_LEAST,
            on_any_pages: false,
            hears: Arc::new(|_| {}),
        }
    }

    /// Only of models whose packed weights take so many bytes or more; 32 MiB by default.
    #[must_use]
    pub fn of_at_least(mut self, bytes: u64) -> Self {
        self.at_least = bytes;
        self
    }

    /// Also where the system holds files on small pages: a load is as quick, but each token takes longer by a third.
    #[must_use]
    pub fn on_any_pages(mut self) -> Self {
        self.on_any_pages = true;
        self
    }

    /// Who hears why there is none, each time one was wanted; nobody if it is not said.
    #[must_use]
    pub fn heard_by(mut self, hears: impl Fn(&NoCopy) + Send + Sync + 'static) -> Self {
        self.hears = Arc::new(hears);
        self
    }

    /// Where they lie.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// How many there are, and how many bytes they take on disk.
    pub fn total(&self) -> (usize, u64) {
        Folder::of(&self.folder).total()
    }

    /// Whether there can be any. To find out, the folder is made, and something is written there for a moment.
    ///
    /// # Errors
    /// Why there can be none.
    pub fn try_out(&self) -> Result<(), NoCopy> {
        draft::try_out(&Folder::of(&self.folder), self.on_any_pages)
    }

    /// Removes those whose model is gone, and what was left of some that nobody writes any more.
    pub fn tidy(&self) {
        Folder::of(&self.folder).tidy();
    }

    /// Whether so many packed bytes are worth a copy.
    pub(crate) const fn are_of(&self, bytes: u64) -> bool {
        bytes >= self.at_least && bytes > 0
    }

    /// The copy of this, if there is one.
    pub(crate) fn find(&self, wanted: &Wanted) -> Option<PackedCopy> {
        let path = Folder::of(&self.folder).copy_of(wanted.path);
        let file = File::open(&path).ok()?;
        let seal = Seal::read(&file).ok()?;
        let fits = seal.is_of(&Fingerprint::of(wanted)) && seal.bytes() == wanted.bytes;
        if !fits || !folder::is_ours(&file) || !folder::keeps_what_is_open(&file) {
            return None;
        }
        let view = View::of(&file, wanted.bytes).ok()?;
        Some(self.copy(path, view, seal))
    }

    /// A copy of this that is to be written; `None` where there cannot be one.
    pub(crate) fn begin(&self, wanted: &Wanted) -> Option<Draft> {
        match Draft::begin(&Folder::of(&self.folder), wanted, self) {
            Ok(draft) => Some(draft),
            Err(why) => {
                (self.hears)(&why);
                None
            }
        }
    }

    fn copy(&self, path: PathBuf, view: View, seal: Seal) -> PackedCopy {
        PackedCopy {
            path,
            view: Arc::new(view),
            seal,
            on_any_pages: self.on_any_pages,
            on_wanted_pages: OnceLock::new(),
        }
    }

    /// Takes one that is not sound from its folder; whoever has it mapped keeps it.
    pub(crate) fn remove(&self, copy: &PackedCopy) {
        // One that cannot be removed is found unsound again.
        let _ = std::fs::remove_file(&copy.path);
        (self.hears)(&NoCopy::Damaged {
            path: copy.path.clone(),
        });
    }
}

impl PackedCopy {
    /// Bytes of its lines.
    pub(crate) const fn bytes(&self) -> usize {
        self.seal.bytes()
    }

    /// How many blocks it has.
    pub(crate) const fn blocks(&self) -> usize {
        self.seal.sums().len()
    }

    /// Whether a block can be read, and says what it said when it was written.
    pub(crate) fn is_sound(&self, block: usize) -> bool {
        let range = range(block, self.view.len());
        if !self.view.can_be_read(&range) {
            return false;
        }
        let (bytes, sum) = (self.view.get(range), self.seal.sums().get(block));
        bytes
            .zip(sum)
            .is_some_and(|(b, s)| crc32fast::hash(b) == *s)
    }

    /// Whether it lies on such pages as are wanted.
    pub(crate) fn is_on_wanted_pages(&self) -> bool {
        let look = || self.on_any_pages || large_pages::hold(&self.view);
        *self.on_wanted_pages.get_or_init(look)
    }

    /// Its bytes.
    pub(crate) fn view(&self) -> &Arc<View> {
        &self.view
    }
}

/// The bytes of a block, of so many in all.
fn range(block: usize, bytes: usize) -> Range<usize> {
    let from = block.saturating_mul(BLOCK).min(bytes);
    from..from.saturating_add(BLOCK).min(bytes)
}
