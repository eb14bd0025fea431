//! A result that is too long for the model is cut at a character, and says how much is missing.

use crate::tool::ToolOutput;

/// The first bytes of `text`, at most `limit`, that are whole characters.
pub(crate) fn head(text: &str, limit: usize) -> &str {
    text.get(..text.floor_char_boundary(limit)).unwrap_or(text)
}

/// At most `limit` bytes of the text and of what the tool itself left out before, the note of that included.
pub(crate) fn cut(output: ToolOutput, limit: usize) -> ToolOutput {
    let whole = output.text.len();
    if whole <= limit {
        return output;
    }
    // The widest note first, so that the narrower one of what was really left out always fits.
    let widest = note(usize::MAX).len();
    let kept = head(&output.text, limit.saturating_sub(widest));
    let left_out = (whole - kept.len()).saturating_add(output.left_out);
    let mut text = kept.to_owned();
    text.push_str(&note(left_out));
    ToolOutput {
        text: head(&text, limit).to_owned(),
        left_out,
    }
}

fn note(left_out: usize) -> String {
    format!("\n[the result was too long: {left_out} bytes more were left out]")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn never_longer_than_the_limit_and_never_silent_about_it(text in "\\PC{0,400}", limit in 0_usize..500) {
            let whole = text.len();
            let cut = cut(ToolOutput::new(text.clone()), limit);
            prop_assert!(cut.text.len() <= limit);
            if whole <= limit {
                prop_assert_eq!(cut, ToolOutput::new(text));
            } else {
                prop_assert!(cut.is_truncated());
                if limit > 100 {
                    let end = format!("[the result was too long: {} bytes more were left out]", cut.left_out);
                    prop_assert!(cut.text.ends_with(&end), "{}", cut.text);
                    let kept = cut.text.len() - end.len() - 1;
                    prop_assert!(text.starts_with(&cut.text[..kept]));
                    prop_assert_eq!(kept + cut.left_out, whole);
                }
            }
        }
    }
}
