//! Every metric there is, once, as data: its name, kind, unit, labels and help. It stands by itself, below everything, so
//! that who counts, who describes and who writes the page for people read the same list.
//!
//! Invariants: a name that is not in [`TOPICS`] is not ours; a label has no value that a client could invent.

mod family;
mod labels;
mod list;
mod page;

pub use family::{Family, Kind, Topic, Unit, labelled, sample};
pub use labels::{LABELS, Label};
pub use list::*;
pub use page::page;

/// Every family, in the order of the page.
pub fn families() -> impl Iterator<Item = &'static Family> {
    TOPICS.iter().flat_map(|topic| topic.families)
}

/// The family of that name.
pub fn family(name: &str) -> Option<&'static Family> {
    families().find(|family| family.name == name)
}
