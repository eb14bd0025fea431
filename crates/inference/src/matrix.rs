//! A weight matrix and its product with activation rows: packed for this processor where its format has a packed form, as
//! it lies in the file where it has none.
//!
//! For the latter candle's block kernels are called directly, not through `QMatMul`: its repacked kernels choose another
//! order of additions for one row than for many, keep a second copy of the weights, and its float path runs on rayon's
//! global pool. Here a row's result has the same bits whatever rows stand beside it.
//!
//! Invariants: no second copy of the weights, no rayon; threads only candle's barrier pool makes, which has none when
//! `CANDLE_NUM_THREADS=1` was set before its first use.

use std::borrow::Cow;
use std::ops::Range;

use candle_core::CpuStorage;
use candle_core::quantized::QuantizedType;
use engine::StepError;

use crate::cpu::{Activations, Kind, Memory, Packed, Plot};
use crate::format::Format;
use crate::ops::dot;

/// Half-precision rows are widened this many at a time: 64 rows of 2048 are 512 KiB, which stays in the cache.
const WIDENED_ROWS: usize = 64;

/// `rows × columns` weights; maps activations of `columns` to `rows`.
pub struct Matrix {
    weights: Weights,
    rows: usize,
    columns: usize,
}

enum Weights {
    Packed(Packed, Kind),
    InFile {
        blocks: Box<dyn QuantizedType>,
        half: bool,
    },
}

impl Matrix {
    /// The matrix in `bytes`, to be multiplied by kernels of this kind. They must be exactly its length in `format` and
    /// aligned to 8; `None` if they are not.
    pub fn new(
        kind: Kind,
        format: Format,
        rows: usize,
        columns: usize,
        bytes: &[u8],
    ) -> Option<Self> {
        match Packed::new(format, rows, columns, bytes) {
            None => Self::in_file(format, rows, columns, bytes),
            Some(packed) => Some(Self {
                weights: Weights::Packed(packed, kind),
                rows,
                columns,
            }),
        }
    }

    /// The matrix that was packed into this memory; `None` if it is not there.
    pub(crate) fn of_plot(kind: Kind, plot: Plot, memory: &Memory) -> Option<Self> {
        let packed = plot.matrix(memory)?;
        Some(Self {
            rows: packed.rows(),
            columns: packed.columns(),
            weights: Weights::Packed(packed, kind),
        })
    }

    /// What [`Matrix::bytes`] will be, where the format has a packed form.
    pub(crate) fn bytes_if_packed(format: Format, rows: usize, columns: usize) -> Option<u64> {
        Packed::bytes_of(format, rows, columns)
    }

    /// As [`Matrix::new`], but as it lies in the file: for what is only read, and once.
    pub fn in_file(format: Format, rows: usize, columns: usize, bytes: &[u8]) -> Option<Self> {
        let aligned = bytes.as_ptr().addr().is_multiple_of(8);
        if !aligned || !Self::fits(format, rows, columns, bytes.len() as u64) {
            return None;
        }
        Some(Self {
            weights: Weights::InFile {
                blocks: format.dtype().from_data(Cow::Borrowed(bytes)),
                half: format.is_half(),
            },
            rows,
            columns,
        })
    }

    /// Whether so many rows of whole blocks take so many bytes in the file.
    pub(crate) fn fits(format: Format, rows: usize, columns: usize, bytes: u64) -> bool {
        let blocks = (columns as u64).checked_div(format.block_elements());
        let expected = blocks
            .and_then(|blocks| blocks.checked_mul(rows as u64))
            .and_then(|blocks| blocks.checked_mul(format.block_bytes()));
        let whole = (columns as u64).is_multiple_of(format.block_elements());
        whole && rows > 0 && columns > 0 && expected == Some(bytes)
    }

    /// What [`Matrix::bytes`] of such a matrix will be, if it takes `in_file` bytes in the file.
    pub fn bytes_needed(format: Format, rows: u64, columns: u64, in_file: u64) -> u64 {
        let sizes = usize::try_from(rows)
            .ok()
            .zip(usize::try_from(columns).ok());
        sizes
            .and_then(|(rows, columns)| Self::bytes_if_packed(format, rows, columns))
            .unwrap_or(in_file)
    }

    /// Whether a matrix of this format has a packed form.
    pub(crate) fn has_packed_form(format: Format) -> bool {
        let columns = usize::try_from(format.block_elements()).unwrap_or(0);
        Self::bytes_if_packed(format, 1, columns).is_some()
    }

    /// Whether a matrix of this format, once packed, is multiplied with activations that are bytes.
    pub(crate) fn packed_meets_bytes(format: Format) -> bool {
        Packed::meets_bytes_if(format)
    }

    /// Whether it is multiplied with activations that are bytes.
    pub(crate) const fn meets_bytes(&self) -> bool {
        match &self.weights {
            Weights::Packed(packed, _) => packed.meets_bytes(),
            Weights::InFile { .. } => false,
        }
    }

    /// Memory taken, in bytes.
    pub fn bytes(&self) -> u64 {
        match &self.weights {
            Weights::Packed(packed, _) => packed.bytes(),
            Weights::InFile { blocks, .. } => blocks.storage_size_in_bytes() as u64,
        }
    }

    /// Rows of the matrix.
    pub(crate) const fn rows(&self) -> usize {
        self.rows
    }

    /// Whether shares of it can be multiplied.
    pub(crate) const fn is_packed(&self) -> bool {
        matches!(self.weights, Weights::Packed(..))
    }

    /// Into how many pieces it can be shared out: one, where it is not packed.
    pub(crate) const fn tiles(&self) -> usize {
        match &self.weights {
            Weights::Packed(packed, _) => packed.tile_count(),
            Weights::InFile { .. } => 1,
        }
    }

    /// How many rows `input` is.
    pub(crate) fn rows_of_input(&self, input: &Activations) -> usize {
        input.rows().len() / self.columns
    }

    /// Multiplies each row of `input` (rows of `columns`) into a row of `output` (rows of `rows`), which is resized.
    ///
    /// # Errors
    /// `Compute` when the sizes do not fit.
    pub(crate) fn apply(
        &self,
        input: &mut Activations,
        output: &mut Vec<f32>,
    ) -> Result<(), StepError> {
        // Every element is written below; growing alone needs a fill.
        output.resize(self.rows_of_input(input) * self.rows, 0.0);
        self.multiply(0..self.tiles(), input, output)
    }

    /// As [`Matrix::apply`], but with some tiles alone, whose results, row after row of the input, are put behind `own`.
    ///
    /// # Errors
    /// As [`Matrix::apply`].
    pub(crate) fn append_some(
        &self,
        tiles: Range<usize>,
        input: &mut Activations,
        own: &mut Vec<f32>,
    ) -> Result<(), StepError> {
        let from = own.len();
        own.resize(from + self.rows_of_input(input) * self.rows_of(&tiles), 0.0);
        match own.get_mut(from..) {
            Some(own) if !own.is_empty() => self.multiply(tiles, input, own),
            _ => Ok(()),
        }
    }

    /// Puts the results of some tiles, which `part` begins with, into their places among whole rows of results. What
    /// follows them in `part` comes back.
    pub(crate) fn spread<'p>(
        &self,
        tiles: Range<usize>,
        part: &'p [f32],
        output: &mut [f32],
    ) -> &'p [f32] {
        let width = self.rows_of(&tiles);
        let count = output.len() / self.rows;
        let (here, later) = part.split_at_checked(width * count).unwrap_or((part, &[]));
        let first = self.rows_of(&(0..tiles.start));
        let sources = here.chunks_exact(width.max(1));
        for (source, row) in sources.zip(output.chunks_exact_mut(self.rows)) {
            if let Some(target) = row.get_mut(first..first + width) {
                target.copy_from_slice(source);
            }
        }
        later
    }

    fn rows_of(&self, tiles: &Range<usize>) -> usize {
        match &self.weights {
            Weights::Packed(packed, _) => packed.rows_of(tiles),
            Weights::InFile { .. } => tiles.len() * self.rows,
        }
    }

    fn multiply(
        &self,
        tiles: Range<usize>,
        input: &mut Activations,
        output: &mut [f32],
    ) -> Result<(), StepError> {
        let count = self.rows_of_input(input);
        if count * self.columns != input.rows().len() {
            return Err(StepError::Compute(format!(
                "{} activations are no rows of {}",
                input.rows().len(),
                self.columns
            )));
        }
        match &self.weights {
            _ if count == 0 => Ok(()),
            Weights::Packed(packed, kind) => {
                packed.apply(*kind, input, tiles, output);
                Ok(())
            }
            Weights::InFile { half: true, .. } => self.apply_widened(input.rows(), output),
            Weights::InFile { blocks, .. } => blocks
                .matmul_t((count, self.columns, self.rows), input.rows(), output)
                .map_err(|error| StepError::Compute(error.to_string())),
        }
    }

    /// Half-precision weights meet 32 bit activations: candle's own kernel would round the activations to 16 bits,
    /// where some models' overflow.
    fn apply_widened(&self, input: &[f32], output: &mut [f32]) -> Result<(), StepError> {
        let mut first = 0;
        while first < self.rows {
            let last = self.rows.min(first + WIDENED_ROWS);
            let ids: Vec<u32> = (first..last).map(|row| row as u32).collect();
            let weights = self.widen(&ids)?;
            for (x, y) in input
                .chunks_exact(self.columns)
                .zip(output.chunks_exact_mut(self.rows))
            {
                let targets = y.iter_mut().skip(first);
                for (w, target) in weights.chunks_exact(self.columns).zip(targets) {
                    *target = dot(w, x);
                }
            }
            first = last;
        }
        Ok(())
    }

    /// The rows `ids` as 32 bit floats, one after another.
    ///
    /// # Errors
    /// `Compute` when there is no such row.
    pub fn widen(&self, ids: &[u32]) -> Result<Vec<f32>, StepError> {
        let mut values = Vec::new();
        self.widen_into(ids, &mut values)?;
        Ok(values)
    }

    /// As [`Matrix::widen`], into `target`, whose memory is used again.
    ///
    /// # Errors
    /// As [`Matrix::widen`].
    pub fn widen_into(&self, ids: &[u32], target: &mut Vec<f32>) -> Result<(), StepError> {
        match &self.weights {
            Weights::Packed(packed, _) => {
                // Every element is written below.
                target.resize(ids.len() * self.columns, 0.0);
                for (id, target) in ids.iter().zip(target.chunks_exact_mut(self.columns)) {
                    if !packed.widen(*id as usize, target) {
                        let rows = self.rows;
                        let error = format!("there is no row {id} among {rows}");
                        return Err(StepError::Compute(error));
                    }
                }
                Ok(())
            }
            Weights::InFile { blocks, .. } => {
                match blocks.embedding(ids, self.rows, self.columns) {
                    Ok(CpuStorage::F32(values)) => {
                        *target = values;
                        Ok(())
                    }
                    Ok(_) => Err(StepError::Compute(
                        "weights did not widen to f32".to_owned(),
                    )),
                    Err(error) => Err(StepError::Compute(error.to_string())),
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "matrix_tests.rs"]
mod tests;
