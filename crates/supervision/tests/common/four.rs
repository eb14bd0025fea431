//! Four siblings under one strategy: a, b, c, d.

use super::{Log, Orders, Probe, root, started};
use supervision::{ChildState, Handle, RootHandle, Strategy};

pub struct Four {
    pub log: Log,
    pub root: RootHandle,
    pub handles: Vec<Handle<Probe>>,
    pub orders: Vec<Orders>,
}

impl Four {
    /// Started, each adjusted, with an empty log.
    pub async fn under(strategy: Strategy, adjust: impl Fn(Orders) -> Orders) -> Self {
        let log = Log::default();
        let mut spec = root().strategy(strategy);
        let (mut handles, mut all) = (Vec::new(), Vec::new());
        for name in ["a", "b", "c", "d"] {
            let orders = adjust(Orders::new(name, &log));
            all.push(orders.clone());
            let (child, handle) = orders.spec();
            spec = spec.child(child);
            handles.push(handle);
        }
        let root = started(spec).await;
        log.take();
        Self {
            log,
            root,
            handles,
            orders: all,
        }
    }

    pub async fn incarnations(&self) -> Vec<u64> {
        let list = self.root.supervisor().which_children().await;
        list.iter().map(|child| child.incarnation).collect()
    }

    pub async fn states(&self) -> Vec<ChildState> {
        let list = self.root.supervisor().which_children().await;
        list.iter().map(|child| child.state).collect()
    }

    /// What was noted of one of them since the last look, without its name.
    pub fn notes_of(&self, name: &str) -> Vec<String> {
        let lines = self.log.seen();
        let of = lines.iter().filter_map(|line| line.strip_prefix(name));
        of.map(|line| line.trim().to_owned()).collect()
    }
}
