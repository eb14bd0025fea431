//! Texts come out as they went in, and each is found by what it says.
#![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

fn texts_of(list: &[String]) -> Texts {
    let mut texts = Texts::for_many(list.len());
    assert!(list.iter().all(|text| texts.push(text)));
    texts.finish();
    texts
}

fn lists() -> impl Strategy<Value = Vec<String>> {
    // Short ones, so that some are the same; long ones, so that all ways to read them are taken.
    let text = prop_oneof!["[aé]{0,3}", "[abĠ]{3,20}", ".{0,40}"];
    prop::collection::vec(text, 0..80)
}

proptest! {
    #[test]
    fn what_went_in_comes_out(list in lists()) {
        let texts = texts_of(&list);
        prop_assert_eq!(texts.len(), list.len());
        prop_assert_eq!(texts.is_empty(), list.is_empty());
        prop_assert_eq!(texts.bytes(), list.iter().map(String::len).sum::<usize>());
        prop_assert!(texts.iter().eq(list.iter().map(String::as_str)));
        for (number, text) in list.iter().enumerate() {
            prop_assert_eq!(texts.get(number), Some(text.as_str()));
        }
        prop_assert_eq!(texts.get(list.len()), None);
    }

    #[test]
    fn a_text_is_found_where_it_stands_first_or_last(list in lists(), other in ".{0,20}") {
        let texts = texts_of(&list);
        let (mut first, mut last) = (HashMap::new(), HashMap::new());
        let [mut firsts, mut lasts] = [(), ()].map(|()| Index::for_many(list.len()));
        for (number, text) in (0u32..).zip(&list) {
            prop_assert_eq!(firsts.insert(&texts, number), first.get(text).copied());
            first.entry(text.clone()).or_insert(number);
            prop_assert_eq!(lasts.replace(&texts, number), last.insert(text.clone(), number));
        }
        for text in list.iter().chain([&other]) {
            prop_assert_eq!(firsts.find(&texts, text), first.get(text).copied());
            prop_assert_eq!(lasts.find(&texts, text), last.get(text).copied());
        }
    }
}

#[test]
fn a_full_table_ends_its_search() {
    let texts = texts_of(&["a", "b", "c"].map(str::to_owned));
    let mut index = Index::for_many(1);
    for number in 0..3 {
        index.insert(&texts, number);
    }
    assert_eq!(index.find(&texts, "c"), None);
}

/// Texts that are told apart by their length alone, whatever the key.
#[test]
fn texts_that_are_read_alike_do_not_meet() {
    for _ in 0..16 {
        let hash = Keyed::new();
        for (one, other) in [
            ("a", "caa"),
            ("b", "bbb"),
            ("aaaaaaaa", "aaaaaaaaa"),
            ("", "\0"),
        ] {
            assert_ne!(
                hash.of_text(one.as_bytes()),
                hash.of_text(other.as_bytes()),
                "{one:?} {other:?}"
            );
        }
    }
}
