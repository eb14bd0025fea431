//! Which texts are special tokens, where they stand in what a template made, and how people's words are kept from being
//! one.
//!
//! Invariant: words between two special tokens are handed out as one piece, whatever lies before and behind it. Both
//! tokenizers encode a piece by its text alone (neither knows a control token, looks at a neighbour or treats the first
//! piece in a way of its own), so pieces may be known by their text.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use engine::{TextError, TokenId};
use serde_json::Value;

use crate::vocabulary::{Kind, Vocabulary};

/// Plane 16 is private use: no character anyone means lies there.
const GUARDS: std::ops::RangeInclusive<char> = '\u{100000}'..='\u{10fffd}';
/// What each of them begins with, and no other character.
const GUARD_BYTE: u8 = 0xf4;

/// The texts of control and user-defined tokens, found by their first character, the longest first.
pub(crate) struct Specials {
    by_first: HashMap<char, Vec<(String, TokenId)>>,
    /// The first bytes of those characters: a look at the table decides almost everywhere that there is none.
    first_bytes: [bool; 256],
}

/// A part of what a template made.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part<'t> {
    Special(TokenId),
    /// At least one character, without the guard.
    Words(Cow<'t, str>),
}

impl Specials {
    pub(crate) fn of(vocabulary: &Vocabulary) -> Self {
        let texts = vocabulary.iter();
        let special = texts.filter(|(.., kind)| kind.is_special());
        Self::new(special.map(|(token, text, _)| (text, token)))
    }

    /// The texts that become a token wherever they stand, in people's words as well: those that users of the vocabulary defined.
    pub(crate) fn literals(vocabulary: &Vocabulary) -> Self {
        let texts = vocabulary.iter();
        let literal = texts.filter(|(.., kind)| matches!(kind, Kind::User));
        Self::new(literal.map(|(token, text, _)| (text, token)))
    }

    pub(crate) fn new<'v>(specials: impl Iterator<Item = (&'v str, TokenId)>) -> Self {
        let mut by_first: HashMap<char, Vec<(String, TokenId)>> = HashMap::new();
        let mut first_bytes = [false; 256];
        for (text, token) in specials {
            // A text of one character could not be broken by a guard.
            let long = text.chars().nth(1).is_some();
            if let (Some(first), Some(byte), true) =
                (text.chars().next(), text.as_bytes().first(), long)
            {
                let list = by_first.entry(first).or_default();
                list.push((text.to_owned(), token));
                if let Some(seen) = first_bytes.get_mut(usize::from(*byte)) {
                    *seen = true;
                }
            }
        }
        for list in by_first.values_mut() {
            list.sort_by(|a, b| b.0.len().cmp(&a.0.len()).then(a.1.cmp(&b.1)));
        }
        Self {
            by_first,
            first_bytes,
        }
    }

    /// What the template made, in order: special tokens where their texts stand, and the words between them.
    pub(crate) fn parts<'t>(
        &'t self,
        rendered: &'t str,
        guard: char,
    ) -> impl Iterator<Item = Part<'t>> {
        let mut rest = rendered;
        std::iter::from_fn(move || {
            loop {
                if let Some((text, token)) = self.at(rest) {
                    rest = rest.get(text.len()..).unwrap_or_default();
                    return Some(Part::Special(token));
                }
                if rest.is_empty() {
                    return None;
                }
                let end = self.find(rest).unwrap_or(rest.len());
                let (words, behind) = rest.split_at(end);
                rest = behind;
                let words = unguarded(words, guard);
                // Nothing but guards is nothing.
                if !words.is_empty() {
                    return Some(Part::Words(words));
                }
            }
        })
    }

    /// The longest special token `text` begins with.
    pub(crate) fn at(&self, text: &str) -> Option<(&str, TokenId)> {
        let byte = text.as_bytes().first()?;
        if !self.may_begin(*byte) {
            return None;
        }
        let first = text.chars().next()?;
        self.by_first
            .get(&first)?
            .iter()
            .find(|(special, _)| text.starts_with(special.as_str()))
            .map(|(special, token)| (special.as_str(), *token))
    }

    /// Where the first special token of `text` begins.
    pub(crate) fn find(&self, text: &str) -> Option<usize> {
        let bytes = text.bytes().enumerate();
        // The first byte of a character is found at the beginning of one only.
        let mut places = bytes.filter(|(_, byte)| self.may_begin(*byte));
        places.find_map(|(at, _)| self.at(text.get(at..)?).map(|_| at))
    }

    fn may_begin(&self, byte: u8) -> bool {
        self.first_bytes.get(usize::from(byte)) == Some(&true)
    }

    /// `text` with the guard inside every special text, so that none is whole.
    fn guard<'t>(&self, text: &'t str, guard: char) -> Cow<'t, str> {
        let Some(first) = self.find(text) else {
            return Cow::Borrowed(text);
        };
        let (before, rest) = text.split_at(first);
        let mut guarded = String::with_capacity(text.len() + 8);
        guarded.push_str(before);
        for (at, character) in rest.char_indices() {
            guarded.push(character);
            if rest.get(at..).is_some_and(|rest| self.at(rest).is_some()) {
                guarded.push(guard);
            }
        }
        Cow::Owned(guarded)
    }

    /// The same for every text in a value, keys too.
    pub(crate) fn guard_all(&self, value: &mut Value, guard: char) {
        match value {
            Value::String(text) => {
                if let Cow::Owned(guarded) = self.guard(text, guard) {
                    *text = guarded;
                }
            }
            Value::Array(items) => items
                .iter_mut()
                .for_each(|item| self.guard_all(item, guard)),
            Value::Object(fields) => {
                for (key, mut value) in std::mem::take(fields) {
                    self.guard_all(&mut value, guard);
                    fields.insert(self.guard(&key, guard).into_owned(), value);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

fn unguarded(words: &str, guard: char) -> Cow<'_, str> {
    if may_hold_guards(words) && words.contains(guard) {
        Cow::Owned(words.chars().filter(|c| *c != guard).collect())
    } else {
        Cow::Borrowed(words)
    }
}

/// Bytes are looked through many at a time.
fn may_hold_guards(text: &str) -> bool {
    text.as_bytes().contains(&GUARD_BYTE)
}

/// A private character that no text holds.
pub(crate) fn unused_guard<'v>(values: impl Iterator<Item = &'v Value>) -> Result<char, TextError> {
    let mut used = HashSet::new();
    values.for_each(|value| note_guards(value, &mut used));
    GUARDS
        .into_iter()
        .find(|guard| !used.contains(guard))
        .ok_or_else(|| TextError::Template("the messages use every private character".to_owned()))
}

fn note_guards(value: &Value, used: &mut HashSet<char>) {
    let mut note = |text: &str| {
        if may_hold_guards(text) {
            used.extend(text.chars().filter(|c| GUARDS.contains(c)));
        }
    };
    match value {
        Value::String(text) => note(text),
        Value::Array(items) => items.iter().for_each(|item| note_guards(item, used)),
        Value::Object(fields) => {
            fields.keys().for_each(|key| note(key));
            fields.values().for_each(|value| note_guards(value, used));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
#[path = "specials_tests.rs"]
mod tests;
