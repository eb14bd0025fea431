//! Why: an actor's decisions must be testable without a runtime and without waiting (rules 1 and 2), so its core may
//! not be able to wait, to send, or to ask what time it is.
//!
//! Every file under `actors/*/src` is a core, unless its name says that it is a shell, or its first line does: it then
//! starts with `//! Shell`.

use super::breach::Breach;
use super::code::Code;
use super::source::Source;

/// Names of files that may wait and send, and of folders whose files may. A name that ends in `_actor` may, too.
const SHELLS: [&str; 6] = ["lib", "actor", "messages", "client", "children", "lane"];

/// How any other shell begins: `//! Shell: why it has to wait.`
const SAYS_SHELL: &str = "//! Shell";

/// What a core cannot say, and the rule it breaks.
const FORBIDDEN: [(&[&str], u8); 11] = [
    (&["async"], 1),
    (&["await"], 1),
    (&["kameo"], 1),
    (&["tokio"], 1),
    (&["tokio_util"], 1),
    (&["tokio_stream"], 1),
    (&["futures_util"], 1),
    (&["Instant", "::", "now"], 2),
    (&["SystemTime", "::", "now"], 2),
    (&[".", "elapsed"], 2),
    (&["rand", "::"], 2),
];

/// The one name of tokio a core may say: a point in time is a value, on a paused clock too.
const POINT_IN_TIME: [&str; 5] = ["tokio", "::", "time", "::", "Instant"];

/// Breaches of rules 1 and 2 in one file.
pub(crate) fn check(source: &Source, code: &Code) -> Vec<Breach> {
    if !is_core(source) {
        return Vec::new();
    }
    let allowed: Vec<*const _> = code.find(&POINT_IN_TIME).map(std::ptr::from_ref).collect();
    let mut breaches = Vec::new();
    for (words, rule) in FORBIDDEN {
        for token in code
            .find(words)
            .filter(|token| !allowed.contains(&std::ptr::from_ref(*token)))
        {
            let way_out = if rule == 1 {
                "return what should happen as a value and let actor.rs do it; a file whose whole job is to wait opens with `//! Shell`"
            } else {
                "take `now` or a seed as an argument"
            };
            breaches.push(Breach::new(
                source,
                token.line,
                rule,
                format!("`{}` in a core", words.concat()),
                way_out,
            ));
        }
    }
    breaches
}

fn is_core(source: &Source) -> bool {
    let inside = source
        .path
        .strip_prefix("actors/")
        .and_then(|rest| rest.split_once('/'));
    let in_a_shell = inside.is_some_and(|(_, rest)| {
        let folders = rest.rsplit_once('/').map_or("", |(folders, _)| folders);
        folders.split('/').any(|folder| SHELLS.contains(&folder))
    });
    let named = SHELLS.contains(&source.stem()) || source.stem().ends_with("_actor");
    let shell = named || in_a_shell || source.text.starts_with(SAYS_SHELL);
    inside.is_some_and(|(_, rest)| rest.starts_with("src/")) && !shell && !source.is_test()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::source::made_up;

    fn places(path: &str, text: &str) -> Vec<(usize, u8)> {
        check(&made_up(path, text), &Code::parse(text).unwrap())
            .iter()
            .map(Breach::place)
            .collect()
    }

    #[test]
    fn a_core_that_waits_sends_or_looks_at_a_clock_is_found() {
        for (text, rule) in [
            ("async fn f() {}", 1),
            ("fn f() { m!(x.await) }", 1),
            ("use kameo::Actor;", 1),
            ("use tokio::sync::mpsc;", 1),
            ("use {tokio::time::sleep};", 1),
            ("use tokio_util::sync::CancellationToken;", 1),
            ("fn f() { let now = Instant::now(); }", 2),
            ("fn f() { tokio::time::Instant::now(); }", 2),
            ("fn f(t: I) { t.elapsed(); }", 2),
            ("fn f() { rand::random() }", 2),
        ] {
            assert_eq!(
                places("actors/a/src/ledger.rs", text),
                [(1, rule)],
                "{text}"
            );
            assert_eq!(
                places("actors/a/src/deep/ledger.rs", text),
                [(1, rule)],
                "{text}"
            );
        }
    }

    #[test]
    fn a_core_may_hold_a_point_in_time_and_have_async_tests() {
        let text = "//! async, tokio::spawn\nuse tokio::time::Instant;\nfn f(now: Instant) {}\n\
                    #[cfg(test)]\nmod tests { #[tokio::test] async fn g() { x.await } }";
        assert_eq!(places("actors/a/src/ledger.rs", text), []);
    }

    #[test]
    fn a_shell_may_say_so_in_its_first_line_only() {
        let path = "actors/a/src/stream.rs";
        assert_eq!(
            places(path, "//! Shell: it waits for the reader.\nuse tokio::io;"),
            []
        );
        assert_eq!(
            places(path, "//! Why.\n//! Shell: it waits.\nuse tokio::io;"),
            [(3, 1)]
        );
    }

    #[test]
    fn shells_and_tests_may_wait() {
        for path in [
            "actors/a/src/actor.rs",
            "actors/a/src/lane.rs",
            "actors/a/src/lane_actor.rs",
            "actors/a/src/lane/load.rs",
            "actors/a/src/tests.rs",
            "actors/a/tests/behaviour.rs",
            "crates/a/src/ledger.rs",
        ] {
            assert_eq!(places(path, "async fn f() { x.await }"), [], "{path}");
        }
    }
}
