//! Why: an exception without a reason is a rule that was switched off (rule 12).

use super::breach::Breach;
use super::code::{Attribute, Code};
use super::source::Source;

/// Breaches of rule 12 in one file.
pub(crate) fn check(source: &Source, code: &Code) -> Vec<Breach> {
    let silent = code
        .attributes
        .iter()
        .filter(|attribute| is_silent(attribute));
    let breach = |attribute: &Attribute| {
        let what = format!("`#[{}]` without a reason", attribute.words.concat());
        let way_out = "write `reason = \"…\"` in it, for a test `#[ignore = \"…\"]`";
        Breach::new(source, attribute.line, 12, what, way_out)
    };
    silent.map(breach).collect()
}

fn is_silent(attribute: &Attribute) -> bool {
    let words: Vec<&str> = attribute.words.iter().map(String::as_str).collect();
    let switches_off = |pair: &[&str]| matches!(pair, ["allow" | "expect", "("]);
    match words.as_slice() {
        ["ignore"] => true,
        ["allow" | "expect" | "cfg_attr", ..] => {
            words.windows(2).any(switches_off)
                && !words.windows(2).any(|pair| pair == ["reason", "="])
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::source::made_up;

    #[test]
    fn an_exception_without_a_reason_is_found() {
        for (text, found) in [
            ("#[ignore] fn f() {}", true),
            ("#[ignore = \"needs a model\"] fn f() {}", false),
            ("#[allow(dead_code)] fn f() {}", true),
            ("#![allow(dead_code)]", true),
            ("#[expect(dead_code)] fn f() {}", true),
            ("#[cfg_attr(test, allow(dead_code))] fn f() {}", true),
            (
                "#[allow(dead_code, reason = \"read by the linker\")] fn f() {}",
                false,
            ),
            ("#[cfg_attr(test, derive(Debug))] struct S;", false),
            ("#[doc = \"allow(x)\"] struct S;", false),
            ("// #[allow(dead_code)]", false),
            ("m! { #[allow(dead_code)] fn f() {} }", true),
        ] {
            let breaches = check(&made_up("a.rs", text), &Code::parse(text).unwrap());
            assert_eq!(breaches.len(), usize::from(found), "{text}");
        }
    }
}
