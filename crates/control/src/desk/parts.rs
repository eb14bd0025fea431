//! Which actor is meant: a whole path, or the end of one if only one has it.

use supervision::{Topology, TopologyNode};

use super::{Desk, LOOK};
use crate::protocol::rpc::{Code, RpcError};

/// Names that an error lists.
const LISTED: usize = 12;

impl Desk {
    pub(super) async fn topology(&self) -> Topology {
        self.deps.tree.topology(LOOK).await
    }
}

/// The one that is meant.
///
/// # Errors
/// `NotFound` with those there are, `Params` with those that it could be.
pub(super) fn find<'a>(topology: &'a Topology, name: &str) -> Result<&'a TopologyNode, RpcError> {
    let path = |node: &TopologyNode| node.info.child.to_string();
    let mut whole = topology.nodes().filter(|node| node.info.child == *name);
    if let Some(node) = whole.next() {
        return Ok(node);
    }
    let end = format!("/{name}");
    let fits = |node: &&TopologyNode| !name.is_empty() && path(node).ends_with(&end);
    let found: Vec<&TopologyNode> = topology.nodes().filter(fits).collect();
    let name = shown(name);
    match found.as_slice() {
        [one] => Ok(one),
        [] => {
            let there = listed(topology.nodes().map(path));
            let what = format!("actor = {name} is not in the tree: there are {there}");
            Err(RpcError::new(Code::NotFound, what))
        }
        several => {
            let several = listed(several.iter().map(|node| path(node)));
            let what = format!("actor = {name} could be {several}: write the whole path");
            Err(RpcError::new(Code::Params, what))
        }
    }
}

/// A name as an error shows it: nothing, too, is to be seen.
pub(super) fn shown(name: &str) -> &str {
    if name.is_empty() { "\"\"" } else { name }
}

fn listed(names: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = names.collect();
    let more = names.len().saturating_sub(LISTED);
    let first = names.iter().take(LISTED).cloned().collect::<Vec<_>>();
    match more {
        0 => first.join(", "),
        more => format!("{}, and {more} more", first.join(", ")),
    }
}

/// Whether a child lies below that path.
pub(super) fn is_below(node: &TopologyNode, path: &str) -> bool {
    let rest = node.info.child.as_str().strip_prefix(path);
    rest.is_some_and(|rest| rest.starts_with('/'))
}
