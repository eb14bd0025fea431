//! Tables and chance: what is found is true, what is kept is bounded, and what leaves leaves once.
#![allow(clippy::indexing_slicing, reason = "tests may fail loudly")]

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

const TTL: Duration = Duration::from_mins(10);
/// Bytes of a token here.
const EACH: u64 = 10;

fn bounds(entries: usize) -> Bounds {
    Bounds {
        ttl: TTL,
        bytes: Bytes(100 * EACH),
        entries,
    }
}

fn tokens(text: &str) -> Vec<TokenId> {
    text.bytes().map(TokenId::from).collect()
}

fn kept(tokens: Vec<TokenId>) -> Kept<Vec<TokenId>> {
    Kept {
        bytes: Bytes(tokens.len() as u64 * EACH),
        memory: tokens.clone(),
        tokens,
    }
}

/// Keeps a text if it is worth it.
fn keep(prefixes: &mut Prefixes<Vec<TokenId>>, text: &str, now: Instant) -> Option<PrefixId> {
    let kept = kept(tokens(text));
    let prefix = prefixes.name(&kept.tokens, kept.bytes, now)?;
    prefixes.insert(prefix, kept, now);
    Some(prefix)
}

fn texts(prefixes: &Prefixes<Vec<TokenId>>) -> Vec<String> {
    let text = |tokens: &Vec<TokenId>| tokens.iter().map(|t| *t as u8 as char).collect();
    prefixes
        .kept
        .values()
        .map(|kept| text(&kept.tokens))
        .collect()
}

#[test]
fn the_longest_beginning_is_found_and_never_the_whole_prompt() {
    let now = Instant::now();
    let mut prefixes = Prefixes::new(bounds(8), 4);
    for text in ["system one, hello", "system one, good evening", "other"] {
        keep(&mut prefixes, text, now);
    }
    // Prompt, what is found of it, and whether the sequence takes it over.
    let cases = [
        ("system one, hello you", Some(("system one, hello", true))),
        ("system one, hello", Some(("system one, hell", true))),
        ("system one, help", Some(("system one, hel", true))),
        ("system one, he!!", Some(("system one, he", true))),
        ("system one, h!", Some(("system one, h", false))),
        ("system one, good eve", Some(("system one, good ev", false))),
        ("system two", Some(("system ", false))),
        ("sys", None),
        ("syst", None),
        ("syste", Some(("syst", false))),
        ("another", None),
        ("", None),
    ];
    for (prompt, expected) in cases {
        let found = prefixes.find(&tokens(prompt)).map(|found| {
            let begins = prompt.get(..found.from.tokens as usize).unwrap();
            (begins, found.takes_over)
        });
        assert_eq!(found, expected, "{prompt}");
    }
}

#[test]
fn of_equals_the_one_with_the_least_left_over_is_found() {
    let now = Instant::now();
    let mut prefixes = Prefixes::new(bounds(8), 4);
    keep(&mut prefixes, "common, and a long story", now);
    let short = keep(&mut prefixes, "common, no", now).unwrap();
    keep(&mut prefixes, "common, but a long story", now);
    let found = prefixes.find(&tokens("common, yes")).unwrap();
    assert_eq!((found.from.prefix, found.takes_over), (short, true));
}

#[test]
fn a_conversation_that_grows_is_kept_once() {
    let now = Instant::now();
    let mut prefixes = Prefixes::new(bounds(8), 4);
    assert_eq!(keep(&mut prefixes, "one", now), None, "too short");
    let first = keep(&mut prefixes, "hello", now).unwrap();
    let other = keep(&mut prefixes, "help!", now).unwrap();
    assert_eq!(keep(&mut prefixes, "hello", now), None, "it is there");
    assert_eq!(keep(&mut prefixes, "hell", now), None, "a longer one is");
    let grown = keep(&mut prefixes, "hello you", now).unwrap();
    assert_eq!(texts(&prefixes), ["help!", "hello you"]);
    let leaving = prefixes.take_leaving();
    assert_eq!(leaving, [(first, tokens("hello"))]);
    assert!(prefixes.take_leaving().is_empty());
    assert!(!prefixes.contains(first) && prefixes.contains(grown));
    // What is named again counts as used.
    let later = now + TTL / 2;
    assert_eq!(keep(&mut prefixes, "hel", later), None);
    keep(&mut prefixes, "help", later);
    prefixes.sweep(now + TTL, Goal::default());
    assert_eq!(prefixes.take_leaving(), [(grown, tokens("hello you"))]);
    assert!(prefixes.contains(other));
}

#[test]
fn who_is_held_stays_until_it_is_taken_or_released() {
    let now = Instant::now();
    let mut prefixes = Prefixes::new(bounds(1), 4);
    let all = Goal {
        free: Bytes(u64::MAX),
    };
    let held = keep(&mut prefixes, "hello", now).unwrap();
    assert!(prefixes.hold(held));
    assert_eq!(prefixes.sweep(now + 2 * TTL, all).swept, 0);
    // There is no room beside it: the new one goes at once.
    let new = keep(&mut prefixes, "other", now).unwrap();
    assert_eq!(prefixes.take_leaving(), [(new, tokens("other"))]);
    prefixes.release(held, now + 2 * TTL);
    assert_eq!(prefixes.held().next_due, Some(now + 3 * TTL));
    assert!(prefixes.hold(held));
    let taken = prefixes.take(held).unwrap();
    assert_eq!(taken.memory, tokens("hello"));
    assert_eq!(prefixes.held(), Held::default());
    assert!(prefixes.take_leaving().is_empty(), "the taker has it");
    assert!(!prefixes.hold(held) && !prefixes.touch(held, now));
}

#[test]
fn bounds_of_zero_keep_nothing() {
    let now = Instant::now();
    let mut prefixes = Prefixes::new(bounds(0), 4);
    assert_eq!(keep(&mut prefixes, "hello", now), None);
    prefixes.bound(bounds(1));
    assert!(keep(&mut prefixes, "hello", now).is_some());
    assert_eq!(
        keep(&mut prefixes, &"x".repeat(101), now),
        None,
        "above the bytes"
    );
    prefixes.bound(bounds(0));
    assert_eq!(prefixes.take_leaving().len(), 1);
}

#[derive(Clone, Debug)]
enum Deed {
    Keep(Vec<TokenId>),
    Sweep(u64),
    Wait(u64),
    TakeOver(Vec<TokenId>),
    Hold(Vec<TokenId>),
    ReleaseAll,
    Clear,
}

fn words() -> impl Strategy<Value = Vec<TokenId>> {
    prop::collection::vec(0u32..3, 0..14)
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = prop_oneof![
        6 => words().prop_map(Deed::Keep),
        1 => (0u64..300).prop_map(Deed::Sweep),
        1 => (0u64..900).prop_map(Deed::Wait),
        3 => words().prop_map(Deed::TakeOver),
        1 => words().prop_map(Deed::Hold),
        1 => Just(Deed::ReleaseAll),
        1 => Just(Deed::Clear),
    ];
    prop::collection::vec(deed, 0..80)
}

proptest! {
    /// Against a model that knows only what came in and what went out.
    #[test]
    fn what_is_kept_is_what_came_and_has_not_left(deeds in deeds()) {
        let mut now = Instant::now();
        let limits = Bounds { ttl: TTL, bytes: Bytes(40 * EACH), entries: 4 };
        let mut prefixes = Prefixes::new(limits, 2);
        let mut there: BTreeMap<PrefixId, Vec<TokenId>> = BTreeMap::new();
        let mut held: Vec<(PrefixId, Vec<TokenId>)> = Vec::new();
        for deed in deeds {
            match deed {
                Deed::Keep(tokens) => {
                    let kept = kept(tokens.clone());
                    if let Some(prefix) = prefixes.name(&tokens, kept.bytes, now) {
                        prop_assert!(tokens.len() >= 2);
                        prop_assert!(there.insert(prefix, tokens).is_none(), "a name is used once");
                        prefixes.insert(prefix, kept, now);
                    }
                }
                Deed::Sweep(free) => {
                    let before = prefixes.held().bytes;
                    let swept = prefixes.sweep(now, Goal { free: Bytes(free) });
                    prop_assert_eq!(before.saturating_sub(swept.freed_bytes), prefixes.held().bytes);
                }
                Deed::Wait(seconds) => now += Duration::from_secs(seconds),
                Deed::TakeOver(prompt) => if let Some(found) = prefixes.find(&prompt) {
                    let n = found.from.tokens as usize;
                    let tokens = there.get(&found.from.prefix).unwrap();
                    prop_assert!(n >= 2 && n < prompt.len());
                    prop_assert_eq!(&tokens[..n], &prompt[..n]);
                    prop_assert_eq!(found.takes_over, tokens.len() - n < 2);
                    prop_assert!(there.values().all(|other| common(other, &prompt).min(prompt.len() - 1) <= n));
                    if found.takes_over {
                        let taken = prefixes.take(found.from.prefix).unwrap();
                        prop_assert_eq!(there.remove(&found.from.prefix), Some(taken.memory));
                        held.retain(|(prefix, _)| *prefix != found.from.prefix);
                    }
                },
                Deed::Hold(prompt) => if let Some(found) = prefixes.find(&prompt) {
                    prop_assert!(prefixes.hold(found.from.prefix));
                    held.push((found.from.prefix, there[&found.from.prefix].clone()));
                },
                Deed::ReleaseAll => for (prefix, _) in held.drain(..) {
                    prefixes.release(prefix, now);
                },
                Deed::Clear => {
                    prop_assert_eq!(prefixes.clear().len(), there.len());
                    there.clear();
                    held.clear();
                }
            }
            let memory: usize = prefixes.memory().map(Vec::len).sum();
            prop_assert_eq!(memory, there.values().map(Vec::len).sum::<usize>());
            for (prefix, memory) in prefixes.take_leaving() {
                prop_assert_eq!(there.remove(&prefix), Some(memory), "it leaves once");
            }
            let report = prefixes.held();
            prop_assert_eq!(report.entries, there.len());
            prop_assert!(report.entries <= 4 && report.bytes <= Bytes(40 * EACH));
            for (prefix, tokens) in &there {
                let inside = |(other, longer): (&PrefixId, &Vec<TokenId>)| other != prefix && longer.starts_with(tokens);
                prop_assert!(!there.iter().any(inside), "what is kept begins no other");
            }
            held.retain(|(prefix, tokens)| {
                let replaced = there.values().any(|longer| longer.starts_with(tokens));
                there.contains_key(prefix) || !replaced
            });
            let stays = held.iter().all(|(prefix, _)| there.contains_key(prefix));
            prop_assert!(stays, "who is held leaves only for a longer one");
        }
    }
}
