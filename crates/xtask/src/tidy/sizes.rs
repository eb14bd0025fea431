//! Why: what fits on a few screens is read; what does not is skimmed (rule 9). Tests are lists and may be long.

use super::breach::Breach;
use super::code::Code;
use super::source::Source;

/// A file of more lines holds more than one idea. Items for tests do not count.
const FILE_LINES_MAX: usize = 500;

/// A function of more lines does more than one thing. From `fn` to the last brace.
const FUNCTION_LINES_MAX: usize = 70;

/// Breaches of rule 9 in one file.
pub(crate) fn check(source: &Source, code: &Code) -> Vec<Breach> {
    if source.is_test() {
        return Vec::new();
    }
    let tests: usize = code
        .test_items
        .iter()
        .map(|lines| lines.clone().count())
        .sum();
    let lines = source.text.lines().count().saturating_sub(tests);
    let mut breaches = Vec::new();
    if lines > FILE_LINES_MAX {
        let what = format!("{lines} lines, {FILE_LINES_MAX} are the limit");
        breaches.push(Breach::new(
            source,
            1,
            9,
            what,
            "give its second idea its own file",
        ));
    }
    for function in code.functions.iter().filter(|function| !function.test) {
        let lines = function.lines.clone().count();
        if lines > FUNCTION_LINES_MAX {
            let what = format!(
                "`{}` has {lines} lines, {FUNCTION_LINES_MAX} are the limit",
                function.name
            );
            breaches.push(Breach::new(
                source,
                *function.lines.start(),
                9,
                what,
                "give its steps names of their own",
            ));
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

    fn function(lines: usize) -> String {
        format!("fn f() {{\n{}}}\n", "    x();\n".repeat(lines - 2))
    }

    #[test]
    fn a_function_over_the_limit_is_found() {
        assert_eq!(places("a.rs", &function(FUNCTION_LINES_MAX)), []);
        assert_eq!(
            places("a.rs", &format!("\n{}", function(FUNCTION_LINES_MAX + 1))),
            [(2, 9)]
        );
    }

    #[test]
    fn a_file_over_the_limit_is_found() {
        assert_eq!(places("a.rs", &"// x\n".repeat(FILE_LINES_MAX)), []);
        assert_eq!(
            places("a.rs", &"// x\n".repeat(FILE_LINES_MAX + 1)),
            [(1, 9)]
        );
    }

    #[test]
    fn tests_do_not_count() {
        let long = function(FILE_LINES_MAX);
        assert_eq!(
            places("a.rs", &format!("#[cfg(test)]\nmod tests {{\n{long}}}")),
            []
        );
        assert_eq!(places("crates/a/tests/b.rs", &long), []);
    }
}
