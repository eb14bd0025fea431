//! Who waits for which reading of the machine: one reading runs at a time, and it answers only those who asked before it
//! began.
//!
//! Invariants: never two readings at once, however many ask; nobody gets a reading older than their question; at most
//! `WAITING` wait.

/// Askers that wait for a reading. Settings change by hand or by a file: more at once are no one's hand, and get the
/// figures of the last reading.
const WAITING: usize = 16;

/// The readings of one governor. `W` is whoever waits for one.
pub(crate) struct Reads<W> {
    running: bool,
    /// Asked before the running one began.
    served: Vec<W>,
    /// Asked since.
    waiting: Vec<W>,
}

impl<W> Default for Reads<W> {
    fn default() -> Self {
        Self {
            running: false,
            served: Vec::new(),
            waiting: Vec::new(),
        }
    }
}

impl<W> Reads<W> {
    /// Someone wants a reading that begins after this.
    ///
    /// # Errors
    /// Too many wait; the asker comes back.
    pub(crate) fn join(&mut self, who: W) -> Result<(), W> {
        if self.served.len().saturating_add(self.waiting.len()) >= WAITING {
            return Err(who);
        }
        self.waiting.push(who);
        Ok(())
    }

    /// True if a reading is to be started now; false if one runs already.
    pub(crate) fn begin(&mut self) -> bool {
        if self.running {
            return false;
        }
        self.running = true;
        self.served = std::mem::take(&mut self.waiting);
        true
    }

    /// Whether one runs.
    pub(crate) fn is_running(&self) -> bool {
        self.running
    }

    /// The running one is done: those it is for, and whether others wait for the next.
    pub(crate) fn done(&mut self) -> (Vec<W>, bool) {
        self.running = false;
        (std::mem::take(&mut self.served), !self.waiting.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_gets_a_reading_that_began_before_they_asked() {
        let mut reads = Reads::default();
        assert!(reads.begin());
        reads.join("a").unwrap();
        assert!(!reads.begin(), "one at a time");
        assert_eq!(reads.done(), (vec![], true));
        assert!(reads.begin());
        reads.join("b").unwrap();
        assert_eq!(reads.done(), (vec!["a"], true));
        assert!(reads.begin());
        assert_eq!(reads.done(), (vec!["b"], false));
    }

    #[test]
    fn too_many_are_sent_back() {
        let mut reads = Reads::default();
        for n in 0..WAITING {
            reads.join(n).unwrap();
            if n == 3 {
                assert!(reads.begin());
            }
        }
        assert_eq!(reads.join(99), Err(99));
        assert_eq!(reads.done().0.len(), 4);
        assert_eq!(reads.join(99), Ok(()));
    }
}
