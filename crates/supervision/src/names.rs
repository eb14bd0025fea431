//! Names for places in the tree: a restart changes the actor in a place, never the name of the place.

use std::fmt;
use std::sync::Arc;

use crate::spec_error::SpecError;

/// The name of one child under its supervisor; unique among its siblings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChildId(Arc<str>);

impl ChildId {
    /// Takes the text as it is; a spec whose id is empty, is `*` or has a `/` in it is refused.
    pub fn new(text: impl AsRef<str>) -> Self {
        Self(Arc::from(text.as_ref()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A path must say which child it means, and `*` is the label of all that are started at run time.
    pub(crate) fn check(&self) -> Result<(), SpecError> {
        if self.0.is_empty() || self.0.contains('/') || &*self.0 == "*" {
            return Err(SpecError::Id {
                child: self.clone(),
            });
        }
        Ok(())
    }
}

impl From<&str> for ChildId {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for ChildId {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&ChildId> for ChildId {
    fn from(id: &ChildId) -> Self {
        id.clone()
    }
}

impl fmt::Display for ChildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a child stands in the tree, from the root down: `root/agent_supervisor/worker-7`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChildPath(Arc<str>);

impl ChildPath {
    /// The path of a root, or of a child that no supervisor has adopted yet.
    pub fn root(id: &ChildId) -> Self {
        Self(id.0.clone())
    }

    /// The path of a child of this one.
    #[must_use]
    pub fn join(&self, id: &ChildId) -> Self {
        Self(Arc::from(format!("{}/{}", self.0, id.0)))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for ChildPath {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for ChildPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PartialEq<str> for ChildPath {
    fn eq(&self, other: &str) -> bool {
        &*self.0 == other
    }
}

impl PartialEq<&str> for ChildPath {
    fn eq(&self, other: &&str) -> bool {
        &*self.0 == *other
    }
}
