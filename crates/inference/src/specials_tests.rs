//! Special tokens are found where they stand, by tables and against the plainest way to look for them.

use proptest::prelude::*;

use super::*;

/// Some begin with one another, one begins with more than a byte, one cannot be guarded.
const SPECIALS: [&str; 7] = ["<s>", "<|im", "<|im_end|>", "<<", "ö<", "▁x", "!"];
const GUARD: char = '\u{100001}';

fn specials() -> Specials {
    Specials::new(SPECIALS.into_iter().zip(0..))
}

/// Character by character, with every special token looked for at each.
fn plainly(text: &str) -> Vec<Part<'static>> {
    let mut parts = Vec::new();
    let (mut words, mut rest) = (String::new(), text);
    let finish = |words: &mut String, parts: &mut Vec<Part<'static>>| {
        if !words.is_empty() {
            parts.push(Part::Words(Cow::Owned(std::mem::take(words))));
        }
    };
    while let Some(character) = rest.chars().next() {
        let here = SPECIALS
            .iter()
            .zip(0..)
            .filter(|(special, _)| special.chars().count() > 1 && rest.starts_with(**special));
        if let Some((special, token)) = here.max_by_key(|(special, _)| special.len()) {
            finish(&mut words, &mut parts);
            parts.push(Part::Special(token));
            rest = &rest[special.len()..];
        } else {
            words.extend(Some(character).filter(|c| *c != GUARD));
            rest = &rest[character.len_utf8()..];
        }
    }
    finish(&mut words, &mut parts);
    parts
}

fn words(text: &str) -> Part<'_> {
    Part::Words(Cow::Borrowed(text))
}

#[test]
fn the_longest_stands_and_what_is_between_is_one_piece() {
    let specials = specials();
    let cases: [(&str, &[Part<'_>]); 8] = [
        ("", &[]),
        ("a", &[words("a")]),
        ("<s>", &[Part::Special(0)]),
        ("<s><s>", &[Part::Special(0), Part::Special(0)]),
        (
            " a<|im_end|><|imb ",
            &[words(" a"), Part::Special(2), Part::Special(1), words("b ")],
        ),
        ("<|i<s", &[words("<|i<s")]),
        ("!\u{100001}", &[words("!")]),
        ("<s>\u{100001}<s>", &[Part::Special(0), Part::Special(0)]),
    ];
    for (text, expected) in cases {
        let parts: Vec<_> = specials.parts(text, GUARD).collect();
        assert_eq!(parts, expected, "{text:?}");
    }
}

/// Texts of special tokens, halves of them, guards, blanks and characters of all widths.
fn texts() -> impl Strategy<Value = String> {
    let bits = vec![
        "<s>",
        "<|im",
        "<|im_end|>",
        "<<",
        "ö<",
        "▁x",
        "!",
        "<",
        "|",
        "im_",
        "end|>",
        "ö",
        "▁",
        " ",
        "  ",
        "\n",
        "",
        "a",
        "漢",
        "☃",
        "\u{100000}",
        "\u{100001}",
        "\u{fffff}",
        "\u{10ffff}",
    ];
    prop::collection::vec(prop::sample::select(bits), 0..16).prop_map(|bits| bits.concat())
}

proptest! {
    #[test]
    fn the_parts_are_those_that_a_plain_search_finds(text in texts()) {
        let specials = specials();
        let parts: Vec<_> = specials.parts(&text, GUARD).collect();
        prop_assert_eq!(parts, plainly(&text));
    }

    /// What is guarded is one piece, and that piece is the text itself.
    #[test]
    fn a_guarded_text_holds_no_special_token(text in texts()) {
        let specials = specials();
        let text = text.replace(GUARD, "");
        let guarded = specials.guard(&text, GUARD).into_owned();
        let parts: Vec<_> = specials.parts(&guarded, GUARD).collect();
        let expected: Vec<_> = (!text.is_empty()).then(|| words(&text)).into_iter().collect();
        prop_assert_eq!(parts, expected);
    }

    #[test]
    fn the_guard_is_a_character_that_no_text_holds(texts in prop::collection::vec(texts(), 0..4)) {
        let values: Vec<Value> = texts.iter().map(|text| serde_json::json!({ "role": [text], text: null })).collect();
        let guard = unused_guard(values.iter()).unwrap();
        prop_assert!(GUARDS.contains(&guard));
        prop_assert!(texts.iter().all(|text| !text.contains(guard)));
    }
}
