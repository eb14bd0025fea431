//! Packed copies on disk: what was packed once is mapped the next time, and nothing is read, packed or copied.
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
//! Read on in this order: `fingerprint` (of what a copy is), `seal`, `draft` (one that is written), `folder`, `large_pages`.
//!
//! Invariants: a copy is used only if its fingerprint is that of the file as it is, and every block's sum is right; it is never
//! written again, only unlinked. Whatever goes wrong with one, the model is loaded without.

mod draft;
mod fingerprint;
mod folder;
mod large_pages;
mod seal;

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) use draft::Draft;
pub(crate) use fingerprint::{Fingerprint, Stamp};

use crate::cpu::{Ground, View};
use folder::Folder;
use seal::Seal;

/// What has a check sum of its own, and is written at once: a large page on x86-64 and arm64.
pub(crate) const BLOCK: usize = 2 << 20;

/// Models whose packed weights are smaller are loaded in some milliseconds anyway.
const AT_LEAST: u64 = 32 << 20;

/// Where packed copies lie, and of what they are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedCopies {
    folder: PathBuf,
    at_least: u64,
    on_any_pages: bool,
}

/// A copy, mapped.
pub(crate) struct PackedCopy {
    path: PathBuf,
    view: Arc<View>,
    seal: Seal,
    on_any_pages: bool,
}

/// What is to be copied: of which file, and how many bytes its packed lines are.
pub(crate) struct Wanted<'a> {
    /// The model's file, by the path that it was asked for.
    pub(crate) path: &'a Path,
    /// Its length and times.
    pub(crate) stamp: Stamp,
    /// A hash of what lies where.
    pub(crate) plan: [u8; 32],
    /// Bytes of all packed lines.
    pub(crate) bytes: usize,
}

impl PackedCopies {
    /// Copies in this folder, which is made when the first is written: for its owner alone, as is each copy. It is theirs:
    /// files there that end like a copy's, and are none, or whose model is gone, are removed.
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            at_least: AT_LEAST,
            on_any_pages: false,
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

    /// Where they lie.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// How many there are, and how many bytes they take on disk.
    pub fn total(&self) -> (usize, u64) {
        Folder::of(&self.folder).total()
    }

    /// Whether there can be any; `None` where nothing can be written. To find out, the folder is made.
    pub fn can_be(&self) -> Option<bool> {
        let folder = Folder::of(&self.folder);
        folder.make().ok()?;
        let is_on_large_pages = draft::is_on_large_pages(&folder)?;
        Some(self.on_any_pages || is_on_large_pages)
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
        let fingerprint = Fingerprint::of(wanted)?;
        let path = Folder::of(&self.folder).copy_of(wanted.path)?;
        let file = File::open(&path).ok()?;
        let seal = Seal::read(&file).ok()?;
        let fits = seal.is_of(&fingerprint) && seal.bytes() == wanted.bytes;
        if !fits || !folder::is_ours(&file) {
            return None;
        }
        let view = Arc::new(View::of(&file, wanted.bytes).ok()?);
        Some(PackedCopy {
            path,
            view,
            seal,
            on_any_pages: self.on_any_pages,
        })
    }

    /// A copy of this that is to be written; `None` where there cannot be one, or somebody writes it already.
    pub(crate) fn begin(&self, wanted: &Wanted) -> Option<Draft> {
        let fingerprint = Fingerprint::of(wanted)?;
        let folder = Folder::of(&self.folder);
        folder.make().ok()?;
        folder.tidy();
        folder
            .has_room_for(wanted.bytes)
            .then(|| Draft::begin(&folder, wanted, fingerprint, self.on_any_pages))?
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

    /// Whether a block says what it said when it was written.
    pub(crate) fn is_sound(&self, block: usize) -> bool {
        let bytes = self.view.get(range(block, self.view.len()));
        let sum = self.seal.sums().get(block);
        bytes
            .zip(sum)
            .is_some_and(|(b, s)| crc32fast::hash(b) == *s)
    }

    /// Takes it from its folder; whoever has it mapped keeps it.
    pub(crate) fn remove(&self) {
        // One that cannot be removed is found unsound again.
        let _ = std::fs::remove_file(&self.path);
    }

    /// Whether it lies on such pages as are wanted.
    pub(crate) fn is_on_wanted_pages(&self) -> bool {
        self.on_any_pages || large_pages::hold(&self.view)
    }

    /// Its bytes.
    pub(crate) fn view(&self) -> Arc<View> {
        Arc::clone(&self.view)
    }
}

impl Ground for PackedCopy {
    /// All lines have come.
    fn put(&self, _: usize, _: &[u8]) -> bool {
        false
    }
}

/// The bytes of a block, of so many in all.
fn range(block: usize, bytes: usize) -> Range<usize> {
    let from = block.saturating_mul(BLOCK).min(bytes);
    from..from.saturating_add(BLOCK).min(bytes)
}
