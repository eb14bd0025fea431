//! Shell: what the book does when memory is missing: first it asks others to let some go, and only then it refuses.
//!
//! What starts it is a need: one who waits and does not fit, or a machine that is really full. Never the ledger's share
//! alone. Invariants: who waits is refused only after everyone was asked for them, and nobody is granted bytes in line
//! while the machine is being relieved.

use std::time::Duration;

use domain::Bytes;
use tokio::time::Instant;

use super::Pages;
use crate::decisions::Decided;
use crate::messages::Standing;
use crate::need;
use crate::relief::Asked;
use crate::response::{Need, Round};

impl Pages {
    /// Reads what became of the orders.
    pub(super) fn hear(&mut self, at: Duration) {
        let heard = self.relief.hear(at);
        self.note_all(at, heard);
    }

    /// Serves those who wait, asks for what is missing, and refuses whom nobody can help, until nothing more can be done
    /// now. Ends: each round but the last takes someone out of the line.
    pub(super) fn settle(&mut self, opened: Instant, at: Duration) {
        self.judge(at);
        let machine = self.relieve_machine(opened, at);
        let held = machine == Some(Asked::Waiting);
        let mut waiter = None;
        self.serve(at, held);
        while !held && !self.desk.line().is_empty() {
            if !self.desk.is_scarce() {
                waiter = self.relieve_first(opened, at);
                // With nobody to ask, who waits may still be served by whoever ends.
                if waiter != Some(Asked::Everyone(true)) {
                    break;
                }
            }
            let Some(refused) = self.desk.turn_first_away() else {
                break;
            };
            self.answer(at, refused);
            self.serve(at, held);
        }
        self.standing = match (machine, waiter) {
            (Some(Asked::Waiting), _) | (_, Some(Asked::Waiting)) => Standing::Holding,
            (Some(Asked::Everyone(_)), _) => Standing::Spent,
            (None, _) => Standing::Calm,
        };
        self.judge(at);
    }

    /// For the machine's sake. With nothing leased there is nothing to let go. What was freed since the look is not
    /// missing any more, and shows at the next one, which is soon: until then a full machine refuses nobody in line.
    fn relieve_machine(&mut self, opened: Instant, at: Duration) -> Option<Asked> {
        let readings = self.readings.unwrap_or_default();
        let ledger = self.desk.ledger();
        let fills = readings.fills().map(|(_, fill)| fill);
        let fills = fills.chain(self.strike.and_then(|strike| strike.fill));
        let over = need::of_machine(self.real, fills, ledger.limit());
        let freed = self.relief.freed();
        let missing = over.saturating_sub(freed);
        let mut asked = None;
        if missing > Bytes::ZERO && ledger.leased() > Bytes::ZERO {
            let need = Need {
                bytes: missing.max(self.desk.shortfall()),
                round: Round::Reading(self.looks),
            };
            let reason = self.real.to_string();
            asked = Some(self.ask(opened, at, need, &reason));
        }
        if self.desk.is_scarce() && freed > Bytes::ZERO {
            asked = Some(Asked::Waiting);
        }
        asked
    }

    /// For whoever is first in line, if they do not fit.
    fn relieve_first(&mut self, opened: Instant, at: Duration) -> Option<Asked> {
        let (id, waiter) = self.desk.line().first()?;
        let bytes = self.desk.shortfall();
        if bytes == Bytes::ZERO {
            return None;
        }
        let reason = format!(
            "{} waits for {} for {}",
            waiter.owner, waiter.bytes, waiter.purpose
        );
        let round = Round::Waiter(id);
        Some(self.ask(opened, at, Need { bytes, round }, &reason))
    }

    fn ask(&mut self, opened: Instant, at: Duration, need: Need, reason: &str) -> Asked {
        let mut decided = Vec::new();
        let reason = crate::decisions::cut(reason);
        let asked = self.relief.ask((opened, at), need, &reason, &mut decided);
        self.note_all(at, decided);
        asked
    }

    fn note_all(&mut self, at: Duration, decided: Vec<Decided>) {
        for what in decided {
            self.decisions.note(at, what);
        }
    }
}
