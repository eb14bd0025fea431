//! What Ctrl-C means depends on how often it came: once stops the answer, twice leaves in order, three times leaves
//! at once. A new line from the person starts the count again.

/// How often Ctrl-C was pressed since the last line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Presses(u32);

/// What a press means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Stop what goes on, or, where nothing goes on, say how to leave.
    Stop,
    /// Leave in order.
    Drain,
    /// Leave at once.
    Leave,
}

impl Presses {
    /// Another press.
    pub(crate) fn press(&mut self) -> Meaning {
        self.0 = self.0.saturating_add(1);
        match self.0 {
            1 => Meaning::Stop,
            2 => Meaning::Drain,
            _ => Meaning::Leave,
        }
    }

    /// The person went on.
    pub(crate) fn forgive(&mut self) {
        self.0 = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_twice_three_times() {
        let mut presses = Presses::default();
        let meanings = [(); 4].map(|()| presses.press());
        assert_eq!(
            meanings,
            [
                Meaning::Stop,
                Meaning::Drain,
                Meaning::Leave,
                Meaning::Leave
            ]
        );
    }

    #[test]
    fn a_new_line_starts_again() {
        let mut presses = Presses::default();
        presses.press();
        presses.forgive();
        assert_eq!(presses.press(), Meaning::Stop);
    }
}
