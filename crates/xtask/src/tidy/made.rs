//! Why: a page that is made by a test which nobody knows is never made anew (rule 18). Every test that writes a page is on the list
//! of `cargo xtask docs`, and what is on the list is there.

use super::breach::Breach;
use super::source::Source;
use crate::docs::{MADE, Made, PICTURES, VARIABLE};

/// What xtask itself says of the variable is no page.
const OURS: &str = "crates/xtask";

/// Breaches of rule 18 in the whole tree.
pub(crate) fn check(sources: &[Source]) -> Vec<Breach> {
    among(sources, &MADE, &PICTURES)
}

fn among(sources: &[Source], list: &[Made], pictures: &[&str]) -> Vec<Breach> {
    let find = |path: &str| sources.iter().find(|source| source.path == path);
    let mut breaches = Vec::new();
    for source in sources.iter().filter(|source| source.has_extension("rs")) {
        let known = pictures.contains(&source.path.as_str())
            || list.iter().any(|made| made.by == source.path)
            || source.is_in(OURS);
        if source.text.contains(VARIABLE) && !known {
            let way_out = "add it to MADE in xtask's docs.rs";
            let what = "it writes a page that `cargo xtask docs` does not know";
            breaches.push(Breach::new(source, 1, 18, what, way_out));
        }
    }
    for made in list {
        let writer = find(made.by);
        let text = writer.map_or("", |source| source.text.as_str());
        let absent = made
            .tests
            .iter()
            .filter(|name| !text.contains(&format!("fn {name}(")));
        breaches.extend(absent.map(|name| {
            let what = format!("it has no test `{name}`, which `cargo xtask docs` runs");
            Breach::at(made.by, 1, 18, what, "correct MADE in xtask's docs.rs")
        }));
        let gone = made.pages.iter().filter(|page| find(page).is_none());
        breaches.extend(gone.map(|page| {
            let what = "the page is not there";
            Breach::at(page, 1, 18, what, "`cargo xtask docs` writes it")
        }));
    }
    breaches
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::*;
    use crate::tidy::source::made_up;

    fn found(sources: &[Source]) -> Vec<String> {
        let breaches = among(sources, &MADE[..1], &["pictures.rs"]);
        breaches.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_writer_that_nobody_knows_and_a_page_that_is_gone_are_found() {
        let made = &MADE[0];
        let writer = format!("{VARIABLE} fn {}() {{}}", made.tests[0]);
        let (by, page) = (made_up(made.by, &writer), made_up(made.pages[0], "# Page"));
        assert_eq!(found(&[by.clone(), page.clone()]), Vec::<String>::new());
        assert!(found(from_ref(&by))[0].contains("the page is not there"));
        assert!(found(from_ref(&page))[0].contains("it has no test"));
        let stray = made_up("crates/a/tests/b.rs", &writer);
        let lines = found(&[by.clone(), page.clone(), stray]);
        assert_eq!(lines.len(), 1);
        assert!(
            lines[0].starts_with("crates/a/tests/b.rs:1: rule 18"),
            "{lines:?}"
        );
        let fine = [
            made_up("pictures.rs", &writer),
            made_up("crates/xtask/src/docs.rs", &writer),
            made_up("docs/a.md", &writer),
        ];
        assert_eq!(
            found(&[&[by, page][..], &fine].concat()),
            Vec::<String>::new()
        );
    }
}
