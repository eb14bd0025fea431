//! When two texts are the same: the sha256 of what is left of a text when letters' case and the space between words no
//! longer count. And when two files are: the sha256 of their bytes.

use conversation_store::memories::ContentHash;
use sha2::{Digest, Sha256};

/// How pieces are cut is part of a file's digest: cut in another way, the file is cut again.
const WAY_OF_CUTTING: &[u8] = b"pieces 1\n";

/// The name of a text's content.
pub fn content_hash(text: &str) -> ContentHash {
    Sha256::digest(normal(text).as_bytes()).into()
}

/// The name of a file's content, as it is cut today.
pub fn file_digest(bytes: &[u8]) -> ContentHash {
    let mut hasher = Sha256::new();
    hasher.update(WAY_OF_CUTTING);
    hasher.update(bytes);
    hasher.finalize().into()
}

/// Words in lower case, one space between two. Punctuation stays: "No, tea." and "No tea." are two answers.
fn normal(text: &str) -> String {
    let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn case_and_space_make_no_difference_and_words_do() {
        let one = content_hash("My cat is  called\n Ada.");
        assert_eq!(one, content_hash("  my CAT is called ada. "));
        assert_ne!(one, content_hash("my cat is called ada"));
        assert_ne!(one, content_hash("my cat is called adam."));
        // Known from elsewhere: the sha256 of nothing.
        assert_eq!(content_hash(" \n")[..4], [0xe3, 0xb0, 0xc4, 0x42]);
        assert_ne!(file_digest(b"a"), file_digest(b"A"));
    }

    proptest! {
        #[test]
        fn a_normal_text_is_its_own_normal_text(text in any::<String>()) {
            let once = normal(&text);
            prop_assert_eq!(normal(&once), once);
        }
    }
}
