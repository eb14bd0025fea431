//! What a recall answers: what was found, how, and where it comes from, so that it can be cited; and how it was looked
//! for, so that nobody takes a search by words for one by meaning.

use std::fmt;

use conversation_store::memories::{MemoryId, MemoryKind, Origin};
use domain::ModelName;

/// One memory, or one piece of a document.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Its name.
    pub id: MemoryId,
    /// Its words.
    pub text: String,
    /// Where it comes from.
    pub source: Origin,
    /// What sort of knowledge it is.
    pub kind: MemoryKind,
    /// From 0 to 1: 1 is first by words and by meaning, and fresh. Only the order within one answer means anything.
    pub score: f64,
    /// By what it was found.
    pub how: How,
    /// The cosine between its meaning and the question's, if both are known.
    pub similarity: Option<f32>,
    /// When it was remembered or used last, in milliseconds since 1970.
    pub used_ms: i64,
}

/// By what something was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum How {
    /// By its words.
    Lexical,
    /// By its meaning.
    Semantic,
    /// By both.
    Both,
}

/// How it was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Basis {
    /// By words and by meaning.
    Meaning {
        /// Who said what the texts mean.
        model: ModelName,
        /// How many of the scope this model has not seen yet; they were looked for by their words alone.
        unseen: usize,
    },
    /// By words alone.
    Words {
        /// Why.
        why: String,
    },
}

impl Basis {
    /// Why words alone were searched; `None` if meanings were, too.
    pub fn without_meaning(&self) -> Option<&str> {
        match self {
            Self::Meaning { .. } => None,
            Self::Words { why } => Some(why),
        }
    }
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Meaning { model, unseen: 0 } => {
                write!(f, "searched by words and by meaning ({model})")
            }
            Self::Meaning { model, unseen } => write!(
                f,
                "searched by words and by meaning ({model}); {unseen} by words alone, as the model has not seen them yet"
            ),
            Self::Words { why } => write!(f, "searched by words alone: {why}"),
        }
    }
}

/// The answer to a recall.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The best first.
    pub found: Vec<Found>,
    /// How it was looked for.
    pub basis: Basis,
}

impl Found {
    /// How it is cited: `notes.md:12-20`, or `memory 17`.
    pub fn citation(&self) -> String {
        match &self.source {
            Origin::Space(_) => format!("memory {}", self.id.0),
            Origin::Document(place) => {
                let name = place.path.rsplit(['/', '\\']).next().unwrap_or(&place.path);
                match place.lines {
                    (first, last) if first == last => format!("{name}:{first}"),
                    (first, last) => format!("{name}:{first}-{last}"),
                }
            }
        }
    }
}

/// The first of `found` that fit into `budget_tokens`, as `count` counts them: what is too long for what is left is passed
/// over, and nothing is cut.
pub fn within(
    found: Vec<Found>,
    budget_tokens: usize,
    count: impl Fn(&str) -> usize,
) -> Vec<Found> {
    let mut left = budget_tokens;
    let fits = |one: &Found| {
        let tokens = count(&one.text);
        let fits = tokens <= left;
        left -= if fits { tokens } else { 0 };
        fits
    };
    let mut kept = found;
    kept.retain(fits);
    kept
}
