//! What comes out is log-softmax, finite and in order, whatever the logits are.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::float_cmp,
    reason = "tests may fail loudly"
)]

use proptest::prelude::*;

use super::*;

const LEAST: f32 = TokenLogprob::LEAST;
const INFINITY: f32 = f32::INFINITY;

type Case<'a> = (&'a [f32], TokenId, u32, f32, &'a [(TokenId, f32)]);

#[test]
fn each_logprob_is_of_the_whole_vocabulary() {
    let third = (1.0f64 / 3.0).ln() as f32;
    let half = (0.5f64).ln() as f32;
    let cases: [Case<'_>; 12] = [
        (&[2.0], 0, 1, 0.0, &[(0, 0.0)]),
        (&[5.0, 5.0, 5.0], 1, 2, third, &[(0, third), (1, third)]),
        (&[5.0, 5.0, 5.0], 1, 0, third, &[]),
        (&[5.0, 5.0], 1, 9, half, &[(0, half), (1, half)]),
        (&[-1e9, 1e9], 0, 2, LEAST, &[(1, 0.0), (0, LEAST)]),
        (&[f32::MIN, f32::MAX], 1, 2, 0.0, &[(1, 0.0), (0, LEAST)]),
        (
            &[0.0, f32::NAN, 0.0],
            2,
            3,
            half,
            &[(0, half), (2, half), (1, LEAST)],
        ),
        (&[0.0, -INFINITY], 0, 2, 0.0, &[(0, 0.0), (1, LEAST)]),
        (
            &[INFINITY, 9.0, INFINITY],
            1,
            2,
            LEAST,
            &[(0, half), (2, half)],
        ),
        (&[f32::NAN, -INFINITY], 0, 1, LEAST, &[(0, LEAST)]),
        (&[0.0, 0.0], 7, 1, LEAST, &[(0, half)]),
        (&[], 0, 3, LEAST, &[]),
    ];
    for (logits, token, most, logprob, likeliest) in cases {
        let found = of(logits, token, most);
        assert_eq!(
            (found.logprob, &*found.likeliest),
            (logprob, likeliest),
            "{logits:?}"
        );
        assert!(
            !found.logprob.is_sign_negative() || found.logprob < 0.0,
            "no -0"
        );
    }
}

/// A sum in single precision would be off in the fourth place.
#[test]
fn a_large_vocabulary_loses_no_digits() {
    let found = of(&vec![0.1; 150_000], 149_999, 1);
    let expected = -(150_000f64).ln();
    assert!(
        (f64::from(found.logprob) - expected).abs() < 1e-6,
        "{found:?}"
    );
}

fn any_logit() -> impl Strategy<Value = f32> {
    prop_oneof![
        12 => -30.0f32..30.0,
        4 => (0i8..3).prop_map(f32::from),
        1 => Just(f32::NAN),
        1 => Just(f32::NEG_INFINITY),
        1 => Just(f32::INFINITY),
        1 => Just(f32::MAX),
        1 => Just(f32::MIN),
    ]
}

proptest! {
    /// All together are certain, each is a number JSON can hold, and the order is by likelihood and then by id.
    #[test]
    fn all_of_them_sum_to_one(logits in prop::collection::vec(any_logit(), 1..60), at: prop::sample::Index) {
        let token = at.index(logits.len()) as TokenId;
        let all = of(&logits, token, 60);
        prop_assert_eq!(all.likeliest.len(), logits.len());
        for (_, logprob) in &all.likeliest {
            prop_assert!((LEAST..=0.0).contains(logprob), "{}", logprob);
        }
        let own = all.likeliest.iter().find(|(id, _)| *id == token).unwrap();
        prop_assert_eq!(own.1, all.logprob);
        let mut ids: Vec<TokenId> = all.likeliest.iter().map(|(id, _)| *id).collect();
        let usable = logits.iter().any(|l| !l.is_nan() && *l > f32::NEG_INFINITY);
        let sum: f64 = all.likeliest.iter().map(|(_, l)| f64::from(*l).exp()).sum();
        prop_assert!((sum - f64::from(u8::from(usable))).abs() < 1e-5, "{}", sum);
        for pair in all.likeliest.windows(2) {
            let (a, b) = (pair[0], pair[1]);
            let equal = usable_logit(logits[a.0 as usize]) == usable_logit(logits[b.0 as usize]);
            prop_assert!(a.1 >= b.1 && (!equal || a.0 < b.0), "{:?} before {:?}", a, b);
        }
        ids.sort_unstable();
        prop_assert_eq!(ids, (0..logits.len() as TokenId).collect::<Vec<_>>());
        for most in 0..logits.len() as u32 {
            let fewer = of(&logits, token, most);
            prop_assert_eq!(&*fewer.likeliest, &all.likeliest[..most as usize]);
        }
    }
}

fn usable_logit(logit: f32) -> f32 {
    if logit.is_nan() {
        f32::NEG_INFINITY
    } else {
        logit
    }
}
