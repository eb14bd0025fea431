//! The reading itself: errands for whoever comes, and where what they pack goes.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use engine::LoadError;
use engine::helpers::Helpers;

use super::plan::{Plan, Task};
use super::sizes::{at_once, is_much_larger, is_staged_whole, resident};
use super::{Manner, Told, Weight, Weights, unfit};
use crate::codec::Codec;
use crate::cpu::{Ground, Memory, Packing, Plot, Runs, Tray};
use crate::errands;
use crate::file::GgufFile;
use crate::header::TensorInfo;
use crate::matrix::Matrix;
use crate::packed_copy::{BLOCK, Draft, PackedCopy};
use crate::vocabulary::Vocabulary;

/// What is to be done.
enum Errand {
    /// Of all it cannot be shared out, so it is the first.
    Text,
    /// A block of a copy, to be looked through.
    Block(usize),
    Tensor(Task),
}

/// What comes of it.
enum Part {
    Text(Box<Codec>),
    /// Whether it is sound.
    Block(bool),
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

/// Where packed matrices come to lie.
pub(super) enum Place {
    /// In memory of this process.
    Own(Runs),
    /// In a copy that is written.
    Draft(Draft),
    /// In a copy that is there.
    Copy(PackedCopy),
}

/// All that the threads need.
pub(super) struct Reading {
    file: Arc<GgufFile>,
    errands: Vec<Errand>,
    /// Tensors that are in a copy, and where.
    copied: Vec<(Task, Plot)>,
    place: Place,
    /// Lines of each run of memory, where it is this process's own.
    runs: Vec<usize>,
    /// For a tensor that must lie whole beside what it becomes.
    whole: Mutex<Vec<u8>>,
    vocabulary: Mutex<Option<Vocabulary>>,
}

impl Errand {
    /// Bytes that are in memory once it is done, of a file whose copy has so many.
    fn bytes(&self, of_copy: usize) -> u64 {
        match self {
            Self::Text => 0,
            Self::Block(index) => BLOCK.min(of_copy.saturating_sub(index * BLOCK)) as u64,
            Self::Tensor(task) => resident(&task.tensor),
        }
    }
}

impl Reading {
    pub(super) fn new(
        file: &Arc<GgufFile>,
        mut plan: Plan,
        place: Place,
        vocabulary: Option<Vocabulary>,
        helpers: &dyn Helpers,
    ) -> Self {
        let (mut errands, mut copied) = (Vec::new(), Vec::new());
        if vocabulary.is_some() {
            errands.push(Errand::Text);
        }
        match &place {
            Place::Own(_) => plan.sort_for(helpers.threads()),
            // One after another, so that few blocks are begun at a time.
            Place::Draft(_) => {}
            Place::Copy(copy) => {
                errands.extend((0..copy.blocks()).map(Errand::Block));
                let tasks = std::mem::take(&mut plan.tasks);
                for task in tasks {
                    match task.plot {
                        Some(plot) => copied.push((task, plot)),
                        None => plan.tasks.push(task),
                    }
                }
            }
        }
        errands.extend(plan.tasks.into_iter().map(Errand::Tensor));
        Self {
            file: Arc::clone(file),
            errands,
            copied,
            place,
            runs: plan.runs,
            whole: Mutex::default(),
            vocabulary: Mutex::new(vocabulary),
        }
    }

    /// Reads all, as far as nobody stops it. No weights come of a copy that is not sound, or could not be written.
    pub(super) fn run<'a>(
        self,
        file: &'a GgufFile,
        manner: Manner<'_>,
        told: &mut Told,
    ) -> Result<(Option<Weights<'a>>, Option<Box<Codec>>), LoadError> {
        let mut weights = Weights::new(file);
        for (task, plot) in &self.copied {
            weights.insert(task, Weight::Packed(*plot));
        }
        let of_copy = match &self.place {
            Place::Copy(copy) => copy.bytes(),
            Place::Own(_) | Place::Draft(_) => 0,
        };
        let bytes = |errand: &Errand| errand.bytes(of_copy);
        let total: u64 = self.errands.iter().map(bytes).sum();
        let reading = Arc::new(self);
        let theirs = Arc::clone(&reading);
        let (mut codec, mut failure) = (None, None);
        let (mut is_lost, mut read) = (false, 0u64);
        let ended = errands::run(
            manner.helpers,
            reading.errands.len(),
            move |bench: &mut Bench, index| theirs.part(bench, index),
            |index, part| {
                let Some(errand) = reading.errands.get(index) else {
                    return ControlFlow::Break(());
                };
                match (part, errand) {
                    (Err(error), _) => {
                        failure.get_or_insert(error);
                        return ControlFlow::Break(());
                    }
                    (Ok(Part::Text(text)), _) => codec = Some(text),
                    (Ok(Part::Block(is_sound)), _) => is_lost |= !is_sound,
                    (Ok(Part::Weight(weight)), Errand::Tensor(task)) => {
                        weights.insert(task, weight);
                    }
                    (Ok(Part::Weight(_)), _) => return ControlFlow::Break(()),
                }
                is_lost |= reading.place.is_lost();
                if is_lost {
                    return ControlFlow::Break(());
                }
                read = read.saturating_add(bytes(errand));
                if bytes(errand) == 0 {
                    return ControlFlow::Continue(());
                }
                told.of((read as f64 / total.max(1) as f64) as f32)
            },
        );
        match (failure, ended) {
            (Some(error), _) => return Err(error),
            (None, ControlFlow::Break(())) if !is_lost => return Err(LoadError::Cancelled),
            (None, _) => {}
        }
        if is_lost {
            reading.remove_copy(manner);
            return Ok((None, codec));
        }
        let Some(memory) = reading.memory() else {
            return Ok((None, codec));
        };
        weights.packed = manner.kind.map(|kind| (kind, memory));
        Ok((Some(weights), codec))
    }

    /// The memory, once all that is in it has come; `None` where there is not so much, or a copy could not be written. A copy on
    /// such pages as are not wanted is read: that is quicker than to pack all again.
    fn memory(&self) -> Option<Memory> {
        let drafted;
        let copy = match &self.place {
            Place::Own(runs) => return Some(runs.finish()),
            Place::Draft(draft) => {
                drafted = draft.finish(self.file.stamp())?;
                &drafted
            }
            Place::Copy(copy) => copy,
        };
        let view = copy.view();
        if copy.is_on_wanted_pages() {
            return Some(Memory::of_copy(Arc::clone(view)));
        }
        Memory::read_from(view, &self.runs)
    }

    /// Removes the copy that was not sound, if there was one.
    fn remove_copy(&self, manner: Manner<'_>) {
        if let (Place::Copy(copy), Some(copies)) = (&self.place, manner.copies) {
            copies.remove(copy);
        }
    }

    fn part(&self, bench: &mut Bench, index: usize) -> Result<Part, LoadError> {
        match (self.errands.get(index), &self.place) {
            (Some(Errand::Tensor(task)), _) => self.weight(bench, task).map(Part::Weight),
            (Some(Errand::Block(block)), Place::Copy(copy)) => {
                Ok(Part::Block(copy.is_sound(*block)))
            }
            (Some(Errand::Block(_)), _) => Ok(Part::Block(false)),
            (Some(Errand::Text), _) => {
                let vocabulary = self.vocabulary.lock();
                let vocabulary = vocabulary.unwrap_or_else(PoisonError::into_inner).take();
                let vocabulary = vocabulary.ok_or(LoadError::Cancelled)?;
                Codec::build(&self.file, vocabulary).map(|codec| Part::Text(Box::new(codec)))
            }
            (None, _) => Err(LoadError::Cancelled),
        }
    }

    fn weight(&self, bench: &mut Bench, task: &Task) -> Result<Weight, LoadError> {
        let Task {
            name, tensor, plot, ..
        } = task;
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
        let Some(ground) = self.place.ground() else {
            return Ok(None);
        };
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
            packing.push(rows, ground, tray);
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

impl Place {
    /// Where lines are put, if they have not all come.
    fn ground(&self) -> Option<&dyn Ground> {
        match self {
            Self::Own(runs) => Some(runs),
            Self::Draft(draft) => Some(draft),
            Self::Copy(_) => None,
        }
    }

    /// Whether nothing will come of it any more.
    fn is_lost(&self) -> bool {
        matches!(self, Self::Draft(draft) if draft.is_lost())
    }
}
