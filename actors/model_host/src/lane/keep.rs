//! What a lane keeps of the sequences that end, and how it lets go of it: at its deadline, when memory is short, and when
//! the engine goes.
//!
//! Invariants: the engine is told only while it is home; a lease goes after the memory it is for; an order to sweep is
//! answered once, also by this life's end.

use cache_janitor::{Bounds, NAME, Register, Registration, SweepOrder};
use engine::{Engine, ModelCard, SequenceId};
use kameo::actor::{ActorRef, WeakActorRef};
use kameo::message::{Context, Message};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::room::DEADLINE;
use super::{Lane, LaneParts, Seat};
use crate::book::{Live, Pages};
use crate::config::HostConfig;
use crate::prefixes::{Kept, Prefixes};

/// This life's place with the janitor.
#[derive(Default)]
pub(super) enum Care {
    #[default]
    None,
    Asked,
    Given(Registration),
    /// Asked for again with the next engine.
    Refused,
}

/// The janitor's answer; `None` if it gave none.
pub(super) struct Registered(Option<Registration>);

impl Message<Registered> for Lane {
    type Reply = ();

    async fn handle(&mut self, answer: Registered, ctx: &mut Context<Self, ()>) {
        self.care = answer.0.map_or(Care::Refused, Care::Given);
        self.drive(ctx.actor_ref());
    }
}

/// An order of the janitor's.
pub(super) struct Sweep(SweepOrder);

impl Message<Sweep> for Lane {
    type Reply = ();

    async fn handle(&mut self, sweep: Sweep, ctx: &mut Context<Self, ()>) {
        self.order = Some(sweep.0);
        self.drive(ctx.actor_ref());
    }
}

impl Lane {
    /// A new engine has kept nothing.
    pub(super) fn begin_keeping(&mut self, pages: &mut Pages) {
        let Some(card) = &pages.card else {
            return;
        };
        let config = self.parts.rules.now();
        let bounds = bounds(&config, pages.limits().max_batch, card);
        pages.prefixes = Prefixes::new(bounds, config.prefill_chunk.max(1));
        if matches!(self.care, Care::Refused) {
            self.care = Care::None;
        }
    }

    /// What is left to do with what is kept, once the engine is home or gone.
    pub(super) fn tidy_up(&mut self, pages: &mut Pages, now: Instant) {
        if matches!(self.seat, Seat::Away) {
            return;
        }
        if let Some(card) = &pages.card {
            // The limits may have changed.
            let config = self.parts.rules.now();
            let bounds = bounds(&config, pages.limits().max_batch, card);
            pages.prefixes.bound(bounds);
        }
        let order = self.order.take().filter(|order| !order.is_abandoned());
        let swept = order.map(|order| (pages.prefixes.sweep(now, order.goal), order));
        if let Seat::Home(engine) = &mut self.seat {
            forget(engine.as_mut(), pages);
        }
        if let Some((swept, order)) = swept {
            order.done(swept);
        }
    }

    /// Says what is kept, to whoever looks and to the janitor, who hears of this lane when there is something to sweep.
    pub(super) fn tell_kept(&mut self, pages: &Pages, me: &ActorRef<Self>) {
        let held = pages.prefixes.held();
        if let Some(meters) = &self.meters {
            meters.kept(held.bytes);
        }
        if held.entries > 0 && matches!(self.care, Care::None) {
            self.care = Care::Asked;
            self.tasks
                .spawn(register(self.parts.clone(), me.downgrade()));
        }
        if let Care::Given(registration) = &self.care
            && self.told != Some(held)
        {
            registration.holds(held);
            self.told = Some(held);
        }
    }
}

/// Closes a sequence; what it holds is kept if that is worth it.
pub(super) fn retire(engine: &mut dyn Engine, pages: &mut Pages, live: &mut Live, now: Instant) {
    if !live.open {
        // The engine does not know it; what it was to take over has nobody else.
        if let Some(found) = live.begins.take().filter(|found| found.takes_over) {
            engine.forget(found.from.prefix);
        }
        return;
    }
    let sequence = SequenceId(live.key);
    let tokens = live.sequence.fed();
    let bytes_of = |tokens: usize| {
        let tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
        pages
            .card
            .as_ref()
            .map(|card| (tokens, card.kv_bytes(tokens)))
    };
    let Some((count, bytes)) = bytes_of(tokens.len()) else {
        return engine.close(sequence);
    };
    let Some(prefix) = pages.prefixes.name(tokens, bytes, now) else {
        return engine.close(sequence);
    };
    let kept = engine.keep(sequence, prefix, count) as usize;
    let Some((_, bytes)) = bytes_of(kept).filter(|_| kept > 0) else {
        return;
    };
    let mut memory = std::mem::take(&mut live.kv);
    memory.shrink_to(bytes);
    let tokens = tokens.get(..kept).unwrap_or(tokens).to_vec();
    let kept = Kept {
        tokens,
        bytes,
        memory,
    };
    pages.prefixes.insert(prefix, kept, now);
    forget(engine, pages);
}

/// The engine forgets those that leave; then their leases go.
fn forget(engine: &mut dyn Engine, pages: &mut Pages) {
    for (prefix, memory) in pages.prefixes.take_leaving() {
        engine.forget(prefix);
        drop(memory);
    }
}

/// As much as the sequences at work may take: what is remembered must not outweigh what is done.
fn bounds(config: &HostConfig, max_batch: usize, card: &ModelCard) -> Bounds {
    let one = card.kv_bytes(card.context_tokens);
    Bounds {
        ttl: config.prefix_ttl,
        bytes: one.saturating_mul(max_batch as u64),
        entries: config.prefixes,
    }
}

/// Registers, and then passes the janitor's orders on for as long as this life lasts.
async fn register(parts: LaneParts, lane: WeakActorRef<Lane>) {
    let (orders, mut arriving) = mpsc::channel(1);
    let name = cache_name(WHAT, &parts.label);
    let wish = Register { name, orders };
    let answer = parts.janitor.ask(wish, DEADLINE).await;
    let answer = answer.inspect_err(|error| {
        tracing::warn!(model = %parts.model, %error, "nobody sweeps what is kept of its conversations");
    });
    tell(&lane, Registered(answer.ok())).await;
    while let Some(order) = arriving.recv().await {
        tell(&lane, Sweep(order)).await;
    }
}

async fn tell<M: Send + 'static>(lane: &WeakActorRef<Lane>, message: M)
where
    Lane: Message<M>,
{
    if let Some(lane) = lane.upgrade() {
        // An error means that this life is over.
        drop(lane.tell(message).send().await);
    }
}

/// What is kept of conversations.
const WHAT: &str = "prefix kv";

/// What the janitor calls a cache of this model's: no longer than it takes.
pub(super) fn cache_name(what: &str, label: &str) -> String {
    let mut name = format!("{what} of {label}");
    name.truncate(name.floor_char_boundary(NAME));
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_model_has_a_name_the_janitor_takes() {
        assert_eq!(cache_name(WHAT, "m"), "prefix kv of m");
        let long = cache_name(WHAT, &"ä".repeat(200));
        assert!((NAME - 1..=NAME).contains(&long.len()), "{}", long.len());
    }
}
