//! Which answers are under way, and by which names they can be cancelled: the name of the request, which its client may
//! have chosen, and the answer's own, which nobody else has. The one list for whoever cancels and for whoever waits for the
//! end; it outlives the lives of the listener, because an ending and an operator do.
//!
//! Invariants: an answer can be cancelled from when its request was heard until its last byte; an ending waits for it from
//! when it has its place. A name that several bear means all of them, and to clients never one of another owner.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::RequestId;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// On whose behalf a request is made, as whoever let it in says in the request's extensions. Only the same owner may
/// cancel it, and operators; where nobody says it, all requests have the same: none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner(pub(crate) Arc<str>);

/// What an answer is called.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    /// The request's name, as `x-request-id` says it. Others may bear it, too.
    pub(crate) request: RequestId,
    /// The answer's own, unique.
    pub(crate) answer: RequestId,
    /// Who may cancel it.
    pub(crate) owner: Option<Owner>,
    /// The number of the connection that it was asked on.
    pub(crate) connection: Option<u64>,
}

/// An answer under way, as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedAnswer {
    /// What it calls itself, and the model host calls it.
    pub answer: RequestId,
    /// Its request's name, as `x-request-id` says it. Others may bear it, too.
    pub request: RequestId,
    /// Whose token it was asked with, by that token's name; none where none was needed.
    pub owner: Option<Arc<str>>,
}

/// Whose answers are meant.
#[derive(Clone, Copy)]
enum Whose<'a> {
    Owner(Option<&'a Owner>),
    Anyones,
}

#[derive(Debug)]
struct Answer {
    names: Names,
    /// What is told of it, once it has its place.
    label: Option<String>,
    cancelled: CancellationToken,
}

/// The answers under way.
#[derive(Debug, Default)]
struct Answers {
    next: u64,
    all: BTreeMap<u64, Answer>,
}

impl Answers {
    fn begin(&mut self, names: Names) -> (u64, CancellationToken) {
        let (key, cancelled) = (self.next, CancellationToken::new());
        self.next += 1;
        let answer = Answer {
            names,
            label: None,
            cancelled: cancelled.clone(),
        };
        self.all.insert(key, answer);
        (key, cancelled)
    }

    /// Those with a place, oldest first.
    fn placed(&self) -> impl Iterator<Item = &String> {
        self.all.values().filter_map(|answer| answer.label.as_ref())
    }

    /// A walk through at most as many as there are requests.
    fn called<'a>(&'a self, name: &'a str, whose: Whose<'a>) -> impl Iterator<Item = &'a Answer> {
        self.all.values().filter(move |Answer { names, .. }| {
            let called = names.request.as_str() == name || names.answer.as_str() == name;
            let theirs = match whose {
                Whose::Owner(owner) => names.owner.as_ref() == owner,
                Whose::Anyones => true,
            };
            called && theirs
        })
    }

    /// Cancels all answers of that name; who they are.
    fn cancel(&self, name: &str, whose: Whose<'_>) -> Vec<NamedAnswer> {
        let cancel = |answer: &Answer| {
            answer.cancelled.cancel();
            answer.named()
        };
        self.called(name, whose).map(cancel).collect()
    }
}

impl Answer {
    fn named(&self) -> NamedAnswer {
        NamedAnswer {
            answer: self.names.answer.clone(),
            request: self.names.request.clone(),
            owner: self.names.owner.as_ref().map(|owner| Arc::clone(&owner.0)),
        }
    }
}

/// The same, shared. Cloning gives another hold on the same list. Never waits, but where it says so.
#[derive(Clone, Debug, Default)]
pub(crate) struct Underway(watch::Sender<Answers>);

/// An answer is under way while this lives.
pub(crate) struct Entry {
    underway: Underway,
    key: u64,
    cancelled: CancellationToken,
}

impl Underway {
    /// A request for an answer of these names was heard.
    pub(crate) fn begin(&self, names: Names) -> Entry {
        let mut begun = None;
        self.0.send_if_modified(|all| {
            begun = Some(all.begin(names));
            // Nobody waits for what has no place.
            false
        });
        let (key, cancelled) = begun.unwrap_or_default();
        Entry {
            underway: self.clone(),
            key,
            cancelled,
        }
    }

    /// Cancels all of that name and owner; who they are.
    pub(crate) fn cancel(&self, name: &str, owner: Option<&Owner>) -> Vec<NamedAnswer> {
        self.0.borrow().cancel(name, Whose::Owner(owner))
    }

    /// The same, whoever's they are.
    pub(crate) fn cancel_anyones(&self, name: &str) -> Vec<NamedAnswer> {
        self.0.borrow().cancel(name, Whose::Anyones)
    }

    /// Whom that would cancel.
    pub(crate) fn anyones(&self, name: &str) -> Vec<NamedAnswer> {
        let all = self.0.borrow();
        all.called(name, Whose::Anyones)
            .map(Answer::named)
            .collect()
    }

    /// What the answers on each connection call themselves, oldest first.
    pub(crate) fn by_connection(&self) -> BTreeMap<u64, Vec<RequestId>> {
        let mut found: BTreeMap<u64, Vec<RequestId>> = BTreeMap::new();
        for Answer { names, .. } in self.0.borrow().all.values() {
            if let Some(connection) = names.connection {
                let own = found.entry(connection).or_default();
                own.push(names.answer.clone());
            }
        }
        found
    }

    /// What has its place, oldest first.
    pub(crate) fn placed(&self) -> Vec<String> {
        self.0.borrow().placed().cloned().collect()
    }

    /// Waits until fewer than so many have their places.
    pub(crate) async fn fewer_than(&self, many: usize) {
        let mut under_way = self.0.subscribe();
        // Not an error: we hold the sender.
        let _ = under_way.wait_for(|all| all.placed().count() < many).await;
    }
}

impl Entry {
    /// It has its place: an ending waits for it, and tells of it so.
    pub(crate) fn placed(&self, label: String) {
        self.underway.0.send_modify(|all| {
            if let Some(answer) = all.all.get_mut(&self.key) {
                answer.label = Some(label);
            }
        });
    }

    /// Cancelled once somebody said so.
    pub(crate) fn cancelled(&self) -> CancellationToken {
        self.cancelled.clone()
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.underway.0.send_modify(|all| {
            all.all.remove(&self.key);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(request: &str, answer: &str, owner: Option<&str>) -> Names {
        Names {
            request: RequestId::new(request),
            answer: RequestId::new(answer),
            owner: owner.map(|owner| Owner(owner.into())),
            connection: None,
        }
    }

    #[test]
    fn a_name_means_all_that_bear_it_and_none_of_another_owner() {
        for (name, owner, meant) in [
            ("mine", None, &["chatcmpl-1", "chatcmpl-2"][..]),
            ("chatcmpl-2", None, &["chatcmpl-2"]),
            ("mine", Some("ann"), &["cmpl-4"]),
            ("mine", Some("bob"), &["cmpl-5"]),
            ("cmpl-5", Some("ann"), &[]),
            ("cmpl-5", None, &[]),
            ("chatcmpl-1", Some("ann"), &[]),
            // A request that took another answer's name for its own.
            ("chatcmpl-3", None, &["chatcmpl-3", "chatcmpl-6"]),
            ("", None, &[]),
            ("min", None, &[]),
        ] {
            let underway = Underway::default();
            let all = [
                names("mine", "chatcmpl-1", None),
                names("mine", "chatcmpl-2", None),
                names("other", "chatcmpl-3", None),
                names("mine", "cmpl-4", Some("ann")),
                names("mine", "cmpl-5", Some("bob")),
                names("chatcmpl-3", "chatcmpl-6", None),
            ];
            let answers = all.clone().map(|names| names.answer);
            let entries = all.map(|names| underway.begin(names));
            let owner = owner.map(|owner| Owner(owner.into()));
            let found = underway.cancel(name, owner.as_ref());
            let found: Vec<&str> = found.iter().map(|one| one.answer.as_str()).collect();
            assert_eq!(found, meant, "{name:?}");
            for (answer, entry) in answers.iter().zip(&entries) {
                let cancelled = entry.cancelled().is_cancelled();
                assert_eq!(cancelled, meant.contains(&answer.as_str()), "{answer}");
            }
        }
    }

    #[test]
    fn what_has_ended_is_not_under_way() {
        let underway = Underway::default();
        let entry = underway.begin(names("r", "a", None));
        let further = underway.begin(names("r", "b", None));
        drop(entry);
        let found = underway.cancel("r", None);
        assert_eq!((found.len(), found[0].answer.as_str()), (1, "b"));
        assert_eq!(
            underway.cancel("r", None).len(),
            1,
            "saying it again is no error"
        );
        drop(further);
        assert!(underway.cancel("r", None).is_empty());
        assert!(underway.0.borrow().all.is_empty());
    }

    #[test]
    fn an_operator_means_all_that_bear_a_name_and_looks_without_cancelling() {
        for (name, meant) in [
            ("mine", &["chatcmpl-1", "cmpl-2", "cmpl-3"][..]),
            ("cmpl-2", &["cmpl-2"]),
            ("chatcmpl-1", &["chatcmpl-1"]),
            ("min", &[]),
            ("", &[]),
        ] {
            let underway = Underway::default();
            let entries = [
                names("mine", "chatcmpl-1", None),
                names("mine", "cmpl-2", Some("ann")),
                names("mine", "cmpl-3", Some("bob")),
                names("other", "cmpl-4", Some("bob")),
            ]
            .map(|names| underway.begin(names));
            let cancelled = || {
                let cancelled = entries.iter().map(|entry| entry.cancelled().is_cancelled());
                cancelled.filter(|yes| *yes).count()
            };
            let looked = underway.anyones(name);
            let found: Vec<&str> = looked.iter().map(|one| one.answer.as_str()).collect();
            assert_eq!((found.as_slice(), cancelled()), (meant, 0), "{name:?}");
            assert_eq!(underway.cancel_anyones(name), looked);
            assert_eq!(cancelled(), meant.len(), "{name:?}");
        }
        let underway = Underway::default();
        let _entry = underway.begin(names("r", "a", Some("ann")));
        let shown = underway.anyones("a").remove(0);
        assert_eq!(
            (shown.request.as_str(), shown.owner.as_deref()),
            ("r", Some("ann"))
        );
    }

    #[tokio::test]
    async fn an_ending_waits_for_those_with_a_place_alone() {
        let underway = Underway::default();
        underway.fewer_than(1).await;
        let half = underway.begin(names("half", "a", None));
        underway.fewer_than(1).await;
        let (first, second) = (
            underway.begin(names("first", "b", None)),
            underway.begin(names("second", "c", None)),
        );
        second.placed("POST second".to_owned());
        first.placed("POST first".to_owned());
        assert_eq!(underway.placed(), ["POST first", "POST second"]);
        drop(first);
        underway.fewer_than(2).await;
        assert_eq!(underway.placed(), ["POST second"]);
        let ended = async {
            underway.fewer_than(1).await;
            assert!(underway.placed().is_empty());
        };
        let ((), ()) = tokio::join!(ended, async { drop(second) });
        assert_eq!(underway.cancel("half", None).len(), 1, "it is heard yet");
        drop(half);
    }
}
