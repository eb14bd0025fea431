//! Shell: which sessions there are: how one that was cut off is found again, and how many there may be, of one person and in
//! all.
//!
//! Invariant: a place is given back however its connection ends.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::{ConnectionId, UserId};
use supervision::Handle;

use crate::actor::Connection;
use crate::meters;
use crate::pass::Pass;
use crate::session::State;

/// How many there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seats {
    /// In all, those included that may be resumed. 20 000: about 600 MB.
    pub in_all: usize,
    /// Of one person. 64: windows, and those that were cut off.
    pub of_one: usize,
}

impl Default for Seats {
    fn default() -> Self {
        Self {
            in_all: 20_000,
            of_one: 64,
        }
    }
}

/// There is no place for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPlace {
    /// In all.
    #[error("{0} clients are connected, and no more may be: come again in a while")]
    InAll(usize),
    /// Of this person.
    #[error("{0} clients of this person are connected, and no more may be: close one")]
    OfOne(usize),
}

struct Session {
    user: UserId,
    /// Once it has started.
    handle: Option<Handle<Connection>>,
    pass: Arc<dyn Pass>,
}

#[derive(Default)]
struct Inner {
    sessions: BTreeMap<Arc<str>, Session>,
    users: BTreeMap<UserId, usize>,
    begun: u64,
}

/// The register of a tree. Cloning gives another hold on the same.
#[derive(Clone, Default)]
pub(crate) struct Register(Arc<Mutex<Inner>>);

/// A place in it.
pub(crate) struct Place {
    register: Register,
    session: Arc<str>,
    /// As it was counted last.
    state: Mutex<Option<State>>,
}

impl Register {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a session of this person, and the name of its connection.
    pub(crate) fn enter(
        &self,
        session: Arc<str>,
        user: UserId,
        pass: Arc<dyn Pass>,
        seats: Seats,
    ) -> Result<(Place, ConnectionId), NoPlace> {
        let mut inner = self.inner();
        if inner.sessions.len() >= seats.in_all {
            return Err(NoPlace::InAll(seats.in_all));
        }
        let theirs = inner.users.entry(user.clone()).or_default();
        if *theirs >= seats.of_one {
            return Err(NoPlace::OfOne(seats.of_one));
        }
        *theirs += 1;
        inner.begun += 1;
        let connection = ConnectionId::new(inner.begun.to_string());
        let begun = Session {
            user,
            handle: None,
            pass,
        };
        inner.sessions.insert(session.clone(), begun);
        drop(inner);
        let place = Place {
            register: self.clone(),
            session,
            state: Mutex::default(),
        };
        Ok((place, connection))
    }

    /// The session can be found from now on.
    pub(crate) fn started(&self, session: &str, handle: Handle<Connection>) {
        if let Some(started) = self.inner().sessions.get_mut(session) {
            started.handle = Some(handle);
        }
    }

    /// Its client shows this from now on.
    pub(crate) fn shows(&self, session: &str, pass: Arc<dyn Pass>) {
        if let Some(shown) = self.inner().sessions.get_mut(session) {
            shown.pass = pass;
        }
    }

    /// Whose session of that name is there.
    pub(crate) fn find(&self, session: &str) -> Option<(UserId, Handle<Connection>)> {
        let inner = self.inner();
        let found = inner.sessions.get(session)?;
        Some((found.user.clone(), found.handle.clone()?))
    }

    /// All that are there.
    pub(crate) fn all(&self) -> Vec<Handle<Connection>> {
        let inner = self.inner();
        let handles = inner.sessions.values();
        handles.filter_map(|one| one.handle.clone()).collect()
    }

    /// Those whose clients may be here no more.
    pub(crate) fn over(&self) -> Vec<Handle<Connection>> {
        let inner = self.inner();
        let over = inner.sessions.values().filter(|one| !one.pass.is_valid());
        over.filter_map(|one| one.handle.clone()).collect()
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.inner().sessions.len()
    }
}

impl Place {
    /// What its client was let in with, last.
    pub(crate) fn pass(&self) -> Option<Arc<dyn Pass>> {
        let inner = self.register.inner();
        let session = inner.sessions.get(&self.session)?;
        Some(Arc::clone(&session.pass))
    }

    /// It is like this now.
    pub(crate) fn turned(&self, to: State) {
        self.count(Some(to));
    }

    fn count(&self, to: Option<State>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        meters::turned(std::mem::replace(&mut *state, to), to);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.count(None);
        let mut inner = self.register.inner();
        let Some(Session { user, .. }) = inner.sessions.remove(&self.session) else {
            return;
        };
        if let Some(theirs) = inner.users.get_mut(&user) {
            *theirs -= 1;
            if *theirs == 0 {
                inner.users.remove(&user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pass::Free;

    #[test]
    fn places_are_counted_of_one_and_in_all_and_given_back() {
        let register = Register::default();
        let seats = Seats {
            in_all: 3,
            of_one: 2,
        };
        let enter = |session: &str, user: &str| {
            let entered = register.enter(session.into(), UserId::new(user), Arc::new(Free), seats);
            entered.map(|(place, _)| place)
        };
        let first = enter("1", "ann").ok();
        let _second = enter("2", "ann").ok();
        assert_eq!(enter("3", "ann").err(), Some(NoPlace::OfOne(2)));
        let _third = enter("3", "bob").ok();
        assert_eq!(enter("4", "bob").err(), Some(NoPlace::InAll(3)));
        assert_eq!(register.count(), 3);
        drop(first);
        assert!(enter("4", "ann").is_ok());
        assert!(register.find("2").is_none(), "it has not started yet");
    }
}
