//! What is to be read, and where each packed matrix comes to lie.

use engine::LoadError;
use sha2::{Digest, Sha256};

use crate::blueprint::Blueprint;
use crate::cpu::{LINE, Plot, RUN_LINES};
use crate::file::GgufFile;
use crate::header::TensorInfo;

/// So much of each tensor is hashed, in bytes.
const BEGINNING: usize = 4096;

/// A tensor that is to be read.
pub(super) struct Task {
    pub(super) name: String,
    pub(super) tensor: TensorInfo,
    /// Where it goes, if it is to be packed.
    pub(super) plot: Option<Plot>,
    /// The run of memory that it goes to, and its turn there.
    place: (usize, usize),
}

/// All tensors of a model, in the order of their lines.
pub(super) struct Plan {
    pub(super) tasks: Vec<Task>,
    /// Lines of each run of memory.
    pub(super) runs: Vec<usize>,
    lines: usize,
}

impl Plan {
    /// Of a model whose matrices are packed, or not.
    ///
    /// # Errors
    /// `Malformed` for a tensor that is missing or larger than memory.
    pub(super) fn of(
        file: &GgufFile,
        blueprint: &Blueprint,
        packs: bool,
    ) -> Result<Self, LoadError> {
        let (mut runs, mut lines) = (vec![0usize], 0usize);
        let (mut tasks, mut turn) = (Vec::new(), 0usize);
        for (name, tensor) in blueprint.tensors(file)? {
            let plot = if packs { plot(&tensor, lines) } else { None };
            let own = plot.map_or(Some(0), |plot| plot.lines());
            let own = own.filter(|own| lines.checked_add(*own).is_some());
            let own = own.ok_or_else(|| super::unfit(file, &name))?;
            if runs.last().is_some_and(|run| *run >= RUN_LINES) {
                runs.push(0);
                turn = 0;
            }
            if let Some(run) = runs.last_mut() {
                *run += own;
            }
            lines += own;
            tasks.push(Task {
                name,
                tensor,
                plot,
                place: (runs.len() - 1, turn),
            });
            turn += 1;
        }
        Ok(Self { tasks, runs, lines })
    }

    /// Bytes of all lines.
    pub(super) const fn bytes(&self) -> Option<usize> {
        self.lines.checked_mul(LINE)
    }

    /// A hash of what is packed to where, and how each tensor begins.
    ///
    /// # Errors
    /// `Io`.
    pub(super) fn digest(&self, file: &GgufFile) -> Result<[u8; 32], LoadError> {
        let mut hash = Sha256::new();
        let mut beginning = [0; BEGINNING];
        for Task {
            name, tensor, plot, ..
        } in &self.tasks
        {
            let Some(first) = plot.map(|plot| plot.first_line()) else {
                continue;
            };
            let numbers = [name.len() as u64, u64::from(tensor.format.code())];
            let numbers = numbers.into_iter().chain(tensor.shape.iter().copied());
            for number in numbers.chain([tensor.offset, tensor.bytes, first as u64]) {
                hash.update(number.to_le_bytes());
            }
            hash.update(name);
            let length = usize::try_from(tensor.bytes).map_or(BEGINNING, |all| all.min(BEGINNING));
            let beginning = beginning.get_mut(..length).unwrap_or_default();
            file.read_at(tensor.offset, beginning)?;
            hash.update(beginning);
        }
        Ok(hash.finalize().into())
    }

    /// Orders what is read so that several who read at the same time put it into runs of their own.
    pub(super) fn sort_for(&mut self, threads: usize) {
        if threads > 1 {
            self.tasks.sort_by_key(|task| {
                let (run, turn) = task.place;
                (run / threads, turn, run)
            });
        }
    }
}

/// Where a tensor goes whose first line is `first`, if it is packed.
pub(super) fn plot(tensor: &TensorInfo, first: usize) -> Option<Plot> {
    let &[rows, columns] = tensor.shape.as_slice() else {
        return None;
    };
    let (rows, columns) = (usize::try_from(rows).ok()?, usize::try_from(columns).ok()?);
    Plot::of(tensor.format, rows, columns, first)
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::fixture::TinyModel;
    use crate::vocabulary::Vocabulary;

    fn digest(bytes: &[u8]) -> Result<[u8; 32], Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("a.gguf");
        std::fs::write(&path, bytes)?;
        let file = GgufFile::open(&path)?;
        let blueprint = Blueprint::read(&file, Vocabulary::read(&file)?.len())?;
        Ok(Plan::of(&file, &blueprint, true)?.digest(&file)?)
    }

    #[test]
    fn how_each_packed_tensor_begins_is_part_of_the_hash() -> Result<(), Box<dyn std::error::Error>>
    {
        let bytes = TinyModel::llama().bytes()?;
        let first = digest(&bytes)?;
        assert_eq!(digest(&bytes)?, first);
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("a.gguf");
        std::fs::write(&path, &bytes)?;
        let file = GgufFile::open(&path)?;
        let matrices = file.tensors().filter(|(_, tensor)| tensor.shape.len() == 2);
        for (name, tensor) in matrices {
            let mut other = bytes.clone();
            let at = usize::try_from(tensor.offset)?;
            *other.get_mut(at).ok_or("cut short")? ^= 1;
            assert_ne!(digest(&other)?, first, "{name}");
        }
        Ok(())
    }
}
