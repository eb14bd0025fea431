//! Why: the first thing a newcomer sees is a list of names; each must be one he can guess (rule 13).

use super::breach::Breach;

const NAMES: [&str; 8] = [
    "Cargo.toml",
    "Cargo.lock",
    "README.md",
    "rust-toolchain.toml",
    "crates",
    "actors",
    "benches",
    "docs",
];

/// Breaches of rule 13 among the names at the top.
pub(crate) fn check(names: &[String]) -> Vec<Breach> {
    let known = |name: &&String| {
        NAMES.contains(&name.as_str()) || name.starts_with('.') || name.starts_with("LICENSE")
    };
    let breach = |name: &String| {
        Breach::at(
            name,
            1,
            13,
            "a name at the top that is not on the list",
            "put it under crates, actors, benches or docs",
        )
    };
    names
        .iter()
        .filter(|name| !known(name))
        .map(breach)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stray_file_is_found() {
        let names = ["Cargo.toml", "LICENSE", ".ci", "notes.txt", "actors"].map(String::from);
        assert_eq!(check(&names).len(), 1);
        assert_eq!(
            check(&names).iter().map(Breach::place).next(),
            Some((1, 13))
        );
    }
}
