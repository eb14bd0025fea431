//! Why something is as it is: what supervision saw, what the memory governor decided, who changed what; in one order.

use conversation_store::messages::{ControlRecord, ReadControlLog};
use supervision::{Flight, LifecycleEvent};

use super::parts::find;
use super::{Desk, LOOK};
use crate::convert;
use crate::protocol::events::{Event, Filter, is_under};
use crate::protocol::look::{Reason, Why, WhyAnswer};

/// Entries of the audit log that are looked through.
const AUDITED: usize = 200;

impl Desk {
    pub(super) async fn why(&self, wish: &Why) -> WhyAnswer {
        let subject = wish.subject.as_deref();
        let mut answer = WhyAnswer {
            reasons: self.seen(subject).await,
            forgotten: 0,
            unsearched: false,
            silent: Vec::new(),
        };
        let (now, wall) = self.moment();
        match self.deps.governor.ask(memory_governor::Why, LOOK).await {
            Ok(reasons) => {
                answer.forgotten += reasons.forgotten;
                let decided = reasons.decisions.into_iter().map(|decision| Reason {
                    at_ms: convert::ago_ms(reasons.now.saturating_sub(decision.at), wall),
                    source: "memory".to_owned(),
                    times: decision.times,
                    text: decision.what.to_string(),
                });
                answer
                    .reasons
                    .extend(decided.filter(|one| mentions(&one.text, subject)));
            }
            Err(error) => answer.silent.push(error.to_string()),
        }
        let read = ReadControlLog {
            limit: AUDITED + 1,
            before: None,
        };
        match self.deps.conversations.ask(read, LOOK).await {
            Ok(acts) => {
                let (acts, unsearched) = audited(acts);
                answer.unsearched = unsearched;
                let about = acts.filter(|one| mentions(&one.text, subject));
                answer.reasons.extend(about);
            }
            Err(error) => answer.silent.push(error.to_string()),
        }
        answer.forgotten += self
            .recorder()
            .past(&Filter::default(), 0, (now, wall))
            .forgotten;
        // Stable: what each says of one millisecond stays in its order.
        answer.reasons.sort_by_key(|one| one.at_ms);
        let limit = wish.limit.unwrap_or(50);
        let rest = answer.reasons.len().saturating_sub(limit);
        answer.reasons.drain(..rest);
        answer
    }

    /// What supervision saw of the subject, without what is as it should be. Of an actor its own recorder tells, which no
    /// other actor's noise can push out; of everything else, the last events of the whole tree.
    async fn seen(&self, subject: Option<&str>) -> Vec<Reason> {
        let (now, wall) = self.moment();
        if let Some(flight) = self.flight(subject).await {
            let events = flight.records.into_iter().map(|one| {
                let event = LifecycleEvent {
                    child: one.child,
                    incarnation: one.incarnation,
                    at: one.at,
                    what: one.what,
                };
                reason(&convert::event(&event, now, wall))
            });
            return events.collect();
        }
        let past = self
            .recorder()
            .past(&Filter::default(), usize::MAX, (now, wall));
        let events = past.events.into_iter().filter(|event| {
            let usual = matches!(event.event.as_str(), "starting" | "stopping");
            let about = subject.is_none_or(|subject| {
                is_under(&event.actor, subject) || mentions(&event.text, Some(subject))
            });
            about && !usual
        });
        events.map(|event| reason(&event)).collect()
    }

    /// The steps of the actor that is meant, if one is and there are any.
    async fn flight(&self, subject: Option<&str>) -> Option<Flight> {
        let subject = subject?;
        let topology = self.topology().await;
        let path = find(&topology, subject).map_or_else(
            // It may be gone, and its steps still be there.
            |_| subject.to_owned(),
            |node| node.info.child.to_string(),
        );
        let flight = self.deps.tree.administration().why(path).ok()?;
        flight.own().next()?;
        Some(flight)
    }
}

/// The latest entries of the audit log, as they were written, and whether there are older ones.
fn audited(mut acts: Vec<ControlRecord>) -> (impl Iterator<Item = Reason>, bool) {
    acts.sort_by_key(|act| act.number);
    let older = acts.len().saturating_sub(AUDITED);
    let reasons = acts.into_iter().skip(older).map(|act| Reason {
        at_ms: act.at_ms,
        source: "control".to_owned(),
        times: 1,
        text: format!("{} by {}: {}", act.action, act.actor, act.detail),
    });
    (reasons, older > 0)
}

fn reason(event: &Event) -> Reason {
    Reason {
        at_ms: event.at_ms,
        source: "supervision".to_owned(),
        times: 1,
        text: format!("{} {}", event.actor, event.text),
    }
}

fn mentions(text: &str, subject: Option<&str>) -> bool {
    subject.is_none_or(|subject| text.contains(subject))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the store tells them: the latest first, all of one millisecond.
    fn acts(count: usize) -> Vec<ControlRecord> {
        let act = |number: usize| ControlRecord {
            number: number as u64,
            at_ms: 7,
            actor: "a test".to_owned(),
            action: "pause".to_owned(),
            detail: number.to_string(),
        };
        (1..=count).rev().map(act).collect()
    }

    #[test]
    fn entries_of_one_millisecond_are_told_as_they_were_written_and_older_ones_are_owned_up_to() {
        for (there, first, unsearched) in
            [(2, 1, false), (AUDITED, 1, false), (AUDITED + 1, 2, true)]
        {
            let (reasons, older) = audited(acts(there));
            let said: Vec<String> = reasons.map(|one| one.text).collect();
            let expected: Vec<String> = (first..=there)
                .map(|number| format!("pause by a test: {number}"))
                .collect();
            assert_eq!((said, older), (expected, unsearched));
        }
    }
}
