//! The GGUF header, read as if a stranger had written it: every count, length and offset is checked against what the
//! file can hold before anything is allocated for it.
//!
//! Format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>, versions 2 and 3, little-endian.
//!
//! Invariant: memory taken here is at most a small multiple of the header's bytes on disk (a text of a list costs its length
//! plus 4 bytes and takes at least 8 on disk), and the header may not be longer than [`MAX_HEADER_BYTES`].

use std::collections::{BTreeMap, HashSet};
use std::io::BufRead;
use std::sync::Arc;

use crate::format::Format;
use crate::texts::Texts;

mod cursor;

use cursor::Cursor;

/// The longest header read. The largest known vocabularies (262 144 tokens with merges) take about 20 MB.
pub const MAX_HEADER_BYTES: u64 = 256 << 20;
/// The most metadata fields: real files have under a hundred.
const MAX_FIELDS: u64 = 1 << 16;
/// The most tensors: the largest known models have a few thousand.
const MAX_TENSORS: u64 = 1 << 16;
/// The longest field or tensor name the format allows.
const MAX_NAME_BYTES: u64 = 65_535;
/// The format allows four dimensions.
const MAX_DIMENSIONS: u32 = 4;
/// The alignment of tensor data where the file names none.
const DEFAULT_ALIGNMENT: u64 = 32;
/// No sensible writer aligns to more; a page is 4096 or 65 536 bytes.
const MAX_ALIGNMENT: u64 = 1 << 20;

/// Arrays that are kept; a file may have others as long as its header may be, and nobody has counted their memory.
const ASKED_FOR: [&str; 4] = [
    "tokenizer.ggml.tokens",
    "tokenizer.ggml.merges",
    "tokenizer.ggml.token_type",
    "tokenizer.ggml.scores",
];

/// What is wrong with a header; the text names the field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The system failed to read.
    #[error("{0}")]
    Io(String),
    /// The bytes are not a sound header.
    #[error("{0}")]
    Malformed(String),
    /// A sound header of a kind that is not read here.
    #[error("{what}: {reason}")]
    Unsupported {
        /// Which part.
        what: String,
        /// What is supported instead.
        reason: String,
    },
}

fn malformed<T>(reason: impl Into<String>) -> Result<T, HeaderError> {
    Err(HeaderError::Malformed(reason.into()))
}

/// A metadata value. Numbers of all widths are widened; arrays nobody asks for keep only their length.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Any unsigned integer.
    Unsigned(u64),
    /// Any signed integer.
    Signed(i64),
    /// A 32 or 64 bit float.
    Float(f64),
    /// True or false.
    Bool(bool),
    /// Text.
    Text(String),
    /// An array of texts.
    Texts(Arc<Texts>),
    /// An array of 32 bit integers; unsigned ones above `i32::MAX` wrap.
    Ints(Vec<i32>),
    /// An array of 32 bit floats.
    Floats(Vec<f32>),
    /// An array of another type, or of a name that nobody asks for: skipped.
    OtherArray {
        /// Its elements.
        length: u64,
    },
}

/// One tensor as the header describes it; every number has been checked against the file's length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// How its numbers are written.
    pub format: Format,
    /// Rows, outermost first (GGUF stores them the other way round).
    pub shape: Vec<u64>,
    /// Elements in all.
    pub elements: u64,
    /// Where it begins in the file, in bytes.
    pub offset: u64,
    /// Its length in the file, in bytes.
    pub bytes: u64,
}

/// A whole header.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// Metadata by name.
    pub fields: BTreeMap<String, Value>,
    /// Tensors by name.
    pub tensors: BTreeMap<String, TensorInfo>,
}

impl Header {
    /// Reads the header of a file of `file_bytes` bytes.
    ///
    /// # Errors
    /// What is wrong, naming the field or tensor.
    pub fn read(source: impl BufRead, file_bytes: u64) -> Result<Self, HeaderError> {
        let mut cursor = Cursor {
            source,
            read: 0,
            end: file_bytes.min(MAX_HEADER_BYTES),
            file_bytes,
        };
        let (tensor_count, field_count) = read_counts(&mut cursor)?;
        let mut fields = BTreeMap::new();
        for index in 0..field_count {
            let name = cursor.name(&format!("the name of metadata field {index}"))?;
            let value = read_value(&mut cursor, &name)?;
            if fields.contains_key(&name) {
                return malformed(format!("metadata field `{name}` appears twice"));
            }
            fields.insert(name, value);
        }
        let mut raw = Vec::new();
        for index in 0..tensor_count {
            raw.push(read_tensor(&mut cursor, index)?);
        }
        let alignment = alignment(&fields)?;
        let data_start = cursor.read.next_multiple_of(alignment);
        let tensors = place_tensors(raw, data_start, alignment, file_bytes)?;
        Ok(Self { fields, tensors })
    }
}

/// Magic, version and the two counts.
fn read_counts<R: BufRead>(cursor: &mut Cursor<R>) -> Result<(u64, u64), HeaderError> {
    let magic = cursor.array::<4>("the magic")?;
    if &magic != b"GGUF" {
        return malformed(format!(
            "it begins with {:?}, not with \"GGUF\"",
            String::from_utf8_lossy(&magic)
        ));
    }
    let version = cursor.u32("the version")?;
    if !matches!(version, 2 | 3) {
        return Err(HeaderError::Unsupported {
            what: format!("GGUF version {version}"),
            reason: "versions 2 and 3, little-endian, are".to_owned(),
        });
    }
    let tensors = cursor.u64("the tensor count")?;
    let fields = cursor.u64("the metadata count")?;
    if tensors > MAX_TENSORS {
        return malformed(format!(
            "it claims {tensors} tensors; at most {MAX_TENSORS} are read"
        ));
    }
    if fields > MAX_FIELDS {
        return malformed(format!(
            "it claims {fields} metadata fields; at most {MAX_FIELDS} are read"
        ));
    }
    // The shortest field takes 13 bytes, the shortest tensor 24.
    let least = fields
        .saturating_mul(13)
        .saturating_add(tensors.saturating_mul(24));
    if least > cursor.remaining() {
        return malformed(format!(
            "it claims {fields} metadata fields and {tensors} tensors, which need {least} bytes; {} remain",
            cursor.remaining()
        ));
    }
    Ok((tensors, fields))
}

fn alignment(fields: &BTreeMap<String, Value>) -> Result<u64, HeaderError> {
    match fields.get("general.alignment") {
        None => Ok(DEFAULT_ALIGNMENT),
        Some(Value::Unsigned(n)) if n.is_power_of_two() && *n <= MAX_ALIGNMENT => Ok(*n),
        Some(other) => malformed(format!(
            "general.alignment is {other:?}; a power of two up to {MAX_ALIGNMENT} is needed"
        )),
    }
}

struct RawTensor {
    name: String,
    format: Format,
    shape: Vec<u64>,
    elements: u64,
    offset: u64,
    bytes: u64,
}

fn read_tensor<R: BufRead>(cursor: &mut Cursor<R>, index: u64) -> Result<RawTensor, HeaderError> {
    let name = cursor.name(&format!("the name of tensor {index}"))?;
    let dimensions = cursor.u32(&name)?;
    if dimensions == 0 || dimensions > MAX_DIMENSIONS {
        return malformed(format!(
            "tensor `{name}` claims {dimensions} dimensions; 1 to {MAX_DIMENSIONS} are possible"
        ));
    }
    let mut shape = Vec::new();
    let mut elements = 1u64;
    for _ in 0..dimensions {
        let size = cursor.u64(&name)?;
        elements = match elements.checked_mul(size) {
            Some(product) if product > 0 => product,
            _ => {
                return malformed(format!(
                    "tensor `{name}` has an impossible dimension of {size}"
                ));
            }
        };
        shape.push(size);
    }
    let code = cursor.u32(&name)?;
    let Some(format) = Format::from_code(code) else {
        return Err(HeaderError::Unsupported {
            what: format!("weight format {code} of tensor `{name}`"),
            reason: format!("{} are", Format::names()),
        });
    };
    // Rows must be whole blocks; GGUF writes the innermost dimension first.
    let row = shape.first().copied().unwrap_or(0);
    let block = format.block_elements();
    if row % block != 0 {
        return malformed(format!(
            "tensor `{name}` has rows of {row}, no multiple of {block} as {format} needs"
        ));
    }
    let Some(bytes) = (elements / block).checked_mul(format.block_bytes()) else {
        return malformed(format!(
            "tensor `{name}` of {elements} elements is too large"
        ));
    };
    let offset = cursor.u64(&name)?;
    shape.reverse();
    Ok(RawTensor {
        name,
        format,
        shape,
        elements,
        offset,
        bytes,
    })
}

/// Checks that every tensor lies inside the file, aligned, and that no two overlap.
fn place_tensors(
    raw: Vec<RawTensor>,
    data_start: u64,
    alignment: u64,
    file_bytes: u64,
) -> Result<BTreeMap<String, TensorInfo>, HeaderError> {
    let mut seen = HashSet::new();
    let mut spans = Vec::new();
    let mut tensors = BTreeMap::new();
    for tensor in raw {
        let name = tensor.name;
        if !seen.insert(name.clone()) {
            return malformed(format!("tensor `{name}` appears twice"));
        }
        if tensor.offset % alignment != 0 {
            return malformed(format!(
                "tensor `{name}` lies at offset {}, no multiple of the alignment {alignment}",
                tensor.offset
            ));
        }
        let begin = data_start.checked_add(tensor.offset);
        let end = begin.and_then(|b| b.checked_add(tensor.bytes));
        let (Some(begin), Some(end)) = (begin, end) else {
            return malformed(format!(
                "tensor `{name}` has an impossible offset {}",
                tensor.offset
            ));
        };
        if end > file_bytes {
            return malformed(format!(
                "tensor `{name}` ends at byte {end}; the file has {file_bytes}"
            ));
        }
        spans.push((begin, end, name.clone()));
        tensors.insert(
            name,
            TensorInfo {
                format: tensor.format,
                shape: tensor.shape,
                elements: tensor.elements,
                offset: begin,
                bytes: tensor.bytes,
            },
        );
    }
    spans.sort();
    for ((_, end, first), (begin, _, second)) in spans.iter().zip(spans.iter().skip(1)) {
        if begin < end {
            return malformed(format!("tensors `{first}` and `{second}` overlap"));
        }
    }
    Ok(tensors)
}

fn read_value<R: BufRead>(cursor: &mut Cursor<R>, name: &str) -> Result<Value, HeaderError> {
    let kind = cursor.u32(name)?;
    Ok(match kind {
        0 => Value::Unsigned(u64::from(u8::from_le_bytes(cursor.array(name)?))),
        1 => Value::Signed(i64::from(i8::from_le_bytes(cursor.array(name)?))),
        2 => Value::Unsigned(u64::from(u16::from_le_bytes(cursor.array(name)?))),
        3 => Value::Signed(i64::from(i16::from_le_bytes(cursor.array(name)?))),
        4 => Value::Unsigned(u64::from(u32::from_le_bytes(cursor.array(name)?))),
        5 => Value::Signed(i64::from(i32::from_le_bytes(cursor.array(name)?))),
        6 => Value::Float(f64::from(f32::from_le_bytes(cursor.array(name)?))),
        7 => match u8::from_le_bytes(cursor.array(name)?) {
            0 => Value::Bool(false),
            1 => Value::Bool(true),
            other => {
                return malformed(format!("`{name}` is a boolean of value {other}"));
            }
        },
        8 => Value::Text(cursor.text(name)?),
        9 => read_array(cursor, name)?,
        10 => Value::Unsigned(u64::from_le_bytes(cursor.array(name)?)),
        11 => Value::Signed(i64::from_le_bytes(cursor.array(name)?)),
        12 => Value::Float(f64::from_le_bytes(cursor.array(name)?)),
        other => return malformed(format!("`{name}` has the unknown value type {other}")),
    })
}

fn read_array<R: BufRead>(cursor: &mut Cursor<R>, name: &str) -> Result<Value, HeaderError> {
    let kind = cursor.u32(name)?;
    let length = cursor.u64(name)?;
    let element_bytes = match kind {
        0 | 1 | 7 => 1,
        2 | 3 => 2,
        4..=6 => 4,
        8 | 10..=12 => 8,
        9 => {
            return Err(HeaderError::Unsupported {
                what: format!("the array of arrays `{name}`"),
                reason: "arrays of numbers or texts are".to_owned(),
            });
        }
        other => return malformed(format!("`{name}` has the unknown element type {other}")),
    };
    let least = length.saturating_mul(element_bytes);
    cursor.expect(least, name)?;
    let count = usize::try_from(length)
        .map_err(|_| HeaderError::Malformed(format!("`{name}` claims {length} elements")))?;
    let is_asked_for = ASKED_FOR.contains(&name);
    Ok(match kind {
        8 if !is_asked_for => {
            for _ in 0..count {
                cursor.skip_text(name)?;
            }
            Value::OtherArray { length }
        }
        8 => {
            let mut texts = Texts::for_many(count);
            for _ in 0..count {
                cursor.text_of(&mut texts, name)?;
            }
            texts.finish();
            Value::Texts(Arc::new(texts))
        }
        4 | 5 if is_asked_for => {
            let mut ints = Vec::with_capacity(count);
            for _ in 0..count {
                ints.push(i32::from_le_bytes(cursor.array(name)?));
            }
            Value::Ints(ints)
        }
        6 if is_asked_for => {
            let mut floats = Vec::with_capacity(count);
            for _ in 0..count {
                floats.push(f32::from_le_bytes(cursor.array(name)?));
            }
            Value::Floats(floats)
        }
        _ => {
            cursor.skip(least, name)?;
            Value::OtherArray { length }
        }
    })
}
