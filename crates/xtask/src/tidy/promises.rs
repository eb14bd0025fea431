//! Why: a guarantee is worth what its test is worth (rule 16). Each numbered guarantee of the page names the tests that
//! hold it, and these tests exist. Other pages may name tests in the same words; those exist, too.

use super::breach::Breach;
use super::named_tests::NamedTests;
use super::source::Source;

/// The page.
pub(crate) const PAGE: &str = "docs/semantics.md";
/// What stands before the names of the tests.
const HELD_BY: &str = "Held by ";

/// Breaches of rule 16: a guarantee that no test holds, and a test that does not exist.
pub(crate) fn check(sources: &[Source]) -> Vec<Breach> {
    let Some(page) = sources.iter().find(|source| source.path == PAGE) else {
        let what = "the page of guarantees is missing";
        let way_out = "write it, or take its rule away";
        return vec![Breach::at(PAGE, 1, 16, what, way_out)];
    };
    let tests = NamedTests::of(sources);
    let mut breaches = Vec::new();
    let mut bare: Option<usize> = None;
    for (line, text) in (1..).zip(page.text.lines()) {
        if is_guarantee(text) {
            breaches.extend(bare.replace(line).map(|line| unheld(page, line)));
        }
        let Some((_, names)) = text.split_once(HELD_BY) else {
            continue;
        };
        for name in names.split('`').skip(1).step_by(2) {
            bare = None;
            if !tests.has(name) {
                let what = format!("no test is called `{name}`");
                let way_out = "name the test that holds this, or write it";
                breaches.push(Breach::new(page, line, 16, what, way_out));
            }
        }
    }
    breaches.extend(bare.map(|line| unheld(page, line)));
    let others = sources
        .iter()
        .filter(|source| source.is_in("docs") && source.has_extension("md") && source.path != PAGE);
    breaches.extend(others.flat_map(|page| named_elsewhere(page, &tests)));
    breaches
}

/// What another page names from `Held by` to the end of the paragraph, and is no test.
fn named_elsewhere(page: &Source, tests: &NamedTests) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let mut within = false;
    for (line, text) in (1..).zip(page.text.lines()) {
        let names = match text.split_once(HELD_BY) {
            Some((_, names)) => names,
            None if within => text,
            None => continue,
        };
        within = !text.is_empty();
        let quoted = names.split('`').skip(1).step_by(2);
        for name in quoted.filter(|name| is_sentence(name) && !tests.has(name)) {
            let what = format!("no test is called `{name}`");
            breaches.push(Breach::new(
                page,
                line,
                16,
                what,
                "name the test that holds this",
            ));
        }
    }
    breaches
}

/// Tests are named in sentences; what else stands in code marks is shorter.
fn is_sentence(name: &str) -> bool {
    name.matches('_').count() >= 3
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn unheld(page: &Source, line: usize) -> Breach {
    let what = "no test is named for this guarantee";
    let way_out = format!("write `{HELD_BY}` and the tests below it, or do not promise it");
    Breach::new(page, line, 16, what, way_out)
}

/// `12. Nobody waits for ever …`
fn is_guarantee(text: &str) -> bool {
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
    rest.len() < text.len() && rest.starts_with(". ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::source::made_up;

    fn breaches(page: &str) -> Vec<(usize, u8)> {
        let code = "#[test]\nfn it_holds() {}\n\n#[tokio::test(start_paused = true)]\nasync fn it_waits() {}\n\nfn helper() {}\n";
        let sources = [
            made_up(PAGE, page),
            made_up("crates/supervision/tests/a.rs", code),
        ];
        check(&sources).iter().map(Breach::place).collect()
    }

    #[test]
    fn a_guarantee_whose_tests_exist_is_fine() {
        let page = "# Page\n\n1. It holds.\n   Held by `it_holds`, `it_waits`\n2. So.\n   Held by `it_waits`\n";
        assert_eq!(breaches(page), []);
    }

    #[test]
    fn a_test_that_does_not_exist_or_is_no_test_is_found() {
        for name in ["gone", "helper", "it_hold"] {
            let page = format!("1. It holds.\n   Held by `it_holds`, `{name}`\n");
            assert_eq!(breaches(&page), [(2, 16)], "{name}");
        }
    }

    #[test]
    fn a_guarantee_without_a_test_is_found() {
        assert_eq!(
            breaches("1. One.\n2. Two.\n   Held by `it_holds`\n3. Three.\n"),
            [(1, 16), (4, 16)]
        );
    }

    #[test]
    fn tests_that_other_pages_name_exist_to_the_end_of_the_paragraph() {
        let code = "#[test]\nfn it_holds_and_is_kept() {}\n";
        let page = "Held by `it_holds_and_is_kept`; see `memory_governor`,\n`it_is_gone_for_good`.\n\n`not_a_test_at_all`\n";
        let sources = [
            made_up(PAGE, ""),
            made_up("docs/a.md", page),
            made_up("crates/a/src/b_tests.rs", code),
        ];
        let places: Vec<_> = check(&sources).iter().map(Breach::place).collect();
        assert_eq!(places, [(2, 16)]);
    }

    #[test]
    fn no_page_at_all_is_found() {
        assert_eq!(check(&[]).len(), 1);
    }
}
