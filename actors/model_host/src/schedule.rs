//! Who moves in the next step.
//!
//! Every sequence that has one token to append (the one sampled last) moves. Of those that still read a prompt, one
//! reads one chunk: the one that waited longest. So a long prompt delays an answer by one chunk per token, never by the
//! whole prompt, and prompts share fairly. After a crash the sequences that were part of it move alone, one at a time,
//! until they have said something: the guilty one then crashes without company.
//!
//! Nothing here knows tokens, engines or time.

/// A sequence as the schedule sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seat {
    pub(crate) key: u64,
    /// Tokens it has to append before the next is sampled.
    pub(crate) unfed: usize,
    /// The step that last gave it a chunk; 0 for none.
    pub(crate) served: u64,
    /// Whether it runs alone.
    pub(crate) suspect: bool,
}

/// What one sequence does in the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Move {
    pub(crate) key: u64,
    pub(crate) tokens: usize,
    pub(crate) sample: bool,
}

/// The moves of the next step; empty if nobody can move. `chunk` is at least 1.
pub(crate) fn plan(seats: &[Seat], chunk: usize) -> Vec<Move> {
    let chunk = chunk.max(1);
    let suspect = seats
        .iter()
        .filter(|seat| seat.suspect && seat.unfed > 0)
        .min_by_key(|seat| seat.key);
    if let Some(alone) = suspect {
        return vec![step_of(alone, chunk)];
    }
    let reader = seats
        .iter()
        .filter(|seat| seat.unfed > 1)
        .min_by_key(|seat| (seat.served, seat.key));
    seats
        .iter()
        .filter(|seat| seat.unfed == 1)
        .chain(reader)
        .map(|seat| step_of(seat, chunk))
        .collect()
}

fn step_of(seat: &Seat, chunk: usize) -> Move {
    let tokens = seat.unfed.min(chunk);
    Move {
        key: seat.key,
        tokens,
        sample: tokens == seat.unfed,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seat(key: u64, unfed: usize, served: u64) -> Seat {
        Seat {
            key,
            unfed,
            served,
            suspect: false,
        }
    }

    fn moves(seats: &[Seat]) -> Vec<(u64, usize, bool)> {
        plan(seats, 32)
            .into_iter()
            .map(|m| (m.key, m.tokens, m.sample))
            .collect()
    }

    #[test]
    fn who_moves() {
        assert_eq!(moves(&[]), []);
        assert_eq!(moves(&[seat(1, 0, 0)]), []);
        assert_eq!(moves(&[seat(1, 1, 0)]), [(1, 1, true)]);
        assert_eq!(moves(&[seat(1, 32, 0)]), [(1, 32, true)]);
        assert_eq!(moves(&[seat(1, 33, 0)]), [(1, 32, false)]);
        // Decoding goes on beside one chunk of one prompt.
        assert_eq!(
            moves(&[seat(1, 100, 0), seat(2, 1, 0), seat(3, 2, 0), seat(4, 1, 0)]),
            [(2, 1, true), (4, 1, true), (1, 32, false)]
        );
        // The prompt that waited longest.
        assert_eq!(moves(&[seat(1, 100, 9), seat(2, 40, 3)]), [(2, 32, false)]);
    }

    #[test]
    fn suspects_move_alone() {
        let suspect = |key, unfed| Seat {
            suspect: true,
            ..seat(key, unfed, 0)
        };
        assert_eq!(
            moves(&[seat(1, 1, 0), suspect(3, 40), suspect(2, 33)]),
            [(2, 32, false)]
        );
        assert_eq!(moves(&[seat(1, 1, 0), suspect(3, 1)]), [(3, 1, true)]);
        assert_eq!(moves(&[seat(1, 1, 0), suspect(3, 0)]), [(1, 1, true)]);
    }

    proptest! {
        /// Run to the end: every prompt is read in at most (all chunks of all prompts) steps, decoders move in each
        /// step, nobody moves twice, and a step reads at most one chunk.
        #[test]
        fn nobody_starves(prompts in prop::collection::vec(2usize..300, 0..8), deciders in 0u64..6, chunk in 1usize..64) {
            let mut seats: Vec<Seat> = prompts.iter().enumerate().map(|(i, n)| seat(i as u64, *n, 0)).collect();
            let readers = seats.len();
            seats.extend((0..deciders).map(|i| seat(1000 + i, 1, 0)));
            let chunks: usize = prompts.iter().map(|n| n.div_ceil(chunk)).sum();
            for step in 1..=chunks as u64 {
                let moves = plan(&seats, chunk);
                let read: usize = moves.iter().filter(|m| m.tokens > 1 || !m.sample).map(|m| m.tokens).sum();
                prop_assert!(read <= chunk);
                let mut keys: Vec<u64> = moves.iter().map(|m| m.key).collect();
                keys.sort_unstable();
                keys.dedup();
                prop_assert_eq!(keys.len(), moves.len());
                let decoding = seats.iter().filter(|s| s.unfed == 1).count();
                prop_assert!(moves.len() >= decoding);
                for m in moves {
                    let seat = seats.iter_mut().find(|s| s.key == m.key).unwrap();
                    seat.served = step;
                    // A sampled token makes the next one to append.
                    seat.unfed = seat.unfed - m.tokens + usize::from(m.sample);
                }
            }
            prop_assert!(seats.iter().take(readers).all(|s| s.unfed == 1));
        }

        /// No prompt waits for more than one chunk of each other prompt.
        #[test]
        fn prompts_take_turns(prompts in prop::collection::vec(500usize..600, 2..6)) {
            let mut seats: Vec<Seat> = prompts.iter().enumerate().map(|(i, n)| seat(i as u64, *n, 0)).collect();
            let mut last = Vec::new();
            for step in 1..=(2 * prompts.len() as u64) {
                for m in plan(&seats, 10) {
                    let seat = seats.iter_mut().find(|s| s.key == m.key).unwrap();
                    seat.served = step;
                    seat.unfed -= m.tokens;
                    last.push(m.key);
                }
            }
            let (first, second) = last.split_at(prompts.len());
            prop_assert_eq!(first, second);
        }
    }
}
