//! What a lane does between two steps: let go, admit, hand out, depart, or rest.

use std::sync::Arc;

use domain::{Bytes, FieldError, GenerationError, GenerationEvent};
use engine::{Likelihood, SequenceId, StepError, StepInput, TextCodec, TokenId};
use kameo::actor::ActorRef;
use memory_governor::Lease;
use tokio::time::Instant;
use tracing::Instrument;

use super::keep;
use super::load::Load;
use super::prepare::prepare;
use super::trip::{Back, EngineCrash, Opening, Trip, travel};
use super::{FAREWELL_FIRST, Home, Lane, Loaded, Prepared, Seat};
use crate::book::{Live, Pages, Phase};
use crate::live::{Heard, Sequence};
use crate::messages::Totals;
use crate::meters::Meters;
use crate::odds;
use crate::schedule::{self, Seat as Place};
use crate::underway::Underway;

impl Lane {
    /// The book as the last life left it: nothing of its engine is believed.
    pub(super) fn recover(&mut self) {
        let mut pages = self.book.pages();
        pages.engine_lost("the lane crashed during a step", Instant::now());
        for live in &pages.live {
            self.guards
                .insert(live.key, self.inbox.work(live.id.as_str()));
        }
    }

    /// Does whatever can be done now. Called after every message; doing it once more changes nothing.
    pub(super) fn drive(&mut self, me: &ActorRef<Self>) {
        while self.tasks.try_join_next().is_some() {}
        let now = Instant::now();
        let book = Arc::clone(&self.book);
        let mut pages = book.pages();
        pages.sweep_queue();
        if self.inbox.is_stopping() {
            let error = GenerationError::Unavailable {
                part: self.parts.name(),
                reason: "it is shutting down".to_owned(),
            };
            pages.fail_waiting(now, |_| true, &error);
        }
        pages.flush(now);
        self.let_go(&mut pages, now);
        self.tidy_up(&mut pages, now);
        match &self.seat {
            Seat::Nobody if self.wants_engine(&mut pages, now) => self.begin_load(&mut pages, me),
            Seat::Home(_) => {
                pages.answer_warm(now);
                self.begin_preparing(&pages, me);
                self.depart(&mut pages, me);
            }
            Seat::Away => self.begin_preparing(&pages, me),
            Seat::Nobody | Seat::Loading(_) => {}
        }
        if !matches!(self.seat, Seat::Nobody | Seat::Loading(_)) {
            pages.tell_positions(self.preparing.map(|(key, _)| key));
        }
        pages.guard_farewells(|id| self.inbox.work(id.as_str()));
        self.rest(&mut pages, now);
        // No series before the file has proved to be a model: any file at all can be asked for.
        if pages.card.is_some() {
            let meters = self
                .meters
                .get_or_insert_with(|| Meters::new(&self.parts.label));
            let weights = pages.weights.as_ref().map_or(Bytes::ZERO, |w| w.bytes());
            meters.load(pages.live.len(), pages.queue.len(), weights);
        }
        self.tell_kept(&pages, me);
        let closed = pages.closed;
        drop(pages);
        if closed {
            // If a message is queued, this comes again after it.
            self.inbox.stop_if_idle();
        }
    }

    /// Sequences nobody wants any more leave between steps, or at once if the step does not end.
    fn let_go(&mut self, pages: &mut Pages, now: Instant) {
        let away = matches!(self.seat, Seat::Away);
        if away && pages.stuck_for(now).is_none() {
            return;
        }
        for mut live in pages.take_unwanted() {
            self.meters.iter().for_each(Meters::cancelled);
            if away {
                pages.orphan(&mut live);
            }
            let event = GenerationEvent::Failed(GenerationError::Cancelled);
            self.part(pages, live, event, now);
        }
    }

    fn part(&mut self, pages: &mut Pages, mut live: Live, event: GenerationEvent, now: Instant) {
        if let Seat::Home(engine) = &mut self.seat {
            keep::retire(engine.as_mut(), pages, &mut live, now);
        }
        let guard = self.guards.remove(&live.key);
        pages.part(live, event, now, guard);
        self.farewell_wait = FAREWELL_FIRST;
    }

    fn begin_load(&mut self, pages: &mut Pages, me: &ActorRef<Self>) {
        pages.phase = Phase::Loading { fraction: 0.0 };
        let (load, guard) = Load::new(self.parts.clone(), &self.book, pages.weights.take());
        self.seat = Seat::Loading(guard);
        let me = me.clone();
        let loading = async move {
            let loaded = Loaded(load.run().await);
            // An error means that this life is over.
            drop(me.tell(loaded).send().await);
        };
        self.tasks.spawn(loading.instrument(pages.first_turn()));
    }

    fn begin_preparing(&mut self, pages: &Pages, me: &ActorRef<Self>) {
        let blocked = self.blocked_at == Some(pages.ends) && !pages.live.is_empty();
        // Memory that is about to come back is waited for.
        let blocked = blocked || pages.prefixes.is_leaving();
        if self.preparing.is_some() || blocked || !pages.has_seat() {
            return;
        }
        let known = pages.card.clone().zip(self.text.clone());
        let known = known.zip(self.tokenised.clone());
        let (Some((key, ask, id)), Some((known, tokenised))) = (pages.next_ask(), known) else {
            return;
        };
        self.preparing = Some((key, pages.ends));
        self.blocked_at = None;
        let book = Arc::downgrade(&self.book);
        let preparing = prepare((self.parts.clone(), book), known, tokenised, (ask, id));
        let me = me.clone();
        let preparing = async move {
            let result = preparing.await;
            // An error means that this life is over.
            drop(me.tell(Prepared { key, result }).send().await);
        };
        self.tasks.spawn(preparing.instrument(pages.turn_of(key)));
    }

    /// The engine leaves with the next step, if anyone can move.
    fn depart(&mut self, pages: &mut Pages, me: &ActorRef<Self>) {
        pages.check_beginnings();
        let places: Vec<Place> = pages.live.iter().map(place_of).collect();
        // A token's life, stop 6: who moves in this step.
        let moves = schedule::plan(&places, self.parts.rules.now().prefill_chunk);
        if moves.is_empty() {
            return;
        }
        let engine = match std::mem::replace(&mut self.seat, Seat::Away) {
            Seat::Home(engine) => engine,
            other => {
                self.seat = other;
                return;
            }
        };
        let (mut opens, mut batch, mut turns) = (Vec::new(), Vec::new(), Vec::new());
        for step in &moves {
            let Some(live) = pages.live.iter_mut().find(|live| live.key == step.key) else {
                continue;
            };
            let sequence = SequenceId(live.key);
            turns.push(live.outlet.turn().clone());
            if !std::mem::replace(&mut live.open, true) {
                opens.push(self.opening(live));
            }
            batch.push(StepInput {
                sequence,
                tokens: live.sequence.depart(step.tokens),
                sample: step.sample,
            });
        }
        self.moves = moves;
        let trip = Trip {
            engine,
            opens,
            batch,
            turns,
        };
        pages.underway = Some(Underway::begin(Instant::now()));
        self.send_off(trip, pages.leases(), me);
    }

    fn opening(&self, live: &mut Live) -> Opening {
        let begins = live.begins.take();
        if let Some(meters) = &self.meters {
            meters.begins(begins.map_or(0, |found| found.from.tokens));
        }
        Opening {
            sequence: SequenceId(live.key),
            plan: live.sequence.plan(),
            from: begins.map(|found| found.from),
            forget: begins
                .filter(|found| found.takes_over)
                .map(|found| found.from.prefix),
            turn: live.outlet.turn().clone(),
        }
    }

    fn send_off(&mut self, trip: Trip, held: Vec<Arc<Lease>>, me: &ActorRef<Self>) {
        let me = me.clone();
        self.tasks.spawn_blocking(move || {
            let home = Home(travel(trip, held));
            // Straight from the thread: no task in between. An error means that this life is over.
            drop(me.tell(home).blocking_send());
        });
    }

    /// A sequence that asked for a token and got none, nor a reason.
    fn unanswered(&self, back: &Back) -> Option<u64> {
        let refused = |key| back.refused.iter().any(|(id, _)| id.0 == key);
        let has_token = |key| {
            back.outputs
                .iter()
                .any(|o| o.sequence.0 == key && (o.token.is_some() || o.stuck.is_some()))
        };
        let asked = self.moves.iter().filter(|step| step.sample);
        let mut keys = asked.map(|step| step.key);
        keys.find(|key| !refused(*key) && !has_token(*key))
    }

    /// Hands out what the step produced.
    pub(super) fn arrive(&mut self, back: Back) -> Result<(), EngineCrash> {
        let Some(text) = self.text.clone() else {
            return Ok(());
        };
        if let Some(key) = self.unanswered(&back) {
            // Nothing has arrived yet, so whoever was in this step is known as part of its crash.
            self.tasks.spawn_blocking(move || drop(back));
            return Err(EngineCrash(format!("no token for sequence {key}")));
        }
        let now = Instant::now();
        let book = Arc::clone(&self.book);
        let mut pages = book.pages();
        pages.steps += 1;
        self.come_round(&mut pages, now);
        let mut engine = back.engine;
        for orphan in std::mem::take(&mut pages.orphans) {
            orphan.bury(engine.as_mut());
        }
        self.seat = Seat::Home(engine);
        // Whoever leaves now gives its memory back at once.
        drop(back.held);
        for (SequenceId(key), error) in back.refused {
            self.refuse(&mut pages, key, error, now);
        }
        pages.shed();
        if std::mem::take(&mut pages.unrecovered) {
            self.meters.iter().for_each(Meters::recovered);
        }
        let batch = self.moves.len();
        let mut done = Totals::default();
        for step in std::mem::take(&mut self.moves) {
            let steps = pages.steps;
            let Some(live) = pages.live.iter_mut().find(|live| live.key == step.key) else {
                continue;
            };
            done.prompt_tokens += live.sequence.arrive(step.tokens) as u64;
            tell_prefill(live);
            if !step.sample {
                live.sequence.served = steps;
                continue;
            }
            // A token's life, stop 10: home again, between two steps.
            let output = back.outputs.iter().find(|o| o.sequence.0 == step.key);
            if let Some(reason) = output.and_then(|output| output.stuck.clone()) {
                let error = StepError::Constraint(reason);
                self.refuse(&mut pages, step.key, error, now);
                continue;
            }
            // Looked for above.
            let Some(token) = output.and_then(|output| output.token) else {
                continue;
            };
            count_token(&mut done, live, self.meters.as_ref(), now);
            let likelihood = output.and_then(|output| output.likelihood.as_ref());
            let heard = accept(&mut live.sequence, token, likelihood, &*text);
            self.hand_out(&mut pages, step.key, heard, now);
        }
        pages.totals.add(&done);
        if let Some(meters) = &self.meters {
            meters.step(back.took, batch, done.generated_tokens, done.prompt_tokens);
        }
        Ok(())
    }

    fn hand_out(&mut self, pages: &mut Pages, key: u64, heard: Heard, now: Instant) {
        match heard {
            Heard::Said(spoken) => {
                if let Some(live) = pages.live.iter_mut().find(|live| live.key == key) {
                    live.outlet.say(spoken);
                }
            }
            Heard::End {
                last,
                reason,
                usage,
            } => {
                if let Some(mut live) = pages.take_live(key) {
                    live.outlet.say(last);
                    let event = GenerationEvent::Finished { reason, usage };
                    self.part(pages, live, event, now);
                }
            }
        }
    }

    /// The engine could not make room for one sequence, or not go on with it: that one fails, the others go on.
    fn refuse(&mut self, pages: &mut Pages, key: u64, error: StepError, now: Instant) {
        if let Some(live) = pages.take_live(key) {
            let error = match error {
                StepError::Constraint(reason) => {
                    let allowed = "a simpler form: this one is too much work, or leads nowhere";
                    let field = live.sequence.form_field();
                    GenerationError::Invalid(FieldError::new(field, reason, allowed))
                }
                error => GenerationError::EngineCrashed {
                    crashes: live.sequence.crashes() + 1,
                    reason: error.to_string(),
                },
            };
            self.part(pages, live, GenerationEvent::Failed(error), now);
        }
    }

    /// Writes the crash down before this life ends, so that those it was too much for hear of it at once.
    pub(super) fn lose_engine(&mut self, crash: &EngineCrash) {
        if let Some(meters) = &self.meters {
            meters.crash();
        }
        self.seat = Seat::Nobody;
        self.forget_tokens();
        let mut pages = self.book.pages();
        pages.crashes = pages.crashes.saturating_add(1);
        pages.unrecovered = true;
        pages.engine_lost(&crash.0, Instant::now());
        pages.guard_farewells(|id| self.inbox.work(id.as_str()));
    }
}

/// What a sampled token makes of a sequence.
fn accept(
    sequence: &mut Sequence,
    token: TokenId,
    likelihood: Option<&Likelihood>,
    text: &dyn TextCodec,
) -> Heard {
    let odds = likelihood.map(|likelihood| odds::spell(token, likelihood, text));
    sequence.accept(token, text.bytes_of(token), text.ends_turn(token), odds)
}

fn place_of(live: &Live) -> Place {
    Place {
        key: live.key,
        unfed: live.sequence.unfed(),
        served: live.sequence.served,
        suspect: live.sequence.is_suspect(),
    }
}

/// How far the prompt is read, until the first token.
fn tell_prefill(live: &mut Live) {
    let (done, total) = live.sequence.prompt_read();
    if live.sequence.usage().completion_tokens == 0 {
        live.outlet
            .progress(GenerationEvent::Prefill { done, total });
    }
}

/// One more token of an answer: the first was waited for since the question, each other since the one before.
fn count_token(done: &mut Totals, live: &mut Live, meters: Option<&Meters>, now: Instant) {
    done.generated_tokens += 1;
    let last = live.last_token.replace(now);
    let after = now.saturating_duration_since(last.unwrap_or(live.since));
    if last.is_none() {
        done.first(after);
    }
    if let Some(meters) = meters {
        match last {
            Some(_) => meters.next_token(after),
            None => meters.first_token(after),
        }
    }
}
