//! Which turn hears what is said to it, and when it hears no more.

use conversation_store::messages::StepRecord;
use domain::{FieldError, RequestId};

use super::{Listener, Turns};
use crate::agent_run::NotSteered;
use crate::messages::SteerError;
use crate::turn::{Turn, check_text};

impl<L: Listener> Turns<L> {
    /// Somebody says something to a turn that waits or runs; which of that turn's it is, from 1.
    ///
    /// # Errors
    /// It is over, or nothing would read it; then nothing has changed.
    pub fn steer(&mut self, id: &RequestId, text: String) -> Result<u32, SteerError> {
        check_text(&text, self.config.text_chars)?;
        let most = self.config.waiting_steers;
        let over = || SteerError::Over { turn: id.clone() };
        let running = self.running.as_mut().filter(|r| r.turn.id == *id);
        // One that was cancelled, or that nobody hears, is about to end.
        let open = |turn: &Turn<L>| !turn.listener.is_gone();
        let Some(running) = running else {
            let waiting = self.waiting.iter_mut().find(|turn| turn.id == *id);
            return waiting
                .filter(|turn| open(turn))
                .ok_or_else(over)?
                .steer(text, most);
        };
        if running.cancelled || !open(&running.turn) {
            return Err(over());
        }
        let Some(run) = &mut running.run else {
            return running.turn.steer(text, most);
        };
        if run.steers_waiting() >= most {
            return Err(too_many(most));
        }
        run.steer(text).map_err(|refused| match refused {
            NotSteered::Over => over(),
            NotSteered::LastCall(max_turns) => SteerError::LastCall {
                turn: id.clone(),
                max_turns,
            },
        })
    }
}

impl<L> Turn<L> {
    /// Keeps it for when the turn begins.
    fn steer(&mut self, text: String, most: usize) -> Result<u32, SteerError> {
        if self.steers.len() >= most {
            return Err(too_many(most));
        }
        self.steers.push(text);
        let before = |step: &&StepRecord| matches!(step, StepRecord::Steered { .. });
        let all = self.log.iter().filter(before).count() + self.steers.len();
        Ok(u32::try_from(all).unwrap_or(u32::MAX))
    }
}

fn too_many(most: usize) -> SteerError {
    let value = format!("{} texts that wait", most.saturating_add(1));
    let allowed = "fewer at a time (by default 8): the turn's next call of the model takes in those that wait";
    FieldError::new("steer", value, allowed).into()
}
