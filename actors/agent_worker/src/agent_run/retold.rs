//! A turn built anew from its log, after its process has died. Every step it finds is done and is not done again.

use std::time::Instant;

use domain::{Approval, TurnEvent};

use super::{AgentRun, Beginning, Order, Phase, StepRecord, said, told};
use crate::outcome;
use crate::work::{Assessed, State, Work, denied};

impl AgentRun {
    /// A turn of which these steps were written down by a process that is gone. What it said then is not said again, but for
    /// an answer that was complete.
    pub fn resumed(
        beginning: Beginning,
        steps: &[StepRecord],
        assess: impl Fn(&domain::ToolCall) -> Assessed,
        now: Instant,
    ) -> Self {
        let mut run = Self::idle(beginning, now);
        for step in steps {
            run.retell(step, &assess);
        }
        match &run.phase {
            Phase::Working { .. } => run.work_within_limits(now),
            Phase::Over(_) => {}
            Phase::Recalling if run.settings.memory.is_some() => {
                run.orders.push_back(Order::Recall);
            }
            Phase::Recalling | Phase::Calling(_) => run.call_model(),
        }
        run
    }

    /// Takes a step from the turn log.
    fn retell(&mut self, step: &StepRecord, assess: &impl Fn(&domain::ToolCall) -> Assessed) {
        match step {
            StepRecord::ModelCalled {
                number,
                text,
                tool_calls,
                usage,
                reason,
            } => {
                if let Phase::Working { text, works } = &mut self.phase {
                    let (text, works) = (std::mem::take(text), std::mem::take(works));
                    self.so_far.extend(told(text, &works));
                }
                self.model_calls = *number;
                self.spend(*usage);
                let assessed = tool_calls.iter().enumerate();
                let works: Vec<Work> = assessed
                    .map(|(at, call)| Work::new(assess(call), *number, at))
                    .collect();
                if works.is_empty() {
                    self.orders
                        .extend(said(text.clone()).map(|m| Order::Say(TurnEvent::Text(m.content))));
                    self.so_far.extend(said(text.clone()));
                    return self.finish(*reason);
                }
                self.begin_work(text.clone(), works);
            }
            StepRecord::ToolStarted { call_id, .. } => {
                let since = self.begun;
                self.set(call_id, State::Running { since });
            }
            StepRecord::ToolEnded {
                call_id,
                outcome_json,
            } => {
                self.set(call_id, State::Ended(outcome::read(outcome_json)));
            }
            StepRecord::Approved { call_id, granted } => {
                let call = self.call(call_id).cloned();
                let state = match call {
                    Some(call) if !granted => State::Ended(denied(&call, "it was not allowed")),
                    _ => State::Ready,
                };
                // A rule that says no by now says no.
                let approvals = &self.settings.approvals;
                let is_of = |work: &&Work| work.id() == call_id;
                let rule = self.works().iter().find(is_of).map(|w| w.rule(approvals));
                if rule != Some(Approval::Deny) || !granted {
                    self.set(call_id, state);
                }
            }
        }
    }
}
