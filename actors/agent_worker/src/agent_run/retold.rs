//! A turn built anew from its log, after its process has died. Every step it finds is done and is not done again.

use std::time::Instant;

use domain::Approval;

use super::{AgentRun, Beginning, Order, Phase, StepRecord, told};
use crate::outcome;
use crate::work::{Assessed, State, Work, denied};

impl AgentRun {
    /// A turn of which these steps were written down by a process that is gone. What it said then is not said again, but for
    /// an answer that was complete.
    pub fn resumed(
        mut beginning: Beginning,
        steps: &[StepRecord],
        assess: impl Fn(&domain::ToolCall) -> Assessed,
        now: Instant,
    ) -> Self {
        let steers = std::mem::take(&mut beginning.steers);
        let mut run = Self::idle(beginning, now);
        for step in steps {
            run.retell(step, &assess);
        }
        for text in steers {
            // One that was over already takes no more.
            let _ = run.steer(text);
        }
        match &run.phase {
            Phase::Working { .. } => run.work_within_limits(now),
            Phase::Over(_) => {}
            Phase::Recalling if run.settings.memory.is_some() => {
                run.orders.push_back(Order::Recall);
            }
            Phase::Recalling => run.call_model(),
            Phase::Calling(_) => run.call_once_more(),
        }
        run
    }

    /// Takes a step from the turn log.
    fn retell(&mut self, step: &StepRecord, assess: &impl Fn(&domain::ToolCall) -> Assessed) {
        match step {
            StepRecord::ModelCalled {
                number,
                steered,
                text,
                tool_calls,
                usage,
                reason,
            } => {
                if let Phase::Working { text, works } = &mut self.phase {
                    let (text, works) = (std::mem::take(text), std::mem::take(works));
                    self.so_far.extend(told(text, &works));
                }
                self.retell_taken(*steered);
                self.model_calls = *number;
                self.spend(*usage);
                let assessed = tool_calls.iter().enumerate();
                let works: Vec<Work> = assessed
                    .map(|(at, call)| Work::new(assess(call), *number, at))
                    .collect();
                if works.is_empty() {
                    return self.retell_words(text.clone(), *reason);
                }
                self.begin_work(text.clone(), works);
            }
            StepRecord::Steered { text, .. } => self.retell_steered(text.clone()),
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
