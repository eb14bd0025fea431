//! One client: it does what it is told, comes back when it is cut off as the protocol wants it, and keeps a [`View`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use paraphym_connection::wire::{CloseCode, Policy};
use paraphym_connection::{Connections, Incoming, Outgoing};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::stage::{admission, wire};
use crate::view::View;

/// More often than `hello` wants it.
const BEAT: Duration = Duration::from_secs(15);
/// A transport that nobody has closed yet, though nobody reads it: a phone that changed its network.
const GHOST: Duration = Duration::from_secs(7);

/// What a client is told to do.
pub enum Order {
    Cut,
    /// Comes back, at once. Who is there still comes over a second transport.
    Return,
    /// From now on whoever is cut off begins anew, and does not resume.
    Forget,
    Join(&'static str),
    Leave(&'static str),
    Say {
        conversation: &'static str,
        nonce: String,
        dial: u64,
    },
    Stop(&'static str),
    Type(&'static str, bool),
    /// Each frame takes so long.
    Slow(Duration),
    /// Reads nothing for so long.
    Stall(Duration),
    /// Says nothing for so long, not even that it is there.
    Mute(Duration),
    /// Is there, shows all of these, and has heard of all that it said; then answers.
    Settle(&'static [&'static str], oneshot::Sender<()>),
    /// Answers with what it knows.
    Look(oneshot::Sender<View>),
    /// Goes: with a word, or without.
    End(bool),
}

struct Link {
    to: mpsc::Sender<Incoming>,
    from: mpsc::Receiver<Outgoing>,
    /// Frames with a number since it began.
    numbered: u64,
    begun_at: u64,
    ready: bool,
}

/// What `resume` takes.
#[derive(Clone)]
struct Key {
    session: String,
    epoch: String,
}

pub struct Player {
    user: String,
    born: Instant,
    connections: Connections,
    orders: mpsc::Receiver<Order>,
    link: Option<Link>,
    ghosts: VecDeque<(Instant, Link)>,
    greetings: JoinSet<()>,
    key: Option<Key>,
    seq: u64,
    wished: BTreeSet<&'static str>,
    /// Said, and not answered yet, by nonce.
    pending: BTreeMap<String, String>,
    /// In which order.
    order: Vec<String>,
    slow: Duration,
    read_from: Instant,
    beat_at: Instant,
    mute_until: Instant,
    return_at: Option<Instant>,
    /// It was told to read nothing, over this transport.
    stalled: bool,
    keeps: bool,
    settling: Option<oneshot::Sender<()>>,
    view: View,
    /// What it read and did, in words.
    pub diary: Vec<String>,
}

impl Player {
    pub fn new(user: String, connections: Connections, orders: mpsc::Receiver<Order>) -> Self {
        let now = Instant::now();
        Self {
            user,
            born: now,
            connections,
            orders,
            link: None,
            ghosts: VecDeque::new(),
            greetings: JoinSet::new(),
            key: None,
            seq: 0,
            wished: BTreeSet::new(),
            pending: BTreeMap::new(),
            order: Vec::new(),
            slow: Duration::ZERO,
            read_from: now,
            beat_at: now,
            mute_until: now,
            return_at: Some(now),
            stalled: false,
            keeps: false,
            settling: None,
            view: View::default(),
            diary: Vec::new(),
        }
    }

    /// Until it is told to end.
    pub async fn live(mut self) -> Vec<String> {
        loop {
            let now = Instant::now();
            while self.ghosts.front().is_some_and(|(until, _)| *until <= now) {
                self.ghosts.pop_front();
            }
            let reads = self.read_from <= now;
            let wakes = [
                Some(self.beat_at),
                self.return_at,
                (!reads).then_some(self.read_from),
            ];
            let wakes = wakes.into_iter().flatten().min().unwrap_or(now);
            let link = &mut self.link;
            tokio::select! {
                biased;
                order = self.orders.recv() => match order {
                    Some(Order::End(politely)) => return self.end(politely).await,
                    Some(order) => self.obey(order).await,
                    None => return self.diary,
                },
                came = async { link.as_mut().unwrap().from.recv().await }, if reads && link.is_some() => {
                    self.read_from = now + self.slow;
                    match came {
                        None => self.cut("it was cut"),
                        Some(Outgoing::Close(code)) => self.closed(code),
                        Some(Outgoing::Text(text)) => self.read(&text).await,
                    }
                }
                () = sleep_until(wakes) => self.wake().await,
            }
            self.settle();
        }
    }

    fn note(&mut self, what: impl Into<String>) {
        let at = self.born.elapsed().as_secs_f64();
        self.diary
            .push(format!("{at:>8.3} {}: {}", self.user, what.into()));
    }

    async fn wake(&mut self) {
        let now = Instant::now();
        if self.return_at.is_some_and(|at| at <= now) {
            self.connect();
        }
        if self.beat_at <= now {
            self.beat_at = now + BEAT;
            if self.mute_until <= now && self.link.as_ref().is_some_and(|link| link.ready) {
                let seq = self.seq;
                self.send(&json!({"op": "heartbeat", "seq": seq})).await;
            }
        }
    }

    async fn send(&mut self, frame: &Value) {
        self.note(format!("> {frame}"));
        if let Some(link) = &self.link {
            // It may be closed already.
            let _ = link.to.send(Incoming::Text(frame.to_string())).await;
        }
    }

    fn connect(&mut self) {
        self.return_at = None;
        let (transport, to, from) = wire();
        let connections = self.connections.clone();
        self.greetings
            .spawn(async move { connections.greet(transport, &admission).await });
        let link = Link {
            to,
            from,
            numbered: 0,
            begun_at: self.seq,
            ready: false,
        };
        if let Some(old) = self.link.replace(link) {
            self.view.seen.insert("came back over a second transport");
            self.ghosts.push_back((Instant::now() + GHOST, old));
        }
        self.stalled = false;
        self.read_from = Instant::now();
        self.note("connects");
    }

    fn cut(&mut self, how: &str) {
        self.note(how);
        self.link = None;
        self.return_at = Some(Instant::now() + Duration::from_millis(500));
    }

    fn closed(&mut self, code: CloseCode) {
        let mute = self.mute_until + Duration::from_mins(1) > Instant::now();
        let expected = match code {
            CloseCode::Slow | CloseCode::NotIdentified => self.stalled,
            CloseCode::Silent => mute,
            _ => false,
        };
        if !expected {
            self.view.faults.push(format!("closed as {code:?}"));
        }
        self.view.seen.insert(code.label());
        if code.policy() != Policy::Resume {
            self.key = None;
        }
        self.cut(code.label());
    }

    async fn read(&mut self, text: &str) {
        self.note(format!("< {text}"));
        let frame: Value = serde_json::from_str(text).unwrap();
        if let Some(seq) = frame["seq"].as_u64() {
            if seq != self.seq + 1 {
                let fault = format!("number {seq} behind {}", self.seq);
                self.view.faults.push(fault);
            }
            self.seq = seq;
            if let Some(link) = &mut self.link {
                link.numbered += 1;
            }
            return self.heard(&frame).await;
        }
        match frame["op"].as_str().unwrap_or_default() {
            "hello" => self.identify(false).await,
            "ready" => self.ready(&frame).await,
            "resumed" => self.resumed(&frame).await,
            "invalid_session" => {
                self.view.seen.insert("invalid session");
                self.identify(true).await;
            }
            "heartbeat_ack" => {}
            "heartbeat_wanted" => drop(self.view.seen.insert("asked for a beat")),
            _ => self.view.faults.push(format!("unexpected: {frame}")),
        }
    }

    async fn heard(&mut self, frame: &Value) {
        if frame["op"] == "said" {
            self.pending.remove(frame["nonce"].as_str().unwrap());
        }
        // Left, and still on its way.
        let conversation = frame["conversation"].as_str().unwrap_or_default();
        let shown = self.wished.contains(conversation);
        if shown || frame["op"] == "said" {
            self.view.read(frame);
        }
        let Some(conversation) = self.wished.get(conversation).copied() else {
            return;
        };
        if matches!(frame["op"].as_str(), Some("room" | "messages")) {
            self.page(conversation).await;
        }
        let room = self.view.rooms.get(conversation);
        let is_behind = room.is_some_and(|room| room.behind);
        if is_behind && !self.view.awaited.contains(conversation) {
            self.join(conversation).await;
        }
    }

    /// Asks for what is older than all that is known.
    async fn page(&mut self, conversation: &'static str) {
        let room = self.view.rooms.get(conversation);
        if let Some((_, upto)) = room.and_then(|room| room.hole) {
            let before = upto + 1;
            let frame = json!({"op": "messages", "conversation": conversation, "before": before});
            self.send(&frame).await;
        }
    }

    async fn identify(&mut self, anew: bool) {
        if anew {
            self.key = None;
        }
        let frame = match &self.key {
            Some(key) => json!({
                "op": "resume", "session": key.session, "epoch": key.epoch, "seq": self.seq,
            }),
            None => json!({"op": "identify", "user": self.user}),
        };
        self.send(&frame).await;
    }

    async fn ready(&mut self, frame: &Value) {
        self.key = Some(Key {
            session: frame["session"].as_str().unwrap().to_owned(),
            epoch: frame["epoch"].as_str().unwrap().to_owned(),
        });
        self.seq = 0;
        self.keeps = !self.keeps;
        self.view.begin_anew(self.keeps);
        self.view.awaited.clear();
        self.began().await;
        for conversation in self.wished.clone() {
            self.join(conversation).await;
        }
        self.say_again().await;
    }

    async fn resumed(&mut self, frame: &Value) {
        let link = self.link.as_ref().unwrap();
        let replayed = frame["replayed"].as_u64();
        if replayed != Some(link.numbered) || self.seq != link.begun_at + link.numbered {
            let fault = format!("{} were said again: {frame}", link.numbered);
            self.view.faults.push(fault);
        }
        self.view.seen.insert("resumed");
        if replayed != Some(0) {
            self.view.seen.insert("heard again what was missed");
        }
        self.began().await;
        // What was on its way to the server may have been lost.
        for conversation in crate::witness::CONVERSATIONS {
            if !self.wished.contains(conversation) {
                let frame = json!({"op": "leave", "conversation": conversation});
                self.send(&frame).await;
            } else if self.view.awaited.contains(conversation) {
                self.join(conversation).await;
            } else {
                self.page(conversation).await;
            }
        }
        self.say_again().await;
    }

    async fn began(&mut self) {
        if let Some(link) = &mut self.link {
            link.ready = true;
        }
        // The first beat is spread, and this one is the first word.
        let seq = self.seq;
        self.send(&json!({"op": "heartbeat", "seq": seq})).await;
    }

    /// It is to be shown as soon as anybody is there to ask.
    fn wish(&mut self, conversation: &'static str) {
        self.wished.insert(conversation);
        self.view.awaited.insert(conversation.to_owned());
    }

    async fn join(&mut self, conversation: &'static str) {
        self.wish(conversation);
        let known = self
            .view
            .rooms
            .get(conversation)
            .filter(|room| room.hole.is_none());
        let after = known.map(|room| room.last);
        let frame = json!({"op": "join", "conversation": conversation, "after": after});
        self.send(&frame).await;
    }

    async fn say_again(&mut self) {
        for nonce in self.order.clone() {
            if let Some(frame) = self.pending.get(&nonce).cloned() {
                let frame = serde_json::from_str(&frame).unwrap();
                self.send(&frame).await;
            }
        }
    }

    async fn obey(&mut self, order: Order) {
        let now = Instant::now();
        let is_ready = self.link.as_ref().is_some_and(|link| link.ready);
        match order {
            Order::Cut if self.link.is_some() => {
                self.cut("cuts");
                self.view.seen.insert("cut off");
                // Until it is told to come back.
                self.return_at = None;
            }
            Order::Return => self.connect(),
            Order::Forget => self.key = None,
            Order::Join(conversation) if is_ready => self.join(conversation).await,
            Order::Join(conversation) => self.wish(conversation),
            // What it has said there has to be heard first.
            Order::Leave(conversation) if self.pending.is_empty() => {
                self.wished.remove(conversation);
                self.view.awaited.remove(conversation);
                self.view.forget(conversation);
                if is_ready {
                    let frame = json!({"op": "leave", "conversation": conversation});
                    self.send(&frame).await;
                }
            }
            Order::Say {
                conversation,
                nonce,
                dial,
            } => self.say(conversation, nonce, dial, is_ready).await,
            Order::Stop(conversation) if is_ready && self.wished.contains(conversation) => {
                let frame = json!({"op": "stop", "conversation": conversation});
                self.send(&frame).await;
            }
            Order::Type(conversation, typing) if is_ready && self.wished.contains(conversation) => {
                let frame = json!({"op": "typing", "conversation": conversation, "typing": typing});
                self.send(&frame).await;
            }
            Order::Slow(each) => self.slow = each,
            Order::Stall(long) => {
                self.stalled = true;
                self.read_from = now + long;
            }
            Order::Mute(long) => self.mute_until = now + long,
            Order::Settle(all, reply) => self.calm_down(all, reply, is_ready).await,
            Order::Look(reply) => drop(reply.send(self.view.clone())),
            Order::Cut | Order::Leave(_) | Order::Stop(_) | Order::Type(..) | Order::End(_) => {}
        }
    }

    async fn say(&mut self, conversation: &'static str, nonce: String, dial: u64, now: bool) {
        if !self.wished.contains(conversation) {
            self.wish(conversation);
            if now {
                self.join(conversation).await;
            }
        }
        let frame = json!({
            "op": "say", "conversation": conversation, "text": format!("what is {nonce}?"),
            "nonce": nonce, "temperature": dial as f64 / 1000.0,
        });
        self.pending.insert(nonce.clone(), frame.to_string());
        self.order.push(nonce);
        if now {
            self.send(&frame).await;
        }
    }

    async fn calm_down(
        &mut self,
        all: &'static [&'static str],
        reply: oneshot::Sender<()>,
        is_ready: bool,
    ) {
        self.slow = Duration::ZERO;
        self.read_from = Instant::now();
        self.mute_until = self.read_from;
        if self.link.is_none() {
            self.connect();
        }
        for conversation in all {
            if !self.wished.contains(conversation) {
                self.wish(conversation);
                if is_ready {
                    self.join(conversation).await;
                }
            }
        }
        self.settling = Some(reply);
    }

    /// Says when there is nothing more to wait for.
    fn settle(&mut self) {
        let is_ready = self.link.as_ref().is_some_and(|link| link.ready);
        let shows = |of: &str| {
            let room = self.view.rooms.get(of);
            room.is_some_and(|room| room.hole.is_none() && !room.behind)
        };
        let all = self.view.awaited.is_empty() && self.wished.iter().all(|of| shows(of));
        if is_ready
            && all
            && self.pending.is_empty()
            && let Some(settling) = self.settling.take()
        {
            let _ = settling.send(());
        }
    }

    async fn end(mut self, politely: bool) -> Vec<String> {
        if politely && let Some(link) = &self.link {
            let _ = link.to.send(Incoming::Left).await;
        }
        self.link = None;
        self.ghosts.clear();
        // Nobody is greeted any more.
        while self.greetings.join_next().await.is_some() {}
        self.diary
    }
}
