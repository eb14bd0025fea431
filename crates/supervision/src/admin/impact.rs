//! Whom an order would tear down, told beforehand: a plain look at the tree, with the rules the family goes by.

use super::{AdminError, Intervention};
use crate::chaos::Chaos;
use crate::exit::ChildState;
use crate::names::{ChildId, ChildPath};
use crate::policy::{Kind, Restart, Strategy};
use crate::topology::{Topology, TopologyNode};

/// What would become of one child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Its life ends, its queue is kept, and it is started again.
    Restarted,
    /// It goes down: what is queued for it is handled first, within its deadline.
    Ended,
    /// It is down and would be started.
    Started,
}

/// One child that an order would concern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Affected {
    /// Which.
    pub child: ChildPath,
    /// What would become of it.
    pub fate: Fate,
}

/// Whom an order would tear down. A crash between the look and the order may change it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Impact {
    /// In the order in which they would be stopped: the youngest first, each after those below it.
    pub affected: Vec<Affected>,
    /// Supervisors among them whose children could not be seen.
    pub unseen: Vec<ChildPath>,
}

impl Impact {
    /// `seen`: the tree below the child's supervisor.
    pub(crate) fn of(
        seen: &Topology,
        id: &ChildId,
        what: &Intervention,
    ) -> Result<Self, AdminError> {
        let top = &seen.top;
        let supervisor = || top.info.child.clone();
        if top.children_unknown.is_some() {
            let supervisor = supervisor();
            return Err(AdminError::Down { supervisor });
        }
        let place = top.children.iter().position(|node| node.info.id == *id);
        let Some((place, child)) = place.and_then(|at| Some((at, top.children.get(at)?))) else {
            let (supervisor, child) = (supervisor(), id.clone());
            return Err(AdminError::NotFound { supervisor, child });
        };
        let mut impact = Self {
            affected: Vec::new(),
            unseen: Vec::new(),
        };
        match what {
            Intervention::Stop => impact.tear_down(child, Fate::Ended),
            Intervention::Restart | Intervention::Kill | Intervention::Chaos(Chaos::Crash) => {
                may(child, what)?;
                let alone = child.info.state == ChildState::Down
                    || (child.info.restart == Restart::Temporary);
                let group = match top.strategy {
                    Some(Strategy::RestForOne) if !alone => place..top.children.len(),
                    Some(Strategy::OneForAll) if !alone => 0..top.children.len(),
                    _ => place..place + 1,
                };
                let members = top.children.get(group).unwrap_or_default();
                for member in members.iter().rev() {
                    impact.tear_down(member, fate_in_group(member));
                }
            }
            Intervention::Start => impact.note(child, Fate::Started),
            Intervention::Pause
            | Intervention::Resume
            | Intervention::Tap
            | Intervention::Chaos(_) => {}
        }
        Ok(impact)
    }

    fn note(&mut self, node: &TopologyNode, fate: Fate) {
        self.affected.push(Affected {
            child: node.info.child.clone(),
            fate,
        });
    }

    /// A node with all below it, those first. A stack instead of recursion, for trees of any depth.
    fn tear_down(&mut self, node: &TopologyNode, fate: Fate) {
        let mut open = vec![(node, fate)];
        let from = self.affected.len();
        while let Some((node, fate)) = open.pop() {
            self.note(node, fate);
            if node.children_unknown.is_some() {
                self.unseen.push(node.info.child.clone());
            }
            let below = |child: &TopologyNode| match fate {
                Fate::Restarted if child.info.dynamic => Fate::Ended,
                Fate::Restarted => Fate::Restarted,
                other => other,
            };
            open.extend(node.children.iter().map(|child| (child, below(child))));
        }
        // Each was noted before those below it, the youngest first.
        let torn = self.affected.get_mut(from..).unwrap_or_default();
        order_below_first(torn);
    }
}

/// Turns "parent, its youngest, …" into "…, its youngest, parent", where siblings stay youngest first.
fn order_below_first(torn: &mut [Affected]) {
    let depth = |of: &Affected| of.child.as_str().matches('/').count();
    let mut ordered: Vec<Affected> = Vec::with_capacity(torn.len());
    let mut above: Vec<Affected> = Vec::new();
    for next in torn.iter() {
        while above.last().is_some_and(|top| depth(top) >= depth(next)) {
            ordered.extend(above.pop());
        }
        above.push(next.clone());
    }
    ordered.extend(above.into_iter().rev());
    torn.clone_from_slice(&ordered);
}

fn may(child: &TopologyNode, what: &Intervention) -> Result<(), AdminError> {
    let info = &child.info;
    let path = || info.child.clone();
    match what {
        Intervention::Kill if info.kind == Kind::Supervisor => {
            Err(AdminError::Supervisor { child: path() })
        }
        Intervention::Kill if info.state != ChildState::Up => Err(AdminError::NotUp {
            child: path(),
            state: info.state,
        }),
        Intervention::Restart if info.restart == Restart::Temporary => {
            Err(AdminError::Temporary { child: path() })
        }
        _ => Ok(()),
    }
}

fn fate_in_group(member: &TopologyNode) -> Fate {
    match (member.info.state, member.info.restart) {
        (ChildState::Down, _) => Fate::Started,
        (_, Restart::Temporary) => Fate::Ended,
        _ => Fate::Restarted,
    }
}
