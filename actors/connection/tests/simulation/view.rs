//! What one client knows, by the frames it has read, and each thing in them that cannot be.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// One conversation, as it is known.
#[derive(Clone, Debug, Default)]
pub struct Room {
    pub members: BTreeSet<String>,
    pub typing: Vec<String>,
    /// Answers under way, with what they have said.
    pub live: BTreeMap<String, String>,
    /// Answers that have ended, with what they had said.
    pub done: BTreeMap<String, String>,
    /// Answers that were told as messages.
    pub written: BTreeMap<String, String>,
    /// Every message there is up to this number is known, or is in the hole.
    pub last: u64,
    /// Messages behind the first number and up to the second are there, and not known yet.
    pub hole: Option<(u64, u64)>,
    /// Answers that ran when it was looked at last, and do not any more: they have to be among the messages.
    vanished: BTreeMap<String, String>,
    /// Something was written down that was never told: it has to be joined again.
    pub behind: bool,
}

impl Room {
    /// Everything an ended turn said, however it came to be known.
    pub fn text(&self, turn: &str) -> Option<&String> {
        self.written.get(turn).or_else(|| self.done.get(turn))
    }

    /// When all messages are known, what ran no more has to be among them.
    fn found(&mut self) -> Option<&'static str> {
        if self.hole.is_some() {
            return None;
        }
        let vanished = std::mem::take(&mut self.vanished);
        let found = |(turn, known): (&String, &String)| {
            let text = self.written.get(turn);
            text.is_some_and(|text| text.starts_with(known.as_str()))
        };
        let lost = !vanished.iter().all(found);
        lost.then_some("an answer that was under way is gone")
    }

    fn take(&mut self, messages: &[Value]) {
        for message in messages {
            if message["role"] == "assistant" {
                self.written
                    .insert(text(message, "turn"), text(message, "text"));
            }
        }
    }

    /// All behind a number is known: what is not known before that is a hole.
    fn reaches_down_to(&mut self, after: u64, known: u64) {
        self.hole = (after > known).then_some((known, after));
    }
}

#[derive(Clone, Debug, Default)]
pub struct View {
    pub rooms: BTreeMap<String, Room>,
    /// Conversations it has asked to see, and has not seen since.
    pub awaited: BTreeSet<String>,
    /// What each thing said came to.
    pub turns: BTreeMap<String, String>,
    pub faults: Vec<String>,
    /// What happened to it, for stories in which nothing does.
    pub seen: BTreeSet<&'static str>,
}

fn text(frame: &Value, field: &str) -> String {
    frame[field].as_str().unwrap_or_default().to_owned()
}

fn list(frame: &Value, field: &str) -> Vec<Value> {
    frame[field].as_array().cloned().unwrap_or_default()
}

impl View {
    fn fault(&mut self, what: &str, frame: &Value) {
        let known = self
            .rooms
            .get(frame["conversation"].as_str().unwrap_or_default());
        self.faults
            .push(format!("{what}: {frame}; known: {known:?}"));
    }

    /// Forgets what it knows of a conversation.
    pub fn forget(&mut self, conversation: &str) {
        self.rooms.remove(conversation);
    }

    /// A session begins: what is under way is learned from the beginning. `keeps` what is written.
    pub fn begin_anew(&mut self, keeps: bool) {
        if !keeps {
            self.rooms.clear();
        }
        for room in self.rooms.values_mut() {
            room.live.clear();
            room.vanished.clear();
            room.members.clear();
            room.done.clear();
            room.typing.clear();
        }
    }

    /// A frame of a conversation that is shown.
    pub fn read(&mut self, frame: &Value) {
        let conversation = text(frame, "conversation");
        if frame["op"] == "room" {
            self.awaited.remove(&conversation);
            return self.room(&conversation, frame);
        }
        if frame["op"] == "said" {
            return self.said(frame);
        }
        // On its way when it was joined, or left.
        if self.awaited.contains(&conversation) {
            return;
        }
        let Some(room) = self.rooms.get_mut(&conversation) else {
            return self.fault("of a room that was never shown", frame);
        };
        let wrong = match frame["op"].as_str().unwrap_or_default() {
            "presence" => room.presence(frame),
            "typing" => {
                let users = list(frame, "users");
                let users = users.iter().filter_map(Value::as_str);
                room.typing = users.map(str::to_owned).collect();
                None
            }
            "turn" => room.began(frame),
            "activity" => None,
            "delta" => room.delta(frame),
            "ended" => room.ended(frame, &mut self.seen),
            "kept" => room.kept(frame, &mut self.seen),
            "messages" => {
                room.take(&list(frame, "messages"));
                let asked = frame["before"].as_u64().unwrap_or(0);
                if let Some((known, upto)) = room.hole
                    && asked == upto + 1
                {
                    self.seen.insert("older messages");
                    room.reaches_down_to(frame["after"].as_u64().unwrap_or(0), known);
                }
                room.found()
            }
            _ => Some("an op that nobody expects"),
        };
        if let Some(wrong) = wrong {
            self.fault(wrong, frame);
        }
    }

    fn said(&mut self, frame: &Value) {
        let (nonce, turn) = (text(frame, "nonce"), text(frame, "turn"));
        let known = self.turns.insert(nonce, turn.clone());
        match known {
            Some(known) if known != turn => self.fault("said twice", frame),
            Some(_) => drop(self.seen.insert("said again, and known")),
            None => {}
        }
    }

    fn room(&mut self, conversation: &str, frame: &Value) {
        let mut room = self.rooms.remove(conversation).unwrap_or_default();
        let mut wrong = Vec::new();
        room.take(&list(frame, "messages"));
        let number = |field: &str| frame[field].as_u64().unwrap_or(0);
        let known = room.hole.map_or(room.last, |(known, _)| known);
        room.reaches_down_to(number("after"), known);
        room.last = number("last");
        room.behind = false;
        let live = list(frame, "turns");
        if live.iter().any(|one| one["left_out"] != 0) {
            wrong.push("a short answer is told without its beginning");
        }
        let live = live
            .iter()
            .map(|one| (text(one, "turn"), text(one, "text")));
        let live: BTreeMap<String, String> = live.collect();
        for (turn, known) in &room.live {
            match live.get(turn) {
                None => drop(room.vanished.insert(turn.clone(), known.clone())),
                Some(now) if !now.starts_with(known.as_str()) => {
                    wrong.push("an answer has less than was known");
                }
                Some(_) => {}
            }
        }
        wrong.extend(room.found());
        if live.keys().any(|turn| room.text(turn).is_some()) {
            wrong.push("an answer that has ended is under way");
        }
        for (turn, known) in &room.done {
            if room.written.get(turn).is_some_and(|text| text != known) {
                wrong.push("what is written is not what was said");
            }
        }
        room.live = live;
        let members = list(frame, "members");
        room.members = members.iter().map(|one| text(one, "connection")).collect();
        let typing = list(frame, "typing");
        let typing = typing.iter().filter_map(Value::as_str);
        room.typing = typing.map(str::to_owned).collect();
        self.rooms.insert(conversation.to_owned(), room);
        for wrong in wrong {
            self.fault(wrong, frame);
        }
    }
}

impl Room {
    fn presence(&mut self, frame: &Value) -> Option<&'static str> {
        let mut wrong = None;
        for one in list(frame, "joins") {
            if !self.members.insert(text(&one, "connection")) {
                wrong = Some("somebody comes who is there");
            }
        }
        for one in list(frame, "leaves") {
            if !self.members.remove(one.as_str().unwrap_or_default()) {
                wrong = Some("somebody goes who is not there");
            }
        }
        wrong
    }

    fn began(&mut self, frame: &Value) -> Option<&'static str> {
        let turn = text(&frame["turn"], "turn");
        if self.text(&turn).is_some() {
            return Some("an answer that has ended begins");
        }
        let known = self.live.insert(turn, text(&frame["turn"], "text"));
        known.map(|_| "an answer begins twice")
    }

    fn kept(&mut self, frame: &Value, seen: &mut BTreeSet<&'static str>) -> Option<&'static str> {
        let turn = text(frame, "turn");
        if self.live.contains_key(&turn) {
            return Some("it is written down before it has ended");
        }
        let messages = list(frame, "messages");
        self.take(&messages);
        let differs = |text: &String| self.done.get(&turn).is_some_and(|known| known != text);
        if self.written.get(&turn).is_some_and(differs) {
            return Some("what is written down is not what was said");
        }
        if messages.is_empty() {
            return None;
        }
        if frame["before"].as_u64() > Some(self.last) {
            seen.insert("behind what is written");
            self.behind = true;
        } else {
            self.last = self.last.max(frame["last"].as_u64().unwrap_or(0));
        }
        None
    }

    fn delta(&mut self, frame: &Value) -> Option<&'static str> {
        let turn = text(frame, "turn");
        if self.text(&turn).is_some() {
            return Some("text behind the end");
        }
        let Some(known) = self.live.get_mut(&turn) else {
            return Some("text of an unknown answer");
        };
        if frame["at"].as_u64() != Some(known.chars().count() as u64) {
            return Some("a piece is missing or doubled");
        }
        known.push_str(&text(frame, "text"));
        None
    }

    fn ended(&mut self, frame: &Value, seen: &mut BTreeSet<&'static str>) -> Option<&'static str> {
        let turn = text(frame, "turn");
        match frame["ending"]["how"].as_str() {
            Some("finished") => seen.insert("finished"),
            Some("stopped") => seen.insert("stopped"),
            _ => seen.insert("failed"),
        };
        if self.written.contains_key(&turn) {
            return Some("an end behind what is written");
        }
        let Some(known) = self.live.remove(&turn) else {
            return Some("an end of what is not under way");
        };
        let again = self.done.insert(turn, known);
        again.map(|_| "it ends twice")
    }
}
