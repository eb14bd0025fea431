//! A GGUF file with its header read: typed access to metadata and tensors, with errors that name the file.

use std::fs::{File, Metadata};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::LoadError;

use crate::header::{Header, HeaderError, TensorInfo, Value};
use crate::packed_copy::Stamp;
use crate::texts::Texts;

/// A header of a few megabytes of short texts is read by this much at a time.
const HEADER_BUFFER: usize = 64 << 10;

/// A file read by position.
#[derive(Debug)]
struct ByPosition {
    #[cfg(unix)]
    file: File,
    /// Its place in the file is shared by all who read.
    #[cfg(not(unix))]
    file: std::sync::Mutex<File>,
}

impl ByPosition {
    #[cfg(unix)]
    const fn new(file: File) -> Self {
        Self { file }
    }

    #[cfg(unix)]
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.file, buffer, offset)
    }

    #[cfg(unix)]
    fn metadata(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }

    #[cfg(not(unix))]
    fn metadata(&self) -> io::Result<Metadata> {
        let file = self.file.lock();
        file.unwrap_or_else(std::sync::PoisonError::into_inner)
            .metadata()
    }

    #[cfg(not(unix))]
    const fn new(file: File) -> Self {
        let file = std::sync::Mutex::new(file);
        Self { file }
    }

    #[cfg(not(unix))]
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        use std::io::{Read, Seek, SeekFrom};
        let file = self.file.lock();
        let mut file = file.unwrap_or_else(std::sync::PoisonError::into_inner);
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(buffer)
    }
}

/// An open GGUF file.
#[derive(Debug)]
pub struct GgufFile {
    path: PathBuf,
    header: Header,
    file: ByPosition,
}

impl GgufFile {
    /// Opens the file and reads its header.
    ///
    /// # Errors
    /// `Io`, `Malformed` or `Unsupported`.
    pub fn open(path: &Path) -> Result<Self, LoadError> {
        let io = |error: std::io::Error| LoadError::Io {
            path: path.to_owned(),
            reason: error.to_string(),
        };
        let file = File::open(path).map_err(io)?;
        let metadata = file.metadata().map_err(io)?;
        if !metadata.is_file() {
            return Err(LoadError::Io {
                path: path.to_owned(),
                reason: "it is not a file".to_owned(),
            });
        }
        let header = Header::read(
            BufReader::with_capacity(HEADER_BUFFER, &file),
            metadata.len(),
        )
        .map_err(|error| {
            let path = path.to_owned();
            match error {
                HeaderError::Io(reason) => LoadError::Io { path, reason },
                HeaderError::Malformed(reason) => LoadError::Malformed { path, reason },
                HeaderError::Unsupported { what, reason } => {
                    LoadError::Unsupported { path, what, reason }
                }
            }
        })?;
        Ok(Self {
            path: path.to_owned(),
            header,
            file: ByPosition::new(file),
        })
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its length and times as they are now; `None` where they cannot be told.
    pub(crate) fn stamp(&self) -> Option<Stamp> {
        Stamp::of(&self.file.metadata().ok()?)
    }

    /// All tensors with their names.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &TensorInfo)> {
        self.header.tensors.iter().map(|(n, t)| (n.as_str(), t))
    }

    /// The tensor of this name.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.header.tensors.get(name)
    }

    /// Fills `buffer` with what lies at `offset`. Several threads may do so at once.
    ///
    /// # Errors
    /// `Io`.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), LoadError> {
        self.file
            .read_exact_at(offset, buffer)
            .map_err(|error| LoadError::Io {
                path: self.path.clone(),
                reason: error.to_string(),
            })
    }

    /// The metadata value of this name.
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.header.fields.get(name)
    }

    /// A `Malformed` error of this file.
    pub fn malformed(&self, reason: impl Into<String>) -> LoadError {
        LoadError::Malformed {
            path: self.path.clone(),
            reason: reason.into(),
        }
    }

    /// An `Unsupported` error of this file.
    pub fn unsupported(&self, what: impl Into<String>, reason: impl Into<String>) -> LoadError {
        LoadError::Unsupported {
            path: self.path.clone(),
            what: what.into(),
            reason: reason.into(),
        }
    }

    fn missing(&self, name: &str) -> LoadError {
        self.malformed(format!("the metadata field `{name}` is missing"))
    }

    fn mistyped(&self, name: &str, wanted: &str) -> LoadError {
        self.malformed(format!("the metadata field `{name}` is not {wanted}"))
    }

    /// A text that must be there.
    ///
    /// # Errors
    /// `Malformed`.
    pub fn text(&self, name: &str) -> Result<&str, LoadError> {
        self.optional_text(name)?.ok_or_else(|| self.missing(name))
    }

    /// A text that may be there.
    ///
    /// # Errors
    /// `Malformed` when it is no text.
    pub fn optional_text(&self, name: &str) -> Result<Option<&str>, LoadError> {
        match self.field(name) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(_) => Err(self.mistyped(name, "a text")),
        }
    }

    /// A whole number of 1 to `most` that must be there.
    ///
    /// # Errors
    /// `Malformed`.
    pub fn size(&self, name: &str, most: u64) -> Result<usize, LoadError> {
        match self.optional_size(name, most)? {
            Some(0) => Err(self.malformed(format!("the metadata field `{name}` is 0"))),
            Some(n) => Ok(n),
            None => Err(self.missing(name)),
        }
    }

    /// A whole number of 0 to `most` that may be there.
    ///
    /// # Errors
    /// `Malformed` when it is no such number.
    pub fn optional_size(&self, name: &str, most: u64) -> Result<Option<usize>, LoadError> {
        let number = match self.field(name) {
            None => return Ok(None),
            Some(Value::Unsigned(n)) => Some(*n),
            Some(Value::Signed(n)) => u64::try_from(*n).ok(),
            Some(_) => return Err(self.mistyped(name, "a whole number")),
        };
        number
            .filter(|n| *n <= most)
            .and_then(|n| usize::try_from(n).ok())
            .map(Some)
            .ok_or_else(|| {
                self.malformed(format!(
                    "the metadata field `{name}` is {:?}; 0 to {most} is possible",
                    self.field(name)
                ))
            })
    }

    /// A finite number above 0 that must be there.
    ///
    /// # Errors
    /// `Malformed`.
    pub fn float(&self, name: &str) -> Result<f32, LoadError> {
        self.optional_float(name)?.ok_or_else(|| self.missing(name))
    }

    /// A finite number above 0 that may be there.
    ///
    /// # Errors
    /// `Malformed` when it is no such number.
    pub fn optional_float(&self, name: &str) -> Result<Option<f32>, LoadError> {
        match self.field(name) {
            None => Ok(None),
            Some(Value::Float(x)) if (*x as f32).is_finite() && *x as f32 > 0.0 => {
                Ok(Some(*x as f32))
            }
            Some(_) => Err(self.mistyped(name, "a finite number above 0")),
        }
    }

    /// A truth value that may be there.
    ///
    /// # Errors
    /// `Malformed` when it is something else.
    pub fn optional_bool(&self, name: &str) -> Result<Option<bool>, LoadError> {
        match self.field(name) {
            None => Ok(None),
            Some(Value::Bool(b)) => Ok(Some(*b)),
            Some(_) => Err(self.mistyped(name, "true or false")),
        }
    }

    /// An array of texts that must be there.
    ///
    /// # Errors
    /// `Malformed`.
    pub fn texts(&self, name: &str) -> Result<&Arc<Texts>, LoadError> {
        match self.field(name) {
            None => Err(self.missing(name)),
            Some(Value::Texts(texts)) => Ok(texts),
            Some(_) => Err(self.mistyped(name, "an array of texts")),
        }
    }

    /// An array of 32 bit integers that may be there.
    ///
    /// # Errors
    /// `Malformed` when it is something else.
    pub fn optional_ints(&self, name: &str) -> Result<Option<&[i32]>, LoadError> {
        match self.field(name) {
            None => Ok(None),
            Some(Value::Ints(ints)) => Ok(Some(ints)),
            Some(_) => Err(self.mistyped(name, "an array of 32 bit integers")),
        }
    }

    /// An array of 32 bit floats that may be there.
    ///
    /// # Errors
    /// `Malformed` when it is something else.
    pub fn optional_floats(&self, name: &str) -> Result<Option<&[f32]>, LoadError> {
        match self.field(name) {
            None => Ok(None),
            Some(Value::Floats(floats)) => Ok(Some(floats)),
            Some(_) => Err(self.mistyped(name, "an array of 32 bit floats")),
        }
    }
}
