//! A copy that is written, by whoever packs: lines come in any order, and a block goes to the file when it is full.
//!
//! Invariants: a draft that does not become a copy leaves no file, unless its process is killed; what fails is told once, and
//! lines that come after it are taken and dropped.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::Bytes;

use super::folder::{self, Folder};
use super::seal::Seal;
use super::{
    BLOCK, Fingerprint, NoCopy, PackedCopies, PackedCopy, Stamp, Wanted, large_pages, range,
};
use crate::cpu::{Ground, View};

/// See above.
pub(crate) struct Draft {
    file: Written,
    /// Where it goes.
    copy: PathBuf,
    copies: PackedCopies,
    fingerprint: Fingerprint,
    /// The model's file, and as it was before anything of it was packed.
    model: PathBuf,
    stamp: Stamp,
    bytes: usize,
    blocks: Vec<Mutex<Block>>,
    /// Memory of blocks that were written, for others.
    spare: Mutex<Vec<Vec<u8>>>,
    is_lost: AtomicBool,
}

/// A file that goes with this, unless it has another name by then.
struct Written {
    file: File,
    path: PathBuf,
}

/// Two megabytes of it.
#[derive(Default)]
struct Block {
    /// Bytes that have come.
    filled: usize,
    /// They, until all have.
    bytes: Vec<u8>,
    /// Their sum, once all have.
    sum: Option<u32>,
}

impl Draft {
    /// Nothing of the model is written yet.
    ///
    /// # Errors
    /// Why there can be no copy of it, as far as that is known before it is written.
    pub(super) fn begin(
        folder: &Folder,
        wanted: &Wanted,
        copies: &PackedCopies,
    ) -> Result<Self, NoCopy> {
        // What others left takes the room and the names.
        folder.tidy();
        let copy = folder.copy_of(wanted.path);
        let file = Written::begin(folder, &copy, copies.on_any_pages)?;
        let now = file.file.metadata().ok().and_then(|file| Stamp::of(&file));
        if !now.is_some_and(|now| wanted.stamp.is_settled(&now)) {
            return Err(NoCopy::Unsettled {
                path: wanted.path.to_owned(),
            });
        }
        // One that was of use would have been used.
        let _ = std::fs::remove_file(&copy);
        let needed = wanted.bytes as u64;
        folder::may_be_written(needed).map_err(failed(&copy))?;
        let free = folder.free().unwrap_or(0);
        if free / 2 < needed {
            return Err(NoCopy::Room {
                folder: folder.path(),
                free: Bytes(free),
                needed: Bytes(needed),
            });
        }
        Ok(Self {
            file,
            copy,
            copies: copies.clone(),
            fingerprint: Fingerprint::of(wanted),
            model: wanted.path.to_owned(),
            stamp: wanted.stamp,
            bytes: wanted.bytes,
            blocks: (0..wanted.bytes.div_ceil(BLOCK))
                .map(|_| Mutex::default())
                .collect(),
            spare: Mutex::default(),
            is_lost: AtomicBool::new(false),
        })
    }

    /// Whether it cannot become a copy any more.
    pub(crate) fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Relaxed)
    }

    fn put_in_block(&self, index: usize, from: usize, lines: &[u8]) -> io::Result<()> {
        let out_of_memory = |_| io::Error::from(io::ErrorKind::OutOfMemory);
        let place = range(index, self.bytes);
        let mutex = self.blocks.get(index);
        let mut block = mutex.map(locked).ok_or(io::ErrorKind::InvalidInput)?;
        if block.bytes.is_empty() {
            block.bytes = locked(&self.spare).pop().unwrap_or_default();
            let more = place.len().saturating_sub(block.bytes.len());
            let reserved = block.bytes.try_reserve_exact(more);
            reserved.map_err(out_of_memory)?;
            block.bytes.resize(place.len(), 0);
        }
        let target = block.bytes.get_mut(from..from + lines.len());
        let target = target.ok_or(io::ErrorKind::InvalidInput)?;
        target.copy_from_slice(lines);
        block.filled += lines.len();
        if block.filled == place.len() {
            let bytes = std::mem::take(&mut block.bytes);
            block.sum = Some(crc32fast::hash(&bytes));
            drop(block);
            write_at(&self.file.file, place.start as u64, &bytes)?;
            let mut spare = locked(&self.spare);
            spare.push(bytes);
        }
        Ok(())
    }

    /// The copy, mapped; under its name if the model's file is still as it was (`stamp`) and it lies on such pages as are
    /// wanted. `None` where something failed.
    pub(crate) fn finish(&self, stamp: Option<Stamp>) -> Option<PackedCopy> {
        let copy = self.sealed(stamp);
        let told = copy.map_err(failed(&self.file.path));
        told.map_err(|why| (self.copies.hears)(&why)).ok().flatten()
    }

    fn sealed(&self, stamp: Option<Stamp>) -> io::Result<Option<PackedCopy>> {
        locked(&self.spare).clear();
        let sums = self.blocks.iter().map(|block| locked(block).sum);
        let sums = sums.collect::<Option<Vec<u32>>>();
        let Some(sums) = sums.filter(|_| !self.is_lost()) else {
            // Why was told when it was lost, or the model's tensors do not fit and that will be told.
            return Ok(None);
        };
        let fingerprint = self.fingerprint.clone();
        let seal = Seal::new(fingerprint, self.bytes, sums, self.model.clone());
        let bytes = seal.to_bytes();
        let Written { file, path } = &self.file;
        write_at(file, self.bytes as u64, &bytes)?;
        // What was tried out may have been longer.
        file.set_len(self.bytes as u64 + bytes.len() as u64)?;
        let view = View::of(file, self.bytes)?;
        let copy = self.copies.copy(self.copy.clone(), view, seal);
        // Where it cannot be had under its name, this process has it all the same.
        let hears = &self.copies.hears;
        if !copy.is_on_wanted_pages() {
            let folder = self.copies.folder.clone();
            hears(&NoCopy::SmallPages { folder });
        } else if stamp != Some(self.stamp) {
            let path = self.model.clone();
            hears(&NoCopy::Unsettled { path });
        } else if let Err(error) = publish(file, path, &self.copy) {
            hears(&failed(&self.copy)(error));
        }
        Ok(Some(copy))
    }
}

impl Ground for Draft {
    /// They may lie in several blocks.
    fn put(&self, at: usize, lines: &[u8]) -> bool {
        let (mut at, mut left) = (at, lines);
        while !left.is_empty() && !self.is_lost() {
            let (index, from) = (at / BLOCK, at % BLOCK);
            let (here, later) = left.split_at(left.len().min(BLOCK - from));
            if let Err(error) = self.put_in_block(index, from, here)
                && !self.is_lost.swap(true, Ordering::Relaxed)
            {
                (self.copies.hears)(&failed(&self.file.path)(error));
            }
            at += here.len();
            left = later;
        }
        true
    }
}

impl Written {
    /// Such a file for a copy, locked, of which one block was written to try out how it lies.
    fn begin(folder: &Folder, copy: &Path, on_any_pages: bool) -> Result<Self, NoCopy> {
        let of_folder = failed(&folder.path());
        folder.make().map_err(&of_folder)?;
        let (file, path) = Folder::draft_of(copy).map_err(&of_folder)?;
        let written = Self { file, path };
        let file = &written.file;
        // So that nobody takes it for one that was left.
        let locked = file.try_lock();
        locked.map_err(|error| of_folder(error.into()))?;
        if !folder::is_named(file, &written.path) {
            // Somebody took it for one that was left, before it was locked.
            return Err(of_folder(io::ErrorKind::NotFound.into()));
        }
        if !folder::is_ours(file) {
            let path = written.path.clone();
            return Err(NoCopy::Shared { path });
        }
        let folder = folder.path();
        if !folder::keeps_what_is_open(file) {
            return Err(NoCopy::FileSystem { folder });
        }
        if !on_any_pages && !lies_on_large_pages(file).map_err(&of_folder)? {
            return Err(NoCopy::SmallPages { folder });
        }
        Ok(written)
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        // If it became a copy the name is free, or another's.
        if folder::is_named(&self.file, &self.path) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Whether there can be copies in this folder.
///
/// # Errors
/// Why there can be none.
pub(super) fn try_out(folder: &Folder, on_any_pages: bool) -> Result<(), NoCopy> {
    Written::begin(folder, &folder.trial(), on_any_pages).map(|_| ())
}

/// Whether the system has what is written here on large pages: looked up with a first one.
fn lies_on_large_pages(file: &File) -> io::Result<bool> {
    write_at(file, 0, &vec![0; BLOCK])?;
    // Gone before anything else is written there.
    let view = View::of(file, BLOCK)?;
    Ok(large_pages::hold(&view))
}

fn failed(path: &Path) -> impl Fn(io::Error) -> NoCopy + use<> {
    let path = path.to_owned();
    move |reason| NoCopy::Io {
        path: path.clone(),
        reason,
    }
}

/// No code of others runs under a lock here, so it is sound whoever panicked.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Read-only, then under its name, in the place of what had it.
fn publish(file: &File, draft: &Path, copy: &Path) -> io::Result<()> {
    let mut permissions = file.metadata()?.permissions();
    permissions.set_readonly(true);
    file.set_permissions(permissions)?;
    if !folder::is_named(file, draft) {
        return Err(io::ErrorKind::NotFound.into());
    }
    std::fs::rename(draft, copy)
}

#[cfg(unix)]
fn write_at(file: &File, at: u64, bytes: &[u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, at)
}

/// Never asked: a file is nobody's own there.
#[cfg(not(unix))]
fn write_at(_: &File, _: u64, _: &[u8]) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
#[path = "draft_tests.rs"]
mod tests;
