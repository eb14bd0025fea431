//! A safetensors file: eight bytes of length, a JSON header, then the tensors' bytes, little endian.
//!
//! Format: <https://github.com/huggingface/safetensors#format>. Read tensor by tensor into memory of its own, never mapped:
//! a mapped file that changes is undefined behaviour. Only 32 bit floats are read as weights; other tensors, such as a
//! table of positions, are no part of the model and are left where they are.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use engine::LoadError;
use serde::Deserialize;

/// Largest header: a hundred tensors have one of 12 KiB.
const HEADER_BYTES: u64 = 16 << 20;
/// Read so much at a time, beside the tensor it becomes.
const CHUNK: usize = 1 << 20;

/// What the header says of a tensor.
#[derive(Clone, Debug, Deserialize)]
struct Info {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (u64, u64),
}

/// An open file.
#[derive(Debug)]
pub(super) struct Safetensors {
    path: PathBuf,
    file: File,
    /// Where the tensors begin.
    data: u64,
    tensors: BTreeMap<String, Info>,
}

impl Safetensors {
    /// Opens the file and reads its header. Every tensor of 32 bit floats lies within the file and is as large as its
    /// shape says.
    pub(super) fn open(path: &Path) -> Result<Self, LoadError> {
        let io = |error: std::io::Error| LoadError::Io {
            path: path.to_owned(),
            reason: error.to_string(),
        };
        let mut file = File::open(path).map_err(io)?;
        let metadata = file.metadata().map_err(io)?;
        if !metadata.is_file() {
            return Err(io(std::io::Error::other("it is not a file")));
        }
        let mut length = [0; 8];
        file.read_exact(&mut length).map_err(io)?;
        let length = u64::from_le_bytes(length);
        let data = length.saturating_add(8);
        let malformed = |reason: String| LoadError::Malformed {
            path: path.to_owned(),
            reason,
        };
        if length > HEADER_BYTES || data > metadata.len() {
            return Err(malformed(format!("its header would have {length} bytes")));
        }
        let mut header = vec![0; length as usize];
        file.read_exact(&mut header).map_err(io)?;
        let tensors = parse(&header, metadata.len() - data).map_err(malformed)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            data,
            tensors,
        })
    }

    /// Memory of all weights.
    pub(super) fn bytes_needed(&self) -> u64 {
        self.tensors
            .values()
            .map(Info::bytes)
            .fold(0, u64::saturating_add)
    }

    /// The most memory while they are read.
    pub(super) fn bytes_while_loading(&self) -> u64 {
        self.bytes_needed().saturating_add(CHUNK as u64)
    }

    /// Refuses a tensor that is missing or of another shape.
    pub(super) fn expect_shape(&self, name: &str, shape: &[usize]) -> Result<(), LoadError> {
        let found = self.tensors.get(name).map(|info| info.shape.as_slice());
        match found {
            Some(found) if found == shape => Ok(()),
            Some(found) => Err(self.malformed(format!(
                "tensor `{name}` has the shape {found:?}, and config.json says {shape:?}"
            ))),
            None => Err(self.malformed(format!("tensor `{name}` is missing"))),
        }
    }

    /// Reads all weights, telling `progress` after each.
    pub(super) fn read(
        mut self,
        progress: &mut dyn FnMut(f32) -> ControlFlow<()>,
    ) -> Result<HashMap<String, Tensor>, LoadError> {
        let total = self.bytes_needed().max(1);
        let mut chunk = vec![0; CHUNK];
        let (mut read, mut all) = (0, HashMap::new());
        for (name, info) in std::mem::take(&mut self.tensors) {
            let numbers = self.read_one(&info, &mut chunk)?;
            let tensor = Tensor::from_vec(numbers, info.shape.as_slice(), &Device::Cpu);
            let tensor = tensor.map_err(|e| self.malformed(format!("tensor `{name}`: {e}")))?;
            all.insert(name, tensor);
            read += info.bytes();
            if progress(read as f32 / total as f32).is_break() {
                return Err(LoadError::Cancelled);
            }
        }
        Ok(all)
    }

    fn read_one(&mut self, info: &Info, chunk: &mut [u8]) -> Result<Vec<f32>, LoadError> {
        let path = self.path.clone();
        let io = |error: std::io::Error| LoadError::Io {
            path: path.clone(),
            reason: error.to_string(),
        };
        let begin = self.data.saturating_add(info.data_offsets.0);
        self.file.seek(SeekFrom::Start(begin)).map_err(io)?;
        let mut left = info.bytes() as usize;
        let mut numbers = Vec::with_capacity(left / 4);
        while left > 0 {
            let size = left.min(chunk.len());
            let Some(part) = chunk.get_mut(..size) else {
                break;
            };
            self.file.read_exact(part).map_err(io)?;
            let (words, _) = part.as_chunks::<4>();
            numbers.extend(words.iter().map(|word| f32::from_le_bytes(*word)));
            left -= size;
        }
        Ok(numbers)
    }

    fn malformed(&self, reason: String) -> LoadError {
        LoadError::Malformed {
            path: self.path.clone(),
            reason,
        }
    }
}

impl Info {
    fn bytes(&self) -> u64 {
        self.data_offsets.1.saturating_sub(self.data_offsets.0)
    }

    fn fits_its_shape(&self) -> bool {
        let elements = self.shape.iter().try_fold(4u64, |bytes, side| {
            bytes.checked_mul(u64::try_from(*side).ok()?)
        });
        elements == Some(self.bytes()) && self.data_offsets.0 <= self.data_offsets.1
    }
}

/// The tensors of 32 bit floats; `data` is how many bytes lie behind the header.
fn parse(header: &[u8], data: u64) -> Result<BTreeMap<String, Info>, String> {
    let raw: BTreeMap<String, serde_json::Value> =
        serde_json::from_slice(header).map_err(|error| format!("its header: {error}"))?;
    let mut tensors = BTreeMap::new();
    let mut total = 0u64;
    for (name, value) in raw.into_iter().filter(|(name, _)| name != "__metadata__") {
        let info: Info =
            serde_json::from_value(value).map_err(|error| format!("tensor `{name}`: {error}"))?;
        if info.dtype == "F16" || info.dtype == "BF16" {
            return Err(format!(
                "tensor `{name}` is {}; only F32 is read",
                info.dtype
            ));
        }
        if info.dtype != "F32" {
            continue;
        }
        if info.data_offsets.1 > data || !info.fits_its_shape() {
            return Err(format!(
                "tensor `{name}` does not fit its shape or the file"
            ));
        }
        total = total.saturating_add(info.bytes());
        tensors.insert(name, info);
    }
    // Two names for the same bytes would take more memory than the file has.
    if total > data {
        return Err("its tensors overlap".to_owned());
    }
    Ok(tensors)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_what_fits_is_believed() {
        let header = |shape: &str, begin: u64, end: u64, kind: &str| {
            format!(
                r#"{{"__metadata__":{{"format":"pt"}},"a":{{"dtype":"{kind}","shape":{shape},"data_offsets":[{begin},{end}]}}}}"#
            )
        };
        for (shape, begin, end, kind, sound) in [
            ("[2,3]", 0, 24, "F32", true),
            ("[2,3]", 8, 32, "F32", true),
            ("[2,3]", 9, 33, "F32", false),
            ("[2,3]", 0, 20, "F32", false),
            ("[2,3]", 24, 0, "F32", false),
            ("[18446744073709551615,2]", 0, 24, "F32", false),
            ("[2,3]", 0, 12, "F16", false),
            ("[3]", 0, 999, "I64", true),
        ] {
            let header = header(shape, begin, end, kind);
            assert_eq!(parse(header.as_bytes(), 32).is_ok(), sound, "{header}");
        }
        let twice = r#"{"a":{"dtype":"F32","shape":[8],"data_offsets":[0,32]},"b":{"dtype":"F32","shape":[8],"data_offsets":[0,32]}}"#;
        assert_eq!(
            parse(twice.as_bytes(), 32).err().as_deref(),
            Some("its tensors overlap")
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), data in 0u64..1000) {
            if let Ok(tensors) = parse(&bytes, data) {
                prop_assert!(tensors.values().all(|info| info.data_offsets.1 <= data));
            }
        }
    }
}
