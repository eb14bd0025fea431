//! Why: a newcomer finds a package by the map or not at all, and a map with a hole is believed (rule 14).

use super::breach::Breach;
use super::source::Source;

/// The page with the map.
const PAGE: &str = "docs/architecture.md";

/// Breaches of rule 14: packages that the map does not have, and rows of packages that are gone.
pub(crate) fn check(sources: &[Source]) -> Vec<Breach> {
    let Some(page) = sources.iter().find(|source| source.path == PAGE) else {
        let what = "the page with the map is missing";
        return vec![Breach::at(PAGE, 1, 14, what, "write it")];
    };
    let folders: Vec<&str> = sources.iter().filter_map(folder).collect();
    let rows: Vec<(usize, &str)> = (1..).zip(page.text.lines()).filter_map(row).collect();
    let absent = folders
        .iter()
        .filter(|folder| rows.iter().all(|(_, row)| row != *folder));
    let gone = rows.iter().filter(|(_, row)| !folders.contains(row));
    let mut breaches: Vec<Breach> = absent
        .map(|folder| {
            let what = format!("{folder} is not in the map of {PAGE}");
            let manifest = format!("{folder}/Cargo.toml");
            Breach::at(&manifest, 1, 14, what, "add its row, with what it is for")
        })
        .collect();
    breaches.extend(gone.map(|(line, row)| {
        let what = format!("the map has `{row}`, which is no package");
        Breach::new(page, *line, 14, what, "take its row away")
    }));
    breaches
}

/// The folder of one of our packages, by its manifest.
fn folder(source: &Source) -> Option<&str> {
    let folder = source.path.strip_suffix("/Cargo.toml")?;
    is_folder(folder).then_some(folder)
}

/// `crates/a`, `actors/a` and nothing deeper.
fn is_folder(path: &str) -> bool {
    let name = path
        .strip_prefix("crates/")
        .or_else(|| path.strip_prefix("actors/"));
    name.is_some_and(|name| !name.contains('/'))
}

/// The folder of a row, which opens with it.
fn row((line, text): (usize, &str)) -> Option<(usize, &str)> {
    let (folder, _) = text.strip_prefix("| `")?.split_once("` |")?;
    is_folder(folder).then_some((line, folder))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::source::made_up;

    #[test]
    fn a_package_without_a_row_and_a_row_without_a_package_are_found() {
        let page = made_up(
            PAGE,
            "# Map\n| folder | what |\n| `crates/a` | x |\n| `actors/b` | y |\n| `benches` | z |\n",
        );
        let manifest = |folder: &str| made_up(&format!("{folder}/Cargo.toml"), "");
        let whole = [
            page.clone(),
            manifest("crates/a"),
            manifest("actors/b"),
            manifest("crates/a/fuzz"),
            manifest("benches"),
        ];
        assert_eq!(check(&whole), []);
        let more = [&whole[..], &[manifest("actors/c")]].concat();
        let breaches = check(&more);
        assert_eq!(breaches.len(), 1);
        assert!(
            breaches[0]
                .to_string()
                .starts_with("actors/c/Cargo.toml:1: rule 14")
        );
        let places: Vec<_> = check(&whole[..2]).iter().map(Breach::place).collect();
        assert_eq!(places, [(4, 14)]);
        assert_eq!(check(&[]).len(), 1);
    }
}
