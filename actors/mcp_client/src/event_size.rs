//! How long an event of an event stream may be. Whoever reads the stream keeps an event until its empty line comes.

/// Counts the bytes since the last empty line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EventSize {
    limit: usize,
    event: usize,
    /// Whether the present line has anything but its end.
    is_empty_line: bool,
}

/// An event that does not end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it sent an event longer than {0} bytes")]
pub(crate) struct TooLong(usize);

impl EventSize {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            event: 0,
            is_empty_line: true,
        }
    }

    /// Some more of the stream. A lone `\r`, which the format allows as a line's end and nobody writes, ends nothing here:
    /// at worst a stream is called too long.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        for &byte in bytes {
            match byte {
                b'\n' if self.is_empty_line => self.event = 0,
                b'\n' => self.is_empty_line = true,
                b'\r' => {}
                _ => self.is_empty_line = false,
            }
            self.event += 1;
            if self.event > self.limit {
                return Err(TooLong(self.limit));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_ends_with_an_empty_line_wherever_the_stream_is_cut() {
        let stream = b"data: 12\r\ndata: 34\r\n\r\ndata: 5678\n\ndata: 90\n\n";
        for at in 0..stream.len() {
            let (first, second) = stream.split_at(at);
            let mut size = EventSize::new(24);
            assert_eq!(size.take(first).and_then(|()| size.take(second)), Ok(()));
            let mut size = EventSize::new(20);
            let taken = size.take(first).and_then(|()| size.take(second));
            assert_eq!(taken, Err(TooLong(20)));
        }
        let mut size = EventSize::new(1000);
        let mut endless = std::iter::repeat_n(b"data: x\r\n", 200);
        let taken = endless.try_for_each(|line| size.take(line));
        assert_eq!(taken, Err(TooLong(1000)));
    }
}
