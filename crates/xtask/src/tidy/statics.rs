//! Why: what a static holds has no owner, outlives every restart and is shared by all tests (rule 6). Constants are
//! welcome; state belongs to an actor and arrives in its `Args`.

use super::breach::Breach;
use super::code::{Code, Token};
use super::source::Source;

/// Facts that belong to the process itself: that it has one runtime, and the one recorder its metrics facade takes.
const EXCEPT: [&str; 2] = [
    "crates/runtime/src/own.rs",
    "crates/telemetry/src/metrics.rs",
];

/// Types through which a static changes. Names that start with `Atomic` do, too.
const CHANGING: [&str; 9] = [
    "Mutex",
    "RwLock",
    "Cell",
    "RefCell",
    "UnsafeCell",
    "OnceLock",
    "OnceCell",
    "LazyLock",
    "LazyCell",
];

/// Breaches of rule 6 by state without an owner.
pub(crate) fn check(source: &Source, code: &Code) -> Vec<Breach> {
    if EXCEPT.contains(&source.path.as_str()) || source.is_test() {
        return Vec::new();
    }
    let starts = (0..code.tokens.len()).filter_map(|at| code.tokens.get(at..));
    let found = starts
        .filter(|rest| is_state(rest))
        .filter_map(|rest| rest.first());
    let way_out = "give it an owner: an actor's field, or a handle in `Args`";
    found
        .filter(|token| !token.test)
        .map(|token| Breach::new(source, token.line, 6, "a static that changes", way_out))
        .collect()
}

fn is_state(rest: &[Token]) -> bool {
    let words: Vec<&str> = rest
        .iter()
        .take(2)
        .map(|token| token.text.as_str())
        .collect();
    match words.as_slice() {
        ["thread_local", "!"] | ["static", "mut"] => true,
        ["static", _] => rest
            .iter()
            .map(|token| token.text.as_str())
            .take_while(|text| !matches!(*text, "=" | ";" | "|"))
            .any(|text| CHANGING.contains(&text) || text.starts_with("Atomic")),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::source::made_up;

    #[test]
    fn state_without_an_owner_is_found() {
        for (text, found) in [
            ("static A: Mutex<u8> = Mutex::new(0);", true),
            (
                "pub static A: std::sync::OnceLock<u8> = OnceLock::new();",
                true,
            ),
            ("static A: AtomicBool = AtomicBool::new(false);", true),
            ("static mut A: u8 = 0;", true),
            ("thread_local! { static A: u8 = 0; }", true),
            ("static NAMES: [&str; 2] = [\"a\", \"b\"];", false),
            ("const A: &'static str = \"Mutex\";", false),
            ("fn f(a: &'static Mutex<u8>) {}", false),
            (
                "#[cfg(test)] mod tests { static A: AtomicBool = AtomicBool::new(false); }",
                false,
            ),
        ] {
            let code = Code::parse(text).unwrap();
            assert_eq!(
                !check(&made_up("crates/a/src/b.rs", text), &code).is_empty(),
                found,
                "{text}"
            );
            assert_eq!(check(&made_up(EXCEPT[0], text), &code), [], "{text}");
        }
    }
}
