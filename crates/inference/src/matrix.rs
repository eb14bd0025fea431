//! A weight matrix as it lies in the file, and its product with activation rows.
//!
//! candle's block kernels are called directly, not through `QMatMul`: its repacked kernels choose another order of
//! additions for one row than for many, keep a second copy of the weights, and its float path runs on rayon's global
//! pool. Here a row's result has the same bits whatever rows stand beside it.
//!
//! Invariants: no second copy of the weights, no rayon; threads only candle's barrier pool makes, which has none when
//! `CANDLE_NUM_THREADS=1` was set before its first use.

use std::borrow::Cow;

use candle_core::CpuStorage;
use candle_core::quantized::QuantizedType;
use engine::StepError;

use crate::format::Format;
use crate::ops::dot;

/// Half-precision rows are widened this many at a time: 64 rows of 2048 are 512 KiB, which stays in the cache.
const WIDENED_ROWS: usize = 64;

/// `rows × columns` weights; maps activations of `columns` to `rows`.
pub struct Matrix {
    blocks: Box<dyn QuantizedType>,
    half: bool,
    rows: usize,
    columns: usize,
}

impl Matrix {
    /// The matrix in `bytes`, which must be exactly its length in `format` and aligned to 8; `None` if they are not.
    pub fn new(format: Format, rows: usize, columns: usize, bytes: &[u8]) -> Option<Self> {
        let row_blocks = (columns as u64).checked_div(format.block_elements())?;
        let expected = row_blocks
            .checked_mul(rows as u64)?
            .checked_mul(format.block_bytes())?;
        let whole = (columns as u64).is_multiple_of(format.block_elements());
        let aligned = bytes.as_ptr().addr().is_multiple_of(8);
        if !whole || !aligned || expected != bytes.len() as u64 || rows == 0 || columns == 0 {
            return None;
        }
        Some(Self {
            blocks: format.dtype().from_data(Cow::Borrowed(bytes)),
            half: format.is_half(),
            rows,
            columns,
        })
    }

    /// Memory taken, in bytes.
    pub fn bytes(&self) -> u64 {
        self.blocks.storage_size_in_bytes() as u64
    }

    /// Multiplies each row of `input` (rows of `columns`) into a row of `output` (rows of `rows`), which is resized.
    ///
    /// # Errors
    /// `Compute` when the sizes do not fit.
    pub fn apply(&self, input: &[f32], output: &mut Vec<f32>) -> Result<(), StepError> {
        let count = input.len() / self.columns;
        if count * self.columns != input.len() {
            return Err(StepError::Compute(format!(
                "{} activations are no rows of {}",
                input.len(),
                self.columns
            )));
        }
        // Every element is written below; growing alone needs a fill.
        output.resize(count * self.rows, 0.0);
        if count == 0 {
            return Ok(());
        }
        if self.half {
            return self.apply_widened(input, output);
        }
        self.blocks
            .matmul_t((count, self.columns, self.rows), input, output)
            .map_err(|error| StepError::Compute(error.to_string()))
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
        match self.blocks.embedding(ids, self.rows, self.columns) {
            Ok(CpuStorage::F32(values)) => Ok(values),
            Ok(_) => Err(StepError::Compute(
                "weights did not widen to f32".to_owned(),
            )),
            Err(error) => Err(StepError::Compute(error.to_string())),
        }
    }
}
