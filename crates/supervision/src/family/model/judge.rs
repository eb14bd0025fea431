//! The judge: compares every effect of a family with what the outside knows.

use std::collections::BTreeSet;

use super::super::{Effect, End, Event, Family, Key, Mode, Refused, Token};
use super::world::{Fault, Life, Order, Outside, Question, Seen, World};
use crate::chance::Chance;
use crate::events::Lifecycle;
use crate::exit::{ChildState, Exit};
use crate::policy::{Restart, Strategy};

/// What was so before the event whose effects are judged.
#[derive(Clone, Copy)]
struct Before {
    ending: bool,
    hurry: bool,
    /// A group restart was stopping its children: it will start all of them.
    waking: bool,
    about: Option<Key>,
    /// The end that the event tells of, and whether it was a normal one.
    end: Option<(Key, bool)>,
}

impl World {
    /// `about`: the child that the event itself is about, which may be stopped out of turn.
    pub(super) fn feed(&mut self, event: Event, about: Option<Key>) -> BTreeSet<Seen> {
        let before = Before {
            ending: !matches!(self.family.mode, Mode::Running),
            hurry: matches!(event, Event::Hurry),
            waking: self.family.walk.is_some_and(|walk| !walk.cleared),
            about,
            end: match &event {
                Event::Ended { key, exit, .. } => Some((*key, *exit == Exit::Normal)),
                _ => None,
            },
        };
        let heirs = self.heirs();
        let effects = self.family.handle(event, self.now);
        self.family.chance = Chance::new(1);
        let mut seen = BTreeSet::new();
        for effect in effects {
            self.judge(&effect, before, &mut seen);
        }
        if heirs
            .iter()
            .any(|key| self.family.members.contains_key(key))
        {
            seen.insert(Seen::Succeeded);
        }
        if !self.books() {
            self.fault(Fault::BadBooks);
        }
        seen
    }

    /// Those who wait for the place of another.
    fn heirs(&self) -> Vec<Key> {
        let members = self.family.members.values();
        let heirs = members.flat_map(|member| &member.successors);
        heirs.map(|(_, entry)| entry.key).collect()
    }

    fn fault(&mut self, fault: Fault) {
        self.outside.faults.insert(fault);
    }

    fn hold(&mut self, promise: bool, fault: Fault) {
        if !promise {
            self.fault(fault);
        }
    }

    fn judge(&mut self, effect: &Effect, before: Before, seen: &mut BTreeSet<Seen>) {
        match effect {
            Effect::Start { key, incarnation } => {
                self.judge_start(*key, *incarnation, before.ending);
            }
            Effect::AskStop { key, .. } => {
                let free =
                    before.hurry || before.about == Some(*key) || self.is_its_turn_to_stop(*key);
                self.hold(free, Fault::StopOrder);
                self.force(*key, |life| {
                    life.asked = true;
                    true
                });
            }
            Effect::Kill(key) => {
                seen.insert(Seen::Killed);
                self.force(*key, |life| {
                    life.asked && !std::mem::replace(&mut life.killed, true)
                });
            }
            Effect::Abort(key) => {
                seen.insert(Seen::Aborted);
                self.force(*key, |life| {
                    let due = life.killed || life.late || (life.asked && !life.ready);
                    due && !std::mem::replace(&mut life.aborted, true)
                });
            }
            Effect::StartTimedOut { key, .. } => {
                seen.insert(Seen::StartTimedOut);
                self.force(*key, |life| {
                    !life.ready && !std::mem::replace(&mut life.late, true)
                });
            }
            Effect::Retire { key, .. } => {
                let alive = self.outside.lives.contains_key(key);
                self.hold(!alive, Fault::TwoLives);
                self.outside.down.insert(*key, before.waking);
            }
            Effect::Forget(key) => {
                let alive = self.outside.lives.contains_key(key);
                let kept = self.outside.kept.remove(key);
                self.hold(kept && !alive, Fault::BadBooks);
                self.outside.down.remove(key);
            }
            Effect::Reply(token, outcome) => self.judge_reply(*token, outcome, seen),
            Effect::Emit(key, _, what) => self.judge_word(*key, what, before, seen),
            Effect::GivesUp { .. } => {
                let full = self.restarts.len() == self.max_restarts as usize;
                self.hold(full && !before.ending, Fault::Intensity);
                self.outside.gave_up = true;
            }
            Effect::End(end) => self.judge_end(end, seen),
            Effect::TreeReady => self.hold(!before.ending, Fault::StartAtTheEnd),
            Effect::Show(key, ChildState::BackingOff) => self.judge_waking(*key),
            Effect::Show(..) => {}
        }
    }

    fn judge_start(&mut self, key: Key, incarnation: u64, ending: bool) {
        let late = ending || self.outside.gave_up || self.outside.ended;
        self.hold(!late, Fault::StartAtTheEnd);
        self.hold(self.outside.kept.contains(&key), Fault::BadBooks);
        self.judge_waking(key);
        let first = incarnation == 1;
        let temporary = self.restart_of(key) == Some(Restart::Temporary);
        self.hold(first || !temporary, Fault::RestartType);
        let ordered = self.family.strategy != Strategy::OneForOne;
        let of_the_spec = key.0 < self.fixed;
        if ordered && (of_the_spec || !first) {
            let younger = self.outside.lives.range(key..).next();
            self.hold(younger.is_none(), Fault::StartOrder);
        }
        if of_the_spec && first {
            let mut elders = self.outside.lives.range(..key);
            let all_ready = elders.all(|(_, life)| life.ready);
            self.hold(all_ready, Fault::StartOrder);
        }
        let id = self
            .family
            .members
            .get(&key)
            .map(|member| member.id.clone());
        let lives = self.outside.lives.keys();
        let namesakes = lives
            .filter_map(|key| self.family.members.get(key))
            .filter(|member| Some(&member.id) == id.as_ref())
            .count();
        let before = self.outside.lives.insert(key, Life::default());
        self.hold(before.is_none() && namesakes == 0, Fault::TwoLives);
    }

    fn judge_waking(&mut self, key: Key) {
        let woken = self.outside.down.remove(&key).unwrap_or(true);
        self.hold(woken, Fault::Risen);
    }

    /// Everyone after it has ended; children of run time under `one_for_one` may go side by side.
    fn is_its_turn_to_stop(&self, key: Key) -> bool {
        let together = self.family.strategy == Strategy::OneForOne && key.0 >= self.fixed;
        let mut younger = self.outside.lives.range(key..).skip(1);
        together || younger.next().is_none()
    }

    fn force(&mut self, key: Key, lawful: impl FnOnce(&mut Life) -> bool) {
        let lawful = self.outside.lives.get_mut(&key).is_some_and(lawful);
        self.hold(lawful, Fault::BadForce);
    }

    fn judge_reply(
        &mut self,
        token: Token,
        outcome: &Result<Key, Refused>,
        seen: &mut BTreeSet<Seen>,
    ) {
        let Some(question) = self.outside.questions.remove(&token.0) else {
            return self.fault(Fault::BadReply);
        };
        let truthful = match (question, outcome) {
            (Question::Terminate, Ok(key)) => !self.outside.lives.contains_key(key),
            (Question::Terminate, Err(why)) => *why == Refused::NotFound,
            (Question::Add, Ok(key)) => self.outside.lives.get(key).is_some_and(|life| life.ready),
            (Question::Ensure, Ok(key)) => {
                self.outside.kept.contains(key) && !self.outside.down.contains_key(key)
            }
            (Question::Add, Err(why)) => *why != Refused::NotFound,
            (Question::Ensure, Err(why)) => matches!(why, Refused::Stopping | Refused::Failed(_)),
        };
        self.hold(truthful, Fault::BadReply);
        if outcome.is_err() {
            seen.insert(Seen::Refused);
        }
        if question == Question::Ensure && *outcome == Ok(Key(token.0)) {
            seen.insert(Seen::Ensured);
        }
    }

    fn judge_word(
        &mut self,
        key: Key,
        what: &Lifecycle,
        before: Before,
        seen: &mut BTreeSet<Seen>,
    ) {
        match what {
            Lifecycle::Ready { .. } => {
                seen.insert(Seen::Ready);
            }
            Lifecycle::BackingOff { .. } => {
                seen.insert(Seen::Restarted);
                let normal = before.end == Some((key, true));
                let deserved = before.end.is_some_and(|(ended, _)| ended == key)
                    && match self.restart_of(key) {
                        Some(Restart::Permanent) => true,
                        Some(Restart::Transient) => !normal,
                        Some(Restart::Temporary) | None => false,
                    };
                self.hold(deserved, Fault::RestartType);
                self.restarts.push(self.now);
                let within = self.restarts.len() <= self.max_restarts as usize;
                self.hold(within, Fault::Intensity);
                if self.family.strategy == Strategy::RestForOne {
                    for (_, woken) in self.outside.down.range_mut(key..) {
                        *woken = true;
                    }
                }
            }
            _ => {}
        }
    }

    fn restart_of(&self, key: Key) -> Option<Restart> {
        let member = self.family.members.get(&key);
        member.map(|member| member.policy.restart)
    }

    fn judge_end(&mut self, end: &End, seen: &mut BTreeSet<Seen>) {
        let asked = self.outside.order != Order::Run;
        let truthful = match end {
            End::Asked => asked,
            End::Escalated { .. } => {
                seen.insert(Seen::Escalated);
                self.outside.gave_up
            }
            End::StartFailed { .. } => {
                seen.insert(Seen::StartFailed);
                true
            }
        };
        let alone = self.outside.lives.is_empty();
        let again = std::mem::replace(&mut self.outside.ended, true);
        self.hold(truthful && alone && !again, Fault::BadEnd);
        self.hold(self.outside.questions.is_empty(), Fault::BadReply);
    }

    /// What the family says of itself twice is the same, and true.
    fn books(&self) -> bool {
        let Family {
            members, due, ids, ..
        } = &self.family;
        let Outside { lives, kept, .. } = &self.outside;
        let heirs: usize = members.values().map(|m| m.successors.len()).sum();
        let each = members.iter().all(|(key, member)| {
            let heirs = &member.successors;
            member.lives() == lives.contains_key(key)
                && kept.contains(key)
                && heirs.iter().all(|(_, entry)| kept.contains(&entry.key))
                && member.due.is_none_or(|at| due.contains(&(at, *key)))
                && ids.get(&member.id) == Some(key)
        });
        each && lives.keys().all(|key| members.contains_key(key))
            && kept.len() == members.len() + heirs
            && due.len() == members.values().filter(|m| m.due.is_some()).count()
            && ids.len() == members.len()
    }
}
