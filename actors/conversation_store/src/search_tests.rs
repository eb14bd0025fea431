//! Search: what is found, in which order, with which words marked; and that nothing in a text is syntax.

use domain::{ConversationId, Message};
use proptest::prelude::*;

use crate::archive::Archive;
use crate::error::StoreError;
use crate::messages::{Hit, RemoveConversation, ReplaceHistory, Search};
use crate::proving::{NOW, ask, in_memory};
use crate::search::query;

fn holding(texts: &[&str]) -> Archive {
    let archive = in_memory();
    let messages = texts.iter().map(|text| Message::user(*text)).collect();
    say(&archive, "a", messages);
    archive
}

fn say(archive: &Archive, name: &str, messages: Vec<Message>) {
    let conversation = ConversationId::new(name);
    let wish = ReplaceHistory {
        conversation,
        messages,
        now_ms: NOW,
    };
    ask(archive, wish).unwrap();
}

fn search(archive: &Archive, text: &str) -> Result<Vec<Hit>, StoreError> {
    let text = text.to_owned();
    ask(archive, Search { text, limit: 100 })
}

fn numbers(archive: &Archive, text: &str) -> Vec<u64> {
    let hits = search(archive, text).unwrap();
    let mut numbers: Vec<u64> = hits.iter().map(|hit| hit.number).collect();
    numbers.sort_unstable();
    numbers
}

#[test]
fn words_are_found_whatever_their_case_and_accents() {
    let archive = holding(&[
        "The quick brown fox",
        "Die Brücke über den Fluß",
        "naïve café",
        "Съешь ещё этих мягких булок",
        "don't panic",
        "fox OR hound",
        "version 1.2.3 of a_thing",
    ]);
    for (text, expected) in [
        ("fox", vec![1, 6]),
        ("QUICK fox", vec![1]),
        ("fox quick", vec![1]),
        ("qui", vec![1]),
        ("qui brown", vec![]),
        ("brucke", vec![2]),
        ("BRÜCKE", vec![2]),
        ("cafe", vec![3]),
        ("мягк", vec![4]),
        ("ЕЩЁ", vec![4]),
        ("don't", vec![5]),
        ("OR", vec![6]),
        ("fox OR", vec![6]),
        ("1.2.3", vec![7]),
        ("a_thing", vec![7]),
        ("nothing", vec![]),
    ] {
        assert_eq!(numbers(&archive, text), expected, "{text}");
    }
}

#[test]
fn nothing_in_a_text_is_syntax() {
    let archive = holding(&["a plain text", "NEAR the content"]);
    for (text, expected) in [
        ("\"plain", vec![1]),
        ("plain\" OR \"content", vec![]),
        ("content:plain", vec![]),
        ("NEAR(content the)", vec![]),
        ("NEAR", vec![2]),
        ("* plain", vec![1]),
        ("pl*ain", vec![]),
        ("-plain ^text", vec![1]),
        ("(plain)", vec![1]),
        ("plain\0text", vec![1]),
        ("{a} + plain", vec![1]),
    ] {
        assert_eq!(numbers(&archive, text), expected, "{text}");
    }
}

#[test]
fn a_text_without_a_word_is_refused_by_name() {
    let archive = holding(&["a"]);
    for text in ["", " ", "\"\"", "...", "***", "\0", "—", &"a".repeat(1001)] {
        let refused = search(&archive, text).unwrap_err();
        let StoreError::Invalid(error) = refused else {
            panic!("{refused}");
        };
        assert_eq!(error.field, "text");
    }
    assert_eq!(query("a \"b\" …"), Some("\"a\" \"\"\"b\"\"\"*".to_owned()));
}

#[test]
fn the_best_comes_first_with_its_words_marked() {
    let filler = "and so on ".repeat(60);
    let long = format!("{filler} a tide pool is here {filler}");
    let archive = holding(&[&long, "tide tide pool", "a pool"]);
    let hits = search(&archive, "tide pool").unwrap();
    let order: Vec<u64> = hits.iter().map(|hit| hit.number).collect();
    assert_eq!(order, [2, 1]);
    assert!(hits[0].score > hits[1].score);
    let Hit { snippet, .. } = &hits[1];
    assert!(snippet.text.starts_with('…') && snippet.text.ends_with('…'));
    assert!(snippet.text.len() < 200, "{}", snippet.text);
    let words = snippet.words.iter().map(|word| &snippet.text[word.clone()]);
    assert_eq!(words.collect::<Vec<_>>(), ["tide", "pool"]);
}

#[test]
fn what_is_removed_or_replaced_is_not_found_and_leaves_no_word_behind() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("paraphym.db");
    let config = crate::config::StoreConfig::at(&file);
    let archive = Archive::open(&config, NOW).unwrap();
    say(&archive, "a", vec![Message::user("xylophone secret")]);
    say(&archive, "b", vec![Message::user("xylophone zeppelin")]);
    say(&archive, "b", vec![Message::user("another thing")]);
    assert_eq!(search(&archive, "xylophone").unwrap().len(), 1);
    let conversation = ConversationId::new("a");
    ask(&archive, RemoveConversation { conversation }).unwrap();
    assert_eq!(search(&archive, "xylophone").unwrap(), []);
    assert_eq!(search(&archive, "another").unwrap().len(), 1);
    // Closed, it has no log any more: everything is in the file.
    drop(archive);
    let bytes = std::fs::read(&file).unwrap();
    for word in ["xylophone", "secret", "zeppelin"] {
        let found = bytes
            .windows(word.len())
            .any(|part| part == word.as_bytes());
        assert!(!found, "{word} is still in the file");
    }
}

proptest! {
    #[test]
    fn no_text_is_an_error_of_the_file(text in ".{0,60}") {
        let archive = holding(&["some words", &text]);
        match search(&archive, &text) {
            Ok(_) => prop_assert!(query(&text).is_some()),
            Err(StoreError::Invalid(_)) => prop_assert!(query(&text).is_none()),
            Err(other) => prop_assert!(false, "{other}"),
        }
    }

    /// What holds words made of letters is found by all of them, in any order.
    #[test]
    fn a_text_is_found_by_its_own_words(words in prop::collection::vec("[a-zäöü]{1,8}", 1..6)) {
        let archive = holding(&["nothing 1", &words.join(" "), "nothing 2"]);
        let mut turned = words.clone();
        turned.reverse();
        for text in [words.join(" "), turned.join(" ")] {
            prop_assert!(numbers(&archive, &text).contains(&2), "{text}");
        }
    }
}
