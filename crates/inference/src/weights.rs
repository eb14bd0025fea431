//! Tensors read and packed, by one thread or several: each takes the next tensor, reads it by position a few rows at a time,
//! and packs these while they are in its cache.
//!
//! Files are read and not mapped: one that is cut short while it is mapped ends the process, and to map it is unsafe.
//!
//! Invariants: what is read does not depend on how many threads there are; none takes more than [`staged_by`] beside the
//! tensor it makes, but for one at a time that holds a whole tensor, because its format has no packed form.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use engine::LoadError;
use engine::helpers::Helpers;

use crate::blueprint::Blueprint;
use crate::codec::Codec;
use crate::cpu::{Ground, Kind, Memory, Packing, Plot, RUN_LINES, Tray};
use crate::errands;
use crate::file::GgufFile;
use crate::header::TensorInfo;
use crate::layer::Tensors;
use crate::matrix::Matrix;
use crate::vocabulary::Vocabulary;

/// Rows that are read at once, in bytes, if they are not longer themselves: half of a small second-level cache, so that what
/// was read is still there when it is packed.
const AT_ONCE: usize = 256 << 10;

/// Memory that is had at once where a byte of it is written, on x86-64 and arm64.
const LARGE_PAGE: u64 = 2 << 20;

/// A tensor in memory.
enum Weight {
    /// In the memory that all packed ones share.
    Packed(Plot),
    Matrix(Matrix),
    Vector(Vec<f32>),
}

/// What comes of an errand.
enum Part {
    Text(Box<Codec>),
    Weight(Weight),
}

/// What a thread has for itself.
#[derive(Default)]
struct Bench {
    /// Rows as they lie in the file.
    staging: Vec<u8>,
    /// The same, packed.
    tray: Tray,
}

/// A tensor that is to be read.
struct Task {
    name: String,
    tensor: TensorInfo,
    /// Where it goes, if it is to be packed.
    plot: Option<Plot>,
}

/// All that the threads need.
struct Reading {
    file: Arc<GgufFile>,
    tasks: Vec<Task>,
    /// For all that are packed.
    ground: Ground,
    /// For a tensor that must lie whole beside what it becomes.
    whole: Mutex<Vec<u8>>,
    vocabulary: Mutex<Option<Vocabulary>>,
}

/// The tensors of a model, by name.
pub(crate) struct Weights<'a> {
    file: &'a GgufFile,
    /// Kernels of what is packed, and where that lies.
    packed: Option<(Kind, Memory)>,
    by_name: HashMap<String, Weight>,
    bytes: u64,
}

/// Reads every tensor of the model, and builds its codec beside it.
///
/// # Errors
/// `Io`, `Malformed`, `Unsupported`, or `Cancelled` when `progress` says to stop.
pub(crate) fn read<'a>(
    file: &'a Arc<GgufFile>,
    (blueprint, vocabulary): (&Blueprint, Vocabulary),
    kind: Option<Kind>,
    helpers: &dyn Helpers,
    progress: &mut dyn FnMut(f32) -> ControlFlow<()>,
) -> Result<(Weights<'a>, Codec), LoadError> {
    let threads = helpers.threads();
    let reading = Arc::new(Reading::new(file, blueprint, vocabulary, kind, threads)?);
    let total: u64 = reading.tasks.iter().map(|t| resident(&t.tensor)).sum();
    let mut weights = Weights {
        file,
        packed: None,
        by_name: HashMap::new(),
        bytes: 0,
    };
    let (mut codec, mut failure) = (None, None);
    let theirs = Arc::clone(&reading);
    let ended = errands::run(
        helpers,
        reading.tasks.len() + 1,
        move |bench: &mut Bench, index| theirs.part(bench, index),
        |index, part| match part {
            Err(error) => {
                failure.get_or_insert(error);
                ControlFlow::Break(())
            }
            Ok(Part::Text(text)) => {
                codec = Some(text);
                ControlFlow::Continue(())
            }
            Ok(Part::Weight(weight)) => {
                if let Some(task) = reading.task(index) {
                    weights.bytes = weights.bytes.saturating_add(resident(&task.tensor));
                    weights.by_name.insert(task.name.clone(), weight);
                }
                let share = (weights.bytes as f64 / total.max(1) as f64).min(1.0);
                progress(share as f32)
            }
        },
    );
    weights.packed = kind.map(|kind| (kind, reading.ground.finish()));
    match (failure, ended, codec) {
        (Some(error), ..) => Err(error),
        (None, ControlFlow::Continue(()), Some(codec)) => Ok((weights, *codec)),
        (None, ..) => Err(LoadError::Cancelled),
    }
}

impl Reading {
    fn new(
        file: &Arc<GgufFile>,
        blueprint: &Blueprint,
        vocabulary: Vocabulary,
        kind: Option<Kind>,
        threads: usize,
    ) -> Result<Self, LoadError> {
        let (mut runs, mut lines) = (vec![0usize], 0usize);
        let (mut tasks, mut turn) = (Vec::new(), 0usize);
        for (name, tensor) in blueprint.tensors(file)? {
            let plot = kind.and_then(|_| plot(&tensor, lines));
            let own = plot.map_or(Some(0), |plot| plot.lines());
            let own = own.filter(|own| lines.checked_add(*own).is_some());
            let own = own.ok_or_else(|| unfit(file, &name))?;
            if runs.last().is_some_and(|run| *run >= RUN_LINES) {
                runs.push(0);
                turn = 0;
            }
            if let Some(run) = runs.last_mut() {
                *run += own;
            }
            lines += own;
            let task = Task { name, tensor, plot };
            tasks.push((runs.len() - 1, turn, task));
            turn += 1;
        }
        let ground = Ground::new(&runs);
        Ok(Self {
            tasks: in_turn(tasks, threads),
            ground: ground.ok_or_else(|| unfit(file, "all"))?,
            file: Arc::clone(file),
            whole: Mutex::default(),
            vocabulary: Mutex::new(Some(vocabulary)),
        })
    }

    /// The first errand is the codec: of all it cannot be shared out.
    fn task(&self, errand: usize) -> Option<&Task> {
        self.tasks.get(errand.checked_sub(1)?)
    }

    fn part(&self, bench: &mut Bench, errand: usize) -> Result<Part, LoadError> {
        if let Some(task) = self.task(errand) {
            return self.weight(bench, task).map(Part::Weight);
        }
        let vocabulary = self.vocabulary.lock();
        let vocabulary = vocabulary.unwrap_or_else(PoisonError::into_inner).take();
        let vocabulary = vocabulary.ok_or(LoadError::Cancelled)?;
        Codec::build(&self.file, vocabulary).map(|codec| Part::Text(Box::new(codec)))
    }

    fn weight(&self, bench: &mut Bench, task: &Task) -> Result<Weight, LoadError> {
        let Task { name, tensor, plot } = task;
        let unfit = || unfit(&self.file, name);
        if let Some(plot) = plot {
            let packing = Packing::begin(tensor.format, *plot).ok_or_else(unfit)?;
            let packed = self.pack(bench, tensor, packing)?;
            return packed.map(Weight::Packed).ok_or_else(unfit);
        }
        let (rows, columns, is_vector) = match *tensor.shape.as_slice() {
            [length] => (1, length, true),
            [rows, columns] => (rows, columns, false),
            _ => return Err(self.file.malformed(format!("tensor `{name}` is no matrix"))),
        };
        let rows = usize::try_from(rows).map_err(|_| unfit())?;
        let columns = usize::try_from(columns).map_err(|_| unfit())?;
        let make = |bytes: &[u8]| Matrix::in_file(tensor.format, rows, columns, bytes);
        let staging = &mut bench.staging;
        let matrix = self.stage(staging, tensor, make).ok_or_else(unfit)??;
        if !is_vector {
            return matrix.map(Weight::Matrix).ok_or_else(unfit);
        }
        let values = matrix.ok_or_else(unfit)?.widen(&[0]);
        let wrong = |error| self.file.malformed(format!("tensor `{name}`: {error}"));
        values.map(Weight::Vector).map_err(wrong)
    }

    /// Reads a tensor, some tiles at a time, and packs it; `None` if it does not fit its shape.
    fn pack(
        &self,
        bench: &mut Bench,
        tensor: &TensorInfo,
        mut packing: Packing,
    ) -> Result<Option<Plot>, LoadError> {
        let Bench { staging, tray } = bench;
        let at_once = at_once(packing.tile_bytes());
        let (mut at, end) = (tensor.offset, tensor.offset.saturating_add(tensor.bytes));
        while at < end {
            let length = usize::try_from(end - at).map_or(at_once, |left| left.min(at_once));
            if staging.len() < length {
                // Gone before there is another.
                *staging = Vec::new();
                staging.resize(length, 0);
            }
            let rows = staging.get_mut(..length).unwrap_or_default();
            self.file.read_at(at, rows)?;
            packing.push(rows, &self.ground, tray);
            at += length as u64;
        }
        Ok(packing.finish())
    }

    /// Reads a whole tensor to where it begins at a multiple of 8, and makes something of it; `None` if there is not so much
    /// memory.
    fn stage<T>(
        &self,
        staging: &mut Vec<u8>,
        tensor: &TensorInfo,
        make: impl FnOnce(&[u8]) -> T,
    ) -> Option<Result<T, LoadError>> {
        let bytes = usize::try_from(tensor.bytes).ok()?;
        let mut whole;
        let buffer = if is_staged_whole(tensor.bytes) {
            whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
            &mut *whole
        } else {
            staging
        };
        let needed = bytes.checked_add(7)?;
        if buffer.capacity() < needed || is_much_larger(buffer.capacity(), needed) {
            // Gone before there is another.
            *buffer = Vec::new();
            buffer.try_reserve_exact(needed).ok()?;
        }
        if buffer.len() < needed {
            buffer.resize(needed, 0);
        }
        let shift = buffer.as_ptr().align_offset(8);
        let target = buffer.get_mut(shift..shift.checked_add(bytes)?)?;
        Some(
            self.file
                .read_at(tensor.offset, target)
                .map(|()| make(target)),
        )
    }
}

impl Weights<'_> {
    /// Memory of all of them.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    fn missing(&self, name: &str) -> LoadError {
        self.file.malformed(format!("tensor `{name}` is missing"))
    }
}

impl Tensors for Weights<'_> {
    type Matrix = Matrix;
    type Vector = Vec<f32>;

    /// Gives the matrix of this name.
    fn matrix(&mut self, name: &str) -> Result<Matrix, LoadError> {
        match self.by_name.remove(name) {
            Some(Weight::Matrix(matrix)) => Ok(matrix),
            Some(Weight::Packed(plot)) => {
                let packed = self.packed.as_ref();
                let matrix = packed.and_then(|(kind, memory)| Matrix::of_plot(*kind, plot, memory));
                matrix.ok_or_else(|| unfit(self.file, name))
            }
            Some(Weight::Vector(_)) => {
                Err(self.file.malformed(format!("tensor `{name}` is no matrix")))
            }
            None => Err(self.missing(name)),
        }
    }

    /// Gives the vector of this name.
    fn vector(&mut self, name: &str) -> Result<Vec<f32>, LoadError> {
        let vector = self.optional_vector(name)?;
        vector.ok_or_else(|| self.missing(name))
    }

    /// Gives the vector of this name, if there is one.
    fn optional_vector(&mut self, name: &str) -> Result<Option<Vec<f32>>, LoadError> {
        match self.by_name.remove(name) {
            None => Ok(None),
            Some(Weight::Vector(vector)) => Ok(Some(vector)),
            Some(Weight::Matrix(_) | Weight::Packed(_)) => {
                Err(self.file.malformed(format!("tensor `{name}` is no vector")))
            }
        }
    }
}

/// What is to be read, each with the run of memory that it goes to and its turn there, in the order in which it is: by one
/// thread as it came, else so that those who read at the same time put it into runs of their own.
fn in_turn(mut tasks: Vec<(usize, usize, Task)>, threads: usize) -> Vec<Task> {
    if threads > 1 {
        tasks.sort_by_key(|(run, turn, _)| (run / threads, *turn, *run));
    }
    tasks.into_iter().map(|(.., task)| task).collect()
}

fn unfit(file: &GgufFile, name: &str) -> LoadError {
    file.malformed(format!("tensor `{name}` does not fit its shape, or memory"))
}

/// Memory that a tensor takes once it is read: a matrix packed or as it lies in the file, a vector as 32 bit floats.
pub(crate) fn resident(tensor: &TensorInfo) -> u64 {
    match tensor.shape.as_slice() {
        [_] => tensor.elements.saturating_mul(size_of::<f32>() as u64),
        [rows, columns] => Matrix::bytes_needed(tensor.format, *rows, *columns, tensor.bytes),
        _ => tensor.bytes,
    }
}

/// The most memory that reading these takes, in this order, by so many threads.
pub(crate) fn most_while_reading(tensors: &[(String, TensorInfo)], threads: usize) -> u64 {
    let (mut read, mut whole, mut largest, mut most, mut by_thread) =
        (0u64, 0u64, 0u64, 0u64, 0u64);
    for (_, tensor) in tensors {
        read = read.saturating_add(resident(tensor));
        match packed_row(tensor) {
            Some(row) => by_thread = by_thread.max(staged_by(row)),
            None if is_staged_whole(tensor.bytes) => whole = staged_whole(tensor.bytes),
            None => by_thread = by_thread.max(staged_whole(tensor.bytes)),
        }
        largest = largest.max(whole);
        most = most.max(read.saturating_add(whole));
    }
    if threads > 1 {
        // Then the last may be read before the first.
        most = read.saturating_add(largest);
    }
    most.saturating_add(by_thread.saturating_mul(threads as u64))
}

/// Bytes of a row in the file, where the tensor is packed.
fn packed_row(tensor: &TensorInfo) -> Option<u64> {
    plot(tensor, 0)?;
    tensor.bytes.checked_div(*tensor.shape.first()?)
}

/// Where a tensor goes whose first line is `first`, if it is packed.
fn plot(tensor: &TensorInfo, first: usize) -> Option<Plot> {
    let &[rows, columns] = tensor.shape.as_slice() else {
        return None;
    };
    let (rows, columns) = (usize::try_from(rows).ok()?, usize::try_from(columns).ok()?);
    Plot::of(tensor.format, rows, columns, first)
}

/// Whole tiles, as many as fit; one at least.
fn at_once(tile_bytes: usize) -> usize {
    let tiles = AT_ONCE.checked_div(tile_bytes).unwrap_or(1).max(1);
    tiles.saturating_mul(tile_bytes.max(1))
}

/// What a thread reads rows of such a length into and packs them in, and what it touches of the memory that they go to.
fn staged_by(row_bytes: u64) -> u64 {
    // A tile is 16 rows; packed they take what they took, and a quarter more at most for lines that are not full.
    let staged = row_bytes.saturating_mul(16).max(AT_ONCE as u64);
    let packed = staged.saturating_add(staged / 4);
    staged.saturating_add(packed).saturating_add(LARGE_PAGE)
}

const fn is_staged_whole(bytes: u64) -> bool {
    bytes > AT_ONCE as u64
}

/// A buffer is used again for a tensor of half its size or more; a smaller one gets one of its own, and this one goes. One
/// that rows fit in is never too large.
const fn is_much_larger(capacity: usize, needed: usize) -> bool {
    capacity > AT_ONCE + 7 && capacity / 2 > needed
}

/// What the buffer for a tensor of `bytes` bytes takes at most; see [`is_much_larger`].
const fn staged_whole(bytes: u64) -> u64 {
    bytes.saturating_add(7).saturating_mul(2).saturating_add(1)
}
