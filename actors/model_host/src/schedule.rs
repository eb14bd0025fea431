//! Who moves in the next step.
//!
//! Every sequence that has one token to append (the one sampled last) moves. Of those that still read a prompt, one
//! reads one chunk: the one that waited longest. So a long prompt delays an answer by one chunk per token, never by the
//! whole prompt, and prompts share fairly. Beside someone who speaks the chunk is a smaller one. After a crash the sequences that were part of it move alone, one at a time,
//! until they have said something: the guilty one then crashes without company.
//!
//! Nothing here knows tokens, engines or time.

/// Beside speakers a prompt is read by this part of a chunk. On a small machine a chunk takes about a second, and a
/// second between two words is a stutter; a quarter of it is not, and the prompt takes little longer in all.
const BESIDE_SPEAKERS: usize = 4;
/// The fewest tokens of a prompt per step: every step reads all the weights, and below this the prompt itself would
/// crawl.
const LEAST_CHUNK: usize = 4;

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
    let speakers = || seats.iter().filter(|seat| seat.unfed == 1);
    let chunk = match speakers().next() {
        Some(_) => beside_speakers(chunk),
        None => chunk,
    };
    speakers()
        .chain(reader)
        .map(|seat| step_of(seat, chunk))
        .collect()
}

/// Never more than the whole chunk, which may be a small one.
fn beside_speakers(chunk: usize) -> usize {
    (chunk / BESIDE_SPEAKERS).max(LEAST_CHUNK).min(chunk)
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
        // Decoding goes on beside a quarter of a chunk of one prompt.
        assert_eq!(
            moves(&[seat(1, 100, 0), seat(2, 1, 0), seat(3, 2, 0), seat(4, 1, 0)]),
            [(2, 1, true), (4, 1, true), (1, 8, false)]
        );
        // Who sits there without a word to append is no speaker.
        assert_eq!(moves(&[seat(1, 100, 0), seat(2, 0, 0)]), [(1, 32, false)]);
        // The prompt that waited longest.
        assert_eq!(moves(&[seat(1, 100, 9), seat(2, 40, 3)]), [(2, 32, false)]);
    }

    #[test]
    fn a_prompt_is_read_in_smaller_chunks_beside_speakers() {
        for (chunk, read) in [
            (0, 1),
            (1, 1),
            (3, 3),
            (4, 4),
            (15, 4),
            (16, 4),
            (32, 8),
            (128, 32),
        ] {
            let speaking = plan(&[seat(1, 1000, 0), seat(2, 1, 0)], chunk);
            let tokens: Vec<usize> = speaking.iter().map(|m| m.tokens).collect();
            assert_eq!(tokens, [1, read], "chunk {chunk}");
            let alone = plan(&[seat(1, 1000, 0), seat(2, 500, 0)], chunk);
            let tokens: Vec<usize> = alone.iter().map(|m| m.tokens).collect();
            assert_eq!(tokens, [chunk.max(1)], "chunk {chunk}");
        }
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
        /// step, nobody moves twice, and a step reads at most one chunk, a small one beside speakers.
        #[test]
        fn nobody_starves(prompts in prop::collection::vec(2usize..300, 0..8), deciders in 0u64..6, chunk in 1usize..64) {
            let mut seats: Vec<Seat> = prompts.iter().enumerate().map(|(i, n)| seat(i as u64, *n, 0)).collect();
            let readers = seats.len();
            seats.extend((0..deciders).map(|i| seat(1000 + i, 1, 0)));
            // Whoever has read its prompt speaks; a single prompt is read without speakers.
            let alone = prompts.len() == 1 && deciders == 0;
            let size = if alone { chunk } else { beside_speakers(chunk) };
            let chunks: usize = prompts.iter().map(|n| n.div_ceil(size)).sum();
            for step in 1..=chunks as u64 {
                let moves = plan(&seats, chunk);
                let read: usize = moves.iter().filter(|m| m.tokens > 1 || !m.sample).map(|m| m.tokens).sum();
                let speaks = seats.iter().any(|s| s.unfed == 1);
                let most = if speaks { beside_speakers(chunk) } else { chunk };
                prop_assert!(read <= most);
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
