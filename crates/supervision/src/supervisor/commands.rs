//! What administrators ask of a living supervisor, in the words of the family, and its answers in theirs.

use super::Supervisor;
use crate::admin::{
    AdminError, Command, DeleteChildError, GetChildspecError, Reply, RestartChildError, Shared,
    StartChildError, Started, TerminateChildError,
};
use crate::exit::{ChildState, Exit, StartFailure};
use crate::family::{Entry, Event, Key, Refused, Token};
use crate::names::{ChildId, ChildPath};
use crate::policy::Strategy;
use crate::spec::Record;
use crate::spec_error::SpecError;

/// Who waits for the outcome of a command.
pub(super) enum Pending {
    Start(Reply<Started, StartChildError>),
    Ensure(Reply<(ChildPath, Shared), StartChildError>),
    Terminate(Reply<(), TerminateChildError>),
    Restart(Reply<Started, RestartChildError>),
    Delete(Reply<(), DeleteChildError>),
    Operate(Reply<Started, AdminError>),
}

/// An error of `send` only means that nobody waits any more.
pub(super) fn answer<T, E>(reply: Reply<T, E>, outcome: Result<T, E>) {
    drop(reply.send(outcome));
}

impl Supervisor {
    pub(super) fn command(&mut self, command: Command) {
        match command {
            Command::Start {
                record,
                instance,
                reply,
            } => match self.adopt(record, instance) {
                Err(error) => answer(reply, Err(error)),
                Ok(entry) => {
                    let token = self.wait(Pending::Start(reply), entry.id.clone());
                    self.feed(Event::Add { token, entry });
                }
            },
            Command::Ensure {
                record,
                instance,
                reply,
            } => match self.adopt(record, instance) {
                Err(error) => answer(reply, Err(error)),
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
            Command::Restart { id, reply } => self.restart_child(id, reply),
            Command::Delete { id, reply } => self.delete_child(id, reply),
            Command::Spec { id, reply } => {
                let not_found = GetChildspecError::NotFound {
                    supervisor: self.path.clone(),
                    child: id.clone(),
                };
                answer(reply, self.spec_of(&id).ok_or(not_found));
            }
            Command::Which { reply } => drop(reply.send(self.list())),
            Command::Count { reply } => drop(reply.send(self.counts())),
            // Whoever gave up waiting left the question here.
            Command::Survey { reply } if reply.is_closed() => {}
            Command::Survey { reply } => drop(reply.send(self.survey())),
            Command::Enter { id, reply } => drop(reply.send(self.enter(&id))),
            Command::Operate { reply, .. } if reply.is_closed() => {}
            Command::Operate {
                id,
                order,
                by,
                reply,
            } => self.operate(id, order, &by, reply),
        }
    }

    fn has_template(&self) -> bool {
        self.plan.strategy == Strategy::SimpleOneForOne
    }

    fn restart_child(&mut self, id: ChildId, reply: Reply<Started, RestartChildError>) {
        if self.has_template() {
            let supervisor = self.path.clone();
            return answer(reply, Err(RestartChildError::Template { supervisor }));
        }
        let token = self.wait(Pending::Restart(reply), id.clone());
        self.feed(Event::Restart { token, id });
    }

    fn delete_child(&mut self, id: ChildId, reply: Reply<(), DeleteChildError>) {
        if self.has_template() {
            let supervisor = self.path.clone();
            return answer(reply, Err(DeleteChildError::Template { supervisor }));
        }
        let token = self.wait(Pending::Delete(reply), id.clone());
        self.feed(Event::Delete { token, id });
    }

    fn adopt(&mut self, record: Record, instance: bool) -> Result<Entry, StartChildError> {
        if self.has_template() && !instance {
            let supervisor = self.path.clone();
            return Err(StartChildError::Template { supervisor });
        }
        record.check(self.plan.auto_shutdown)?;
        let path = self.path.join(&record.id);
        self.check_needs(&record, &path)?;
        if !record.child.adopt(&path) {
            return Err(SpecError::UsedTwice { child: path }.into());
        }
        Ok(self.keep(record, path, true))
    }

    /// What it depends on has to be up.
    fn check_needs(&self, record: &Record, path: &ChildPath) -> Result<(), StartChildError> {
        for on in record.needs.ids() {
            let state = self.family.state_of(on);
            if state != Some(ChildState::Up) {
                return Err(StartChildError::Dependency {
                    child: path.clone(),
                    on: on.clone(),
                    state,
                });
            }
        }
        Ok(())
    }

    fn is_leaving(&self, id: &ChildId) -> bool {
        let kept = self.family.find(id).and_then(|key| self.kept.get(&key));
        kept.is_some_and(|kept| kept.child.is_leaving())
    }

    pub(super) fn wait(&mut self, pending: Pending, id: ChildId) -> Token {
        let token = Token(self.next_token);
        self.next_token += 1;
        self.pending.insert(token, (pending, id));
        token
    }

    pub(super) fn reply(&mut self, token: Token, outcome: Result<Key, Refused>) {
        let Some((pending, id)) = self.pending.remove(&token) else {
            return;
        };
        match pending {
            Pending::Start(reply) => answer(
                reply,
                match outcome {
                    Ok(_) => Ok(Started::Running),
                    Err(Refused::Ignored) => Ok(Started::Ignored),
                    Err(why) => Err(self.start_refusal(&id, why)),
                },
            ),
            Pending::Ensure(reply) => answer(
                reply,
                match outcome {
                    Ok(key) => self.share(key),
                    Err(why) => Err(self.start_refusal(&id, why)),
                },
            ),
            Pending::Terminate(reply) => answer(
                reply,
                outcome.map(drop).map_err(|why| self.stop_refusal(id, &why)),
            ),
            Pending::Restart(reply) => answer(
                reply,
                match outcome {
                    Ok(_) => Ok(Started::Running),
                    Err(Refused::Ignored) => Ok(Started::Ignored),
                    Err(why) => Err(self.restart_refusal(id, why)),
                },
            ),
            Pending::Operate(reply) => answer(
                reply,
                match outcome {
                    Ok(_) => Ok(Started::Running),
                    Err(Refused::Ignored) => Ok(Started::Ignored),
                    Err(why) => Err(self.operate_refusal(id, why)),
                },
            ),
            Pending::Delete(reply) => answer(
                reply,
                outcome
                    .map(drop)
                    .map_err(|why| self.delete_refusal(id, &why)),
            ),
        }
    }

    fn share(&self, key: Key) -> Result<(ChildPath, Shared), StartChildError> {
        let kept = self.kept.get(&key).ok_or(StartChildError::Stopping {
            supervisor: self.path.clone(),
        })?;
        Ok((kept.path.clone(), kept.child.shared()))
    }

    // ---- the family's words in the administrator's

    pub(super) fn failure(&self, id: &ChildId, exit: Exit) -> StartFailure {
        match exit {
            Exit::StartFailed(failure) => failure,
            exit => StartFailure {
                child: self.path.join(id),
                reason: exit.to_string(),
            },
        }
    }

    fn start_refusal(&self, id: &ChildId, why: Refused) -> StartChildError {
        let child = self.path.join(id);
        match why {
            Refused::AlreadyStarted | Refused::Running(_) | Refused::Restarting(_) => {
                StartChildError::AlreadyStarted { child }
            }
            Refused::AlreadyPresent => StartChildError::AlreadyPresent { child },
            Refused::Ignored => StartChildError::Ignored { child },
            Refused::Failed(exit) => StartChildError::Failed(self.failure(id, exit)),
            Refused::Terminated => StartChildError::Terminated { child },
            Refused::Stopping | Refused::NotFound | Refused::Temporary | Refused::NotUp(_) => {
                StartChildError::Stopping {
                    supervisor: self.path.clone(),
                }
            }
        }
    }

    fn stop_refusal(&self, child: ChildId, why: &Refused) -> TerminateChildError {
        let supervisor = self.path.clone();
        match why {
            Refused::NotFound => TerminateChildError::NotFound { supervisor, child },
            _ => TerminateChildError::Down { supervisor },
        }
    }

    fn restart_refusal(&self, id: ChildId, why: Refused) -> RestartChildError {
        let supervisor = self.path.clone();
        let child = self.path.join(&id);
        match why {
            Refused::NotFound => RestartChildError::NotFound {
                supervisor,
                child: id,
            },
            Refused::Running(state) => RestartChildError::Running { child, state },
            Refused::Restarting(state) => RestartChildError::Restarting { child, state },
            Refused::Failed(exit) => RestartChildError::Failed(self.failure(&id, exit)),
            Refused::Terminated => RestartChildError::Terminated { child },
            _ => RestartChildError::Down { supervisor },
        }
    }

    fn delete_refusal(&self, id: ChildId, why: &Refused) -> DeleteChildError {
        let supervisor = self.path.clone();
        let child = self.path.join(&id);
        match *why {
            Refused::NotFound => DeleteChildError::NotFound {
                supervisor,
                child: id,
            },
            Refused::Running(state) => DeleteChildError::Running { child, state },
            Refused::Restarting(state) => DeleteChildError::Restarting { child, state },
            _ => DeleteChildError::Down { supervisor },
        }
    }
}
