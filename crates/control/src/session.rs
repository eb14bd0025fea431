//! What one connection may do and has asked for: pure, a line in, a step out. It knows no socket and no actor.

use std::collections::{BTreeMap, BTreeSet};

use crate::codec::Heard;
use crate::protocol::PROTOCOL;
use crate::protocol::events::{Event, Filter, Happened, Lagged, Subscribed};
use crate::protocol::hello::{Greeting, Hello};
use crate::protocol::level::Level;
use crate::protocol::rpc::{self, Code, Id, Request, RpcError};
use crate::protocol::table::{Call, METHODS, Nothing, method};
use crate::protocol::tap::TapOver;
use serde::Serialize;
use serde_json::{Value, json};

/// Requests of one connection that may be under way: a person has one, a program a few. 8.
pub const UNDER_WAY: usize = 8;
/// Subscriptions and looks of one connection: one a view. 4.
pub const SUBSCRIPTIONS: usize = 4;
/// The longest name of a client, in characters.
const NAME: usize = 60;

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Write this line.
    Say(String),
    /// Write this line, then hang up.
    SayAndEnd(String),
    /// Carry this out, and tell [`Session::answered`].
    Do(Id, Call),
}

/// A call that was refused for its level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// Which method.
    pub method: &'static str,
    /// What the client was told.
    pub why: String,
}

/// One connection.
#[derive(Debug)]
pub struct Session {
    greeting: Greeting,
    /// Nothing was asked for yet: `hello` may be said.
    fresh: bool,
    client: Option<String>,
    under_way: Vec<Id>,
    subscriptions: BTreeMap<u64, Filter>,
    /// Looks at messages.
    taps: BTreeSet<u64>,
    subscribed: u64,
    denied: Option<Denied>,
}

impl Session {
    /// Begins; the greeting says what was granted.
    pub fn new(greeting: Greeting) -> Self {
        Self {
            greeting,
            fresh: true,
            client: None,
            under_way: Vec::new(),
            subscriptions: BTreeMap::new(),
            taps: BTreeSet::new(),
            subscribed: 0,
            denied: None,
        }
    }

    /// The first line of the connection.
    pub fn greeting(&self) -> String {
        rpc::notification("hello", &self.greeting)
    }

    /// What the client calls itself.
    pub fn client(&self) -> Option<&str> {
        self.client.as_deref()
    }

    /// The call that was refused for its level by the last line, if one was.
    pub fn denied(&mut self) -> Option<Denied> {
        self.denied.take()
    }

    /// Whether it wants to hear events.
    pub fn listens(&self) -> bool {
        !self.subscriptions.is_empty()
    }

    /// Takes a line.
    pub fn heard(&mut self, heard: Heard) -> Step {
        let line = match heard {
            Heard::Line(line) => line,
            Heard::TooLong => {
                let what = "the line is longer than 1 MiB and was skipped: send less at once";
                return say(None, Err(RpcError::new(Code::TooLong, what)));
            }
            Heard::NotText => {
                return say(
                    None,
                    Err(RpcError::new(Code::Parse, "the line is not UTF-8")),
                );
            }
            Heard::Half => {
                let what = "the line ended early: end each with a newline";
                let said = rpc::answer(None, Err(RpcError::new(Code::Parse, what)));
                return Step::SayAndEnd(said);
            }
        };
        match rpc::read(&line) {
            Ok(request) => self.asked(request),
            Err((id, error)) => say(id.as_ref(), Err(error)),
        }
    }

    fn asked(&mut self, request: Request) -> Step {
        let Request { id, method, params } = request;
        if self.under_way.contains(&id) {
            let what = "a request of this id is under way: give each its own";
            return say(Some(&id), Err(RpcError::new(Code::Request, what)));
        }
        let call = match understood(&method, params) {
            Ok(call) => call,
            Err(error) => return say(Some(&id), Err(error)),
        };
        let fresh = std::mem::replace(&mut self.fresh, false);
        if let Err(error) = self.may(&call) {
            self.denied = Some(Denied {
                method: call.name(),
                why: error.message.clone(),
            });
            return say(Some(&id), Err(error));
        }
        match call {
            Call::Hello(hello) => self.greeted(&id, hello, fresh),
            Call::Subscribe(wish) => say(Some(&id), self.subscribe(wish.filter)),
            Call::Unsubscribe(wish) => say(Some(&id), self.unsubscribe(wish.subscription)),
            call if self.under_way.len() < UNDER_WAY => {
                self.under_way.push(id.clone());
                Step::Do(id, call)
            }
            _ => {
                let what = format!("{UNDER_WAY} requests are under way: wait for one of them");
                say(Some(&id), Err(RpcError::new(Code::Busy, what)))
            }
        }
    }

    fn may(&self, call: &Call) -> Result<(), RpcError> {
        let needed = method(call.name()).map_or(Level::Admin, |method| method.level);
        let level = self.greeting.level;
        if level >= needed {
            return Ok(());
        }
        let what = format!(
            "{} needs the level {needed}, and this connection has {level}: connect again without giving it up",
            call.name()
        );
        Err(RpcError::new(Code::Level, what))
    }

    fn greeted(&mut self, id: &Id, hello: Hello, fresh: bool) -> Step {
        if hello.protocol != PROTOCOL {
            let what = format!(
                "protocol = {} is not spoken here, {PROTOCOL} is: use the client of version {}",
                hello.protocol, self.greeting.version
            );
            let line = rpc::answer(Some(id), Err(RpcError::new(Code::Protocol, what)));
            return Step::SayAndEnd(line);
        }
        if !fresh {
            let what = "hello is said once, and before everything else";
            return say(Some(id), Err(RpcError::new(Code::Request, what)));
        }
        let unfit = |name: &String| {
            !(1..=NAME).contains(&name.chars().count()) || name.chars().any(char::is_control)
        };
        if hello.client.as_ref().is_some_and(unfit) {
            let what = format!("client = is 1 to {NAME} characters without control characters");
            return say(Some(id), Err(RpcError::new(Code::Params, what)));
        }
        if let Some(wanted) = hello.level {
            self.greeting.level = self.greeting.level.min(wanted);
        }
        self.client = hello.client;
        say(Some(id), to_value(&self.greeting))
    }

    fn subscribe(&mut self, filter: Filter) -> Result<Value, RpcError> {
        check(&filter)?;
        let subscription = self.next_number()?;
        self.subscriptions.insert(subscription, filter);
        to_value(&Subscribed { subscription })
    }

    /// The number of another subscription or look, if there may be one.
    fn next_number(&mut self) -> Result<u64, RpcError> {
        if self.subscriptions.len() + self.taps.len() >= SUBSCRIPTIONS {
            let what = format!("{SUBSCRIPTIONS} subscriptions are held: end one of them first");
            return Err(RpcError::new(Code::Busy, what));
        }
        self.subscribed += 1;
        Ok(self.subscribed)
    }

    /// A look that was asked for has begun, or not: the line to write, and its number if it is held.
    pub fn tapped(&mut self, id: &Id, begun: Result<(), RpcError>) -> (String, Option<u64>) {
        let number = begun.and_then(|()| self.next_number());
        let held = number.as_ref().ok().copied();
        self.taps.extend(held);
        let answer = number.and_then(|subscription| to_value(&Subscribed { subscription }));
        (self.answered(id, answer), held)
    }

    /// A look is over; the line to write.
    pub fn tap_over(&mut self, subscription: u64) -> String {
        self.taps.remove(&subscription);
        rpc::notification("tap_over", &TapOver { subscription })
    }

    /// Whether somebody still looks.
    pub fn holds(&self, tap: u64) -> bool {
        self.taps.contains(&tap)
    }

    fn unsubscribe(&mut self, subscription: u64) -> Result<Value, RpcError> {
        if self.subscriptions.remove(&subscription).is_some() || self.taps.remove(&subscription) {
            return to_value(&Nothing {});
        }
        let what = format!("subscription = {subscription} is not held");
        Err(RpcError::new(Code::NotFound, what))
    }

    /// Something that was to be carried out has come to its end; the line to write.
    pub fn answered(&mut self, id: &Id, result: Result<Value, RpcError>) -> String {
        self.under_way.retain(|other| other != id);
        rpc::answer(Some(id), result)
    }

    /// Something happened; the lines for those who want to hear it.
    pub fn happened(&self, event: &Event) -> Vec<String> {
        let wanted = self.subscriptions.iter();
        let wanted = wanted.filter(|(_, filter)| filter.passes(event));
        let line = |(subscription, _): (&u64, &Filter)| {
            let happened = Happened {
                subscription: *subscription,
                event: event.clone(),
            };
            rpc::notification("event", &happened)
        };
        wanted.map(line).collect()
    }

    /// So many events were dropped, because they were not taken; each subscription is told.
    pub fn lagged(&self, lost: u64) -> Vec<String> {
        let line = |subscription: &u64| {
            let subscription = *subscription;
            rpc::notification("lagged", &Lagged { subscription, lost })
        };
        self.subscriptions.keys().map(line).collect()
    }
}

/// Refuses words that are no event's.
///
/// # Errors
/// `Params`, with the word and those there are.
pub fn check(filter: &Filter) -> Result<(), RpcError> {
    let Some(wrong) = filter.wrong_word() else {
        return Ok(());
    };
    let words = crate::protocol::events::WORDS.join(", ");
    let what = format!("events = {wrong} is no event: there are {words}");
    Err(RpcError::new(Code::Params, what))
}

fn understood(name: &str, params: Value) -> Result<Call, RpcError> {
    let params = if params.is_null() { json!({}) } else { params };
    match Call::read(name, params) {
        Some(Ok(call)) => Ok(call),
        Some(Err(error)) => Err(RpcError::new(Code::Params, format!("{name}: {error}"))),
        None => {
            let there: Vec<&str> = METHODS.iter().map(|method| method.name).collect();
            let what = format!("{name} is no method: there are {}", there.join(", "));
            Err(RpcError::new(Code::Method, what))
        }
    }
}

fn say(id: Option<&Id>, result: Result<Value, RpcError>) -> Step {
    Step::Say(rpc::answer(id, result))
}

/// Never an error for our own types; a server should not fall over that, either.
pub(crate) fn to_value(answer: &impl Serialize) -> Result<Value, RpcError> {
    serde_json::to_value(answer).map_err(|error| RpcError::new(Code::Internal, error))
}

#[cfg(test)]
mod tests;
