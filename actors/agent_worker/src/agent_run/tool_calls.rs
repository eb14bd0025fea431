//! The tools' side of a running turn: who may run, who does, and what the model reads of it.

use std::collections::VecDeque;
use std::time::Instant;

use domain::{Approval, Budget, ToolCallId, ToolOutcome, TurnError, TurnEvent};

use super::{AgentRun, Order, Phase, StepRecord, millis, told};
use crate::outcome;
use crate::work::{State, Work, denied, unknown};

impl AgentRun {
    pub(super) fn works(&self) -> &[Work] {
        match &self.phase {
            Phase::Working { works, .. } => works,
            _ => &[],
        }
    }

    pub(super) fn work(&mut self, id: &ToolCallId) -> Option<&mut Work> {
        match &mut self.phase {
            Phase::Working { works, .. } => works.iter_mut().find(|work| work.id() == id),
            _ => None,
        }
    }

    pub(super) fn begin_work(&mut self, text: String, works: Vec<Work>) {
        let called = u32::try_from(works.len()).unwrap_or(u32::MAX);
        self.tool_calls = self.tool_calls.saturating_add(called);
        self.phase = Phase::Working { text, works };
    }

    /// Before anything runs: whether the model may be called once more to read the results, and so many tools may be.
    pub(super) fn work_within_limits(&mut self, now: Instant) {
        let limits = &self.settings.limits;
        let (max_turns, tool_calls) = (limits.max_turns, limits.tool_calls);
        if self.model_calls >= max_turns {
            return self.fail(TurnError::MaxTurns { max_turns });
        }
        if self.tool_calls > tool_calls {
            return self.spent(Budget::ToolCalls, tool_calls.into());
        }
        self.take_up(now);
    }

    /// Looks at each call that is not over: whether it may run, has to be allowed, or was lost in a crash.
    pub(super) fn take_up(&mut self, now: Instant) {
        let ordered = |orders: &VecDeque<Order>, id: &ToolCallId| {
            orders.contains(&Order::StartTool(id.clone()))
        };
        for work in self.works().to_vec() {
            let id = work.id().clone();
            match work.state {
                State::New => self.look_at(&work, now),
                State::Waiting { .. } => self.ask(&work, now),
                State::Running { .. } if ordered(&self.orders, &id) => {}
                State::Running { .. } if work.of.idempotent => {
                    self.orders.push_back(Order::StartTool(id));
                }
                State::Running { .. } => self.close_work(&id, unknown(&work.of.call), now),
                State::Ready | State::Ended(_) => {}
            }
        }
        self.go_on(now);
    }

    pub(super) fn look_at(&mut self, work: &Work, now: Instant) {
        let id = work.id();
        if let Some(refused) = &work.of.refused {
            return self.close_work(id, ToolOutcome::Failed(refused.clone()), now);
        }
        match work.rule(&self.settings.approvals) {
            Approval::Auto => self.set(id, State::Ready),
            Approval::Ask => self.ask(work, now),
            Approval::Deny => self.decide(id, Err("it is not allowed here")),
        }
    }

    pub(super) fn ask(&mut self, work: &Work, now: Instant) {
        let wait = self.settings.approvals.wait;
        self.set(work.id(), State::Waiting { until: now + wait });
        let call = work.of.call.clone();
        let asked = |order: &Order| matches!(order, Order::Say(TurnEvent::ApprovalNeeded { call: of, .. }) if *of == call);
        if !self.orders.iter().any(asked) {
            let within_ms = millis(wait);
            self.say(TurnEvent::ApprovalNeeded { call, within_ms });
        }
    }

    pub(super) fn set(&mut self, id: &ToolCallId, state: State) {
        if let Some(work) = self.work(id) {
            work.state = state;
        }
    }

    pub(super) fn answered(&mut self, id: &ToolCallId, granted: bool, now: Instant) {
        let waits = |work: &&mut Work| matches!(work.state, State::Waiting { .. });
        if self.work(id).as_ref().is_some_and(waits) {
            let word = if granted {
                Ok(())
            } else {
                Err("it was not allowed")
            };
            self.decide(id, word);
            self.go_on(now);
        }
    }

    /// Somebody, or a rule, has decided.
    pub(super) fn decide(&mut self, id: &ToolCallId, decided: Result<(), &str>) {
        let Some(work) = self.work(id) else {
            return;
        };
        let (call, denial) = (work.of.call.clone(), decided.err());
        let outcome = denial.map(|why| denied(&call, why));
        work.state = outcome.clone().map_or(State::Ready, State::Ended);
        self.orders.push_back(Order::Record(StepRecord::Approved {
            call_id: id.clone(),
            granted: denial.is_none(),
        }));
        if let Some(outcome) = outcome {
            let (id, name) = (call.id, call.name);
            let took_ms = 0;
            self.say(TurnEvent::ToolEnded {
                id,
                name,
                outcome,
                took_ms,
            });
        }
    }

    pub(super) fn tool_ended(&mut self, id: &ToolCallId, outcome: ToolOutcome, now: Instant) {
        let runs = |work: &&mut Work| matches!(work.state, State::Running { .. });
        if self.work(id).as_ref().is_some_and(runs) {
            self.close_work(id, outcome, now);
            self.go_on(now);
        }
    }

    /// A call is over. One that never ran is not written down: it would end the same again.
    pub(super) fn close_work(&mut self, id: &ToolCallId, outcome: ToolOutcome, now: Instant) {
        let Some(work) = self.work(id) else {
            return;
        };
        let name = work.of.call.name.clone();
        let ended = State::Ended(outcome.clone());
        let took_ms = match std::mem::replace(&mut work.state, ended) {
            State::Running { since } => {
                let outcome_json = outcome::written(&outcome);
                let call_id = id.clone();
                let ended = StepRecord::ToolEnded {
                    call_id,
                    outcome_json,
                };
                self.orders.push_back(Order::Record(ended));
                millis(now.saturating_duration_since(since))
            }
            _ => 0,
        };
        let id = id.clone();
        self.say(TurnEvent::ToolEnded {
            id,
            name,
            outcome,
            took_ms,
        });
    }

    /// Starts what may run and has room, in order; once all have ended, the model is shown their results.
    pub(super) fn go_on(&mut self, now: Instant) {
        let Phase::Working { text, works } = &mut self.phase else {
            return;
        };
        if works.iter().all(|work| work.outcome().is_some()) {
            let (text, works) = (std::mem::take(text), std::mem::take(works));
            self.so_far.extend(told(text, &works));
            return self.call_model();
        }
        let runs = |work: &Work| matches!(work.state, State::Running { .. });
        let running = works.iter().filter(|work| runs(work)).count();
        let room = self.settings.limits.tools_at_once.saturating_sub(running);
        let ready = works.iter_mut().filter(|work| work.state == State::Ready);
        for work in ready.take(room) {
            work.state = State::Running { since: now };
            let call = work.of.call.clone();
            let (call_id, idempotent) = (call.id.clone(), work.of.idempotent);
            self.orders.extend([
                Order::Record(StepRecord::ToolStarted {
                    call_id: call_id.clone(),
                    idempotent,
                }),
                Order::Say(TurnEvent::ToolStarted { call }),
                Order::StartTool(call_id),
            ]);
        }
    }
}

impl Work {
    pub(super) fn until(&self) -> Option<Instant> {
        match self.state {
            State::Waiting { until } => Some(until),
            _ => None,
        }
    }
}
