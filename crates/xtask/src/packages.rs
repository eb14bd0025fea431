//! Why: that a crate cannot be packed, or takes tests and models along, is otherwise noticed at the release, when it is too late.
//!
//! Every package of the workspace but the tools is one that can be published. What goes into it is asked of cargo; nothing is
//! packed, and nothing leaves this machine.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cargo_metadata::{DependencyKind, Metadata};

use crate::stages::cargo_program;
use crate::tidy::APART;

/// What every package must have.
const WANTED: [&str; 3] = ["Cargo.toml", "LICENSE", "README.md"];
/// What cargo adds by itself.
const ADDED: [&str; 3] = ["Cargo.toml.orig", "Cargo.lock", ".cargo_vcs_info.json"];
/// The folders whose text goes along; the page is the gateway's, served from its binary.
const FOLDERS: [&str; 3] = ["src", "examples", "page"];
/// All of a package, before it is compressed. The largest is a third of this; a model or a picture would show.
const BYTES_MAX: u64 = 2 * 1024 * 1024;

/// What is asked of a manifest.
#[derive(Clone, Debug, Default)]
struct Manifest {
    name: String,
    folder: PathBuf,
    description: Option<String>,
    license: Option<String>,
    readme: Option<PathBuf>,
    keywords: usize,
    categories: usize,
    /// Where it may be published: anywhere, or in these registries.
    publish: Option<Vec<String>>,
    /// Packages of this workspace: their names, and whether a version is named. Of dependencies for tests one without a version is
    /// left out when the package is made.
    ours: Vec<(String, bool, DependencyKind)>,
}

/// Checks every package that can be published, prints how large they are, and fails if something is wrong with one.
pub(crate) fn check(workspace: &Metadata) -> Result<(), String> {
    let root = workspace.workspace_root.as_std_path();
    let manifests = manifests(workspace);
    let mut wrong = order(&manifests).err().into_iter().collect::<Vec<_>>();
    let mut largest = (0, "");
    for manifest in &manifests {
        wrong.extend(incomplete(manifest));
        let listed = list(root, &manifest.name)?;
        let size = |path: &str| text_size(&manifest.folder.join(path), &root.join(path));
        let (bytes, strange) = contents(&manifest.name, &listed, size);
        wrong.extend(strange);
        largest = largest.max((bytes, manifest.name.as_str()));
    }
    if !wrong.is_empty() {
        return Err(format!("packages:\n  {}", wrong.join("\n  ")));
    }
    println!(
        "{} packages can be made; the largest, {}, has {} KiB",
        manifests.len(),
        largest.1,
        largest.0 / 1024
    );
    Ok(())
}

/// Those that can be published: all but the tools.
fn manifests(workspace: &Metadata) -> Vec<Manifest> {
    let packages = workspace.workspace_packages();
    let manifest = |package: &&cargo_metadata::Package| {
        let folder = package.manifest_path.parent();
        let ours = package.dependencies.iter().filter(|one| one.path.is_some());
        Manifest {
            name: package.name.to_string(),
            folder: folder.map(Into::into).unwrap_or_default(),
            description: package.description.clone(),
            license: package.license.clone(),
            readme: package.readme.clone().map(Into::into),
            keywords: package.keywords.len(),
            categories: package.categories.len(),
            publish: package.publish.clone(),
            ours: ours
                .map(|one| (one.name.clone(), !one.req.comparators.is_empty(), one.kind))
                .collect(),
        }
    };
    let is_tool = |manifest: &Manifest| {
        let folder = manifest.folder.file_name().unwrap_or_default();
        APART.iter().any(|tool| folder == *tool)
    };
    let all = packages.iter().map(manifest);
    all.filter(|manifest| !is_tool(manifest)).collect()
}

/// What a manifest lacks.
fn incomplete(manifest: &Manifest) -> Vec<String> {
    let name = &manifest.name;
    let mut wrong = Vec::new();
    for (fine, what) in [
        (manifest.description.is_some(), "no description"),
        (manifest.license.is_some(), "no license"),
        (
            manifest.readme.is_some(),
            "no readme: `readme.workspace = true`",
        ),
        (
            (1..=5).contains(&manifest.keywords),
            "no keywords, or more than five: `keywords.workspace = true`",
        ),
        (
            (1..=5).contains(&manifest.categories),
            "no categories, or more than five: `categories.workspace = true`",
        ),
        (
            manifest.publish.as_ref().is_some_and(Vec::is_empty),
            "it could be published by accident: `publish.workspace = true`",
        ),
    ] {
        if !fine {
            wrong.push(format!("{name}: {what}"));
        }
    }
    let unnamed = manifest.ours.iter().filter(|(_, versioned, kind)| {
        !versioned && matches!(kind, DependencyKind::Normal | DependencyKind::Build)
    });
    wrong.extend(unnamed.map(|(other, ..)| {
        format!("{name}: its dependency {other} has no version in the workspace's Cargo.toml")
    }));
    wrong
}

/// An order to publish them in, each after those it names.
fn order(manifests: &[Manifest]) -> Result<Vec<&str>, String> {
    let mut left: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for manifest in manifests {
        let named = manifest.ours.iter().filter(|(_, versioned, _)| *versioned);
        let named = named.map(|(other, ..)| other.as_str()).collect();
        left.insert(&manifest.name, named);
    }
    let mut order: Vec<&str> = Vec::new();
    while !left.is_empty() {
        let ready: Vec<&str> = left
            .iter()
            .filter(|(_, needs)| needs.iter().all(|need| order.contains(need)))
            .map(|(name, _)| *name)
            .collect();
        if ready.is_empty() {
            let stuck: Vec<&str> = left.keys().copied().collect();
            return Err(format!(
                "{} cannot be published in any order: each names another of them, or one that is never published; \
                 a dependency for tests alone can do without a version",
                stuck.join(", ")
            ));
        }
        left.retain(|name, _| !ready.contains(name));
        order.extend(ready);
    }
    Ok(order)
}

/// What would be in the package, by cargo's word.
fn list(root: &Path, name: &str) -> Result<Vec<String>, String> {
    let arguments = ["package", "--list", "--allow-dirty", "--package", name];
    let failed = |error: String| format!("`cargo {}`: {error}", arguments.join(" "));
    let output = Command::new(cargo_program())
        .args(arguments)
        .current_dir(root)
        .stderr(Stdio::piped())
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().map(|line| line.replace('\\', "/")).collect())
}

/// How large a text is: in the package's folder, or at the top, from where a readme may come. Nothing if it is no text.
fn text_size(here: &Path, above: &Path) -> Option<u64> {
    let bytes = fs::read(here).or_else(|_| fs::read(above)).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    u64::try_from(text.len()).ok()
}

/// How large all of it is, and what is wrong with it. `size` answers for a file that is text.
fn contents(
    name: &str,
    listed: &[String],
    size: impl Fn(&str) -> Option<u64>,
) -> (u64, Vec<String>) {
    let has = |path: &str| listed.iter().any(|one| one == path);
    let absent = WANTED.iter().filter(|path| !has(path));
    let mut wrong: Vec<String> = absent
        .map(|path| format!("{name}: {path} is not in its package"))
        .collect();
    if !has("src/lib.rs") && !has("src/main.rs") {
        wrong.push(format!("{name}: its package has no code"));
    }
    let mut bytes = 0;
    for path in listed.iter().filter(|path| !ADDED.contains(&path.as_str())) {
        let folder = path.split_once('/').map(|(folder, _)| folder);
        if !WANTED.contains(&path.as_str()) && !folder.is_some_and(|one| FOLDERS.contains(&one)) {
            wrong.push(format!("{name}: {path} does not belong into its package"));
        }
        match size(path) {
            Some(more) => bytes += more,
            None => wrong.push(format!("{name}: {path} is no text, or is not there")),
        }
    }
    if bytes > BYTES_MAX {
        wrong.push(format!(
            "{name}: its package has {bytes} bytes, {BYTES_MAX} are the limit"
        ));
    }
    (bytes, wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(name: &str, ours: &[(&str, bool, DependencyKind)]) -> Manifest {
        Manifest {
            name: name.to_owned(),
            description: Some("It does.".to_owned()),
            license: Some("MIT".to_owned()),
            readme: Some("README.md".into()),
            keywords: 5,
            categories: 1,
            publish: Some(Vec::new()),
            ours: ours
                .iter()
                .map(|(name, versioned, kind)| ((*name).to_owned(), *versioned, *kind))
                .collect(),
            ..Manifest::default()
        }
    }

    #[test]
    fn what_a_manifest_lacks_is_named() {
        let good = whole("a", &[("t", false, DependencyKind::Development)]);
        assert_eq!(incomplete(&good), Vec::<String>::new());
        assert_eq!(incomplete(&Manifest::default()).len(), 6);
        for (broken, word) in [
            (
                Manifest {
                    description: None,
                    ..good.clone()
                },
                "description",
            ),
            (
                Manifest {
                    keywords: 6,
                    ..good.clone()
                },
                "keywords",
            ),
            (
                Manifest {
                    publish: None,
                    ..good.clone()
                },
                "by accident",
            ),
            (
                whole("a", &[("b", false, DependencyKind::Normal)]),
                "b has no version",
            ),
        ] {
            let wrong = incomplete(&broken);
            assert_eq!(wrong.len(), 1, "{wrong:?}");
            assert!(wrong[0].contains(word), "{wrong:?}");
        }
    }

    #[test]
    fn a_circle_is_found_and_tests_without_a_version_make_none() {
        let (normal, test) = (DependencyKind::Normal, DependencyKind::Development);
        let a = whole("a", &[("b", true, normal)]);
        let b = whole("b", &[("a", false, test), ("testkit", false, test)]);
        assert_eq!(order(&[a.clone(), b]), Ok(vec!["b", "a"]));
        let b = whole("b", &[("a", true, test)]);
        assert!(
            order(&[a.clone(), b])
                .unwrap_err()
                .starts_with("a, b cannot")
        );
        let b = whole("b", &[("testkit", true, test)]);
        assert!(order(&[a, b]).is_err());
    }

    #[test]
    fn what_does_not_belong_into_a_package_is_named() {
        let fine = [
            "Cargo.toml",
            "Cargo.lock",
            "LICENSE",
            "README.md",
            "src/lib.rs",
        ];
        let of = |paths: &[&str], bytes: Option<u64>| {
            let listed: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
            contents("a", &listed, |_| bytes)
        };
        assert_eq!(of(&fine, Some(10)), (40, vec![]));
        assert_eq!(of(&fine[..3], Some(10)).1.len(), 2);
        for stray in [
            "tests/main.rs",
            "fuzz/Cargo.toml",
            "models/tiny.gguf",
            "notes.txt",
        ] {
            let (_, wrong) = of(&[&fine[..], &[stray]].concat(), Some(10));
            assert_eq!(
                wrong,
                [format!("a: {stray} does not belong into its package")]
            );
        }
        let (_, wrong) = of(&fine, None);
        assert_eq!(wrong.len(), 4);
        let (_, wrong) = of(&fine, Some(BYTES_MAX));
        assert!(wrong[0].contains("are the limit"), "{wrong:?}");
    }

    #[test]
    fn what_is_no_text_has_no_size() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "text").unwrap();
        fs::write(folder.path().join("b"), [0xff, 0xfe]).unwrap();
        let size = |name: &str| text_size(&folder.path().join("no"), &folder.path().join(name));
        assert_eq!((size("a"), size("b"), size("c")), (Some(4), None, None));
    }
}
