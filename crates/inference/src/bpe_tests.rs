//! The same tokens, and the same complaints, as `tokenizers` has of the same lists.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may fail loudly"
)]

use proptest::prelude::*;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::{NormalizerWrapper, Tokenizer};

use super::*;
use crate::vocabulary::character_of_byte;

fn texts_of(list: &[String]) -> Arc<Texts> {
    let mut texts = Texts::for_many(list.len());
    assert!(list.iter().all(|text| texts.push(text)));
    Arc::new(texts)
}

fn theirs(words: Words, tokens: &[String], merges: &[String]) -> Result<Tokenizer, String> {
    let merges = merges.iter().map(|merge| {
        let pair = merge.split_once(' ');
        let pair = pair
            .ok_or_else(|| format!("`tokenizer.ggml.merges` holds {merge:?}, which is no pair"))?;
        Ok((pair.0.to_owned(), pair.1.to_owned()))
    });
    let merges = merges.collect::<Result<Vec<_>, String>>()?;
    let tokens: Vocab = tokens.iter().cloned().zip(0..).collect();
    let bpe = BPE::builder()
        .vocab_and_merges(tokens, merges)
        .ignore_merges(words == Words::Llama3)
        .cache_capacity(0)
        .build()
        .map_err(|error| format!("its tokenizer: {error}"))?;
    let mut tokenizer = Tokenizer::new(bpe);
    tokenizer.with_pre_tokenizer(Some(words.build().unwrap()));
    if words == Words::Qwen2 {
        let normalizer = Some(NormalizerWrapper::NFC(NFC));
        tokenizer.with_normalizer(normalizer).unwrap();
    }
    Ok(tokenizer)
}

/// As GPT-2 writes bytes.
fn spelled(text: &str) -> String {
    text.bytes().map(character_of_byte).collect()
}

/// Tokens and merges: some bytes, and what pairs of what is there become; perhaps a text twice, a merge twice, and one that is
/// wrong.
fn lists() -> impl Strategy<Value = (Vec<String>, Vec<String>)> {
    let bytes = prop::collection::vec(any::<bool>(), 256);
    let pairs = prop::collection::vec(any::<[prop::sample::Index; 2]>(), 0..60);
    let again = prop::option::weighted(0.3, any::<[prop::sample::Index; 2]>());
    let wrong = prop::option::weighted(
        0.1,
        prop::sample::select(vec!["nopair", "a", "a qqq", "qqq a", "a b c", " ", "a "]),
    );
    (bytes, pairs, again, wrong, any::<prop::sample::Index>()).prop_map(
        |(bytes, pairs, again, wrong, place)| {
            let common = "abcdehlot \n12é'ßs";
            let is_there = |byte: &u8| common.as_bytes().contains(byte) || bytes[*byte as usize];
            let mut tokens: Vec<String> = (0..=255u8)
                .filter(is_there)
                .map(|byte| character_of_byte(byte).to_string())
                .collect();
            let mut merges = Vec::new();
            let some: Vec<String> = common
                .bytes()
                .map(|byte| character_of_byte(byte).to_string())
                .collect();
            let mut made = some;
            for [left, right] in pairs {
                let (left, right) = (left.get(&made), right.get(&made));
                if left.len() + right.len() > 24 {
                    continue;
                }
                merges.push(format!("{left} {right}"));
                let both = format!("{left}{right}");
                made.push(both.clone());
                if !tokens.contains(&both) {
                    tokens.push(both);
                }
            }
            // Longer than all that two become, for `tokenizers` panics where none is.
            tokens.push("x".repeat(60));
            if let Some([token, merge]) = again {
                let token = token.get(&tokens).clone();
                tokens.push(token);
                if !merges.is_empty() {
                    merges.push(merge.get(&merges).clone());
                }
            }
            if let Some(wrong) = wrong {
                merges.insert(place.index(merges.len() + 1), wrong.to_owned());
            }
            (tokens, merges)
        },
    )
}

proptest! {
    #[test]
    fn the_same_tokens_as_tokenizers_makes(
        (tokens, merges) in lists(),
        words in prop::sample::select(vec![Words::Gpt2, Words::SmolLm, Words::Llama3, Words::Dbrx, Words::Gpt4o, Words::Qwen2]),
        texts in prop::collection::vec(
            prop_oneof!["[abcdehlot ]{0,60}", "[a-e'sé\u{301}ß12 \n]{0,30}", ".{0,30}", Just("\0\u{ad} \u{3000}".to_owned())],
            1..6,
        ),
    ) {
        let ours = BytePairs::of(words, &texts_of(&tokens), &texts_of(&merges));
        match (ours, theirs(words, &tokens, &merges)) {
            (Ok(ours), Ok(theirs)) => for text in &texts {
                let mut made = Vec::new();
                ours.encode(text, &mut made).unwrap();
                let expected = theirs.encode_fast(text.as_str(), false).unwrap();
                prop_assert_eq!(&made, expected.get_ids(), "{:?}", text);
            },
            (Err(ours), Err(theirs)) => prop_assert_eq!(ours, theirs),
            (ours, theirs) => panic!("{:?} here, {:?} there", ours.err(), theirs.err()),
        }
    }
}

#[test]
fn a_word_that_is_a_token_is_merged_but_for_llama_3() {
    let tokens: Vec<String> = ["a", "b", "c", "bc", "abc"].map(spelled).to_vec();
    let merges = vec!["b c".to_owned()];
    for (words, expected) in [(Words::Gpt2, vec![0, 3]), (Words::Llama3, vec![4])] {
        let built = BytePairs::of(words, &texts_of(&tokens), &texts_of(&merges)).unwrap();
        let mut made = Vec::new();
        built.encode("abc", &mut made).unwrap();
        assert_eq!(made, expected, "{words:?}");
        assert_eq!(built.begins_by_default(), words == Words::Llama3);
    }
}

#[test]
fn words_end_where_each_rule_says() {
    let cut = |words: Words, text: &str| {
        let mut pieces = PreTokenizedString::from(text);
        words.build().unwrap().pre_tokenize(&mut pieces).unwrap();
        let splits = pieces.get_splits(OffsetReferential::Normalized, OffsetType::None);
        let texts: Vec<&str> = splits.into_iter().map(|(text, ..)| text).collect();
        texts.join("|")
    };
    let text = "HelloWorld's don't 12345 x/\n";
    for (words, expected) in [
        (Words::Gpt2, "HelloWorld|'s|Ġdon|'t|Ġ12345|Ġx|/|Ċ"),
        (Words::SmolLm, "HelloWorld|'s|Ġdon|'t|Ġ|1|2|3|4|5|Ġx|/|Ċ"),
        (Words::Llama3, "HelloWorld|'s|Ġdon|'t|Ġ|123|45|Ġx|/Ċ"),
        (Words::Dbrx, "HelloWorld|'s|Ġdon|'t|Ġ|123|45|Ġx|/Ċ"),
        (Words::Gpt4o, "Hello|World's|Ġdon't|Ġ|123|45|Ġx|/Ċ"),
        (Words::Qwen2, "HelloWorld|'s|Ġdon|'t|Ġ|1|2|3|4|5|Ġx|/Ċ"),
    ] {
        assert_eq!(cut(words, text), expected, "{words:?}");
    }
}
