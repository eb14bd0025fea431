//! The whole tree as it is now, for people and programs that look at it from outside.
//!
//! Each supervisor speaks for its own children, a moment after its parent did; so a snapshot is one moment per
//! supervisor, not one for all.

mod asking;
mod show;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use crate::admin::ChildInfo;
use crate::exit::DownReason;
use crate::health::Health;
use crate::names::ChildPath;
use crate::policy::Strategy;

pub(crate) use asking::ask_tree;

/// A tree, or what is below one supervisor. `Display` draws it, one line per child:
///
/// ```text
/// root          up           one_for_one, up 2.1 s
///   counter     up           queue 0/16, up 2.1 s, life 2, 1 restart, last error: 1000 is too much for me
///   agents      up           rest_for_one, up 2.1 s
///     worker-1  stuck        queue 3/8, up 2.1 s, handling Generate for 12 s (budget 10 s)
///     worker-2  backing_off  queue 1/8, life 3, 2 restarts, last error: connection refused
///   listener    up           task, up 2.1 s, work: 127.0.0.1:8080
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// The supervisor that was asked, with everything below it.
    pub top: TopologyNode,
}

/// One child of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopologyNode {
    /// What its supervisor says of it. Of the top, what it says itself: why it last crashed is known above it only, and
    /// its restarts are the lives before this one.
    pub info: ChildInfo,
    /// Who else is restarted when a child is; `None` for a worker.
    pub strategy: Option<Strategy>,
    /// Those below a supervisor, in start order.
    pub children: Vec<TopologyNode>,
    /// Why a supervisor's children are not shown.
    pub children_unknown: Option<ChildrenUnknown>,
}

/// Why the children of a supervisor are not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildrenUnknown {
    /// It is down, and its children with it.
    Down,
    /// It has not been started yet.
    NotStarted,
    /// It is between two lives, and so are its children.
    BackingOff,
    /// So many commands wait for it that there is no room for a question.
    Busy,
    /// It had not answered, or had not even been asked, when the deadline passed.
    NoAnswer {
        /// The whole time that was allowed, for all supervisors together.
        deadline: Duration,
    },
}

impl fmt::Display for ChildrenUnknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Down => f.write_str("it is down, and they with it"),
            Self::NotStarted => f.write_str("it has not been started yet"),
            Self::BackingOff => f.write_str("it is between two lives, and so are they"),
            Self::Busy => f.write_str("too many commands wait for it"),
            Self::NoAnswer { deadline } => {
                write!(f, "it did not answer within {}", show::human(*deadline))
            }
        }
    }
}

impl TopologyNode {
    /// How it is, in one word.
    pub fn health(&self) -> Health {
        self.info.health
    }

    /// True if nobody needs to look: it is up (and answers, if it is a supervisor), or it is down because it was asked to
    /// stop, had finished or was not wanted.
    pub fn is_well(&self) -> bool {
        match self.info.health {
            Health::Up => self.children_unknown.is_none(),
            Health::Down => matches!(
                self.info.down,
                None | Some(DownReason::Stopped | DownReason::Finished | DownReason::Ignored)
            ),
            Health::Starting | Health::BackingOff | Health::Stuck | Health::Draining => false,
        }
    }
}

impl Topology {
    /// Every node, each before its children, children in start order.
    pub fn nodes(&self) -> impl Iterator<Item = &TopologyNode> {
        self.walk().map(|(_, node)| node)
    }

    /// Those that are neither up nor quietly down; see [`TopologyNode::is_well`].
    pub fn unhealthy(&self) -> impl Iterator<Item = &TopologyNode> {
        self.nodes().filter(|node| !node.is_well())
    }

    /// The node of that path.
    pub fn find(&self, path: &ChildPath) -> Option<&TopologyNode> {
        self.nodes().find(|node| node.info.child == *path)
    }

    /// Every node with its depth below the top; a stack instead of recursion, for trees of any depth.
    fn walk(&self) -> impl Iterator<Item = (usize, &TopologyNode)> {
        let mut open = vec![(0, &self.top)];
        std::iter::from_fn(move || {
            let (depth, node) = open.pop()?;
            open.extend(node.children.iter().rev().map(|child| (depth + 1, child)));
            Some((depth, node))
        })
    }
}
