//! What the person says while the turn runs: it waits for the next call of the model, which is shown it, behind what happened
//! until then. An answer in words does not end the turn while something waits.
//!
//! It is ordered to be written down as soon as it is said, so that it outlives the process; which call was shown it is part of
//! that call's step.

use std::collections::VecDeque;

use domain::{FinishReason, Message, TurnError, TurnEvent};

use super::answering::Calling;
use super::{AgentRun, Order, Phase, StepRecord};

/// What was said to a running turn.
#[derive(Clone, Debug, Default)]
pub(super) struct Steering {
    /// What no call of the model has been shown yet, oldest first.
    waiting: VecDeque<String>,
    /// How many were taken in.
    taken: u32,
}

/// Why a running turn takes no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotSteered {
    /// It is over.
    Over,
    /// No call of the model follows that could read it: this one is the last of so many.
    LastCall(u32),
}

impl AgentRun {
    /// The person says more. Taken in before the next call of the model, in order; which of this turn's it is, from 1.
    ///
    /// # Errors
    /// Nothing is going to read it.
    pub fn steer(&mut self, text: String) -> Result<u32, NotSteered> {
        let max_turns = self.settings.limits.max_turns;
        if self.is_over() {
            return Err(NotSteered::Over);
        }
        if self.model_calls >= max_turns {
            return Err(NotSteered::LastCall(max_turns));
        }
        Ok(self.note(text))
    }

    /// How many wait to be taken in.
    pub fn steers_waiting(&self) -> usize {
        self.steering.waiting.len()
    }

    /// How many of the person's texts this turn was told, taken in or not.
    fn steers(&self) -> u32 {
        let waiting = u32::try_from(self.steers_waiting()).unwrap_or(u32::MAX);
        self.steering.taken.saturating_add(waiting)
    }

    /// Lets it wait, and writes it down.
    pub(super) fn note(&mut self, text: String) -> u32 {
        let number = self.steers().saturating_add(1);
        self.steering.waiting.push_back(text.clone());
        let steered = StepRecord::Steered { number, text };
        self.orders.push_back(Order::Record(steered));
        number
    }

    /// How many the model was shown.
    pub(super) fn steers_taken(&self) -> u32 {
        self.steering.taken
    }

    /// The model is called: it is shown all that waits.
    pub(super) fn take_in(&mut self) {
        while let Some((number, text)) = self.take_in_one() {
            self.say(TurnEvent::Steered { number, text });
        }
    }

    fn take_in_one(&mut self) -> Option<(u32, String)> {
        let text = self.steering.waiting.pop_front()?;
        self.steering.taken = self.steering.taken.saturating_add(1);
        self.so_far.push(Message::user(text.clone()));
        Some((self.steering.taken, text))
    }

    /// The model has answered in words: that is the end, unless the person has said more.
    pub(super) fn answered_in_words(&mut self, reason: FinishReason) {
        if self.steering.waiting.is_empty() {
            self.finish(reason);
        } else {
            self.call_once_more();
        }
    }

    /// One more call, if there may be one. Only a turn that goes on with other limits than it began with finds none here.
    pub(super) fn call_once_more(&mut self) {
        let max_turns = self.settings.limits.max_turns;
        if self.model_calls >= max_turns {
            return self.fail(TurnError::MaxTurns { max_turns });
        }
        self.call_model();
    }

    /// From the turn log: it was said, and is written down.
    pub(super) fn retell_steered(&mut self, text: String) {
        self.steering.waiting.push_back(text);
    }

    /// From the turn log: so many were taken in before a call of the model. They were told then.
    pub(super) fn retell_taken(&mut self, shown: u32) {
        while self.steering.taken < shown && self.take_in_one().is_some() {}
    }

    /// From the turn log: an answer in words, which was not the end if something waited.
    pub(super) fn retell_words(&mut self, text: String, reason: FinishReason) {
        let goes_on = !self.steering.waiting.is_empty();
        if !goes_on {
            let again = (!text.is_empty()).then(|| Order::Say(TurnEvent::Text(text.clone())));
            self.orders.extend(again);
        }
        self.so_far.extend(super::said(text));
        if goes_on {
            self.phase = Phase::Calling(Calling::default());
        } else {
            self.finish(reason);
        }
    }
}
