//! Why: tests that are linked together are listed by hand, and a file that is not listed would be compiled by nobody and
//! fail never. So every file beside such a list is in it (rule 11).

use super::breach::Breach;
use super::source::Source;

/// The list of a crate's files of tests, in its folder `tests`.
const LIST: &str = "/tests/main.rs";

/// Breaches of rule 11: a file of tests that its crate's list does not name.
pub(crate) fn check(sources: &[Source]) -> Vec<Breach> {
    let lists = sources.iter().filter_map(|source| {
        let krate = source.path.strip_suffix(LIST)?;
        Some((format!("{krate}/tests/"), source))
    });
    lists
        .flat_map(|(folder, list)| forgotten(&folder, list, sources))
        .collect()
}

fn forgotten(folder: &str, list: &Source, sources: &[Source]) -> Vec<Breach> {
    let beside = sources.iter().filter(|source| {
        let name = source.path.strip_prefix(folder);
        source.has_extension("rs") && name.is_some_and(|name| !name.contains('/'))
    });
    beside
        .filter(|source| source.path != list.path && !names(list, source.stem()))
        .map(|source| {
            let what = format!("`{}` does not name it, so its tests never run", list.path);
            let way_out = format!("write `mod {};` there", source.stem());
            Breach::new(source, 1, 11, what, way_out)
        })
        .collect()
}

fn names(list: &Source, module: &str) -> bool {
    let line = format!("mod {module};");
    list.text.lines().any(|found| found == line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::source::made_up;

    #[test]
    fn a_file_that_the_list_forgets_is_named() {
        let mut tree = vec![
            made_up("crates/a/tests/main.rs", "mod one;\n// mod two;\n"),
            made_up("crates/a/tests/one.rs", ""),
            made_up("crates/a/tests/two.rs", ""),
            made_up("crates/a/tests/two.json", ""),
            made_up("crates/a/tests/support/three.rs", ""),
            made_up("crates/b/tests/four.rs", ""),
        ];
        let breaches = check(&tree);
        let shown: Vec<String> = breaches.iter().map(ToString::to_string).collect();
        assert_eq!(shown.len(), 1, "{shown:?}");
        assert!(
            shown[0].starts_with("crates/a/tests/two.rs:1: rule 11:")
                && shown[0].ends_with("write `mod two;` there"),
            "{shown:?}"
        );
        tree[0].text.push_str("mod two;\n");
        assert_eq!(check(&tree), []);
    }
}
