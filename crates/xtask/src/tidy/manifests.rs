//! Why: a package that does not take the workspace's lints keeps none of them, and nothing says so (rule 12).

use super::breach::Breach;
use super::source::Source;

/// A breach of rule 12, if this is the manifest of one of our packages and leaves the lints out.
pub(crate) fn check(source: &Source) -> Option<Breach> {
    let is_ours = matches!(
        source.path.split('/').collect::<Vec<_>>().as_slice(),
        ["crates" | "actors", _, "Cargo.toml"] | ["benches", "Cargo.toml"]
    );
    if !is_ours {
        return None;
    }
    let lines = source.text.lines().map(str::trim);
    let mut section = lines.skip_while(|line| *line != "[lints]").skip(1);
    let takes = section
        .by_ref()
        .take_while(|line| !line.starts_with('['))
        .any(|line| line.replace(' ', "") == "workspace=true");
    (!takes).then(|| {
        let what = "the package does not take the workspace's lints";
        Breach::new(source, 1, 12, what, "write `[lints]`, `workspace = true`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::source::made_up;

    #[test]
    fn a_package_without_the_lints_is_found() {
        for (path, text, found) in [
            (
                "crates/a/Cargo.toml",
                "[package]\n\n[lints]\nworkspace = true\n",
                false,
            ),
            (
                "benches/Cargo.toml",
                "[lints]\nworkspace=true\n[[bench]]\n",
                false,
            ),
            ("crates/a/Cargo.toml", "[package]\nname = \"a\"\n", true),
            (
                "actors/a/Cargo.toml",
                "[lints]\n[dependencies]\nworkspace = true\n",
                true,
            ),
            (
                "actors/a/Cargo.toml",
                "[lints.rust]\nunsafe_code = \"deny\"\n",
                true,
            ),
            ("crates/a/fuzz/Cargo.toml", "[package]\n", false),
            ("Cargo.toml", "[workspace]\n", false),
        ] {
            let breach = check(&made_up(path, text));
            assert_eq!(
                breach.map(|breach| breach.place()),
                found.then_some((1, 12)),
                "{path}: {text}"
            );
        }
    }
}
