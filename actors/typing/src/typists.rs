//! Who is typing where, and until when: an expiring map of (conversation, user), of which only edges are told.
//!
//! Somebody types while anything says so for them: one of their connections, each until its own deadline, or a lease,
//! which has none. They begin with the first and end with the last.
//!
//! Invariants: a keystroke more is no edge; nobody is typing at or after their deadline, whether or not anybody looked;
//! no time is read here, and what is refused changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use domain::{ConnectionId, ConversationId, FieldError, UserId};
use tokio::time::Instant;

#[cfg(test)]
mod tests;

/// How long somebody counts as typing after their last keystroke, unless it was set otherwise. Discord's is as long.
pub const EXPIRY: Duration = Duration::from_secs(10);
/// The shortest that may be set: clients say that they still type every few seconds.
pub const EXPIRY_MIN: Duration = Duration::from_secs(1);
/// The longest that may be set: after two minutes nobody believes it.
pub const EXPIRY_MAX: Duration = Duration::from_mins(2);
/// People typing in one conversation at once: the whole set goes to everybody who looks, and nobody reads more names.
pub const IN_ONE: usize = 100;
/// What may be held in all, about 200 bytes each.
pub const IN_ALL: usize = 65_536;

/// Who types where. Two ids, not one text: ids may contain any character.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Where.
    pub conversation: ConversationId,
    /// Who.
    pub user: UserId,
}

/// What says that somebody types.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Holder {
    /// A client, until its deadline.
    Connection(ConnectionId),
    /// A lease, until it is given back.
    Lease(u64),
}

/// Why somebody types no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// They said so.
    Stopped,
    /// They were silent until the deadline.
    Expired,
    /// Their connection ended.
    Left,
    /// The lease was given back.
    Returned,
}

impl Cause {
    /// All, for what counts them.
    pub const ALL: [Self; 4] = [Self::Stopped, Self::Expired, Self::Left, Self::Returned];

    /// As metrics have it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Expired => "expired",
            Self::Left => "left",
            Self::Returned => "returned",
        }
    }
}

/// Somebody began to type, or ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Who, where.
    pub key: Key,
    /// Which of both.
    pub what: Turned,
}

/// Which edge it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turned {
    /// They began.
    Began,
    /// They ended.
    Ended {
        /// Why.
        cause: Cause,
        /// From the first keystroke on; of who fell silent, to the deadline.
        after: Duration,
    },
}

/// Why somebody is not shown as typing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// [`IN_ONE`] type in this conversation.
    Conversation,
    /// [`IN_ALL`] are held.
    All,
}

#[derive(Debug)]
struct Typing {
    since: Instant,
    /// Their last word each; a lease has none.
    holders: BTreeMap<Holder, Option<Instant>>,
}

/// Everybody who types.
#[derive(Debug)]
pub struct Typists {
    expiry: Duration,
    conversations: BTreeMap<ConversationId, BTreeMap<UserId, Typing>>,
    deadlines: BTreeSet<(Instant, Key, ConnectionId)>,
    of_connections: BTreeMap<ConnectionId, BTreeSet<Key>>,
    leases: BTreeMap<u64, Key>,
    held: usize,
}

/// Whether somebody may be believed for so long.
///
/// # Errors
/// `expiry` outside [`EXPIRY_MIN`] to [`EXPIRY_MAX`].
pub fn check(expiry: Duration) -> Result<Duration, FieldError> {
    if (EXPIRY_MIN..=EXPIRY_MAX).contains(&expiry) {
        return Ok(expiry);
    }
    let allowed = "1s to 2m";
    Err(FieldError::new("expiry", format!("{expiry:?}"), allowed))
}

impl Typists {
    /// Nobody yet. A keystroke counts for so long; see [`check`].
    pub fn new(expiry: Duration) -> Self {
        Self {
            expiry,
            conversations: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            of_connections: BTreeMap::new(),
            leases: BTreeMap::new(),
            held: 0,
        }
    }

    /// A keystroke, seen by this client: they type until `now` and the expiry.
    ///
    /// # Errors
    /// [`Refused`]; one who is shown already is never refused.
    pub fn typed(
        &mut self,
        key: Key,
        connection: ConnectionId,
        now: Instant,
    ) -> Result<Option<Edge>, Refused> {
        let holder = Holder::Connection(connection.clone());
        let edge = self.hold(key.clone(), &holder, Some(now), now)?;
        self.of_connections
            .entry(connection.clone())
            .or_default()
            .insert(key.clone());
        self.deadlines.insert((now + self.expiry, key, connection));
        Ok(edge)
    }

    /// They type until the lease is given back.
    ///
    /// # Errors
    /// As [`Typists::typed`].
    pub fn lend(&mut self, key: Key, lease: u64, now: Instant) -> Result<Option<Edge>, Refused> {
        let edge = self.hold(key.clone(), &Holder::Lease(lease), None, now)?;
        self.leases.insert(lease, key);
        Ok(edge)
    }

    /// This client says that they stopped. What never began has no edge.
    pub fn stopped(&mut self, key: &Key, connection: &ConnectionId, now: Instant) -> Option<Edge> {
        self.let_go(
            key,
            &Holder::Connection(connection.clone()),
            Cause::Stopped,
            now,
        )
    }

    /// This client is gone, and all that it said with it.
    pub fn left(&mut self, connection: &ConnectionId, now: Instant) -> Vec<Edge> {
        let keys = self.of_connections.get(connection).cloned();
        let ended = keys.into_iter().flatten().filter_map(|key| {
            self.let_go(
                &key,
                &Holder::Connection(connection.clone()),
                Cause::Left,
                now,
            )
        });
        ended.collect()
    }

    /// The lease was given back.
    pub fn returned(&mut self, lease: u64, now: Instant) -> Option<Edge> {
        let key = self.leases.get(&lease)?.clone();
        self.let_go(&key, &Holder::Lease(lease), Cause::Returned, now)
    }

    /// The leases that are out.
    pub fn leases(&self) -> impl Iterator<Item = u64> {
        self.leases.keys().copied()
    }

    /// Those whose deadline has come.
    pub fn expire(&mut self, now: Instant) -> Vec<Edge> {
        let mut ended = Vec::new();
        while let Some((deadline, key, connection)) = self.deadlines.first().cloned() {
            if deadline > now {
                break;
            }
            let holder = Holder::Connection(connection);
            ended.extend(self.let_go(&key, &holder, Cause::Expired, deadline));
        }
        ended
    }

    /// When [`Typists::expire`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, ..)| *deadline)
    }

    /// From now on keystrokes count for so long, those of before, too; see [`check`].
    pub fn set_expiry(&mut self, expiry: Duration) {
        let said = |deadline: Instant| deadline.checked_sub(self.expiry).unwrap_or(deadline);
        let deadlines = std::mem::take(&mut self.deadlines).into_iter();
        let moved = deadlines.map(|(at, key, connection)| (said(at) + expiry, key, connection));
        self.deadlines = moved.collect();
        self.expiry = expiry;
    }

    /// Who types there at this moment, in order. Whose deadline has come is not among them, even if nobody called
    /// [`Typists::expire`].
    pub fn typing(&self, conversation: &ConversationId, now: Instant) -> Vec<UserId> {
        let all = self.conversations.get(conversation).into_iter().flatten();
        let typing = all.filter(|(_, typing)| {
            let mut holders = typing.holders.values();
            holders.any(|said| said.is_none_or(|said| said + self.expiry > now))
        });
        typing.map(|(user, _)| user.clone()).collect()
    }

    /// How many type, in all conversations: a person counts once in each.
    pub fn count(&self) -> usize {
        self.conversations.values().map(BTreeMap::len).sum()
    }

    fn hold(
        &mut self,
        key: Key,
        holder: &Holder,
        said: Option<Instant>,
        now: Instant,
    ) -> Result<Option<Edge>, Refused> {
        let room = self.conversations.get(&key.conversation);
        let theirs = room.and_then(|room| room.get(&key.user));
        let known = theirs.is_some_and(|typing| typing.holders.contains_key(holder));
        if theirs.is_none() && room.is_some_and(|room| room.len() >= IN_ONE) {
            return Err(Refused::Conversation);
        }
        if !known && self.held >= IN_ALL {
            return Err(Refused::All);
        }
        let began = theirs.is_none();
        let room = self
            .conversations
            .entry(key.conversation.clone())
            .or_default();
        let typing = room.entry(key.user.clone()).or_insert_with(|| Typing {
            since: now,
            holders: BTreeMap::new(),
        });
        match typing.holders.insert(holder.clone(), said) {
            None => self.held += 1,
            Some(before) => self.forget_deadline(&key, holder, before),
        }
        let what = Turned::Began;
        Ok(began.then_some(Edge { key, what }))
    }

    fn let_go(&mut self, key: &Key, holder: &Holder, cause: Cause, now: Instant) -> Option<Edge> {
        let room = self.conversations.get_mut(&key.conversation)?;
        let typing = room.get_mut(&key.user)?;
        let said = typing.holders.remove(holder)?;
        let since = typing.since;
        let ended = typing.holders.is_empty();
        if ended {
            room.remove(&key.user);
        }
        if room.is_empty() {
            self.conversations.remove(&key.conversation);
        }
        self.held -= 1;
        self.forget_deadline(key, holder, said);
        match holder {
            Holder::Lease(lease) => drop(self.leases.remove(lease)),
            Holder::Connection(connection) => self.forget_connection(connection, key),
        }
        let after = now.saturating_duration_since(since);
        ended.then(|| Edge {
            key: key.clone(),
            what: Turned::Ended { cause, after },
        })
    }

    fn forget_deadline(&mut self, key: &Key, holder: &Holder, said: Option<Instant>) {
        if let (Holder::Connection(connection), Some(said)) = (holder, said) {
            self.deadlines
                .remove(&(said + self.expiry, key.clone(), connection.clone()));
        }
    }

    fn forget_connection(&mut self, connection: &ConnectionId, key: &Key) {
        if let Some(keys) = self.of_connections.get_mut(connection) {
            keys.remove(key);
            if keys.is_empty() {
                self.of_connections.remove(connection);
            }
        }
    }
}
