//! Tables for what is guessed and how far it is trusted, and properties that hold for any text.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may fail loudly"
)]

use proptest::prelude::*;

use super::*;

fn guessed(held: &[TokenId], most: usize) -> Vec<TokenId> {
    // What was there before is gone.
    let mut guesses = vec![77; 3];
    guess(held, most, &mut guesses);
    guesses
}

#[test]
fn what_followed_before_is_guessed() {
    let cases: [(&[TokenId], usize, &[TokenId]); 11] = [
        (&[], 5, &[]),
        (&[1], 5, &[]),
        (&[1, 1, 1], 5, &[]),
        (&[1, 2, 3, 4, 2, 3], 5, &[]),
        (&[1, 2, 3, 4, 5, 1, 2, 3], 1, &[4]),
        (&[1, 2, 3, 4, 5, 1, 2, 3], 2, &[4, 5]),
        // Beyond the end it goes on as it began.
        (&[1, 2, 3, 4, 1, 2, 3], 6, &[4, 1, 2, 3, 4, 1]),
        (&[5, 5, 5, 5], 4, &[5, 5, 5, 5]),
        // The latest of equals; but more in common is better than late.
        (&[1, 2, 3, 7, 1, 2, 3, 4, 1, 2, 3], 1, &[4]),
        (&[9, 1, 2, 3, 7, 1, 2, 3, 4, 9, 1, 2, 3], 1, &[7]),
        (&[1, 2, 3, 1, 2, 3], 0, &[]),
    ];
    for (held, most, expected) in cases {
        assert_eq!(guessed(held, most), expected, "{held:?} {most}");
    }
}

#[test]
fn as_many_are_tried_as_pay() {
    for (rate, most, tries) in [
        (0.0, 6, 0),
        (0.29, 6, 0),
        (0.31, 6, 1),
        (0.5, 6, 1),
        (0.5, 0, 0),
        (0.7, 6, 2),
        (0.95, 6, 6),
        (1.0, 6, 6),
        (1.0, 2, 2),
    ] {
        assert_eq!(
            worth(rate, most, Price::of(Precision::Fast)),
            tries,
            "{rate} of {most}"
        );
    }
}

#[test]
fn what_is_kept_exactly_is_dearer_to_guess() {
    let [fast, exact] = [Precision::Fast, Precision::Exact].map(Price::of);
    assert_eq!((fast.rows, exact.rows), (7, 3));
    assert!((fast.row - 0.3).abs() < 1e-6, "{}", fast.row);
    // 1.3 for the first row, 0.6 for each one more.
    assert!((exact.row - 0.6 / 1.3).abs() < 1e-6, "{}", exact.row);
    for (rate, fast_tries, exact_tries) in [(0.4, 1, 0), (0.5, 1, 1), (0.7, 2, 1), (0.95, 2, 2)] {
        let tries = [fast, exact].map(|price| worth(rate, 2, price));
        assert_eq!(tries, [fast_tries, exact_tries], "{rate}");
    }
}

#[test]
fn a_text_that_never_repeats_itself_pays_less_and_less() {
    let mut trust = Trust::new(Price::of(Precision::Fast));
    let tried: Vec<usize> = (0..2000)
        .map(|_| {
            let tries = trust.tries(6);
            trust.heard(tries, 0);
            tries
        })
        .collect();
    let first: usize = tried[..100].iter().sum();
    let last: usize = tried[1500..].iter().sum();
    assert!(first <= 7, "{first} rows in the first 100 steps");
    assert!((1..=2).contains(&last), "{last} rows in the last 500");
}

#[test]
fn trust_is_lost_and_won_again() {
    let mut trust = Trust::new(Price::of(Precision::Fast));
    for _ in 0..20 {
        let tries = trust.tries(6);
        trust.heard(tries, tries);
    }
    assert_eq!(trust.tries(6), 6);
    for _ in 0..400 {
        let tries = trust.tries(6);
        trust.heard(tries, 0);
    }
    let until = (0..400).position(|_| trust.tries(6) > 0);
    assert!(until.is_some(), "it is never asked again");
    trust.heard(1, 1);
    assert!(
        trust.tries(6) > 0,
        "one was right: the next is tried at once"
    );
    // Nothing was found to guess from: the try is still due.
    let mut due = Trust::new(Price::of(Precision::Fast));
    due.heard(9, 0);
    due.rate = 0.0;
    assert_eq!((0..FIRST_PAUSE).map(|_| due.tries(6)).sum::<usize>(), 0);
    for _ in 0..5 {
        assert_eq!(due.tries(6), 1);
        due.heard(0, 0);
    }
}

proptest! {
    /// Guessed is what followed the same tokens, never more than asked for, and nothing where no three stood before.
    #[test]
    fn guesses_are_the_tokens_own(
        held in prop::collection::vec(0u32..4, 0..60), most in 0usize..9,
    ) {
        let guesses = guessed(&held, most);
        let end = held.len().saturating_sub(3);
        let stood = held.len() > 3 && held[..held.len() - 1].windows(3).any(|some| some == &held[end..]);
        prop_assert_eq!(guesses.len(), if stood { most } else { 0 });
        if let Some(first) = guesses.first() {
            let mut with = held[end..].to_vec();
            with.push(*first);
            prop_assert!(held.windows(4).any(|four| four == with));
        }
    }

    /// Whatever is heard, no more is tried than there is room for, and the rate stays one.
    #[test]
    fn trust_is_total(heard in prop::collection::vec((0usize..9, 0usize..9, 0usize..9), 0..200)) {
        let mut trust = Trust::new(Price::of(Precision::Fast));
        for (most, tried, right) in heard {
            prop_assert!(trust.tries(most) <= most);
            trust.heard(tried, right);
            prop_assert!((0.0..=1.0).contains(&trust.rate));
            prop_assert!((FIRST_PAUSE..=LONGEST_PAUSE).contains(&trust.pause));
        }
    }
}
