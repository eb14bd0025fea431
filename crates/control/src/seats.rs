//! Who is connected: so many may be, and whoever finds no seat hears whose they are.

use std::sync::{Arc, Mutex, PoisonError};

/// Names that a refusal lists.
const LISTED: usize = 8;

/// The seats of one life of the listener.
#[derive(Debug)]
pub(crate) struct Seats {
    most: usize,
    taken: Arc<Mutex<Vec<Option<i32>>>>,
}

/// One seat; to drop it is to leave.
#[derive(Debug)]
pub(crate) struct Seat {
    pid: Option<i32>,
    taken: Arc<Mutex<Vec<Option<i32>>>>,
}

impl Seats {
    /// At most so many.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            taken: Arc::default(),
        }
    }

    /// A seat for a process.
    ///
    /// # Errors
    /// All are taken: by whom, and what to do.
    pub(crate) fn sit(&self, pid: Option<i32>) -> Result<Seat, String> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.len() >= self.most {
            return Err(full(&taken));
        }
        taken.push(pid);
        Ok(Seat {
            pid,
            taken: Arc::clone(&self.taken),
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = taken.iter().position(|pid| *pid == self.pid) {
            taken.swap_remove(at);
        }
    }
}

fn full(taken: &[Option<i32>]) -> String {
    let mut by: Vec<(i32, usize)> = Vec::new();
    for pid in taken.iter().flatten() {
        match by.iter_mut().find(|(known, _)| known == pid) {
            Some((_, times)) => *times += 1,
            None => by.push((*pid, 1)),
        }
    }
    // Those with most of them first: they are who to look at.
    by.sort_by_key(|(pid, times)| (std::cmp::Reverse(*times), *pid));
    let named = by.iter().take(LISTED).map(|(pid, times)| match times {
        1 => format!("process {pid}"),
        times => format!("process {pid} with {times}"),
    });
    let named: Vec<String> = named.collect();
    let more = match by.len().saturating_sub(LISTED) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    format!(
        "{} connections are open: close one of {}{more}",
        taken.len(),
        named.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_finds_no_seat_hears_whose_they_are() {
        let seats = Seats::new(3);
        let first = seats.sit(Some(7)).unwrap();
        let _second = seats.sit(Some(9)).unwrap();
        let _third = seats.sit(Some(9)).unwrap();
        let why = seats.sit(Some(1)).unwrap_err();
        assert_eq!(
            why,
            "3 connections are open: close one of process 9 with 2, process 7"
        );
        drop(first);
        let _fourth = seats.sit(Some(1)).unwrap();
        let why = seats.sit(Some(1)).unwrap_err();
        assert!(why.ends_with("process 9 with 2, process 1"), "{why}");
    }

    #[test]
    fn many_are_not_all_named() {
        let seats = Seats::new(20);
        let _all: Vec<Seat> = (0..20).map(|pid| seats.sit(Some(pid)).unwrap()).collect();
        let why = seats.sit(None).unwrap_err();
        assert!(why.ends_with("process 7, and 12 more"), "{why}");
    }
}
