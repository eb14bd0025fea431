//! How weights are written: the formats that are read, with their block sizes, in one table.
//!
//! Codes and layouts: `enum ggml_type` of <https://github.com/ggml-org/ggml/blob/master/include/ggml.h>.

use std::fmt;

use candle_core::quantized::GgmlDType;

/// A weight format that is read. `Q8_1` is not one: it is for activations only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Format(GgmlDType);

/// The code in the file, the name people use, what candle calls it.
const ALL: [(u32, &str, GgmlDType); 14] = [
    (0, "F32", GgmlDType::F32),
    (1, "F16", GgmlDType::F16),
    (2, "Q4_0", GgmlDType::Q4_0),
    (3, "Q4_1", GgmlDType::Q4_1),
    (6, "Q5_0", GgmlDType::Q5_0),
    (7, "Q5_1", GgmlDType::Q5_1),
    (8, "Q8_0", GgmlDType::Q8_0),
    (10, "Q2_K", GgmlDType::Q2K),
    (11, "Q3_K", GgmlDType::Q3K),
    (12, "Q4_K", GgmlDType::Q4K),
    (13, "Q5_K", GgmlDType::Q5K),
    (14, "Q6_K", GgmlDType::Q6K),
    (15, "Q8_K", GgmlDType::Q8K),
    (30, "BF16", GgmlDType::BF16),
];

impl Format {
    /// 32 bit floats.
    pub const F32: Self = Self(GgmlDType::F32);
    /// 16 bit floats.
    pub const F16: Self = Self(GgmlDType::F16);
    /// Blocks of 32: 4 bits each, a scale and a minimum.
    pub const Q4_1: Self = Self(GgmlDType::Q4_1);
    /// Blocks of 32: 8 bits each and a scale.
    pub const Q8_0: Self = Self(GgmlDType::Q8_0);

    /// The format with this code in a GGUF file.
    pub fn from_code(code: u32) -> Option<Self> {
        ALL.iter()
            .find(|(known, _, _)| *known == code)
            .map(|(_, _, dtype)| Self(*dtype))
    }

    /// Its code in a GGUF file.
    pub fn code(self) -> u32 {
        ALL.iter()
            .find(|(_, _, dtype)| *dtype == self.0)
            .map_or(u32::MAX, |(code, _, _)| *code)
    }

    /// What candle calls it.
    pub const fn dtype(self) -> GgmlDType {
        self.0
    }

    /// Elements that share one block; rows are whole blocks.
    pub fn block_elements(self) -> u64 {
        self.0.block_size().max(1) as u64
    }

    /// Bytes of one block.
    pub fn block_bytes(self) -> u64 {
        self.0.type_size() as u64
    }

    /// Whether each number stands alone, without a block's scale.
    pub const fn is_half(self) -> bool {
        matches!(self.0, GgmlDType::F16 | GgmlDType::BF16)
    }

    /// All names, for error texts.
    pub fn names() -> String {
        let names: Vec<&str> = ALL.iter().map(|(_, name, _)| *name).collect();
        names.join(", ")
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = ALL
            .iter()
            .find(|(_, _, dtype)| *dtype == self.0)
            .map_or("unknown", |(_, name, _)| name);
        f.write_str(name)
    }
}
