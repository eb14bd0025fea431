//! Tensors read to the device, one after another: from the file into a buffer, from there to where they are multiplied.
//!
//! Invariant: beside what has been read there is the buffer, of the largest tensor, and nothing else of the file's size.

use std::collections::HashMap;
use std::ops::ControlFlow;

use candle_core::quantized::{GgmlDType, QMatMul, QStorage, QTensor};
use candle_core::{Device, Tensor};
use engine::LoadError;

use super::in_short;
use crate::blueprint::Blueprint;
use crate::file::GgufFile;
use crate::header::TensorInfo;
use crate::layer::Tensors;
use crate::matrix::Matrix;

/// What reads the tensors of one file to one device.
pub(super) struct Reader<'a> {
    file: &'a GgufFile,
    tensors: HashMap<String, TensorInfo>,
    device: &'a Device,
    buffer: Vec<u8>,
    read: u64,
    total: u64,
    progress: &'a mut dyn FnMut(f32) -> ControlFlow<()>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        file: &'a GgufFile,
        blueprint: &Blueprint,
        device: &'a Device,
        progress: &'a mut dyn FnMut(f32) -> ControlFlow<()>,
    ) -> Result<Self, LoadError> {
        let tensors = blueprint.tensors(file)?;
        Ok(Self {
            file,
            device,
            buffer: Vec::new(),
            read: 0,
            total: tensors.iter().map(|(_, tensor)| tensor.bytes).sum(),
            tensors: tensors.into_iter().collect(),
            progress,
        })
    }

    /// Where it reads to.
    pub(super) const fn device(&self) -> &Device {
        self.device
    }

    /// The matrix of this name, not on the device but beside it: its rows are looked up.
    pub(super) fn rows(&mut self, name: &str) -> Result<Matrix, LoadError> {
        let file = self.file;
        let matrix = self.stage(name, |tensor, rows, columns, bytes| {
            Matrix::in_file(tensor.format, rows, columns, bytes)
        })?;
        matrix.ok_or_else(|| unfit(file, name))
    }

    /// The vector of this name as plain floats, if there is one.
    pub(super) fn optional_values(&mut self, name: &str) -> Result<Option<Vec<f32>>, LoadError> {
        let is_there = self.tensors.contains_key(name);
        is_there.then(|| self.values(name)).transpose()
    }

    fn values(&mut self, name: &str) -> Result<Vec<f32>, LoadError> {
        let widened = self.rows(name)?.widen(&[0]);
        let wrong = |error| self.file.malformed(format!("tensor `{name}`: {error}"));
        widened.map_err(wrong)
    }

    /// Reads a tensor to where it begins at a multiple of 8, makes something of its rows and columns, and tells how far it is.
    fn stage<T>(
        &mut self,
        name: &str,
        make: impl FnOnce(&TensorInfo, usize, usize, &[u8]) -> T,
    ) -> Result<T, LoadError> {
        let file = self.file;
        let unfit = || unfit(file, name);
        let tensor = self.tensors.get(name).ok_or_else(unfit)?;
        let (rows, columns) = match *tensor.shape.as_slice() {
            [length] => (1, length),
            [rows, columns] => (rows, columns),
            _ => return Err(unfit()),
        };
        let sizes = usize::try_from(rows)
            .ok()
            .zip(usize::try_from(columns).ok());
        let (rows, columns) = sizes.ok_or_else(unfit)?;
        let bytes = usize::try_from(tensor.bytes).map_err(|_| unfit())?;
        if !Matrix::fits(tensor.format, rows, columns, tensor.bytes) {
            return Err(unfit());
        }
        let needed = bytes.checked_add(7).ok_or_else(unfit)?;
        if self.buffer.len() < needed {
            // Gone before there is another.
            self.buffer = Vec::new();
            let room = self.buffer.try_reserve_exact(needed);
            room.map_err(|_| unfit())?;
            self.buffer.resize(needed, 0);
        }
        let shift = self.buffer.as_ptr().align_offset(8);
        let target = self.buffer.get_mut(shift..shift.saturating_add(bytes));
        let target = target.ok_or_else(unfit)?;
        file.read_at(tensor.offset, target)?;
        let result = make(tensor, rows, columns, target);
        self.read = self.read.saturating_add(tensor.bytes);
        let share = (self.read as f64 / self.total.max(1) as f64).min(1.0);
        match (self.progress)(share as f32) {
            ControlFlow::Continue(()) => Ok(result),
            ControlFlow::Break(()) => Err(LoadError::Cancelled),
        }
    }
}

impl Tensors for Reader<'_> {
    type Matrix = QMatMul;
    type Vector = Tensor;

    /// The matrix of this name, in the file's format; of single floats it is widened to 32 bits.
    fn matrix(&mut self, name: &str) -> Result<QMatMul, LoadError> {
        let (file, device) = (self.file, self.device);
        let sent = self.stage(name, |tensor, rows, columns, bytes| {
            let dtype = tensor.format.dtype();
            let storage = QStorage::from_data(bytes.into(), device, dtype)?;
            QMatMul::from_qtensor(QTensor::new(storage, (rows, columns))?)
        })?;
        sent.map_err(|error| on_device(file, name, &error))
    }

    /// The vector of this name on the device.
    fn vector(&mut self, name: &str) -> Result<Tensor, LoadError> {
        let values = self.values(name)?;
        let sent = Tensor::new(values, self.device);
        sent.map_err(|error| on_device(self.file, name, &error))
    }

    /// The vector of this name on the device, if there is one.
    fn optional_vector(&mut self, name: &str) -> Result<Option<Tensor>, LoadError> {
        let is_there = self.tensors.contains_key(name);
        is_there.then(|| self.vector(name)).transpose()
    }
}

fn unfit(file: &GgufFile, name: &str) -> LoadError {
    file.malformed(format!("tensor `{name}` does not fit its shape, or memory"))
}

fn on_device(file: &GgufFile, name: &str, error: &candle_core::Error) -> LoadError {
    file.unsupported(
        format!("tensor `{name}` on the device"),
        format!("{}; model.device = \"cpu\" needs none", in_short(error)),
    )
}

/// Memory of a model's weights in bytes: on the device, and beside it.
pub(super) struct Memory {
    pub(super) on_device: u64,
    pub(super) beside: u64,
    /// The most that is needed besides while they are read: the buffer, and a tensor twice on the device, as it lies in the
    /// file and widened.
    pub(super) reading: u64,
}

/// What the weights of this file will take.
pub(super) fn memory(blueprint: &Blueprint, file: &GgufFile) -> Result<Memory, LoadError> {
    let tensors = blueprint.tensors(file)?;
    let mut memory = Memory {
        on_device: 0,
        beside: 0,
        reading: 0,
    };
    for (name, tensor) in &tensors {
        let largest = tensor.bytes.saturating_mul(2).saturating_add(7);
        memory.reading = memory.reading.max(largest);
        if name == super::model::EMBEDDING {
            memory.beside = memory.beside.saturating_add(tensor.bytes);
            if !blueprint.tied_output {
                continue;
            }
        }
        memory.on_device = memory.on_device.saturating_add(resident(tensor));
    }
    Ok(memory)
}

fn resident(tensor: &TensorInfo) -> u64 {
    let is_widened = matches!(
        tensor.format.dtype(),
        GgmlDType::F32 | GgmlDType::F16 | GgmlDType::BF16
    );
    if is_widened || tensor.shape.len() == 1 {
        tensor.elements.saturating_mul(size_of::<f32>() as u64)
    } else {
        tensor.bytes
    }
}
