//! What to look for, from what a user wrote. Each word stands in quotes, so nothing of it is syntax of the search.

/// Words looked for at most: the first of a long text say what it is about, and each costs a walk through its rows.
const WORDS: usize = 24;
/// A longer run of letters is no word, and is not looked for.
const LETTERS: usize = 64;
/// English words that stand in nearly every sentence. Of other languages none are left out: there the ranking does it
/// alone, as a word that stands everywhere weighs next to nothing.
const EMPTY: [&str; 64] = [
    "a", "about", "am", "an", "and", "are", "as", "at", "be", "but", "by", "can", "could", "did",
    "do", "does", "for", "from", "had", "has", "have", "he", "her", "his", "how", "i", "if", "in",
    "is", "it", "its", "me", "my", "no", "not", "of", "on", "or", "our", "she", "so", "than",
    "that", "the", "their", "them", "there", "they", "this", "to", "us", "was", "we", "were",
    "what", "when", "where", "which", "who", "why", "will", "with", "you", "your",
];

/// The query for FTS5: any of the words. `None` if there is no word in the text.
///
/// Where the index and this differ about what parts two words, the index wins: it cuts what stands in the quotes once
/// more, as it cut the memories.
pub(super) fn any_word_of(text: &str) -> Option<String> {
    let mut words: Vec<&str> = Vec::new();
    let mut empty: Vec<&str> = Vec::new();
    for word in text.split(is_between).filter(|word| is_word(word)) {
        let lower = word.to_lowercase();
        let list = if EMPTY.contains(&lower.as_str()) {
            &mut empty
        } else {
            &mut words
        };
        // As it was written: which letters are the same is for the index to say.
        if !list.iter().any(|known| known.to_lowercase() == lower) {
            list.push(word);
        }
        if words.len() == WORDS {
            break;
        }
    }
    // A question of nothing but such words is still a question.
    let words = if words.is_empty() { empty } else { words };
    let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    (!quoted.is_empty()).then(|| quoted.join(" OR "))
}

fn is_word(text: &str) -> bool {
    text.chars().any(char::is_alphanumeric) && text.chars().nth(LETTERS).is_none()
}

/// Space, and the punctuation of ASCII and of the general block, quotes among them.
fn is_between(letter: char) -> bool {
    letter.is_whitespace()
        || letter.is_control()
        || letter.is_ascii_punctuation()
        || ('\u{2000}'..='\u{206f}').contains(&letter)
        || ('\u{3000}'..='\u{303f}').contains(&letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_once_each_and_the_empty_ones_left_out() {
        for (text, query) in [
            (
                "What is the name of the cat, the CAT?",
                Some(r#""name" OR "cat""#),
            ),
            ("who are you", Some(r#""who" OR "are" OR "you""#)),
            (
                r#"a" OR text:NEAR(b*) -- "#,
                Some(r#""text" OR "NEAR" OR "b""#),
            ),
            ("Zürich, straße 12", Some(r#""Zürich" OR "straße" OR "12""#)),
            (" \u{0}?! ", None),
            ("", None),
        ] {
            assert_eq!(any_word_of(text).as_deref(), query, "{text}");
        }
    }

    #[test]
    fn a_long_text_is_looked_for_by_its_first_words() {
        let text: String = (0..1000)
            .map(|n| format!("word{n}"))
            .collect::<Vec<_>>()
            .join(" ");
        let query = any_word_of(&text).unwrap();
        assert_eq!(query.matches(" OR ").count() + 1, WORDS);
        assert!(query.starts_with("\"word0\"") && query.ends_with("\"word23\""));
        assert_eq!(any_word_of(&"x".repeat(LETTERS + 1)), None);
    }
}
