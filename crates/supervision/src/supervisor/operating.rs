//! What operators order, by the id of a child: carried out here, or handed to the family.

use std::sync::Arc;

use tokio::time::Instant;

use super::Supervisor;
use super::commands::{Pending, answer};
use super::list::place;
use crate::admin::{AdminError, Entered, Intervention, Order, Reply, Started};
use crate::child::{Child, Touched};
use crate::events::Lifecycle;
use crate::exit::ChildState;
use crate::family::{Effect, Event, Key, Refused};
use crate::names::ChildId;
use crate::policy::Kind;
use crate::tap::MOST_TAPS;

impl Supervisor {
    pub(super) fn enter(&self, id: &ChildId) -> Entered {
        let found = self.family.find(id).and_then(|key| self.kept.get(&key));
        match found {
            None => Entered::NotFound,
            Some(kept) => {
                place(&kept.policy, &*kept.child).map_or(Entered::Worker, Entered::Supervisor)
            }
        }
    }

    pub(super) fn operate(
        &mut self,
        id: ChildId,
        order: Order,
        by: &Arc<str>,
        reply: Reply<Started, AdminError>,
    ) {
        let what = order.what();
        match order {
            Order::Plain(Intervention::Pause | Intervention::Resume) => {
                let paused = what == Intervention::Pause;
                let done = self.touch(&id, &what, |child| child.pause(paused));
                self.answer_touch(done, what, by, reply);
            }
            Order::Plain(Intervention::Chaos(chaos)) => {
                let done = if self.tree.chaos {
                    self.touch(&id, &what, |child| child.chaos(&chaos))
                } else {
                    Err(AdminError::ChaosOff)
                };
                self.answer_touch(done, what, by, reply);
            }
            Order::Tap(end) => {
                let done = self.touch(&id, &what, |child| child.tap(end));
                self.answer_touch(done, what, by, reply);
            }
            Order::Plain(_) => self.order_family(id, what, by, reply),
        }
    }

    fn answer_touch(
        &self,
        done: Result<Key, AdminError>,
        what: Intervention,
        by: &Arc<str>,
        reply: Reply<Started, AdminError>,
    ) {
        let done = done.map(|key| self.tell_order(key, what, by));
        answer(reply, done.map(|()| Started::Running));
    }

    /// Does something to a child that has a queue.
    fn touch(
        &self,
        id: &ChildId,
        what: &Intervention,
        act: impl FnOnce(&dyn Child) -> Touched,
    ) -> Result<Key, AdminError> {
        let found = self.family.find(id);
        let Some((key, kept)) = found.and_then(|key| Some((key, self.kept.get(&key)?))) else {
            return Err(AdminError::NotFound {
                supervisor: self.path.clone(),
                child: id.clone(),
            });
        };
        let state = self.family.state_of(id);
        if let Some(state) = state.filter(|state| *state == ChildState::Down) {
            let child = kept.path.clone();
            return Err(AdminError::NotUp { child, state });
        }
        let child = || kept.path.clone();
        match act(&*kept.child) {
            Touched::Done => Ok(key),
            Touched::TooMany => Err(AdminError::TooManyTaps {
                child: child(),
                most: MOST_TAPS,
            }),
            Touched::NoQueue => Err(AdminError::NoQueue {
                child: child(),
                kind: match kept.policy.kind {
                    Kind::Supervisor => "a supervisor",
                    Kind::Worker => "a task",
                },
                order: what.to_string(),
            }),
        }
    }

    fn order_family(
        &mut self,
        id: ChildId,
        what: Intervention,
        by: &Arc<str>,
        reply: Reply<Started, AdminError>,
    ) {
        let found = self.family.find(&id);
        let kept = found.and_then(|key| self.kept.get(&key));
        if let Some(kept) = kept
            && what == Intervention::Kill
            && kept.policy.kind == Kind::Supervisor
        {
            let child = kept.path.clone();
            return answer(reply, Err(AdminError::Supervisor { child }));
        }
        let token = self.wait(Pending::Operate(reply), id.clone());
        let event = match what {
            Intervention::Kill => Event::Kill { token, id },
            Intervention::Stop => Event::Terminate { token, id },
            Intervention::Start => Event::Restart { token, id },
            _ => Event::Renew { token, id },
        };
        let effects = self.family.handle(event, Instant::now());
        let refused = effects
            .iter()
            .any(|effect| matches!(effect, Effect::Reply(to, Err(_)) if *to == token));
        if let Some(key) = found.filter(|_| !refused) {
            self.tell_order(key, what, by);
        }
        for effect in effects {
            self.carry_out(effect);
        }
    }

    fn tell_order(&self, key: Key, what: Intervention, by: &Arc<str>) {
        let incarnation = self.family.incarnation(key);
        let by = by.to_string();
        self.tell(key, incarnation, Lifecycle::Ordered { what, by });
    }

    pub(super) fn operate_refusal(&self, id: ChildId, why: Refused) -> AdminError {
        let supervisor = self.path.clone();
        let child = self.path.join(&id);
        match why {
            Refused::NotFound => AdminError::NotFound {
                supervisor,
                child: id,
            },
            Refused::Temporary => AdminError::Temporary { child },
            Refused::NotUp(state) => AdminError::NotUp { child, state },
            Refused::Running(ChildState::Stopping) => AdminError::Leaving { child },
            Refused::Running(state) | Refused::Restarting(state) => {
                AdminError::NotDown { child, state }
            }
            Refused::Failed(exit) => AdminError::Failed(self.failure(&id, exit)),
            Refused::Terminated => AdminError::Terminated { child },
            _ => AdminError::Down { supervisor },
        }
    }
}
