//! The supervision tree as people in a browser see it, looked at again and again while one of them watches, and by nobody
//! while nobody does.

use std::time::Duration;

use connection::TreeFeed;
use connection::wire::room::TreeNode;
use memory_governor::MemoryGovernor;
use supervision::{
    ChildSpec, Handle, SupervisorHandle, TaskContext, TaskError, Topology, TopologyNode,
};

/// The child's name.
pub(crate) const CHILD_ID: &str = "tree_picture";
/// How often it is looked at: a restart is seen, and a look costs no more than a request.
const EVERY: Duration = Duration::from_secs(1);
/// How long a look may take.
const LOOK: Duration = Duration::from_secs(1);
/// Children of one supervisor that are shown; nobody looks at ten thousand connections.
const SHOWN: usize = 32;

/// The child that looks.
pub(crate) fn child(
    tree: SupervisorHandle,
    governor: Handle<MemoryGovernor>,
    feed: TreeFeed,
) -> ChildSpec {
    ChildSpec::task(CHILD_ID, move |context: TaskContext| {
        let (tree, governor, feed) = (tree.clone(), governor.clone(), feed.clone());
        async move {
            context.ready();
            let stopping = context.stopping();
            let look = async {
                loop {
                    feed.wanted().await;
                    let topology = tree.topology(LOOK).await;
                    feed.show(picture(&topology, leased(&governor).await));
                    tokio::time::sleep(EVERY).await;
                }
            };
            tokio::select! {
                () = stopping => {}
                () = look => {}
            }
            Ok::<(), TaskError>(())
        }
    })
}

/// Bytes that are leased; none where the governor does not answer.
async fn leased(governor: &Handle<MemoryGovernor>) -> u64 {
    let status = governor.ask(memory_governor::Status, LOOK).await;
    status.map_or(0, |status| status.leased.0)
}

/// All leases stand beside the governor, who gives them.
fn picture(topology: &Topology, leased: u64) -> Vec<TreeNode> {
    let mut nodes = Vec::new();
    add(&topology.top, leased, &mut nodes);
    nodes
}

fn add(node: &TopologyNode, leased: u64, nodes: &mut Vec<TreeNode>) {
    let info = &node.info;
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let is_governor = info.id.as_str() == memory_governor::CHILD_ID;
    nodes.push(TreeNode {
        path: info.child.to_string(),
        state: info.health.to_string(),
        queued: count(info.depth),
        capacity: count(info.capacity),
        restarts: info.restarts,
        leased_bytes: if is_governor { leased } else { 0 },
    });
    for child in node.children.iter().take(SHOWN) {
        add(child, leased, nodes);
    }
}
