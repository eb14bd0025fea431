//! Asks every living supervisor of a tree what it sees, each as soon as its parent has named it, so that one that does
//! not answer hides only what is below itself.
//!
//! Nothing here waits past the deadline, and nothing here calls itself: a tree may be of any depth.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::oneshot;

use super::{ChildrenUnknown, Topology, TopologyNode};
use crate::admin::{ChildInfo, Control, Survey};
use crate::exit::ChildState;
use crate::health::Health;
use crate::names::ChildId;
use crate::policy::Kind;

/// Supervisors asked at the same time: 256. Each has at most this one question of ours, so the limit only bounds what
/// waits here; a tree in which as many do not answer has worse troubles than a snapshot cut short.
const QUESTIONS: usize = 256;

/// A node's place among the drafts; `None` is the top.
type At = Option<usize>;

/// Nodes in the order in which they became known: parents before children, siblings in start order.
struct Drafts {
    top: TopologyNode,
    /// Everyone else, with the parent.
    rest: Vec<(At, TopologyNode)>,
    /// Supervisors that are still to be asked.
    unasked: VecDeque<(At, Arc<Control>)>,
    deadline: Duration,
}

pub(crate) async fn ask_tree(top: &Arc<Control>, deadline: Duration) -> Topology {
    let mut drafts = Drafts::new(top, deadline);
    let mut asked = FuturesUnordered::new();
    let mut late = pin!(tokio::time::sleep(deadline));
    loop {
        while asked.len() < QUESTIONS
            && let Some((at, control)) = drafts.unasked.pop_front()
        {
            match ask(&control) {
                Ok(answer) => asked.push(async move { (at, control, answer.await) }),
                Err(why) => drafts.explain(at, why),
            }
        }
        if asked.is_empty() {
            break;
        }
        tokio::select! {
            biased;
            () = &mut late => break,
            Some((at, control, answer)) = asked.next() => match answer {
                Ok(survey) => drafts.add(at, survey),
                // It ended with our question unanswered.
                Err(_) => drafts.explain(at, lifeless(&control)),
            },
        }
    }
    drafts.finish()
}

/// Puts the question, if somebody lives who could answer.
fn ask(control: &Control) -> Result<oneshot::Receiver<Survey>, ChildrenUnknown> {
    if !control.lives() {
        return Err(lifeless(control));
    }
    let (reply, answer) = oneshot::channel();
    if control.survey(reply) {
        Ok(answer)
    } else {
        Err(ChildrenUnknown::Busy)
    }
}

fn lifeless(control: &Control) -> ChildrenUnknown {
    match control.state() {
        ChildState::Down => ChildrenUnknown::Down,
        ChildState::Starting => ChildrenUnknown::NotStarted,
        ChildState::Up | ChildState::BackingOff | ChildState::Stopping => {
            ChildrenUnknown::BackingOff
        }
    }
}

impl Drafts {
    fn new(top: &Arc<Control>, deadline: Duration) -> Self {
        Self {
            top: node(describe(top), Some(top), deadline),
            rest: Vec::new(),
            unasked: VecDeque::from([(None, top.clone())]),
            deadline,
        }
    }

    fn get(&mut self, at: At) -> Option<&mut TopologyNode> {
        match at {
            None => Some(&mut self.top),
            Some(at) => self.rest.get_mut(at).map(|(_, node)| node),
        }
    }

    fn add(&mut self, at: At, survey: Survey) {
        if let Some(node) = self.get(at) {
            node.children_unknown = None;
        }
        if at.is_none() {
            // Nobody else says this of the top.
            let info = &mut self.top.info;
            info.incarnation = survey.incarnation;
            info.restarts = survey.incarnation.saturating_sub(1);
            info.uptime = survey.uptime;
        }
        for (info, control) in survey.children {
            let node = node(info, control.as_ref(), self.deadline);
            if let Some(control) = control {
                self.unasked.push_back((Some(self.rest.len()), control));
            }
            self.rest.push((at, node));
        }
    }

    fn explain(&mut self, at: At, why: ChildrenUnknown) {
        if let Some(node) = self.get(at) {
            node.children_unknown = Some(why);
        }
    }

    /// Hangs every node into its parent, the last first: each is whole before it is hung up itself.
    fn finish(mut self) -> Topology {
        while let Some((parent, mut node)) = self.rest.pop() {
            node.children.reverse();
            if let Some(above) = self.get(parent) {
                above.children.push(node);
            }
        }
        self.top.children.reverse();
        Topology { top: self.top }
    }
}

/// A supervisor counts as late until it has answered.
fn node(info: ChildInfo, control: Option<&Arc<Control>>, deadline: Duration) -> TopologyNode {
    TopologyNode {
        info,
        strategy: control.and_then(|control| control.strategy()),
        children: Vec::new(),
        children_unknown: control.map(|_| ChildrenUnknown::NoAnswer { deadline }),
    }
}

/// The top as far as its place tells.
fn describe(top: &Control) -> ChildInfo {
    let state = top.state();
    ChildInfo {
        id: ChildId::new(top.id()),
        child: top.path().clone(),
        state,
        health: Health::of(state, false),
        kind: Kind::Supervisor,
        restart: top.restart(),
        dynamic: false,
        paused: false,
        incarnation: 0,
        restarts: 0,
        depth: 0,
        capacity: 0,
        handled: 0,
        handling: None,
        current: None,
        handler_budget: None,
        work: Vec::new(),
        last_error: None,
        down: None,
        uptime: None,
    }
}
