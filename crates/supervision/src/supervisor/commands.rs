//! What administrators ask of a living supervisor, in the words of the family, and its answers in theirs.

use tokio::sync::oneshot;

use super::Supervisor;
use crate::admin::{Command, Shared, StartChildError, TerminateChildError};
use crate::exit::{Exit, StartFailure};
use crate::family::{Entry, Event, Key, Refused, Token};
use crate::names::{ChildId, ChildPath};
use crate::spec::{Record, SpecError};

pub(super) enum Pending {
    Start(oneshot::Sender<Result<(), StartChildError>>),
    Ensure(oneshot::Sender<Result<(ChildPath, Shared), StartChildError>>),
    Terminate(oneshot::Sender<Result<(), TerminateChildError>>),
}

impl Supervisor {
    pub(super) fn command(&mut self, command: Command) {
        match command {
            Command::Start { record, reply } => match self.adopt(record) {
                Err(error) => drop(reply.send(Err(error.into()))),
                Ok(entry) => {
                    let token = self.wait(Pending::Start(reply), entry.id.clone());
                    self.feed(Event::Add { token, entry });
                }
            },
            Command::Ensure { record, reply } => match self.adopt(record) {
                Err(error) => drop(reply.send(Err(error.into()))),
                Ok(entry) => {
                    let leaving = self.is_leaving(&entry.id);
                    let token = self.wait(Pending::Ensure(reply), entry.id.clone());
                    self.feed(Event::Ensure {
                        token,
                        entry,
                        leaving,
                    });
                }
            },
            Command::Terminate { id, reply } => {
                let token = self.wait(Pending::Terminate(reply), id.clone());
                self.feed(Event::Terminate { token, id });
            }
            Command::Which { reply } => drop(reply.send(self.list())),
        }
    }

    fn adopt(&mut self, record: Record) -> Result<Entry, SpecError> {
        record.check(self.plan.auto_shutdown)?;
        let path = self.path.join(&record.id);
        if !record.child.adopt(&path) {
            return Err(SpecError::UsedTwice { child: path });
        }
        let label = format!("{}/*", self.path);
        Ok(self.keep(record, path, label))
    }

    fn is_leaving(&self, id: &ChildId) -> bool {
        let kept = self.family.find(id).and_then(|key| self.kept.get(&key));
        kept.is_some_and(|kept| kept.record.child.is_leaving())
    }

    fn wait(&mut self, pending: Pending, id: ChildId) -> Token {
        let token = Token(self.next_token);
        self.next_token += 1;
        self.pending.insert(token, (pending, id));
        token
    }

    /// An error of `send` only means that nobody waits any more.
    pub(super) fn reply(&mut self, token: Token, outcome: Result<Key, Refused>) {
        let Some((pending, id)) = self.pending.remove(&token) else {
            return;
        };
        match pending {
            Pending::Start(reply) => {
                let outcome = outcome.map(|_| ()).map_err(|why| self.refusal(&id, why));
                drop(reply.send(outcome));
            }
            Pending::Ensure(reply) => {
                let outcome = match outcome {
                    Ok(key) => self.share(key),
                    Err(why) => Err(self.refusal(&id, why)),
                };
                drop(reply.send(outcome));
            }
            Pending::Terminate(reply) => {
                let outcome = match outcome {
                    Ok(_) => Ok(()),
                    Err(Refused::NotFound) => Err(TerminateChildError::NotFound {
                        supervisor: self.path.clone(),
                        child: id,
                    }),
                    Err(_) => Err(TerminateChildError::Down {
                        supervisor: self.path.clone(),
                    }),
                };
                drop(reply.send(outcome));
            }
        }
    }

    fn share(&self, key: Key) -> Result<(ChildPath, Shared), StartChildError> {
        let kept = self.kept.get(&key).ok_or(StartChildError::Stopping {
            supervisor: self.path.clone(),
        })?;
        Ok((kept.path.clone(), kept.record.child.shared()))
    }

    fn refusal(&self, id: &ChildId, why: Refused) -> StartChildError {
        let child = self.path.join(id);
        match why {
            Refused::AlreadyStarted => StartChildError::AlreadyStarted { child },
            Refused::AlreadyPresent => StartChildError::AlreadyPresent { child },
            Refused::Stopping | Refused::NotFound => StartChildError::Stopping {
                supervisor: self.path.clone(),
            },
            Refused::Failed(Exit::StartFailed(failure)) => StartChildError::Failed(failure),
            Refused::Failed(exit) => StartChildError::Failed(StartFailure {
                child,
                reason: exit.to_string(),
            }),
        }
    }
}
