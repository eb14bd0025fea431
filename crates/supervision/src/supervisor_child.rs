//! A child that is a supervisor: its children's places outlive its own lives.

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::admin::Control;
use crate::child::{Begin, Child, Life, Look, StopHow};
use crate::exit::{ChildState, DownReason};
use crate::names::ChildPath;
use crate::spec_error::SpecError;
use crate::supervisor::Supervisor;
use crate::supervisor_spec::{Plan, SupervisorSpec};
use crate::vitals::Remains;

/// What a living supervisor is told from above; it only ever grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Order {
    Run,
    Pause,
    Drain,
    Hurry,
}

pub(crate) struct SupervisorChild {
    plan: Arc<Plan>,
    control: Arc<Control>,
    orders: Mutex<watch::Sender<Order>>,
}

impl SupervisorChild {
    pub(crate) fn new(spec: SupervisorSpec) -> Self {
        let (plan, control) = spec.into_parts();
        Self {
            plan: Arc::new(plan),
            control,
            orders: Mutex::new(watch::Sender::new(Order::Run)),
        }
    }

    fn order(&self, order: Order) {
        let orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        orders.send_if_modified(|now| {
            let grows = order > *now;
            *now = order.max(*now);
            grows
        });
    }
}

impl Child for SupervisorChild {
    fn check(&self) -> Result<(), SpecError> {
        self.plan.check()
    }

    fn adopt(&self, path: &ChildPath) -> bool {
        self.control.adopt(path)
            && self
                .plan
                .children
                .iter()
                .all(|record| record.child.adopt(&path.join(&record.id)))
    }

    fn begin(&self, begin: Begin) -> Life {
        let orders = watch::Sender::new(Order::Run);
        self.control.lives_in(&begin.tree, &begin.label);
        let heard = orders.subscribe();
        *self.orders.lock().unwrap_or_else(PoisonError::into_inner) = orders;
        let commands = self.control.commands();
        let supervisor = Supervisor::new(self.plan.clone(), begin);
        Box::pin(supervisor.run(commands, heard))
    }

    fn ask_stop(&self, how: StopHow) {
        self.order(match how {
            StopHow::Drain => Order::Drain,
            StopHow::Pause => Order::Pause,
        });
    }

    fn kill(&self) {
        self.order(Order::Hurry);
    }

    fn down(&self, reason: &DownReason) -> Vec<String> {
        self.control.down();
        let mut undone = Vec::new();
        for record in self.plan.children.iter().rev() {
            let left = record.child.down(reason);
            undone.extend(
                left.into_iter()
                    .map(|what| format!("{}: {what}", record.id)),
            );
        }
        undone
    }

    fn show(&self, state: ChildState) {
        self.control.show(state);
    }

    fn look(&self) -> Look {
        Look::default()
    }

    /// Those of its spec have places as long as it has.
    fn depart(&self, label: &ChildPath, remains: &Remains) {
        for record in &self.plan.children {
            record.child.depart(&label.join(&record.id), remains);
        }
    }

    fn is_leaving(&self) -> bool {
        false
    }

    fn start_hint(&self) -> String {
        "its children have not all become ready".to_owned()
    }

    fn shared(&self) -> Arc<dyn Any + Send + Sync> {
        self.control.clone()
    }
}

impl Drop for SupervisorChild {
    fn drop(&mut self) {
        self.control.down();
    }
}
