//! Why: the page of defects says what we do instead of each, and a claim is worth what its test is worth (rule 17). Each
//! row names tests that exist, or says why the defect does not apply, or what is not done.

use super::breach::Breach;
use super::named_tests::NamedTests;
use super::source::Source;

/// The page.
pub(crate) const PAGE: &str = "docs/origin.md";
/// What a row without a test begins with, before its reason.
const EXCUSES: [&str; 2] = ["does not apply: ", "not done: "];

/// Breaches of rule 17.
pub(crate) fn check(sources: &[Source]) -> Vec<Breach> {
    let Some(page) = sources.iter().find(|source| source.path == PAGE) else {
        let what = "the page of defects is missing";
        return vec![Breach::at(
            PAGE,
            1,
            17,
            what,
            "write it, or take its rule away",
        )];
    };
    let tests = NamedTests::of(sources);
    (1..)
        .zip(page.text.lines())
        .filter_map(|(line, text)| Some((line, shown_by(text)?)))
        .flat_map(|(line, shown)| check_row(page, line, shown, &tests))
        .collect()
}

fn check_row(page: &Source, line: usize, shown: &str, tests: &NamedTests<'_>) -> Vec<Breach> {
    if EXCUSES
        .iter()
        .any(|excuse| shown.len() > excuse.len() && shown.starts_with(excuse))
    {
        return Vec::new();
    }
    let mut names = shown.split('`').skip(1).step_by(2).peekable();
    if names.peek().is_none() {
        let what = "no test is named for this defect";
        let way_out =
            "name one in the last column, or write `does not apply: ` or `not done: ` and why";
        return vec![Breach::new(page, line, 17, what, way_out)];
    }
    names
        .filter(|name| !tests.has(name))
        .map(|name| {
            let what = format!("no test is called `{name}`");
            Breach::new(
                page,
                line,
                17,
                what,
                "name the test that shows this, or write it",
            )
        })
        .collect()
}

/// The last column of a row whose first begins with an id, as `MG-01`.
fn shown_by(text: &str) -> Option<&str> {
    let (rest, shown) = text.strip_suffix(" |")?.rsplit_once(" | ")?;
    let (kind, number) = rest.strip_prefix("| ")?.split_once('-')?;
    let is_id = kind.len() == 2
        && kind.chars().all(|c| c.is_ascii_uppercase())
        && number.starts_with(|c: char| c.is_ascii_digit());
    is_id.then_some(shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::source::made_up;

    fn breaches(page: &str) -> Vec<(usize, u8)> {
        let sources = [
            made_up(PAGE, page),
            made_up("actors/a/tests/a.rs", "#[test]\nfn it_holds() {}\n"),
        ];
        check(&sources).iter().map(Breach::place).collect()
    }

    #[test]
    fn rows_with_a_test_or_a_reason_are_fine() {
        let page = "# Page\n\n| defect | instead | shown by |\n|---|---|---|\n| MG-01 a | b | `it_holds` |\n\
                    | MG-02 a | b | does not apply: there is none |\n| MG-03 a | b | not done: issue 6 |\n";
        assert_eq!(breaches(page), []);
    }

    #[test]
    fn rows_without_one_or_with_one_that_is_gone_are_found() {
        for shown in [
            "of course",
            "`gone`",
            "does not apply: ",
            "`it_holds`, `gone`",
        ] {
            let page = format!("| MG-01 a | b | {shown} |\n");
            assert_eq!(breaches(&page), [(1, 17)], "{shown}");
        }
    }

    #[test]
    fn no_page_at_all_is_found() {
        assert_eq!(check(&[]).len(), 1);
    }
}
