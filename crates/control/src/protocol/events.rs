//! What happens in the tree, on the wire: one at a time, and which of them somebody wants to hear.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The words for what can happen to an actor.
pub const WORDS: [&str; 14] = [
    "starting",
    "ready",
    "crashed",
    "backing_off",
    "restarted",
    "stopping",
    "stopped",
    "killed",
    "escalated",
    "auto_shutdown",
    "stuck",
    "unstuck",
    "start_failed",
    "ordered",
];

/// One step in the life of one actor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// Whose, as a path in the tree.
    pub actor: String,
    /// Which of its lives, from 1; 0 before the first.
    pub life: u64,
    /// What happened: starting, ready, crashed, `backing_off`, restarted, stopping, stopped, killed, escalated,
    /// `auto_shutdown`, stuck, unstuck, `start_failed` or ordered.
    pub event: String,
    /// The same in a sentence.
    pub text: String,
    /// Why, where somebody said it: the panic's message, the error, the reason of the stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What was left undone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub abandoned: Vec<String>,
}

/// Which events. All that are said have to be true; nothing said is everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// An actor and everything below it: a path such as `root/model_host`, or the end of one such as `model_host`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// These events only, by their words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<String>,
}

impl Filter {
    /// The first word that is no event's, if there is one.
    pub fn wrong_word(&self) -> Option<&str> {
        let mut words = self.events.iter().map(String::as_str);
        words.find(|word| !WORDS.contains(word))
    }

    /// Whether it is one of them.
    pub fn passes(&self, event: &Event) -> bool {
        let word = self.events.is_empty() || self.events.contains(&event.event);
        let wanted = self.actor.as_deref();
        word && wanted.is_none_or(|actor| is_under(&event.actor, actor))
    }
}

/// Whether a path is this actor's, or lies below it: `actor` is a whole path or some whole names of it, one after the other.
pub fn is_under(path: &str, actor: &str) -> bool {
    let wanted: Vec<&str> = actor.split('/').collect();
    let names: Vec<&str> = path.split('/').collect();
    names.windows(wanted.len()).any(|some| some == wanted)
}

/// Asks to hear what happens from now on, as notifications `event`. Answered with the number that they will carry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Subscribe {
    /// Which events.
    #[serde(default)]
    pub filter: Filter,
}

/// A subscription that holds until the connection ends, or `unsubscribe`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Subscribed {
    /// Its number.
    pub subscription: u64,
}

/// Ends a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Unsubscribe {
    /// Its number.
    pub subscription: u64,
}

/// A notification `event`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Happened {
    /// Which subscription.
    pub subscription: u64,
    /// What happened.
    pub event: Event,
}

/// A notification `lagged`: the client read so slowly that some events were dropped before it could hear them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Lagged {
    /// Which subscription.
    pub subscription: u64,
    /// How many, before the filter.
    pub lost: u64,
}

/// Asks what happened lately.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Events {
    /// Which events.
    #[serde(default)]
    pub filter: Filter,
    /// At most so many, the latest; 100 if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// What happened lately.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Past {
    /// Oldest first.
    pub events: Vec<Event>,
    /// Older ones that are not kept, before the filter.
    pub forgotten: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(actor: &str, word: &str) -> Event {
        Event {
            at_ms: 0,
            actor: actor.to_owned(),
            life: 1,
            event: word.to_owned(),
            text: String::new(),
            reason: None,
            abandoned: Vec::new(),
        }
    }

    #[test]
    fn a_filter_takes_whole_names_and_words() {
        let crashed = event("root/agent_supervisor/agent_worker-a", "crashed");
        for (actor, events, passes) in [
            (None, &[][..], true),
            (Some("root"), &[], true),
            (Some("root/agent_supervisor"), &[], true),
            (Some("agent_supervisor"), &[], true),
            (Some("agent_worker-a"), &["crashed"], true),
            (Some("agent"), &[], false),
            (Some("root/agent_worker-a"), &[], false),
            (Some(""), &[], false),
            (None, &["ready"], false),
            (None, &["ready", "crashed"], true),
        ] {
            let filter = Filter {
                actor: actor.map(str::to_owned),
                events: events.iter().map(|word| (*word).to_owned()).collect(),
            };
            assert_eq!(filter.passes(&crashed), passes, "{filter:?}");
            assert_eq!(filter.wrong_word(), None);
        }
        let wrong = Filter {
            actor: None,
            events: vec!["ready".to_owned(), "dead".to_owned()],
        };
        assert_eq!(wrong.wrong_word(), Some("dead"));
    }
}
