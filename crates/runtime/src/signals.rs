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
    /// SIGHUP: the terminal is gone, so end soon, in order; to a server without one: read the settings again.
    HangUp,
}

/// Listens for Ctrl-C, SIGTERM and SIGHUP. From then on none of them ends the process by itself.
#[derive(Debug)]
pub struct Signals {
    interrupt: Listener,
    terminate: Listener,
    /// None where whoever started us said to ignore it, as `nohup` does.
    hang_up: Option<Listener>,
    presses: u32,
}

impl Signals {
    /// Starts to listen; needs a runtime with its I/O driver.
    ///
    /// # Errors
    /// The system refused the handler.
    pub fn listen() -> io::Result<Self> {
        let hang_up = if hang_up_is_ignored(&status()) {
            None
        } else {
            Some(signal(SignalKind::hangup())?)
        };
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up,
            presses: 0,
        })
    }

    /// The next signal. Cancel-safe. When several wait, SIGTERM goes first and Ctrl-C last.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => Signal::Terminate,
            () = heard(self.hang_up.as_mut()) => Signal::HangUp,
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

/// One signal of an optional listener; never, where there is none.
async fn heard(listener: Option<&mut Listener>) {
    match listener {
        Some(listener) => {
            listener.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// What the system says of this process; empty where there is no `/proc`.
fn status() -> String {
    std::fs::read_to_string("/proc/self/status").unwrap_or_default()
}

/// Whether SIGHUP was ignored before we came: the lowest bit of `SigIgn`, see `proc(5)`.
fn hang_up_is_ignored(status: &str) -> bool {
    status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_says_whether_hanging_up_is_ignored() {
        for (status, ignored) in [
            ("Name:\tx\nSigIgn:\t0000000000001001\nSigCgt:\t0\n", true),
            ("SigIgn:\t0000000000001000\n", false),
            ("SigIgn:\tnonsense\n", false),
            ("SigCgt:\t1\n", false),
            ("", false),
        ] {
            assert_eq!(hang_up_is_ignored(status), ignored, "{status:?}");
        }
    }
}
