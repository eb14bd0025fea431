//! A copy that is written, by whoever packs: lines come in any order, and a block goes to the file when it is full.
//!
//! Invariants: a draft that is not finished leaves no file; what failed is told once, at the end, and lines that come after it
//! are taken and dropped.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::folder::Folder;
use super::seal::Seal;
use super::{BLOCK, Fingerprint, PackedCopy, Stamp, Wanted, large_pages, range};
use crate::cpu::{Ground, View};

/// Drafts of this process, so that each has a name of its own.
static COUNT: AtomicU64 = AtomicU64::new(0);

/// See above.
pub(crate) struct Draft {
    file: File,
    /// Where it is written.
    path: PathBuf,
    /// Where it goes.
    copy: PathBuf,
    fingerprint: Fingerprint,
    /// The model's file, and as it was before anything of it was packed.
    model: PathBuf,
    stamp: Stamp,
    bytes: usize,
    on_any_pages: bool,
    blocks: Vec<Mutex<Block>>,
    /// Memory of blocks that were written, for others.
    spare: Mutex<Vec<Vec<u8>>>,
    failed: AtomicBool,
}

/// Two megabytes of it.
#[derive(Default)]
struct Block {
    /// Bytes that have come.
    filled: usize,
    /// They, until all have.
    bytes: Vec<u8>,
    /// Their sum, once they are in the file.
    sum: Option<u32>,
}

impl Draft {
    /// Nothing is written yet; `None` where it cannot be, or would not lie on large pages, or the model's file was changed
    /// just now and might be once more without another time.
    pub(super) fn begin(
        folder: &Folder,
        wanted: &Wanted,
        fingerprint: Fingerprint,
        on_any_pages: bool,
    ) -> Option<Self> {
        let copy = folder.copy_of(wanted.path)?;
        let path = Folder::draft_of(&copy, COUNT.fetch_add(1, Ordering::Relaxed));
        let file = create(&path).ok()?;
        let draft = Self {
            file,
            path,
            copy,
            fingerprint,
            model: wanted.path.canonicalize().ok()?,
            stamp: wanted.stamp,
            bytes: wanted.bytes,
            on_any_pages,
            blocks: (0..wanted.bytes.div_ceil(BLOCK))
                .map(|_| Mutex::default())
                .collect(),
            spare: Mutex::default(),
            failed: AtomicBool::new(false),
        };
        // So that nobody takes it for one that was left.
        draft.file.try_lock().ok()?;
        let now = Stamp::of(&draft.file.metadata().ok()?)?;
        let fits = on_any_pages || lies_on_large_pages(&draft.file)?;
        (fits && wanted.stamp.is_settled(&now)).then_some(draft)
    }

    fn put_in_block(&self, index: usize, from: usize, lines: &[u8]) -> io::Result<()> {
        let out_of_memory = |_| io::Error::from(io::ErrorKind::OutOfMemory);
        let place = range(index, self.bytes);
        let mutex = self.blocks.get(index);
        let mut block = mutex.map(locked).ok_or(io::ErrorKind::InvalidInput)?;
        if block.bytes.is_empty() {
            block.bytes = locked(&self.spare).pop().unwrap_or_default();
            block
                .bytes
                .try_reserve_exact(BLOCK)
                .map_err(out_of_memory)?;
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
            write_at(&self.file, place.start as u64, &bytes)?;
            let mut spare = locked(&self.spare);
            spare.push(bytes);
        }
        Ok(())
    }

    /// The copy, in its place if the model's file is still as it was (`stamp`); `None` where something failed.
    pub(crate) fn finish(&self, stamp: Option<Stamp>) -> Option<PackedCopy> {
        locked(&self.spare).clear();
        let sums = self.blocks.iter().map(|block| locked(block).sum);
        let sums = sums.collect::<Option<Vec<u32>>>()?;
        if self.failed.load(Ordering::Relaxed) {
            return None;
        }
        let seal = Seal::new(
            self.fingerprint.clone(),
            self.bytes,
            sums,
            self.model.clone(),
        );
        let sealed = seal.to_bytes();
        write_at(&self.file, self.bytes as u64, &sealed).ok()?;
        let length = (self.bytes as u64).checked_add(sealed.len() as u64)?;
        // What was looked up with may have been longer.
        self.file.set_len(length).ok()?;
        let copy = PackedCopy {
            path: self.copy.clone(),
            view: Arc::new(View::of(&self.file, self.bytes).ok()?),
            seal,
            on_any_pages: self.on_any_pages,
        };
        if !copy.is_on_wanted_pages() {
            return None;
        }
        if stamp == Some(self.stamp) {
            // Where it cannot be had under its name, this process has it all the same.
            let _ = publish(&self.path, &self.copy);
        }
        Some(copy)
    }
}

impl Ground for Draft {
    /// They may lie in several blocks.
    fn put(&self, at: usize, lines: &[u8]) -> bool {
        let (mut at, mut left) = (at, lines);
        while !left.is_empty() && !self.failed.load(Ordering::Relaxed) {
            let (index, from) = (at / BLOCK, at % BLOCK);
            let (here, later) = left.split_at(left.len().min(BLOCK - from));
            if self.put_in_block(index, from, here).is_err() {
                self.failed.store(true, Ordering::Relaxed);
            }
            at += here.len();
            left = later;
        }
        true
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Gone already if it became a copy.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Whether files in this folder come to lie on large pages; `None` where none can be written.
pub(super) fn is_on_large_pages(folder: &Folder) -> Option<bool> {
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let path = folder.probe(number);
    let is = lies_on_large_pages(&create(&path).ok()?);
    // What cannot be removed is tidied later.
    let _ = std::fs::remove_file(&path);
    is
}

/// Whether the system has what is written here on large pages: looked up with a first one.
fn lies_on_large_pages(file: &File) -> Option<bool> {
    write_at(file, 0, &vec![0; BLOCK]).ok()?;
    // Gone before anything else is written there.
    let view = View::of(file, BLOCK).ok()?;
    Some(large_pages::hold(&view))
}

/// No code of others runs under a lock here, so it is sound whoever panicked.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Read-only, then under its name, in the place of what had it.
fn publish(draft: &Path, copy: &Path) -> io::Result<()> {
    let mut permissions = std::fs::metadata(draft)?.permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(draft, permissions)?;
    std::fs::rename(draft, copy)
}

#[cfg(unix)]
fn write_at(file: &File, at: u64, bytes: &[u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, at)
}

/// Never asked: a file has no stamp there.
#[cfg(not(unix))]
fn write_at(_: &File, _: u64, _: &[u8]) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
