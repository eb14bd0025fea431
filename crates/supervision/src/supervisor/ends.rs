//! How a life's end is read: from tokio's word for a child's, from the family's word for the supervisor's own.

use tokio::task::{Id, JoinError};

use super::{ROUND, Supervisor, give_back};
use crate::exit::{Escalation, Exit, StartFailure};
use crate::family::{End, Event};

pub(super) type Joined = Result<(Id, Exit), JoinError>;

impl Supervisor {
    pub(super) fn bury(&mut self, first: Option<Joined>) {
        let mut next = first;
        for _ in 0..ROUND {
            let Some(joined) = next.take().or_else(|| self.tasks.try_join_next_with_id()) else {
                return;
            };
            // A life says that it is ready before it ends, so that is heard first.
            self.hear();
            self.end_of(joined);
        }
    }

    fn end_of(&mut self, joined: Joined) {
        let id = match &joined {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        let Some(key) = self.by_task.remove(&id) else {
            return;
        };
        // Two lives of one child never overlap, so this is the end of the present one.
        let incarnation = self.family.incarnation(key);
        give_back(&mut self.by_task);
        if let Some(kept) = self.kept.get_mut(&key) {
            kept.abort = None;
        }
        self.unwatch(key);
        let late = self.late.remove(&key);
        let exit = match (joined, late) {
            (_, Some(reason)) => {
                let child = self.path_of(key);
                Exit::StartFailed(StartFailure { child, reason })
            }
            (Ok((_, exit)), None) => exit,
            (Err(error), None) => read_join_error(error),
        };
        self.feed(Event::Ended {
            key,
            incarnation,
            exit,
        });
    }

    pub(super) fn read_end(&self, end: End) -> Exit {
        match end {
            End::Asked => Exit::Normal,
            End::AutoShutdown { id } => Exit::AutoShutdown(self.path.join(&id)),
            End::StartFailed {
                exit: Exit::StartFailed(failure),
                ..
            } => Exit::StartFailed(failure),
            End::StartFailed { id, exit } => Exit::StartFailed(StartFailure {
                child: self.path.join(&id),
                reason: exit.to_string(),
            }),
            End::Escalated { id, reason } => Exit::Escalated(Escalation {
                supervisor: self.path.clone(),
                child: self.path.join(&id),
                reason,
                max_restarts: self.plan.intensity.max_restarts(),
                period: self.plan.intensity.period(),
            }),
        }
    }
}

fn read_join_error(error: JoinError) -> Exit {
    match error.try_into_panic() {
        Ok(panic) => {
            let text = panic
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| panic.downcast_ref::<String>().cloned());
            Exit::Crashed(text.unwrap_or_else(|| "panicked without a message".to_owned()))
        }
        Err(_) => Exit::Aborted,
    }
}
