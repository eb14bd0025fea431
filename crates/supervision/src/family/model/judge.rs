//! The judge: compares every effect of a family with what the outside knows.

use std::collections::BTreeSet;

use super::super::member::{Demand, State};
use super::super::{Effect, End, Event, Family, Key, Mode, Refused, Token};
use super::world::{Fault, Life, Order, Outside, Question, Seen, Why, World};
use crate::chance::Chance;
use crate::events::Lifecycle;
use crate::exit::{ChildState, DownReason};
use crate::health::Health;
use crate::policy::{AutoShutdown, Restart, Shutdown, Strategy};

/// What was so before the event whose effects are judged.
#[derive(Clone, Copy)]
struct Before {
    ending: bool,
    hurry: bool,
    about: Option<Key>,
    /// The child that an administrator wants to start again.
    revived: Option<Key>,
    /// The child that an administrator kills.
    slain: Option<Key>,
    /// The end that the event tells of, and whether it was a normal one.
    end: Option<(Key, bool)>,
}

impl World {
    /// `about`: the child that the event itself is about, which may be stopped out of turn.
    pub(super) fn feed(&mut self, event: Event, about: Option<Key>) -> BTreeSet<Seen> {
        let before = Before {
            ending: !matches!(self.family.mode, Mode::Running),
            hurry: matches!(event, Event::Hurry),
            about,
            revived: match &event {
                Event::Restart { id, .. } | Event::Renew { id, .. } => self.family.find(id),
                _ => None,
            },
            slain: match &event {
                Event::Kill { id, .. } => self.family.find(id),
                _ => None,
            },
            end: match &event {
                Event::Ended { key, exit, .. } => Some((*key, exit.is_normal())),
                _ => None,
            },
        };
        self.judge_renewal(&event, before);
        let heirs = self.heirs();
        let effects = self.family.handle(event, self.now);
        self.family.chance = Chance::new(1);
        let mut seen = BTreeSet::new();
        for effect in &effects {
            self.judge(effect, before, &mut seen);
        }
        self.judge_significance(&effects, before, &mut seen);
        if heirs
            .iter()
            .any(|key| self.family.members.contains_key(key))
        {
            seen.insert(Seen::Succeeded);
        }
        let books = self.books();
        self.hold(books, Fault::BadBooks);
        let armed = self.force_has_a_next_step();
        self.hold(armed, Fault::BadForce);
        let walking = self.family.walk.is_some() || !matches!(self.family.mode, Mode::Running);
        self.hold(walking || self.outside.owed.is_empty(), Fault::Owed);
        let ending = !matches!(self.family.mode, Mode::Running);
        self.hold(ending || self.heirs_have_hope(), Fault::BadReply);
        seen
    }

    /// Those who wait for the place of another.
    fn heirs(&self) -> Vec<Key> {
        let members = self.family.members.values();
        let heirs = members.flat_map(|member| member.seen_waiters().successors);
        heirs.map(|(_, entry)| entry.key).collect()
    }

    /// Nobody waits for the place of one that is to live in it again.
    fn heirs_have_hope(&self) -> bool {
        let mut members = self.family.members.values();
        members.all(|member| {
            let leaves = matches!(member.state, State::Up { .. } | State::Stopping { .. });
            leaves || member.seen_waiters().successors.is_empty()
        })
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
                    let due = life.asked || before.slain == Some(*key);
                    due && !std::mem::replace(&mut life.killed, true)
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
                self.outside.down.insert(*key, false);
                self.outside.owed.remove(key);
            }
            Effect::Forget(key) => {
                let alive = self.outside.lives.contains_key(key);
                let kept = self.outside.kept.remove(key);
                self.hold(kept && !alive, Fault::BadBooks);
                self.outside.down.remove(key);
                self.outside.asked_for.remove(key);
            }
            Effect::Reply(token, outcome) => self.judge_reply(*token, outcome, seen),
            Effect::Emit(key, _, what) => self.judge_word(*key, what, before, seen),
            Effect::GivesUp { .. } => {
                let full = self.restarts.len() == self.max_restarts as usize;
                self.hold(full && !before.ending, Fault::Intensity);
                self.outside.why = Some(Why::GaveUp);
            }
            Effect::End(end) => self.judge_end(end, seen),
            Effect::TreeReady => self.hold(!before.ending, Fault::StartAtTheEnd),
            Effect::Show(key, ChildState::BackingOff) => {
                if before.revived == Some(*key) && self.outside.down.remove(key).is_some() {
                    seen.insert(Seen::Revived);
                    self.outside.asked_for.insert(*key);
                }
                self.judge_waking(*key);
            }
            Effect::ShutsDown(_) => {
                seen.insert(Seen::ShutDown);
                self.outside.why = Some(Why::ShutDown);
            }
            Effect::Show(..) => {}
        }
    }

    fn judge_start(&mut self, key: Key, incarnation: u64, ending: bool) {
        let outside = &self.outside;
        let late = ending || outside.why.is_some() || outside.ended;
        self.hold(!late, Fault::StartAtTheEnd);
        self.hold(self.outside.kept.contains(&key), Fault::BadBooks);
        self.judge_waking(key);
        let first = incarnation == 1;
        let temporary = self.restart_of(key) == Some(Restart::Temporary);
        self.hold(first || !temporary, Fault::RestartType);
        let asked_for = self.outside.asked_for.remove(&key);
        let ordered = self.family.rules.strategy.restarts_group() && !asked_for;
        let of_the_spec = key.0 < self.fixed;
        if ordered && (of_the_spec || !first) {
            let younger = self.outside.lives.range(key..).next();
            self.hold(younger.is_none(), Fault::StartOrder);
        }
        if of_the_spec && first && !asked_for {
            let mut elders = self.outside.lives.range(..key);
            // Not awaited: who was ready once, unless the group rests on it, and whom an administrator starts out of turn.
            let beside = |key| {
                let member = self.family.members.get(key);
                member.is_some_and(|m| m.demand == Demand::Asked || (!ordered && m.ever_up))
            };
            let all_ready = elders.all(|(key, life)| life.ready || beside(key));
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
        self.outside.owed.remove(&key);
        let before = self.outside.lives.insert(key, Life::default());
        self.hold(before.is_none() && namesakes == 0, Fault::TwoLives);
    }

    fn judge_waking(&mut self, key: Key) {
        let woken = self.outside.down.remove(&key).unwrap_or(true);
        self.hold(woken, Fault::Risen);
    }

    /// Everyone after it has ended; the children of a template may go side by side.
    fn is_its_turn_to_stop(&self, key: Key) -> bool {
        let together = self.family.rules.strategy == Strategy::SimpleOneForOne;
        let mut younger = self.outside.lives.range(key..).skip(1);
        together || younger.next().is_none()
    }

    /// Nobody can put an end off for ever: who was told to end, and may not take as long as it likes, has a deadline until
    /// it is aborted; so has who starts; and after a hurry all force is used.
    fn force_has_a_next_step(&self) -> bool {
        let hurried = self.outside.order == Order::Hurry;
        self.outside.lives.iter().all(|(key, life)| {
            let Some(member) = self.family.members.get(key) else {
                return true;
            };
            let patient = member.policy.shutdown == Shutdown::Infinity && !life.killed;
            let waited_for = (life.asked && !patient) || !life.ready || life.killed;
            let armed = !waited_for || life.aborted || member.due.is_some();
            armed && (!hurried || life.killed || life.aborted)
        })
    }

    /// The end of a significant child, by itself and for good, ends the family as its rule says; nothing else does.
    fn judge_significance(
        &mut self,
        effects: &[Effect],
        before: Before,
        seen: &mut BTreeSet<Seen>,
    ) {
        let significant = |key: &Key| self.significant.contains(key);
        let over = effects.iter().any(|effect| match effect {
            Effect::Retire { key, reason, .. } => {
                before.end.is_some_and(|(ended, _)| ended == *key)
                    && significant(key)
                    && matches!(reason, DownReason::Finished | DownReason::Crashed(_))
            }
            _ => false,
        });
        let mut members = self.family.members.iter();
        let others = members.any(|(key, member)| significant(key) && member.state != State::Down);
        let wanted = over
            && !before.ending
            && match self.family.rules.auto_shutdown {
                AutoShutdown::Never => false,
                AutoShutdown::AnySignificant => true,
                AutoShutdown::AllSignificant => !others,
            };
        let told = effects.iter().any(|e| matches!(e, Effect::ShutsDown(_)));
        self.hold(wanted == told, Fault::Significance);
        if over && !wanted {
            seen.insert(Seen::OutlivedASignificantChild);
        }
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
            (Question::Delete, Ok(key)) => !self.outside.kept.contains(key),
            (Question::Delete | Question::Restart, Err(Refused::Running(_))) => {
                !self.outside.lives.is_empty()
            }
            (Question::Delete, Err(why)) => {
                matches!(why, Refused::NotFound | Refused::Restarting(_))
            }
            (Question::Restart, Err(why)) => {
                !matches!(why, Refused::AlreadyStarted | Refused::AlreadyPresent)
            }
            (Question::Kill, Ok(key)) => {
                let life = self.outside.lives.get(key);
                life.is_some_and(|life| life.killed || life.aborted)
            }
            (Question::Kill, Err(why)) => matches!(why, Refused::NotFound | Refused::NotUp(_)),
            (Question::Renew, Err(why)) => {
                !matches!(why, Refused::AlreadyStarted | Refused::Restarting(_))
            }
            (Question::Add | Question::Restart | Question::Renew, Ok(key)) => {
                self.outside.lives.get(key).is_some_and(|life| life.ready)
            }
            (Question::Ensure, Ok(key)) => {
                self.outside.kept.contains(key) && !self.outside.down.contains_key(key)
            }
            (Question::Add, Err(why)) => *why != Refused::NotFound,
            (Question::Ensure, Err(why)) => matches!(
                why,
                Refused::Stopping | Refused::Terminated | Refused::Failed(_) | Refused::Ignored
            ),
        };
        self.hold(truthful, Fault::BadReply);
        if outcome.is_err() {
            seen.insert(Seen::Refused);
        }
        match (question, outcome) {
            (Question::Renew, Ok(_)) => seen.insert(Seen::Renewed),
            (Question::Kill, Ok(_)) => seen.insert(Seen::Slain),
            _ => false,
        };
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
                self.judge_group(key);
            }
            _ => {}
        }
    }

    /// A restart that an operator asks for is one of the whole group, too, if the child lives to be stopped.
    fn judge_renewal(&mut self, event: &Event, before: Before) {
        let Event::Renew { id, .. } = event else {
            return;
        };
        let found = self.family.find(id);
        let Some(key) = found.filter(|_| !before.ending) else {
            return;
        };
        let temporary = self.restart_of(key) == Some(Restart::Temporary);
        let member = self.family.members.get(&key);
        let stays = member.is_some_and(|member| {
            matches!(member.state, State::Up { .. } | State::Starting { .. })
        });
        if stays && !temporary {
            self.judge_group(key);
        }
    }

    /// A crash restarts its group: who lives is owed a new life, who is down may be started again.
    fn judge_group(&mut self, crashed: Key) {
        let from = match self.family.rules.strategy {
            Strategy::OneForOne | Strategy::SimpleOneForOne => return,
            Strategy::RestForOne => crashed,
            Strategy::OneForAll => Key(0),
        };
        for (_, woken) in self.outside.down.range_mut(from..) {
            *woken = true;
        }
        let living = self.outside.lives.range(from..).map(|(key, _)| *key);
        self.outside.owed.extend(living.chain([crashed]));
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
                self.outside.why == Some(Why::GaveUp)
            }
            End::AutoShutdown { .. } => self.outside.why == Some(Why::ShutDown),
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
        let heirs: usize = members
            .values()
            .map(|m| m.seen_waiters().successors.len())
            .sum();
        let each = members.iter().all(|(key, member)| {
            let heirs = member.seen_waiters().successors;
            member.lives() == lives.contains_key(key)
                && kept.contains(key)
                && heirs.iter().all(|(_, entry)| kept.contains(&entry.key))
                && member.due.is_none_or(|at| due.contains(&(at, *key)))
                && ids.get(&member.id) == Some(key)
        });
        let mut counted = Health::ALL.iter().zip(self.family.counts());
        let right = counted.all(|(health, count)| {
            let shown = members.values().map(|m| Health::of(m.shown(), false));
            shown.filter(|shown| shown == health).count() == count
        });
        each && right
            && lives.keys().all(|key| members.contains_key(key))
            && kept.len() == members.len() + heirs
            && due.len() == members.values().filter(|m| m.due.is_some()).count()
            && ids.len() == members.len()
    }
}
