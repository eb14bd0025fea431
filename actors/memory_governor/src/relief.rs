//! Shell: who is asked to let memory go, what they were asked and what they said, as the governor's lives share it.
//!
//! It lies in the book, so a crash neither forgets an order nor sends one twice. Orders go by `try_send`: a target that
//! cannot take one has freed nothing. Answers are read, never waited for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use domain::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::decisions::Decided;
use crate::orders::{Enlist, EnlistError, Order, Receipt, Stage, TargetInfo};
use crate::response::{Answer, Move, Need, Response, Round};
use crate::targets::Targets;

pub(crate) struct Relief {
    targets: Targets,
    response: Response,
    /// By number: at most one for each target.
    sent: BTreeMap<u64, Sent>,
    /// Rung by every answer.
    bell: Arc<Notify>,
    /// An order for the machine's sake was answered: what it has now is to be read.
    look: bool,
    /// For the machine's sake since it was last looked at.
    freed: Bytes,
}

struct Sent {
    receipt: Receipt,
    stage: Stage,
    round: Round,
    reason: String,
}

/// What a need has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// An order is out.
    Waiting,
    /// Everyone was asked. False: there was nobody to ask, or who was asked by one who waits may still answer.
    Everyone(bool),
}

impl Relief {
    pub(crate) fn new(bell: Arc<Notify>) -> Self {
        Self {
            targets: Targets::default(),
            response: Response::default(),
            sent: BTreeMap::new(),
            bell,
            look: false,
            freed: Bytes::ZERO,
        }
    }

    pub(crate) fn enlist(&mut self, wish: Enlist) -> Result<(), EnlistError> {
        let (name, stage) = (wish.name.clone(), wish.stage);
        self.targets.enlist(wish)?;
        self.response.enlist(&name, stage);
        Ok(())
    }

    /// Something changed that may let a target find what it did not have.
    pub(crate) fn changed(&mut self) {
        self.response.changed();
    }

    /// Leases fell. What falls without an order is someone who ended: what it used may be idle now. While `asked` was
    /// being asked it may be that one's doing.
    pub(crate) fn fell(&mut self, asked: Option<&str>) {
        match asked {
            Some(asked) => self.response.changed_beside(asked),
            None => self.response.changed(),
        }
    }

    /// Whose order is waited for.
    pub(crate) fn asked(&self) -> Option<String> {
        self.response.asked().map(str::to_owned)
    }

    /// When the order that is waited for is given up.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.response.deadline()
    }

    /// True once after an answer that may have changed what the machine has.
    pub(crate) fn take_look(&mut self) -> bool {
        std::mem::take(&mut self.look)
    }

    /// The machine was looked at: what was freed is in the reading.
    pub(crate) fn looked(&mut self) {
        self.freed = Bytes::ZERO;
    }

    /// What was freed for the machine's sake since it was last looked at, by the word of those who did.
    pub(crate) fn freed(&self) -> Bytes {
        self.freed
    }

    /// Reads the answers, and gives up those whose time is over.
    pub(crate) fn hear(&mut self, at: Duration) -> Vec<Decided> {
        self.targets.forget_closed();
        let mut heard = Vec::new();
        let answers = self.sent.iter();
        let answers: Vec<(u64, Bytes)> = answers
            .filter_map(|(number, sent)| Some((*number, sent.receipt.freed()?)))
            .collect();
        for (number, freed) in answers {
            let Some(sent) = self.sent.remove(&number) else {
                continue;
            };
            if let Round::Reading(_) = sent.round {
                self.look = true;
                self.freed = self.freed.saturating_add(freed);
            }
            if let Some((target, answer)) = self.response.answered(at, number, freed) {
                heard.push(told(target, &answer, &sent));
            }
        }
        for (target, answer) in self.response.lapsed(at) {
            if let Some(sent) = self.sent.get(&answer.number) {
                heard.push(told(target, &answer, sent));
            }
        }
        let targets = &self.targets;
        self.response.retain(|name| targets.get(name).is_some());
        let response = &self.response;
        self.sent.retain(|number, _| response.is_out(*number));
        heard
    }

    /// Asks whose turn it is for `need`, one after the other while they cannot even take the order. Ends: each is asked
    /// once at most.
    pub(crate) fn ask(
        &mut self,
        (opened, at): (Instant, Duration),
        need: Need,
        reason: &str,
        decided: &mut Vec<Decided>,
    ) -> Asked {
        loop {
            match self.response.next(at, Some(need)) {
                Move::Send {
                    number,
                    target,
                    wanted,
                    until,
                } => {
                    let until = opened.checked_add(until).unwrap_or(opened);
                    let bell = Arc::clone(&self.bell);
                    let (order, receipt) = Order::new(wanted, reason, until, bell);
                    let Some((stage, orders)) = self.targets.get(&target) else {
                        // Not reached: the response knows those who are enlisted. The order is dropped: that answers it.
                        self.response.answered(at, number, Bytes::ZERO);
                        continue;
                    };
                    let sent = Sent {
                        receipt,
                        stage,
                        round: need.round,
                        reason: reason.to_owned(),
                    };
                    tracing::debug!(number, target, %wanted, reason, "asked to let memory go");
                    // What cannot be sent is dropped, and so has its answer at once.
                    let _ = orders.try_send(order);
                    self.sent.insert(number, sent);
                    decided.extend(self.hear(at));
                }
                Move::Hold { .. } => return Asked::Waiting,
                Move::Spent { asked } => return Asked::Everyone(asked),
                // Not reached: there is a need.
                Move::Rest => return Asked::Everyone(false),
            }
        }
    }

    /// Each target, what it is asked and what it last said, by name.
    pub(crate) fn infos(&self) -> Vec<TargetInfo> {
        self.response
            .tracks()
            .map(|(name, stage, order, last)| TargetInfo {
                name: name.to_owned(),
                stage,
                order: order.cloned(),
                last: last.cloned(),
            })
            .collect()
    }
}

fn told(target: String, answer: &Answer, sent: &Sent) -> Decided {
    let what = Decided::Ordered {
        order: answer.number,
        target,
        stage: sent.stage,
        wanted: answer.wanted,
        freed: answer.freed,
        took: answer.took,
        reason: sent.reason.clone(),
    };
    tracing::info!("{what}");
    what
}
