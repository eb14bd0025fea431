//! Why: a walk through the code is worth reading only while it leads where it says (rule 15). Each numbered section of
//! the walk links one file, and that file says at the place: `// A token's life, stop N`.

use super::breach::Breach;
use super::source::Source;

/// The walk.
pub(crate) const WALK: &str = "docs/life_of_a_token.md";
/// What stands at each stop, with its number behind it.
const MARKER: &str = "// A token's life, stop ";

/// Breaches of rule 15: a stop of the walk without its marker, and a marker without its stop.
pub(crate) fn check(sources: &[Source]) -> Vec<Breach> {
    let Some(walk) = sources.iter().find(|source| source.path == WALK) else {
        let what = "the walk through the code is missing";
        return vec![Breach::at(
            WALK,
            1,
            15,
            what,
            "write it, or take its rule away",
        )];
    };
    let stops = stops(&walk.text);
    let marks = marks(sources);
    let mut breaches = Vec::new();
    for stop in &stops {
        let there = marks.iter().filter(|mark| mark.number == stop.number);
        let files: Vec<&str> = there.map(|mark| mark.source.path.as_str()).collect();
        if files != [stop.file.as_str()] {
            let what = format!(
                "stop {} links `{}`, and is marked in {files:?}",
                stop.number, stop.file
            );
            let way_out = format!(
                "write `{MARKER}{}` there, once, or link the right file",
                stop.number
            );
            breaches.push(Breach::new(walk, stop.line, 15, what, way_out));
        }
    }
    for mark in marks
        .iter()
        .filter(|mark| !stops.iter().any(|stop| stop.number == mark.number))
    {
        let what = format!("stop {} is not in {WALK}", mark.number);
        breaches.push(Breach::new(
            mark.source,
            mark.line,
            15,
            what,
            "describe it there, or take the mark away",
        ));
    }
    breaches
}

/// One numbered section of the walk and the first file it links.
#[derive(Debug, PartialEq, Eq)]
struct Stop {
    number: String,
    file: String,
    line: usize,
}

fn stops(walk: &str) -> Vec<Stop> {
    let mut stops: Vec<Stop> = Vec::new();
    for (line, text) in (1..).zip(walk.lines()) {
        if let Some((number, _)) = text
            .strip_prefix("## ")
            .and_then(|title| title.split_once(". "))
        {
            stops.push(Stop {
                number: number.to_owned(),
                file: String::new(),
                line,
            });
        } else if let Some(stop) = stops.last_mut().filter(|stop| stop.file.is_empty())
            && let Some((_, link)) = text.split_once("](../")
            && let Some((file, _)) = link.split_once(')')
        {
            file.clone_into(&mut stop.file);
        }
    }
    stops
}

struct Mark<'a> {
    source: &'a Source,
    line: usize,
    number: String,
}

fn marks(sources: &[Source]) -> Vec<Mark<'_>> {
    let code = sources
        .iter()
        .filter(|source| source.has_extension("rs") && !source.is_in("crates/xtask"));
    code.flat_map(|source| {
        (1..)
            .zip(source.text.lines())
            .filter_map(move |(line, text)| {
                let (_, rest) = text.split_once(MARKER)?;
                let number = rest.chars().take_while(char::is_ascii_digit).collect();
                Some(Mark {
                    source,
                    line,
                    number,
                })
            })
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::source::made_up;

    fn breaches(walk: &str, code: &str) -> Vec<(usize, u8)> {
        let sources = [made_up(WALK, walk), made_up("crates/a/src/lib.rs", code)];
        check(&sources).iter().map(Breach::place).collect()
    }

    const WALKED: &str =
        "# Walk\n\n## 1. It begins\n\nIn [a](../crates/a/src/lib.rs) and [b](../crates/b.rs).\n";

    #[test]
    fn a_walk_that_leads_where_it_says_is_fine() {
        assert_eq!(
            breaches(WALKED, "fn f() {}\n    // A token's life, stop 1: here.\n"),
            []
        );
    }

    #[test]
    fn a_stop_that_is_missing_doubled_or_elsewhere_is_found() {
        assert_eq!(breaches(WALKED, "fn f() {}\n"), [(3, 15)]);
        assert_eq!(
            breaches(
                WALKED,
                "// A token's life, stop 1\n// A token's life, stop 1\n"
            ),
            [(3, 15)]
        );
        assert_eq!(
            breaches(
                &WALKED.replace("/a/src", "/c/src"),
                "// A token's life, stop 1\n"
            ),
            [(3, 15)]
        );
    }

    #[test]
    fn a_mark_nobody_describes_is_found() {
        let code = "// A token's life, stop 1\n// A token's life, stop 12\n";
        assert_eq!(breaches(WALKED, code), [(2, 15)]);
    }

    #[test]
    fn no_walk_at_all_is_found() {
        assert_eq!(check(&[]).len(), 1);
    }
}
