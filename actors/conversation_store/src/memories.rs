//! What is worth knowing beyond one conversation, at rest: memories, and documents cut into pieces that are memories of
//! their document. All functions are plain work on an open connection; the actor runs them one at a time.
//!
//! ```text
//!  sources ──< memories ──── memories_fts    by words (FTS5)
//!    │             └──────── vectors         by meaning: one vector each, with the model it came from
//!    ├ a space   what was remembered for one purpose, such as an agent of the settings
//!    └ a file    a document, with the digest of what was cut
//! ```
//!
//! Invariants: no age is ever written into an importance; no vector is compared with one of another model or length; no
//! word of a user's is syntax; an id is never given twice; the same content lies in a source once.

mod documents;
mod kept;
mod query;
mod recall;
#[cfg(test)]
mod tests;
mod vectors;

use std::ops::Range;

pub use documents::{
    DOCUMENT_PIECES, DocumentPut, FindDocument, IMPORTANCE, ListDocuments, PIECES, PutDocument,
};
pub use kept::{Forget, LISTED, ListMemories, MEMORIES, Remember, Remembered, TEXT_BYTES, Used};
pub use recall::{Recall, Recalled, TEXT};
pub use vectors::{DIMENSIONS, ListUnembedded, PutVectors};

/// One memory; never given twice, not even after it was forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemoryId(pub i64);

/// One document that was put here; never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentId(pub i64);

/// What sort of knowledge a memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MemoryKind {
    /// A fact, or a piece of a document.
    Semantic,
    /// Something that was said or that happened.
    Episodic,
    /// How something is done.
    Procedural,
}

impl MemoryKind {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Semantic, Self::Episodic, Self::Procedural];

    /// As it is written in the file and in tools.
    pub fn name(self) -> &'static str {
        match self {
            Self::Semantic => "semantic",
            Self::Episodic => "episodic",
            Self::Procedural => "procedural",
        }
    }

    /// The kind of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// The sha256 of a normalised text: what makes two memories the same. Whoever remembers computes it.
pub type ContentHash = [u8; 32];

/// The meaning of a text, as one model sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Vector {
    /// Which model made it. Vectors of two models are never compared.
    pub model: String,
    /// 1 to 4096 numbers, finite, and not all of them zero.
    pub values: Vec<f32>,
}

/// What was remembered.
#[derive(Clone, Debug, PartialEq)]
pub struct Memory {
    /// Its name.
    pub id: MemoryId,
    /// What sort of knowledge it is.
    pub kind: MemoryKind,
    /// Its words, as they came.
    pub text: String,
    /// From 0 to 1, as it was given; its age is not in it.
    pub importance: f32,
    /// When it came first, in milliseconds since 1970.
    pub made_ms: i64,
    /// When it was remembered or used last, in milliseconds since 1970: its age counts from here.
    pub used_ms: i64,
    /// How often it was remembered, each time with a later stamp than before.
    pub times: u32,
    /// Where it comes from.
    pub origin: Origin,
}

/// Where a memory comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Origin {
    /// It was remembered in this space.
    Space(String),
    /// It is a piece of a document.
    Document(Place),
}

/// Where in a document.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// Which.
    pub document: DocumentId,
    /// Its path, as it was put.
    pub path: String,
    /// The lines it touches, from 1, both included.
    pub lines: (u32, u32),
    /// Its bytes in the file.
    pub bytes: Range<u64>,
}

/// Where to look.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scope {
    /// The memories of this space; `None` for documents alone.
    pub space: Option<String>,
    /// The pieces of these documents.
    pub documents: Vec<DocumentId>,
}

impl Scope {
    /// The memories of one space.
    pub fn space(name: impl Into<String>) -> Self {
        Self {
            space: Some(name.into()),
            documents: Vec::new(),
        }
    }

    /// And the pieces of these documents.
    #[must_use]
    pub fn with_documents(mut self, documents: impl IntoIterator<Item = DocumentId>) -> Self {
        self.documents.extend(documents);
        self
    }
}

/// A document that lies here.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Its name here.
    pub id: DocumentId,
    /// Its path, as it was put.
    pub path: String,
    /// The sha256 of its bytes when it was cut.
    pub digest: ContentHash,
    /// How many pieces it was cut into, without those that say the same again.
    pub pieces: u32,
    /// When it was put first, in milliseconds since 1970.
    pub made_ms: i64,
    /// When it was put or used last, in milliseconds since 1970.
    pub used_ms: i64,
}

/// A piece of a document.
#[derive(Clone, Debug, PartialEq)]
pub struct Piece {
    /// Its words.
    pub text: String,
    /// The sha256 of the normalised text.
    pub hash: ContentHash,
    /// The lines it touches, from 1, both included.
    pub lines: (u32, u32),
    /// Its bytes in the file.
    pub bytes: Range<u64>,
}
