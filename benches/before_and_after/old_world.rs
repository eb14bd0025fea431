//! The nine threads of the origin, each written anew after what `docs/origin.md` says of it: what it sleeps, what it polls,
//! what it shares, and that nothing ends it. The one file of the tree that starts threads of its own, so that it can be
//! measured what that costs; tidy knows it by name.
//!
//! ```text
//!  bootstrap   builds a second runtime and is waited for   RT-01, RT-04
//!  governor    looks at memory every 5 s, for ever         MG-20
//!  cache       stamps a clock every 100 ms, for ever       CJ-01
//!  health      looks at all connections every second       CN-03; its stop flag is seen at the next look
//!  typing      sweeps every minute                         TY-05; its stop flag is seen at the next sweep
//!  config      registers three validators, and ends        CF-06
//!  agent       puts one value together, and ends           AG-03
//!  cli         waits for a signal, then drains             CL-01
//!  prompt      one for each prompt                         PD-07
//! ```
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the model of what the project replaces: threads that sleep, tasks without an owner, a second runtime"
)]

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::runtime::Runtime;
use tokio::sync::{broadcast, mpsc};

use crate::client::{Client, line};
use crate::lane::{Failure, Promise};
use crate::old_session;
use crate::old_state::{OldState, OldStatus};
use crate::panics::bug;

/// The origin's intervals.
const CLOCK_TICK: Duration = Duration::from_millis(100);
const HEALTH_LOOK: Duration = Duration::from_secs(1);
const DRAIN_LOOK: Duration = Duration::from_millis(100);
const DRAIN_MOST: Duration = Duration::from_secs(5);
const QUEUE_WAIT: Duration = Duration::from_micros(100);
const QUEUE_REST: Duration = Duration::from_millis(1);
/// One token of the scripted model, while it is held.
const STEP: Duration = Duration::from_millis(1);
/// Pieces of an answer on their way to whoever reads it.
const PIECES: usize = 256;
/// What its threads are called.
pub(crate) const NAMES: [&str; 9] = [
    "old-bootstrap",
    "old-governor",
    "old-cache",
    "old-health",
    "old-typing",
    "old-config",
    "old-agent",
    "old-cli",
    "old-prompt",
];

/// The old world, running.
pub(crate) struct OldWorld {
    pub(crate) state: Arc<OldState>,
    signal: mpsc::Sender<()>,
}

impl OldWorld {
    /// Starts what started with the application, and one agent.
    pub(crate) async fn start(promise: Promise) -> Result<Self, Failure> {
        let state = Arc::new(OldState::new(promise));
        bootstrap(&state)?;
        govern(&state)?;
        stamp(&state)?;
        watch_health(&state)?;
        sweep_typing(&state)?;
        register_validators(&state)?;
        assemble_agent(&state).await?;
        let (signal, signals) = mpsc::channel(1);
        watch_signals(&state, signals)?;
        Ok(Self { state, signal })
    }

    /// A client that has just connected.
    pub(crate) fn connect(&self) -> Client {
        let (client, line) = line();
        spawn_stream(old_session::session(Arc::clone(&self.state), line));
        client
    }

    /// RS-04: from now on the two queues of messages are polled.
    pub(crate) fn poll_messages(&self) {
        spawn_stream(poll(Arc::clone(&self.state)));
    }

    /// Asks for an answer of these words; the model computes while `held`.
    pub(crate) fn prompt(
        &self,
        words: &str,
        held: Arc<AtomicBool>,
    ) -> Result<mpsc::Receiver<String>, Failure> {
        let (said, heard) = mpsc::channel(PIECES);
        let words: Vec<String> = words.split_inclusive(' ').map(str::to_owned).collect();
        let state = Arc::clone(&self.state);
        state.pending.fetch_add(1, Ordering::Relaxed);
        thread(&self.state, NAMES[8], move || {
            while held.load(Ordering::Relaxed) {
                thread::sleep(STEP);
            }
            if state.prompt_panics.swap(false, Ordering::Relaxed) {
                bug();
            }
            for word in words {
                // AG-16: nobody looks whether somebody still listens.
                let _ = said.blocking_send(word);
            }
            // PL-05: who does not come here stays pending.
            state.pending.fetch_sub(1, Ordering::Relaxed);
        })?;
        Ok(heard)
    }

    /// Threads that were started so far.
    pub(crate) fn begun(&self) -> usize {
        self.state.begun.load(Ordering::Relaxed)
    }

    pub(crate) fn statuses(&self) -> broadcast::Receiver<OldStatus> {
        self.state.connections.events.subscribe()
    }

    /// All that can be asked to stop is asked to: the flags are cleared, and the signal is given.
    pub(crate) fn ask_to_stop(&self) {
        self.state
            .connections
            .is_checked
            .store(false, Ordering::Relaxed);
        self.state.typing.is_swept.store(false, Ordering::Relaxed);
        // It is waited for by nobody but its thread.
        let _ = self.signal.try_send(());
    }
}

/// The one place that starts a thread. Who started it keeps nothing by which it could be stopped or joined.
fn thread(
    state: &OldState,
    name: &str,
    work: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    state.begun.fetch_add(1, Ordering::Relaxed);
    thread::Builder::new().name(name.to_owned()).spawn(work)
}

/// RT-06: a task that nobody owns.
pub(crate) fn spawn_stream(work: impl Future<Output = ()> + Send + 'static) {
    drop(tokio::spawn(work));
}

/// RT-01: a second runtime, made by a thread that is waited for, and never shut down.
fn bootstrap(state: &OldState) -> Result<(), Failure> {
    let (made, mut second) = mpsc::channel(1);
    let build = move || {
        let _ = made.blocking_send(Runtime::new());
    };
    let joined = thread(state, NAMES[0], build)?.join();
    joined.map_err(|_| "the bootstrap panicked")?;
    // It was in a static.
    std::mem::forget(second.try_recv()??);
    Ok(())
}

/// MG-20. MG-03: the copy is made while nothing is allocated, and stays so.
fn govern(state: &OldState) -> io::Result<JoinHandle<()>> {
    let governor = state.governor.clone();
    let pause = state.promise.memory_look;
    thread(state, NAMES[1], move || {
        loop {
            thread::sleep(pause);
            if governor.panics.swap(false, Ordering::Relaxed) {
                bug();
            }
            governor.look();
        }
    })
}

/// CJ-01.
fn stamp(state: &Arc<OldState>) -> io::Result<JoinHandle<()>> {
    let shared = Arc::clone(state);
    thread(state, NAMES[2], move || {
        loop {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            let seconds = now.map_or(0, |now| now.as_secs());
            shared.clock.store(seconds, Ordering::Relaxed);
            thread::sleep(CLOCK_TICK);
        }
    })
}

/// CN-03: every second, whatever was configured.
fn watch_health(state: &Arc<OldState>) -> io::Result<JoinHandle<()>> {
    let shared = Arc::clone(state);
    thread(state, NAMES[3], move || {
        while shared.connections.is_checked.load(Ordering::Relaxed) {
            shared.connections.check();
            thread::sleep(shared.promise.attempt.min(HEALTH_LOOK));
        }
    })
}

/// TY-05.
fn sweep_typing(state: &Arc<OldState>) -> io::Result<JoinHandle<()>> {
    let shared = Arc::clone(state);
    thread(state, NAMES[4], move || {
        while shared.typing.is_swept.load(Ordering::Relaxed) {
            thread::sleep(shared.promise.sweep);
            if shared.typing.panics.swap(false, Ordering::Relaxed) {
                bug();
            }
            shared.typing.sweep();
        }
    })
}

/// CF-06.
fn register_validators(state: &Arc<OldState>) -> io::Result<JoinHandle<()>> {
    let shared = Arc::clone(state);
    thread(state, NAMES[5], move || {
        if let Ok(mut validators) = shared.validators.write() {
            validators.extend(["personality", "behavior", "ui"]);
        }
    })
}

/// AG-03: a thread to put a value together.
async fn assemble_agent(state: &OldState) -> Result<(), Failure> {
    let (assembled, mut agent) = mpsc::channel(1);
    let assemble = move || {
        let _ = assembled.blocking_send(("scripted", 0.7_f64, 2048_u32));
    };
    drop(thread(state, NAMES[6], assemble)?);
    agent.recv().await.ok_or("the agent was not put together")?;
    Ok(())
}

/// CL-01, CL-16: on a signal what is pending is waited for, and nothing else.
fn watch_signals(
    state: &Arc<OldState>,
    mut signals: mpsc::Receiver<()>,
) -> io::Result<JoinHandle<()>> {
    let shared = Arc::clone(state);
    thread(state, NAMES[7], move || {
        if signals.blocking_recv().is_none() {
            return;
        }
        shared.stopping.store(true, Ordering::Relaxed);
        let mut waited = Duration::ZERO;
        while shared.pending.load(Ordering::Relaxed) > 0 && waited < DRAIN_MOST {
            thread::sleep(DRAIN_LOOK);
            waited += DRAIN_LOOK;
        }
        // Here the origin ended the process from this thread, with status 0. The model lets the others be counted.
    })
}

/// RS-04: each queue is locked and waited for a moment, in turn, for ever.
async fn poll(state: Arc<OldState>) {
    loop {
        for queue in [&state.messages.high, &state.messages.normal] {
            let mut queue = queue.lock().await;
            let _ = tokio::time::timeout(QUEUE_WAIT, queue.recv()).await;
        }
        tokio::time::sleep(QUEUE_REST).await;
    }
}
