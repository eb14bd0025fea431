//! Tensors read and packed, by one thread or several: each takes the next tensor, reads it by position a few rows at a time,
//! and packs these while they are in its cache. Where a packed copy is kept on disk (`packed_copy`) it is mapped instead, and
//! looked through by as many; where one is wanted, it is written by who packs, and mapped at the end.
//!
//! Models are read and not mapped: one that is cut short while it is mapped ends the process, and anybody may do that to a
//! file of theirs.
//!
//! Invariants: what is read does not depend on how many threads there are, nor on whether there is a copy; none takes more than
//! so much (`sizes`) beside the tensor it makes, but for one at a time that holds a whole tensor, because its format has no packed
//! form, and for the blocks of a copy (`most_while_copying`).

mod plan;
mod reading;
mod sizes;

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use engine::LoadError;
use engine::helpers::Helpers;

use crate::blueprint::Blueprint;
use crate::codec::Codec;
use crate::cpu::{Kind, Memory, Plot, Runs};
use crate::file::GgufFile;
use crate::layer::Tensors;
use crate::matrix::Matrix;
use crate::packed_copy::{PackedCopies, Wanted};
use crate::vocabulary::Vocabulary;
use plan::{Plan, Task};
use reading::{Place, Reading};
pub(crate) use sizes::{most_while_copying, most_while_reading, resident};

/// A tensor in memory.
enum Weight {
    /// In the memory that all packed ones share.
    Packed(Plot),
    Matrix(Matrix),
    Vector(Vec<f32>),
}

/// The tensors of a model, by name.
pub(crate) struct Weights<'a> {
    file: &'a GgufFile,
    /// Kernels of what is packed, and where that lies.
    packed: Option<(Kind, Memory)>,
    by_name: HashMap<String, Weight>,
    bytes: u64,
}

/// How a model is to be read.
#[derive(Clone, Copy)]
pub(crate) struct Manner<'a> {
    /// Kernels that its matrices are packed for, if they are.
    pub(crate) kind: Option<Kind>,
    /// Where copies lie, if they are wanted.
    pub(crate) copies: Option<&'a PackedCopies>,
    /// Who may take part.
    pub(crate) helpers: &'a dyn Helpers,
}

/// Who is told, and what of all.
struct Told<'a> {
    progress: &'a mut dyn FnMut(f32) -> ControlFlow<()>,
    /// What was told already: what is begun anew goes on there.
    share: f32,
}

/// Reads every tensor of the model, and builds its codec beside it.
///
/// # Errors
/// `Io`, `Malformed`, `Unsupported`, or `Cancelled` when `progress` says to stop.
pub(crate) fn read<'a>(
    file: &'a Arc<GgufFile>,
    (blueprint, vocabulary): (&Blueprint, Vocabulary),
    manner: Manner<'_>,
    progress: &mut dyn FnMut(f32) -> ControlFlow<()>,
) -> Result<(Weights<'a>, Codec), LoadError> {
    let mut told = Told {
        progress,
        share: 0.0,
    };
    let (mut codec, mut vocabulary) = (None, Some(vocabulary));
    // Without a copy, where there was one that is not sound, or one could not be written.
    for copies in [manner.copies, None] {
        let plan = Plan::of(file, blueprint, manner.kind.is_some())?;
        let place = place(file, &plan, copies);
        let place = place.ok_or_else(|| unfit(file, "all"))?;
        if codec.is_none() && vocabulary.is_none() {
            // It was taken by who did not come to an end.
            vocabulary = Some(Vocabulary::read(file)?);
        }
        let reading = Reading::new(file, plan, place, vocabulary.take(), manner.helpers);
        let (weights, text) = reading.run(file, manner, &mut told)?;
        codec = codec.or(text);
        if let Some(weights) = weights {
            let codec = codec.ok_or(LoadError::Cancelled)?;
            return Ok((weights, *codec));
        }
    }
    Err(unfit(file, "all"))
}

/// Where the packed matrices of a plan go: to a copy that is there, or one that can be written, or to memory; `None` if there is
/// not so much.
fn place(file: &GgufFile, plan: &Plan, copies: Option<&PackedCopies>) -> Option<Place> {
    let copies = copies.filter(|copies| {
        let bytes = plan.bytes().unwrap_or(0);
        copies.are_of(bytes as u64)
    });
    let with_copies = copies.and_then(|copies| {
        let path = file.path().canonicalize().ok()?;
        let wanted = Wanted {
            path: &path,
            stamp: file.stamp()?,
            // What cannot be read will be told when it is.
            plan: plan.digest(file).ok()?,
            bytes: plan.bytes()?,
        };
        let there = copies.find(&wanted).map(Place::Copy);
        there.or_else(|| copies.begin(&wanted).map(Place::Draft))
    });
    with_copies.or_else(|| Runs::new(&plan.runs).map(Place::Own))
}

impl Told<'_> {
    fn of(&mut self, share: f32) -> ControlFlow<()> {
        self.share = self.share.max(share.min(1.0));
        (self.progress)(self.share)
    }
}

impl<'a> Weights<'a> {
    fn new(file: &'a GgufFile) -> Self {
        Self {
            file,
            packed: None,
            by_name: HashMap::new(),
            bytes: 0,
        }
    }

    fn insert(&mut self, task: &Task, weight: Weight) {
        self.bytes = self.bytes.saturating_add(resident(&task.tensor));
        self.by_name.insert(task.name.clone(), weight);
    }

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

fn unfit(file: &GgufFile, name: &str) -> LoadError {
    file.malformed(format!("tensor `{name}` does not fit its shape, or memory"))
}
