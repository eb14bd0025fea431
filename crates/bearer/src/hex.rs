//! Bytes as lower-case hexadecimal digits, and back. Nothing else is accepted: one hash has one form.

use std::fmt::Write;

pub(crate) fn print(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The 32 bytes of 64 digits.
pub(crate) fn parse(text: &str) -> Option<[u8; 32]> {
    let digit = |c: &u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes = pairs
        .iter()
        .map(|[high, low]| Some(digit(high)? << 4 | digit(low)?));
    let bytes: Vec<u8> = bytes.collect::<Option<_>>()?;
    rest.is_empty().then_some(bytes)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(bytes: [u8; 32]) {
            prop_assert_eq!(parse(&print(&bytes)), Some(bytes));
        }
    }

    #[test]
    fn only_64_lower_case_digits_are_a_hash() {
        for (text, good) in [
            ("0".repeat(64), true),
            ("0".repeat(63), false),
            ("0".repeat(66), false),
            ("A".repeat(64), false),
            (format!("{}g", "0".repeat(63)), false),
            (format!("{}é", "0".repeat(62)), false),
        ] {
            assert_eq!(parse(&text).is_some(), good, "{text}");
        }
    }
}
