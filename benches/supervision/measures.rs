//! The list of measures: their names on the command line, in the order they run.

use crate::lane::Group;
use crate::sizes::Sizes;
use crate::{ask, crashes, crowd, passing, restart, tell};

/// One word on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Measure {
    /// Messages without an answer.
    Tell,
    /// Questions and answers.
    Ask,
    /// Starting many actors.
    Spawn,
    /// Memory of an idle actor.
    Bytes,
    /// From a panic to the next answer.
    Restart,
    /// Crashes in a row, and what they lose.
    Crashes,
    /// Stopping a large tree, and what children that came and went leave behind.
    Stop,
}

impl Measure {
    pub(crate) const ALL: [Self; 7] = [
        Self::Tell,
        Self::Ask,
        Self::Spawn,
        Self::Bytes,
        Self::Restart,
        Self::Crashes,
        Self::Stop,
    ];

    pub(crate) fn groups(self, sizes: Sizes) -> Vec<Group> {
        match self {
            Self::Tell => tell::groups(sizes),
            Self::Ask => ask::groups(sizes),
            Self::Spawn => crowd::spawn_groups(sizes),
            Self::Bytes => crowd::bytes_groups(sizes),
            Self::Restart => restart::groups(sizes),
            Self::Crashes => crashes::groups(sizes),
            Self::Stop => {
                let mut groups = crowd::stop_groups(sizes);
                groups.extend(passing::groups(sizes));
                groups
            }
        }
    }
}
