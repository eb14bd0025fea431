//! Why: what a key press means depends on how often it came. Signals arrive here as values, counted, so that the
//! meaning is decided by whoever waits for them and never inside a handler.

use std::io;

use tokio::signal::unix::{Signal as Listener, SignalKind, signal};

/// What the process was told from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Ctrl-C (SIGINT); `press` counts from 1.
    Interrupt {
        /// How many there were, this one included.
        press: u32,
    },
    /// SIGTERM: end soon, in order.
    Terminate,
}

/// Listens for Ctrl-C and SIGTERM. While one exists, neither ends the process by itself.
#[derive(Debug)]
pub struct Signals {
    interrupt: Listener,
    terminate: Listener,
    presses: u32,
}

impl Signals {
    /// Starts to listen; needs a runtime with its I/O driver.
    ///
    /// # Errors
    /// The system refused the handler.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            presses: 0,
        })
    }

    /// The next signal. Cancel-safe. SIGTERM goes first when both wait.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => Signal::Terminate,
            _ = self.interrupt.recv() => {
                self.presses = self.presses.saturating_add(1);
                Signal::Interrupt { press: self.presses }
            }
        }
    }

    /// Counts presses from zero again: a new prompt, a new answer.
    pub fn forgive(&mut self) {
        self.presses = 0;
    }
}
