//! What the nine threads of the old world shared: atomics, maps behind locks, broadcasts to everybody. Its defects are kept,
//! by the numbers of `docs/origin.md`; two things are kinder here than they were: a panic poisons no lock, and queues have a
//! bound, which is never reached.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::{Mutex, broadcast, mpsc};
use tokio::time::{Duration, Instant};

use crate::lane::{ATTEMPTS, Promise};

/// The bounds of the origin's broadcasts.
const TYPING_EVENTS: usize = 10_000;
const CONNECTION_EVENTS: usize = 100;
/// Messages that wait to be handed out.
const MESSAGES: usize = 10_000;

/// Everything that is shared.
pub(crate) struct OldState {
    pub(crate) promise: Promise,
    pub(crate) governor: OldGovernor,
    /// CJ: the cached clock, in whole seconds.
    pub(crate) clock: AtomicU64,
    pub(crate) connections: OldConnections,
    pub(crate) typing: OldTyping,
    pub(crate) messages: OldMessages,
    pub(crate) validators: RwLock<Vec<&'static str>>,
    pub(crate) stopping: AtomicBool,
    /// PL-14: what a drain waits for.
    pub(crate) pending: AtomicUsize,
    /// The next prompt panics, as a bug would.
    pub(crate) prompt_panics: AtomicBool,
    /// Threads that were begun.
    pub(crate) begun: AtomicUsize,
}

impl OldState {
    pub(crate) fn new(promise: Promise) -> Self {
        Self {
            promise,
            governor: OldGovernor::default(),
            clock: AtomicU64::new(0),
            connections: OldConnections::new(promise),
            typing: OldTyping::new(promise.typing),
            messages: OldMessages::default(),
            validators: RwLock::default(),
            stopping: AtomicBool::new(false),
            pending: AtomicUsize::new(0),
            prompt_panics: AtomicBool::new(false),
            begun: AtomicUsize::new(0),
        }
    }
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

/// MG: the ledger of memory, in MB.
#[derive(Default)]
pub(crate) struct OldGovernor {
    total: AtomicU64,
    allocated: AtomicU64,
    /// Shared by all copies, which each write it by figures of their own (MG-03).
    pressure: Arc<AtomicU64>,
    /// How often the machine was looked at, over all copies.
    pub(crate) looks: Arc<AtomicU64>,
    pub(crate) panics: Arc<AtomicBool>,
}

impl Clone for OldGovernor {
    /// MG-01: a copy has the values of the counters, not the counters.
    fn clone(&self) -> Self {
        Self {
            total: AtomicU64::new(self.total.load(Ordering::Relaxed)),
            allocated: AtomicU64::new(self.allocated.load(Ordering::Relaxed)),
            pressure: Arc::clone(&self.pressure),
            looks: Arc::clone(&self.looks),
            panics: Arc::clone(&self.panics),
        }
    }
}

impl OldGovernor {
    /// One look at the machine.
    pub(crate) fn look(&self) {
        let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let kib = meminfo.split_whitespace().nth(1);
        let kib: u64 = kib.and_then(|kib| kib.parse().ok()).unwrap_or(0);
        self.total.store(kib >> 10, Ordering::Relaxed);
        let allocated = self.allocated.load(Ordering::Relaxed);
        let hundredths = allocated * 100 / (kib >> 10).max(1);
        self.pressure.store(hundredths, Ordering::Relaxed);
        self.looks.fetch_add(1, Ordering::Relaxed);
    }
}

/// One connection.
#[allow(dead_code, reason = "as it was: kept for each, and read by nobody")]
pub(crate) struct OldConnection {
    user: String,
    session: String,
    last_activity: AtomicU64,
    attempts: AtomicUsize,
    messages: AtomicU64,
    bytes: AtomicU64,
    began: Instant,
    is_active: AtomicBool,
}

/// A connection's state changed. CN-09: it names a user, not a connection.
#[derive(Clone, Debug)]
pub(crate) struct OldStatus {
    pub(crate) user: String,
    pub(crate) failed: bool,
}

/// CN: who is connected.
pub(crate) struct OldConnections {
    map: RwLock<HashMap<u64, Arc<OldConnection>>>,
    next: AtomicU64,
    pub(crate) events: broadcast::Sender<OldStatus>,
    pub(crate) is_checked: AtomicBool,
    promise: Promise,
    began: Instant,
}

impl OldConnections {
    fn new(promise: Promise) -> Self {
        Self {
            map: RwLock::default(),
            next: AtomicU64::new(0),
            events: broadcast::Sender::new(CONNECTION_EVENTS),
            is_checked: AtomicBool::new(true),
            promise,
            began: Instant::now(),
        }
    }

    /// CN-01: nanoseconds since this very moment, which are none; where that is mended, since the beginning.
    fn now(&self) -> u64 {
        let since = if self.promise.mended {
            self.began
        } else {
            Instant::now()
        };
        since.elapsed().as_nanos() as u64
    }

    pub(crate) fn add(&self, user: &str, session: &str) -> u64 {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let connection = OldConnection {
            user: user.to_owned(),
            session: session.to_owned(),
            last_activity: AtomicU64::new(self.now()),
            attempts: AtomicUsize::new(0),
            messages: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            began: Instant::now(),
            is_active: AtomicBool::new(true),
        };
        write(&self.map).insert(id, Arc::new(connection));
        self.tell(user, false);
        id
    }

    pub(crate) fn get(&self, id: u64) -> Option<Arc<OldConnection>> {
        read(&self.map).get(&id).cloned()
    }

    pub(crate) fn remove(&self, id: u64) {
        write(&self.map).remove(&id);
    }

    pub(crate) fn heartbeat(&self, id: u64, bytes: usize) {
        if let Some(connection) = self.get(id) {
            connection
                .last_activity
                .store(self.now(), Ordering::Relaxed);
            connection.messages.fetch_add(1, Ordering::Relaxed);
            connection.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }

    /// One sweep: the silent are counted, and given up after three. CN-02, which stops it for ever, is mended here.
    pub(crate) fn check(&self) {
        let now = self.now();
        let silence = self.promise.silence.as_nanos() as u64;
        let is_silent = |one: &OldConnection| {
            let last = one.last_activity.load(Ordering::Relaxed);
            now.saturating_sub(last) >= silence || !one.is_active.load(Ordering::Relaxed)
        };
        let all = read(&self.map);
        let silent = all.iter().filter(|(_, one)| is_silent(one));
        let silent: Vec<_> = silent.map(|(id, one)| (*id, Arc::clone(one))).collect();
        drop(all);
        for (id, one) in silent {
            let failed = one.attempts.fetch_add(1, Ordering::Relaxed) >= ATTEMPTS as usize;
            if failed {
                self.remove(id);
            }
            self.tell(&one.user, failed);
        }
    }

    /// CN-11: whoever is slow loses events, and nobody hears of it.
    fn tell(&self, user: &str, failed: bool) {
        let user = user.to_owned();
        let _ = self.events.send(OldStatus { user, failed });
    }
}

/// Somebody began to type or ended. It goes to all who listen to any conversation (RS-08).
#[derive(Clone, Debug)]
pub(crate) struct OldTyped {
    pub(crate) user: String,
    pub(crate) session: String,
    pub(crate) typing: bool,
}

struct OldTypist {
    user: String,
    session: String,
    last_activity: Instant,
    typing: bool,
}

/// TY: who types.
pub(crate) struct OldTyping {
    /// TY-07: by `user:session`.
    states: RwLock<BTreeMap<String, OldTypist>>,
    pub(crate) events: broadcast::Sender<OldTyped>,
    expiry: Duration,
    pub(crate) is_swept: AtomicBool,
    pub(crate) panics: AtomicBool,
}

impl OldTyping {
    fn new(expiry: Duration) -> Self {
        Self {
            states: RwLock::default(),
            events: broadcast::Sender::new(TYPING_EVENTS),
            expiry,
            is_swept: AtomicBool::new(true),
            panics: AtomicBool::new(false),
        }
    }

    pub(crate) fn start(&self, user: &str, session: &str) {
        let state = OldTypist {
            user: user.to_owned(),
            session: session.to_owned(),
            last_activity: Instant::now(),
            typing: true,
        };
        write(&self.states).insert(format!("{user}:{session}"), state);
        self.tell(user, session, true);
    }

    pub(crate) fn stop(&self, user: &str, session: &str) {
        if let Some(state) = write(&self.states).get_mut(&format!("{user}:{session}")) {
            state.typing = false;
        }
        self.tell(user, session, false);
    }

    /// One sweep, the only thing that ends the typing of who fell silent (TY-05).
    pub(crate) fn sweep(&self) {
        let mut states = write(&self.states);
        let is_over = |state: &OldTypist| state.last_activity.elapsed() >= self.expiry;
        let over: Vec<_> = states.extract_if(.., |_, state| is_over(state)).collect();
        drop(states);
        for (_, state) in over.into_iter().filter(|(_, state)| state.typing) {
            self.tell(&state.user, &state.session, false);
        }
    }

    fn tell(&self, user: &str, session: &str, typing: bool) {
        let (user, session) = (user.to_owned(), session.to_owned());
        let _ = self.events.send(OldTyped {
            user,
            session,
            typing,
        });
    }
}

/// RS: two queues, each behind a lock, that are polled.
pub(crate) struct OldMessages {
    pub(crate) high: Mutex<mpsc::Receiver<String>>,
    pub(crate) normal: Mutex<mpsc::Receiver<String>>,
    /// Held, or the queues would end.
    _senders: [mpsc::Sender<String>; 2],
}

impl Default for OldMessages {
    fn default() -> Self {
        let (to_high, high) = mpsc::channel(MESSAGES);
        let (to_normal, normal) = mpsc::channel(MESSAGES);
        Self {
            high: Mutex::new(high),
            normal: Mutex::new(normal),
            _senders: [to_high, to_normal],
        }
    }
}
