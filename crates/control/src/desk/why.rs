//! Why something is as it is: what supervision saw, what the memory governor decided, who changed what; in one order.

use conversation_store::messages::ReadControlLog;

use super::{Desk, LOOK};
use crate::convert;
use crate::protocol::events::{Filter, is_under};
use crate::protocol::look::{Reason, Why, WhyAnswer};

/// Entries of the audit log that are looked through.
const AUDITED: usize = 200;

impl Desk {
    pub(super) async fn why(&self, wish: &Why) -> WhyAnswer {
        let subject = wish.subject.as_deref();
        let mut answer = WhyAnswer {
            reasons: self.seen(subject),
            forgotten: 0,
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
            limit: AUDITED,
            before: None,
        };
        match self.deps.conversations.ask(read, LOOK).await {
            Ok(acts) => {
                let acts = acts.into_iter().map(|act| Reason {
                    at_ms: act.at_ms,
                    source: "control".to_owned(),
                    times: 1,
                    text: format!("{} by {}: {}", act.action, act.actor, act.detail),
                });
                answer
                    .reasons
                    .extend(acts.filter(|one| mentions(&one.text, subject)));
            }
            Err(error) => answer.silent.push(error.to_string()),
        }
        answer.forgotten += self
            .recorder()
            .past(&Filter::default(), 0, (now, wall))
            .forgotten;
        answer.reasons.sort_by_key(|one| one.at_ms);
        let limit = wish.limit.unwrap_or(50);
        let rest = answer.reasons.len().saturating_sub(limit);
        answer.reasons.drain(..rest);
        answer
    }

    /// What supervision saw of the subject, without what is as it should be.
    fn seen(&self, subject: Option<&str>) -> Vec<Reason> {
        let past = self
            .recorder()
            .past(&Filter::default(), usize::MAX, self.moment());
        let events = past.events.into_iter().filter(|event| {
            let usual = matches!(event.event.as_str(), "starting" | "stopping");
            let about = subject.is_none_or(|subject| {
                is_under(&event.actor, subject) || mentions(&event.text, Some(subject))
            });
            about && !usual
        });
        events
            .map(|event| Reason {
                at_ms: event.at_ms,
                source: "supervision".to_owned(),
                times: 1,
                text: format!("{} {}", event.actor, event.text),
            })
            .collect()
    }
}

fn mentions(text: &str, subject: Option<&str>) -> bool {
    subject.is_none_or(|subject| text.contains(subject))
}
