//! Every method there is, once: its name, who may call it, whether it changes something, what it takes and gives. The
//! dispatcher, the typed client and the page all come from this table.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{act, connections, events, hello, level::Level, look, tap, vitals};

/// A request's parameters, and what they are answered with. To send one is to call the method.
pub trait Ask: Serialize + DeserializeOwned {
    /// What the answer is.
    type Answer: Serialize + DeserializeOwned;
    /// The method's name.
    const METHOD: &'static str;
}

/// What is known of a method.
#[derive(Clone, Copy)]
pub struct Method {
    /// Its name on the wire.
    pub name: &'static str,
    /// The least level that may call it.
    pub level: Level,
    /// Whether it changes something: then it has a `dry_run`, and is audited.
    pub changes: bool,
    /// What it does, in a line.
    pub help: &'static str,
    /// Parameters for a first try, as JSON.
    pub example: &'static str,
    /// The schemas of its parameters and of its answer.
    pub schemas: fn(&mut SchemaGenerator) -> (Schema, Schema),
}

impl std::fmt::Debug for Method {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Method({})", self.name)
    }
}

/// What a method that takes nothing is called with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Nothing {}

macro_rules! methods {
    ($($name:literal $case:ident($params:ty) -> $answer:ty, $level:ident, $changes:literal, $example:literal, $help:literal;)*) => {
        /// A request that was understood: one case a method.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Call {
            $(#[doc = $help] $case($params),)*
        }

        /// Every method, in the order of the page.
        pub const METHODS: &[Method] = &[$(Method {
            name: $name,
            level: Level::$level,
            changes: $changes,
            help: $help,
            example: $example,
            schemas: |made| (made.subschema_for::<$params>(), made.subschema_for::<$answer>()),
        },)*];

        impl Call {
            /// Understands parameters; `None` if there is no such method.
            ///
            /// # Errors
            /// They are not what the method takes; names the field.
            pub fn read(method: &str, params: Value) -> Option<Result<Self, serde_json::Error>> {
                match method {
                    $($name => Some(serde_json::from_value(params).map(Self::$case)),)*
                    _ => None,
                }
            }

            /// The method's name.
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Self::$case(_) => $name,)*
                }
            }

            /// The parameters as they came.
            pub fn params(&self) -> Value {
                let value = match self {
                    $(Self::$case(params) => serde_json::to_value(params),)*
                };
                value.unwrap_or_default()
            }
        }

        $(impl Ask for $params {
            type Answer = $answer;
            const METHOD: &'static str = $name;
        })*
    };
}

methods! {
    "hello" Hello(hello::Hello) -> hello::Greeting, Observe, false, r#"{"protocol":1,"level":"observe"}"#,
        "Says what the client understands, and gives up rights it does not need. The first request, if it is said at all.";
    "status" Status(look::Status) -> look::HostAnswer, Observe, false, "{}",
        "The host at a glance.";
    "tree" Tree(look::Tree) -> look::TreeAnswer, Observe, false, "{}",
        "Every actor, and how it is.";
    "ps" Ps(look::Ps) -> look::PsAnswer, Observe, false, "{}",
        "The models: how far each is, what it takes, when it goes.";
    "vitals" Vitals(vitals::Vitals) -> vitals::VitalsAnswer, Observe, false, "{}",
        "What moves: counters and present values of actors, models, memory, threads and requests, for whoever asks again and again.";
    "inspect" Inspect(look::Inspect) -> look::InspectAnswer, Observe, false, r#"{"actor":"model_host"}"#,
        "Everything about one actor.";
    "events" Events(events::Events) -> events::Past, Observe, false, r#"{"filter":{"events":["crashed"]},"limit":10}"#,
        "What happened in the tree lately.";
    "subscribe" Subscribe(events::Subscribe) -> events::Subscribed, Observe, false, r#"{"filter":{"actor":"model_host"}}"#,
        "What happens in the tree from now on, as notifications.";
    "unsubscribe" Unsubscribe(events::Unsubscribe) -> Nothing, Observe, false, r#"{"subscription":1}"#,
        "Ends a subscription.";
    "tap" Tap(tap::Tap) -> events::Subscribed, Observe, false, r#"{"actor":"model_host","for_s":10}"#,
        "The messages that an actor handles from now on, as notifications; ends by itself.";
    "why" Why(look::Why) -> look::WhyAnswer, Observe, false, r#"{"subject":"model_host"}"#,
        "Why something was restarted, evicted, refused or changed.";
    "conversations" Conversations(look::Conversations) -> look::ConversationsAnswer, Observe, false, "{}",
        "The conversations, live and at rest.";
    "connections" Connections(connections::Connections) -> connections::ConnectionsAnswer, Observe, false, "{}",
        "The open connections of the server for requests, and how many there may be.";
    "config.get" ConfigGet(look::ConfigGet) -> look::ConfigAnswer, Observe, false, r#"{"key":"model"}"#,
        "The settings that hold, and where each value comes from.";
    "audit" Audit(look::Audit) -> look::AuditAnswer, Observe, false, r#"{"limit":10}"#,
        "Who changed what, and when.";
    "restart" Restart(act::Restart) -> act::Acted, Operate, true, r#"{"actor":"memory_governor"}"#,
        "Stops an actor in order and starts it again; what waits for it is kept.";
    "stop" Stop(act::Stop) -> act::Acted, Operate, true, r#"{"actor":"gateway"}"#,
        "Stops an actor; it stays down until it is started.";
    "start" Start(act::Start) -> act::Acted, Operate, true, r#"{"actor":"gateway"}"#,
        "Starts an actor that is down.";
    "kill" Kill(act::Kill) -> act::Acted, Operate, true, r#"{"actor":"model_host"}"#,
        "Drops what an actor does where it stands, as a crash would.";
    "pause" Pause(act::Pause) -> act::Acted, Operate, true, r#"{"actor":"model_host"}"#,
        "What waits for an actor goes on waiting, until it is resumed or stopped.";
    "resume" Resume(act::Resume) -> act::Acted, Operate, true, r#"{"actor":"model_host"}"#,
        "An actor that was paused goes on.";
    "limit" Limit(act::Limit) -> act::Acted, Operate, true, r#"{"what":"memory","value":2147483648}"#,
        "Changes a limit until the settings change it again.";
    "load" Load(act::LoadModel) -> act::Acted, Operate, true, r#"{"model":"smollm2-135m-instruct"}"#,
        "Loads a model; answered when it is in memory.";
    "unload" Unload(act::UnloadModel) -> act::Acted, Operate, true, r#"{"model":"smollm2-135m-instruct"}"#,
        "Lets an idle model go.";
    "pin" Pin(act::PinModel) -> act::Acted, Operate, true, r#"{"model":"smollm2-135m-instruct"}"#,
        "Keeps a model in memory whatever happens.";
    "unpin" Unpin(act::UnpinModel) -> act::Acted, Operate, true, r#"{"model":"smollm2-135m-instruct"}"#,
        "Takes a pin back.";
    "cancel" Cancel(act::Cancel) -> act::Acted, Operate, true, r#"{"id":"req-1"}"#,
        "Ends an answer or a turn, waiting or running, by any of its names, whoever asked for it.";
    "connections.kick" Kick(connections::Kick) -> act::Acted, Operate, true, r#"{"id":1}"#,
        "Closes a connection of the server for requests at once; its answers end as when a client leaves.";
    "log" Log(act::Log) -> act::Acted, Operate, true, r#"{"actor":"model_host","level":"debug","for_s":60}"#,
        "Changes what is logged, at once and for a time.";
    "drain" Drain(act::Drain) -> act::Acted, Operate, true, "{}",
        "Takes nothing new and lets running answers finish.";
    "config.set" ConfigSet(act::ConfigSet) -> act::Acted, Admin, true, r#"{"changes":[{"key":"model.temperature","value":"0.7"}]}"#,
        "Changes settings for good, all of them or none.";
    "chaos" Chaos(act::Chaos) -> act::Acted, Admin, true, r#"{"actor":"model_host","fault":"crash"}"#,
        "A fault on purpose, where the server was started with that allowed.";
    "shutdown" Shutdown(act::Shutdown) -> act::Acted, Admin, true, r#"{"deadline_ms":5000}"#,
        "Ends the server in order.";
}

/// What is known of this method; `None` if there is none of that name.
pub fn method(name: &str) -> Option<&'static Method> {
    METHODS.iter().find(|method| method.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_is_understood_and_written_as_it_was() {
        for method in METHODS {
            let params: Value = serde_json::from_str(method.example).unwrap();
            let call = Call::read(method.name, params.clone()).unwrap();
            let call = call.unwrap_or_else(|error| panic!("{}: {error}", method.name));
            assert_eq!(call.name(), method.name);
            let again = Call::read(method.name, call.params()).unwrap().unwrap();
            assert_eq!(again, call);
        }
    }

    #[test]
    fn what_changes_something_has_a_dry_run_and_needs_more_than_looking() {
        for method in METHODS {
            let mut params: Value = serde_json::from_str(method.example).unwrap();
            params["dry_run"] = true.into();
            let understood = Call::read(method.name, params).unwrap().is_ok();
            assert_eq!(understood, method.changes, "{}", method.name);
            assert_eq!(method.changes, method.level > Level::Observe);
        }
    }

    #[test]
    fn a_field_that_nobody_knows_is_refused_by_name() {
        for method in METHODS.iter().filter(|method| method.name != "unsubscribe") {
            let mut params: Value = serde_json::from_str(method.example).unwrap();
            params["colour"] = "red".into();
            let refused = Call::read(method.name, params).unwrap().unwrap_err();
            assert!(refused.to_string().contains("colour"), "{refused}");
        }
        assert_eq!(
            Call::read("sing", Value::Null).map(|read| read.is_ok()),
            None
        );
    }
}
