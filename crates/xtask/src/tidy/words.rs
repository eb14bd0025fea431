//! Why: some calls must be absent from the whole tree, tests and comments included, so that a text search is proof
//! (rules 5 and 6), and unfinished work must not look finished (rule 11).
//!
//! The words are written here in two halves, or this file would be the first to break its rule.

use super::breach::Breach;
use super::code::Code;
use super::source::Source;

struct Word {
    text: &'static str,
    rule: u8,
    way_out: &'static str,
    except: Option<Except>,
}

/// Where a word may stand.
#[derive(Clone, Copy)]
enum Except {
    /// In a folder; and in tests, if so.
    Folder(&'static str, bool),
    /// In the one file that has threads of its own.
    OldWorld,
}

/// The model of what was there before, which the benches measure against the tree: threads that sleep.
const OLD_WORLD: &str = "benches/before_and_after/old_world.rs";

impl Except {
    fn holds(self, source: &Source, test: bool) -> bool {
        match self {
            Self::Folder(folder, tests) => source.is_in(folder) || (tests && test),
            Self::OldWorld => source.path == OLD_WORLD,
        }
    }
}

const OTHER_THREADS: &str =
    "every thread belongs to the one runtime: be an actor, or use tokio's blocking pool";
const OTHER_RUNTIME: &str =
    "only crates/runtime builds a runtime and blocks on it: use `runtime::run`, and await";
const UNFINISHED: &str = "finish it, or return a typed error that says so";

const WORDS: [Word; 9] = [
    Word {
        text: concat!("std::thread", "::spawn"),
        rule: 6,
        way_out: OTHER_THREADS,
        except: None,
    },
    Word {
        text: concat!("thread", "::Builder"),
        rule: 6,
        way_out: OTHER_THREADS,
        except: Some(Except::OldWorld),
    },
    Word {
        text: concat!("thread", "::sleep"),
        rule: 6,
        way_out: "wait with tokio::time",
        except: Some(Except::OldWorld),
    },
    Word {
        text: concat!("block", "_on("),
        rule: 6,
        way_out: OTHER_RUNTIME,
        except: Some(Except::Folder("crates/runtime", true)),
    },
    Word {
        text: concat!("new_multi", "_thread("),
        rule: 6,
        way_out: OTHER_RUNTIME,
        except: Some(Except::Folder("crates/runtime", false)),
    },
    Word {
        text: concat!("new_current", "_thread("),
        rule: 6,
        way_out: OTHER_RUNTIME,
        except: Some(Except::Folder("crates/runtime", false)),
    },
    Word {
        text: concat!("unbounded", "_channel"),
        rule: 5,
        way_out: "use a bounded channel and say why that bound",
        except: None,
    },
    Word {
        text: concat!("todo", "!("),
        rule: 11,
        way_out: UNFINISHED,
        except: None,
    },
    Word {
        text: concat!("unimplemented", "!("),
        rule: 11,
        way_out: UNFINISHED,
        except: None,
    },
];

/// Files that may contain unsafe code, each reviewed line by line.
const UNSAFE_FILES: [&str; 8] = [
    "actors/conversation_store/src/vector_functions.rs",
    "crates/inference/src/cpu/kernels.rs",
    "crates/inference/src/cpu/kernels/avx2.rs",
    "crates/inference/src/cpu/kernels/avx512.rs",
    "crates/inference/src/cpu/kernels/view.rs",
    "crates/runtime/src/allocator.rs",
    "crates/runtime/src/confine.rs",
    "crates/runtime/src/census.rs",
];

/// Breaches of rules 5, 6, 11 and 12 that a word gives away.
pub(crate) fn check(source: &Source, code: &Code) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for (line, text) in (1..).zip(source.text.lines()) {
        let test = source.is_test() || code.is_test_line(line);
        for word in WORDS.iter().filter(|word| text.contains(word.text)) {
            if !word.except.is_some_and(|except| except.holds(source, test)) {
                breaches.push(Breach::new(
                    source,
                    line,
                    word.rule,
                    format!("the text `{}`", word.text),
                    word.way_out,
                ));
            }
        }
    }
    // As a token, because prose may speak of what is unsafe.
    if !UNSAFE_FILES.contains(&source.path.as_str()) {
        for token in code.tokens.iter().filter(|token| token.text == "unsafe") {
            let way_out =
                "find a safe way, or add the file to UNSAFE_FILES in tidy's words.rs and say why";
            breaches.push(Breach::new(source, token.line, 12, "unsafe code", way_out));
        }
    }
    breaches
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
    fn each_word_is_found_in_comments_and_in_code() {
        for word in WORDS {
            let comment = format!("fn f() {{}}\n// {}", word.text);
            assert_eq!(
                places("crates/a/src/b.rs", &comment),
                [(2, word.rule)],
                "{}",
                word.text
            );
            let test = format!("#[cfg(test)]\nmod tests {{\n// {}\n}}", word.text);
            let excused = matches!(word.except, Some(Except::Folder(_, true)));
            let expected = if excused {
                vec![]
            } else {
                vec![(3, word.rule)]
            };
            assert_eq!(
                places("crates/a/src/b.rs", &test),
                expected,
                "{}",
                word.text
            );
        }
    }

    #[test]
    fn only_the_runtime_crate_builds_and_blocks() {
        let text = concat!("// block", "_on( new_multi", "_thread(");
        assert_eq!(places("crates/runtime/src/own.rs", text), []);
        assert_eq!(
            places("crates/runtime_not/src/own.rs", text),
            [(1, 6), (1, 6)]
        );
        assert_eq!(places("crates/a/tests/b.rs", text), [(1, 6)]);
    }

    #[test]
    fn one_file_alone_has_threads_and_even_it_never_by_the_plain_call() {
        let text = concat!("// thread", "::Builder, thread", "::sleep");
        assert_eq!(places(OLD_WORLD, text), []);
        for other in [
            "benches/before_and_after/old_state.rs",
            "benches/before_and_after/old_world/more.rs",
            "benches/old_world.rs",
            "crates/runtime/src/own.rs",
            "crates/runtime/tests/own.rs",
        ] {
            assert_eq!(places(other, text), [(1, 6), (1, 6)], "{other}");
        }
        let plain = concat!("// std::thread", "::spawn");
        assert_eq!(places(OLD_WORLD, plain), [(1, 6)]);
    }

    #[test]
    fn unsafe_code_stands_in_named_files_only() {
        let text = "//! unsafe in prose\n#![deny(unsafe_code)]\nfn f() { unsafe { g() } }";
        assert_eq!(places("crates/a/src/b.rs", text), [(3, 12)]);
        assert_eq!(places("crates/runtime/src/confine.rs", text), []);
    }
}
