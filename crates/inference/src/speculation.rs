//! Which tokens probably come next, without a second model, and how many of them are worth a row.
//!
//! Guessed is what followed when a sequence's last tokens stood in it before: prompt lookup decoding (Saxena, 2023), which
//! others call n-gram speculation. It pays where an answer repeats its prompt or itself: quotes, code, tables, lists. A pass
//! reads all the weights whatever it computes, so a few rows more cost little; but not nothing, and a text that never repeats
//! itself must not pay for those that do. So each sequence is trusted as far as its guesses came true.
//!
//! Invariant: nothing here knows logits, caches or time. A wrong guess costs a row and changes no token.

use engine::TokenId;

use crate::cpu::Precision;

/// The most rows of bytes of a pass that has guesses in it. With one row more the sums of our kernels no longer stay in
/// registers: a pass of 7 rows took 2.0 to 2.2 times as long as one of 1, a pass of 8 took 2.9 to 3.1 times.
const ROWS: usize = 7;
/// What a row of bytes more costs, in passes of one. Measured were 0.15 to 0.2 each for six of them; taken for more, because a
/// text in which few guesses come true was no quicker with them at 0.18.
const ROW_COST: f32 = 0.3;
/// The fewest tokens that must have stood there before: behind one or two alone too many things follow.
const SHORTEST: usize = 3;
/// More of them in common tell little more.
const LONGEST: usize = 8;
/// How many guesses of a new sequence are expected to come true.
const AT_FIRST: f32 = 0.5;
/// How much the newest guess weighs in that expectation.
const NEWEST: f32 = 0.25;
/// Steps without a guess once they do not pay; doubled each time that another one was wrong.
const FIRST_PAUSE: u32 = 16;
const LONGEST_PAUSE: u32 = 256;

/// What guesses may cost, and what they do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Price {
    /// The most rows of a pass that has guesses in it.
    pub(crate) rows: usize,
    /// What a row more costs, in passes of one row.
    row: f32,
}

impl Price {
    /// Where activations are kept so. A row that is kept exactly is two to the kernels: a pass has room for half as many, and
    /// each costs twice as much, in passes that cost a row of bytes more themselves.
    pub(crate) fn of(precision: Precision) -> Self {
        let planes = precision.planes();
        let row = ROW_COST * planes as f32;
        Self {
            rows: ROWS / planes,
            row: row / (1.0 + row - ROW_COST),
        }
    }
}

/// Makes `guesses` the tokens, at most `most`, that followed when the end of `held` stood in it before: the place that has
/// most in common with the end, the latest of equals. What is guessed counts as having stood there, so that what goes in
/// circles is guessed on.
pub(crate) fn guess(held: &[TokenId], most: usize, guesses: &mut Vec<TokenId>) {
    guesses.clear();
    let Some(from) = follows(held).filter(|_| most > 0) else {
        return;
    };
    for at in from..from + most {
        let token = match at.checked_sub(held.len()) {
            None => held.get(at),
            Some(beyond) => guesses.get(beyond),
        };
        guesses.extend(token.copied());
    }
}

/// Where what follows begins.
fn follows(held: &[TokenId]) -> Option<usize> {
    let (last, before) = held.split_last()?;
    let (mut place, mut common) = (None, SHORTEST - 1);
    for (at, _) in before.iter().enumerate().rev().filter(|(_, t)| *t == last) {
        let behind = before.get(..=at)?.iter().rev();
        let alike = behind.zip(held.iter().rev()).take(LONGEST);
        let alike = alike.take_while(|(a, b)| a == b).count();
        if alike > common {
            (place, common) = (Some(at + 1), alike);
        }
        if alike == LONGEST {
            break;
        }
    }
    place
}

/// How far the guesses of one sequence are trusted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Trust {
    price: Price,
    /// The share that is expected to come true.
    rate: f32,
    /// Steps without a guess so far, since they no longer pay.
    waited: u32,
    /// Steps to wait.
    pause: u32,
}

impl Trust {
    /// In a new sequence.
    pub(crate) const fn new(price: Price) -> Self {
        Self {
            price,
            rate: AT_FIRST,
            waited: 0,
            pause: FIRST_PAUSE,
        }
    }

    /// How many guesses to try in this step, of at most `most`.
    pub(crate) fn tries(&mut self, most: usize) -> usize {
        if most == 0 {
            return 0;
        }
        let tries = worth(self.rate, most, self.price);
        if tries > 0 {
            return tries;
        }
        if self.waited < self.pause {
            self.waited += 1;
            return 0;
        }
        // Once in a while one is tried: the text may have changed.
        1
    }

    /// Of so many guesses the first `right` came true.
    pub(crate) fn heard(&mut self, tried: usize, right: usize) {
        if tried == 0 {
            return;
        }
        for _ in 0..right.min(tried) {
            self.rate += (1.0 - self.rate) * NEWEST;
        }
        // Those behind a wrong one tell nothing.
        if right < tried {
            self.rate -= self.rate * NEWEST;
        }
        if worth(self.rate, 1, self.price) > 0 {
            self.pause = FIRST_PAUSE;
        } else if self.waited >= self.pause {
            self.pause = self.pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
        self.waited = 0;
    }
}

/// The number of guesses, at most `most`, that makes the most tokens for what their pass costs, if each comes true with this
/// probability once those before it have.
fn worth(rate: f32, most: usize, price: Price) -> usize {
    let (mut best, mut highest) = (0, 1.0);
    let (mut tokens, mut all, mut cost) = (1.0, 1.0, 1.0);
    for tries in 1..=most {
        all *= rate;
        tokens += all;
        cost += price.row;
        if tokens / cost > highest {
            (best, highest) = (tries, tokens / cost);
        }
    }
    best
}

#[cfg(test)]
#[path = "speculation_tests.rs"]
mod tests;
