//! Which answers are under way, and by which names they can be cancelled: the name of the request, which its client may
//! have chosen, and the answer's own, which nobody else has.
//!
//! Invariants: an answer is here from when it has its place until its last byte; a name that several bear means all of
//! them, and never one of another owner.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::RequestId;
use tokio_util::sync::CancellationToken;

/// On whose behalf a request is made, as whoever let it in says in the request's extensions. Only the same owner may
/// cancel it; where nobody says it, all requests have the same: none.
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
}

/// The answers under way.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    next: u64,
    all: BTreeMap<u64, (Names, CancellationToken)>,
}

impl Answers {
    fn begin(&mut self, names: Names) -> (u64, CancellationToken) {
        let (key, cancelled) = (self.next, CancellationToken::new());
        self.next += 1;
        self.all.insert(key, (names, cancelled.clone()));
        (key, cancelled)
    }

    fn end(&mut self, key: u64) {
        self.all.remove(&key);
    }

    /// Cancels all answers of that name and owner; what they are called themselves. A walk through at most as many as
    /// are made at once.
    fn cancel(&self, name: &str, owner: Option<&Owner>) -> Vec<RequestId> {
        let meant = |names: &Names| {
            let called = names.request.as_str() == name || names.answer.as_str() == name;
            called && names.owner.as_ref() == owner
        };
        let found = self.all.values().filter(|(names, _)| meant(names));
        let cancel = |(names, cancelled): &(Names, CancellationToken)| {
            cancelled.cancel();
            names.answer.clone()
        };
        found.map(cancel).collect()
    }
}

/// The same, shared by the handlers. Never waits.
#[derive(Clone, Debug, Default)]
pub(crate) struct Underway(Arc<Mutex<Answers>>);

/// An answer is under way while this lives.
pub(crate) struct Entry {
    underway: Underway,
    key: u64,
    cancelled: CancellationToken,
}

impl Underway {
    /// An answer of these names begins.
    pub(crate) fn begin(&self, names: Names) -> Entry {
        let (key, cancelled) = self.answers().begin(names);
        let underway = self.clone();
        Entry {
            underway,
            key,
            cancelled,
        }
    }

    /// As [`Answers::cancel`].
    pub(crate) fn cancel(&self, name: &str, owner: Option<&Owner>) -> Vec<RequestId> {
        self.answers().cancel(name, owner)
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// Cancelled once somebody said so.
    pub(crate) fn cancelled(&self) -> CancellationToken {
        self.cancelled.clone()
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.underway.answers().end(self.key);
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
            let found: Vec<&str> = found.iter().map(RequestId::as_str).collect();
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
        assert_eq!(underway.cancel("r", None), [RequestId::new("b")]);
        assert_eq!(
            underway.cancel("r", None).len(),
            1,
            "saying it again is no error"
        );
        drop(further);
        assert!(underway.cancel("r", None).is_empty());
        assert!(underway.answers().all.is_empty());
    }
}
