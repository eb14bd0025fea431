//! One client's session: what it said and the time in, what is to be done and said out. It outlives the transport it is
//! spoken over, for a while, so that a client that was cut off goes on where it was.
//!
//! ```text
//!             silent                attempts used up
//!  Connected ───────> Reconnecting ─────────────────> Failed
//!   ^  │  ^───────────────┘ heard          too slow, kicked, left, drained
//!   │  └─ cut ─> Away ─── window over ──> Closed <──────────── any
//!   └── resumed ──┘
//! ```
//!
//! Invariants: each change of state is told, once, with both states; a numbered frame is sent in order and without a gap,
//! over however many transports, or the session ends; a session that has ended says and does nothing more.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::handshake::IDENTIFY;
use crate::liveness::{Due, Liveness, Pulse, Rhythm};
use crate::outbox::{Outbox, WAITING_BYTES};
use crate::pace::{Meter, Pace, TooFast};
use crate::replay::{Bounds, Lost, Replay};
use crate::wire::{ClientFrame, CloseCode, FrameError, Numbered, ServerFrame};

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;

/// Wrong frames in a row after which a client is closed: it speaks another language.
const WRONG: u32 = 20;

/// The bounds of one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// When a client counts as silent.
    pub rhythm: Rhythm,
    /// How many frames it may send.
    pub pace: Pace,
    /// What is kept to be said again, and how long a session waits for its client.
    pub replay: Bounds,
    /// Bytes that may wait for it.
    pub waiting_bytes: usize,
    /// How long a client may take to say who it is, before there is a session.
    pub identify: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rhythm: Rhythm::default(),
            pace: Pace::default(),
            replay: Bounds::default(),
            waiting_bytes: WAITING_BYTES,
            identify: IDENTIFY,
        }
    }
}

/// How a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its client is there.
    Connected,
    /// Its client is silent and was asked so often.
    Reconnecting(u32),
    /// Its transport is gone. It may be resumed.
    Away,
    /// Its client was given up.
    Failed,
    /// It was ended.
    Closed,
}

impl State {
    /// As metrics and people have it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Reconnecting(_) => "reconnecting",
            Self::Away => "away",
            Self::Failed => "failed",
            Self::Closed => "closed",
        }
    }

    /// Whether it has ended.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Failed | Self::Closed)
    }
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// The state changed. Told before what follows from it.
    Changed {
        /// What it was.
        from: State,
        /// What it is.
        to: State,
    },
    /// The client wants this of others.
    Act(ClientFrame),
    /// Write what waits about the connection itself, then close the transport.
    Close(CloseCode),
    /// The session is over, and may be forgotten.
    Gone(Over),
}

/// Why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// The server closed it.
    Closed(CloseCode),
    /// Its client closed it.
    Left,
    /// Its client did not come back in time.
    Expired,
    /// What its client had missed was not kept any more.
    NotResumable,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Times a silent client was heard again.
    pub recovered: u64,
    /// Times a client that was cut off came back.
    pub resumed: u64,
    /// Frames said again.
    pub replayed: u64,
    /// Frames that were not understood.
    pub wrong: u64,
    /// Frames that came too fast.
    pub too_fast: u64,
}

/// One session.
#[derive(Debug)]
pub struct Session {
    limits: Limits,
    state: State,
    liveness: Liveness,
    meter: Meter,
    outbox: Outbox,
    replay: Replay,
    /// What is said again, before anything else.
    again: VecDeque<Arc<str>>,
    /// Until when it may be resumed, while it is away.
    window: Option<Instant>,
    wrong: u32,
    tally: Tally,
}

impl Session {
    /// Its client is there, and hears `ready` first.
    pub fn new(limits: Limits, ready: ServerFrame, now: Instant) -> Self {
        let mut outbox = Outbox::new(limits.waiting_bytes);
        // One small frame, and any bound takes it.
        let _ = outbox.push(ready);
        Self {
            limits,
            state: State::Connected,
            liveness: Liveness::new(limits.rhythm, now),
            meter: Meter::new(limits.pace, now),
            outbox,
            replay: Replay::new(limits.replay),
            again: VecDeque::new(),
            window: None,
            wrong: 0,
            tally: Tally::default(),
        }
    }

    /// How it is.
    pub fn state(&self) -> State {
        self.state
    }

    /// What was counted.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Frames that were joined on the way to a slow reader.
    pub fn joined(&self) -> u64 {
        self.outbox.joined()
    }

    /// Bytes held for this client: what waits, and what may be said again.
    pub fn bytes(&self) -> usize {
        self.outbox.bytes() + self.replay.bytes()
    }

    /// The client said something.
    pub fn heard(&mut self, frame: Result<ClientFrame, FrameError>, now: Instant) -> Vec<Effect> {
        if !self.is_attached() {
            return Vec::new();
        }
        let mut effects = self.alive(now);
        match self.meter.take(now) {
            Ok(()) => effects.extend(self.take(frame)),
            Err(TooFast::Wait(long)) => {
                self.tally.too_fast += 1;
                effects.extend(self.say(too_fast(frame.as_ref().ok(), long)));
            }
            Err(TooFast::Enough) => {
                self.tally.too_fast += 1;
                effects.extend(self.close(CloseCode::RateLimited));
            }
        }
        effects
    }

    /// The client asked its transport whether anybody is there, and was answered. That counts as a frame that says nothing.
    pub fn pinged(&mut self, now: Instant) -> Vec<Effect> {
        if !self.is_attached() {
            return Vec::new();
        }
        let mut effects = self.alive(now);
        match self.meter.take(now) {
            Ok(()) => {}
            Err(TooFast::Wait(_)) => self.tally.too_fast += 1,
            Err(TooFast::Enough) => {
                self.tally.too_fast += 1;
                effects.extend(self.close(CloseCode::RateLimited));
            }
        }
        effects
    }

    /// Others have something for the client.
    pub fn tell(&mut self, frame: ServerFrame) -> Vec<Effect> {
        if self.state.is_over() {
            return Vec::new();
        }
        self.say(frame)
    }

    /// The next frame to write, numbered where it counts. Nothing while nobody is there to read.
    pub fn next(&mut self, now: Instant) -> Option<Arc<str>> {
        if !self.is_attached() {
            return None;
        }
        if let Some(frame) = self.again.pop_front() {
            return Some(frame);
        }
        self.written(now)
    }

    /// What is left to say before a close: about the connection itself, and no more.
    pub fn last_word(&mut self) -> Option<Arc<str>> {
        let frame = self.outbox.pop().filter(ServerFrame::is_control)?;
        Some(encode(None, frame))
    }

    /// The transport is gone, and its client did not say that it leaves.
    pub fn cut(&mut self, now: Instant) -> Vec<Effect> {
        if !self.is_attached() {
            return Vec::new();
        }
        self.again.clear();
        self.outbox.forget_control();
        self.replay.hold(now);
        self.window = Some(now + self.limits.replay.time);
        self.turn(State::Away).into_iter().collect()
    }

    /// The client closed it on purpose.
    pub fn left(&mut self) -> Vec<Effect> {
        self.end(State::Closed, None, Over::Left)
    }

    /// Its client is back, over another transport, and has everything up to this number. If it was still there over an
    /// old one, that is to be closed with [`CloseCode::Replaced`] by whoever has it.
    ///
    /// # Errors
    /// [`Lost`], and the session is over: its client has to begin anew, and will.
    pub fn resume(&mut self, seq: u64, now: Instant) -> Result<Vec<Effect>, (Lost, Vec<Effect>)> {
        if self.state.is_over() {
            return Err((Lost::Over, Vec::new()));
        }
        let missed = match self.replay.behind(seq, now) {
            Ok(missed) => missed,
            Err(lost) => {
                let attached = self.is_attached().then_some(CloseCode::Replaced);
                let effects = self.end(State::Closed, attached, Over::NotResumable);
                return Err((lost, effects));
            }
        };
        self.outbox.forget_control();
        let replayed = missed.len() as u64;
        self.again = missed.into();
        self.tally.resumed += 1;
        self.tally.replayed += replayed;
        self.window = None;
        self.liveness = Liveness::new(self.limits.rhythm, now);
        self.meter = Meter::new(self.limits.pace, now);
        let mut effects: Vec<Effect> = self.turn(State::Connected).into_iter().collect();
        effects.extend(self.say(ServerFrame::Resumed { replayed }));
        Ok(effects)
    }

    /// The server ends it.
    pub fn close(&mut self, code: CloseCode) -> Vec<Effect> {
        let attached = self.is_attached().then_some(code);
        self.end(State::Closed, attached, Over::Closed(code))
    }

    /// When [`Session::tick`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Connected | State::Reconnecting(_) => self.liveness.deadline(),
            State::Away => self.window,
            State::Failed | State::Closed => None,
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Instant) -> Vec<Effect> {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return Vec::new();
        }
        if self.state == State::Away {
            return self.end(State::Closed, None, Over::Expired);
        }
        match self.liveness.tick(now) {
            None => Vec::new(),
            Some(Due::Ask(attempt)) => {
                let of = self.limits.rhythm.attempts;
                let mut effects: Vec<Effect> = self
                    .turn(State::Reconnecting(attempt))
                    .into_iter()
                    .collect();
                effects.extend(self.say(ServerFrame::HeartbeatWanted { attempt, of }));
                effects
            }
            Some(Due::GiveUp) => {
                let code = CloseCode::Silent;
                self.end(State::Failed, Some(code), Over::Closed(code))
            }
        }
    }

    fn is_attached(&self) -> bool {
        matches!(self.state, State::Connected | State::Reconnecting(_))
    }

    /// Whatever it said, it is there.
    fn alive(&mut self, now: Instant) -> Vec<Effect> {
        let silent = matches!(self.liveness.pulse(), Pulse::Asked(_));
        self.liveness.heard(now);
        if !silent {
            return Vec::new();
        }
        self.tally.recovered += 1;
        self.turn(State::Connected).into_iter().collect()
    }

    fn take(&mut self, frame: Result<ClientFrame, FrameError>) -> Vec<Effect> {
        match frame {
            Ok(ClientFrame::Heartbeat { seq }) if seq > self.replay.last() => {
                let last = self.replay.last();
                self.refuse(wrong_seq(seq, last))
            }
            Ok(ClientFrame::Heartbeat { seq }) => {
                self.wrong = 0;
                self.replay.has(seq);
                let last = self.replay.last();
                self.say(ServerFrame::HeartbeatAck { last })
            }
            Ok(again @ (ClientFrame::Identify { .. } | ClientFrame::Resume { .. })) => {
                self.refuse(already(&again))
            }
            Ok(frame) => {
                self.wrong = 0;
                vec![Effect::Act(frame)]
            }
            Err(error) => self.refuse(crate::not_understood(&error)),
        }
    }

    fn refuse(&mut self, error: ServerFrame) -> Vec<Effect> {
        self.tally.wrong += 1;
        self.wrong += 1;
        let mut effects = self.say(error);
        if self.wrong >= WRONG {
            effects.extend(self.close(CloseCode::Malformed));
        }
        effects
    }

    fn say(&mut self, frame: ServerFrame) -> Vec<Effect> {
        match self.outbox.push(frame) {
            Ok(()) => Vec::new(),
            Err(_) => self.close(CloseCode::Slow),
        }
    }

    fn written(&mut self, now: Instant) -> Option<Arc<str>> {
        let frame = self.outbox.pop()?;
        if frame.is_control() {
            return Some(encode(None, frame));
        }
        Some(self.replay.push(|seq| encode(Some(seq), frame), now))
    }

    fn end(&mut self, state: State, code: Option<CloseCode>, over: Over) -> Vec<Effect> {
        if self.state.is_over() {
            return Vec::new();
        }
        self.again.clear();
        self.window = None;
        let changed = self.turn(state);
        let close = code.map(Effect::Close);
        let all = [changed, close, Some(Effect::Gone(over))];
        all.into_iter().flatten().collect()
    }

    fn turn(&mut self, to: State) -> Option<Effect> {
        let from = std::mem::replace(&mut self.state, to);
        (from != to).then_some(Effect::Changed { from, to })
    }
}

/// A frame as it is on the wire.
fn encode(seq: Option<u64>, frame: ServerFrame) -> Arc<str> {
    // Texts, numbers and lists of them: nothing in a frame can fail to be written.
    let text = serde_json::to_string(&Numbered { seq, frame }).unwrap_or_default();
    text.into()
}

fn refused(code: &str, message: String, field: &str, frame: &ClientFrame) -> ServerFrame {
    ServerFrame::Error {
        code: code.to_owned(),
        message,
        field: Some(field.to_owned()),
        about: Some(frame.op().to_owned()),
        conversation: frame.conversation().map(str::to_owned),
        nonce: frame.nonce().map(str::to_owned),
        retry_after_ms: None,
    }
}

fn wrong_seq(seq: u64, last: u64) -> ServerFrame {
    let message = format!("heartbeat.seq = {seq} was never sent: the last is {last}");
    refused(
        "wrong_value",
        message,
        "seq",
        &ClientFrame::Heartbeat { seq },
    )
}

fn already(frame: &ClientFrame) -> ServerFrame {
    let message = "this connection has a session already: open another one for another".to_owned();
    refused("already_identified", message, "op", frame)
}

fn too_fast(frame: Option<&ClientFrame>, long: Duration) -> ServerFrame {
    let wait_ms = crate::ms(long).max(1);
    ServerFrame::Error {
        code: "too_fast".to_owned(),
        message: format!(
            "too many frames: this one was not looked at; send it again in {wait_ms} ms"
        ),
        field: None,
        about: frame.map(|frame| frame.op().to_owned()),
        conversation: frame.and_then(ClientFrame::conversation).map(str::to_owned),
        nonce: frame.and_then(ClientFrame::nonce).map(str::to_owned),
        retry_after_ms: Some(wait_ms),
    }
}
