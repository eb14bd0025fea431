//! What holds of the list as a whole, and that the page is made from it.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::BTreeSet;
use std::path::Path;

use paraphym_metric_names::{Kind, LABELS, families, page};

#[test]
fn the_page_is_what_is_counted() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    let made = page();
    if std::env::var_os("PARAPHYM_WRITE_DOCS").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == made,
        "docs/metrics.md is not what the code says; `cargo xtask docs` writes it anew"
    );
}

#[test]
fn units_and_kinds_are_in_the_names() {
    for family in families() {
        let plain = family.name.strip_suffix("_total");
        let is_counter = family.kind == Kind::Counter;
        assert_eq!(plain.is_some(), is_counter, "{}", family.name);
        let last = plain.unwrap_or(family.name).rsplit('_').next().unwrap();
        match family.unit.suffix() {
            Some(unit) => assert_eq!(last, unit, "{}", family.name),
            None => assert!(
                !["seconds", "bytes", "ratio"].contains(&last),
                "{} counts things",
                family.name
            ),
        }
    }
}

#[test]
fn each_name_is_there_once_and_each_label_is_explained() {
    let mut seen = BTreeSet::new();
    let mut used = BTreeSet::new();
    for family in families() {
        assert!(seen.insert(family.name), "{} is there twice", family.name);
        let ours = family.name.starts_with("paraphym_") || family.name.starts_with("process_");
        assert!(ours, "{} has another's name", family.name);
        let plain = !family.help.contains(['\\', '\n', '|']) && !family.help.ends_with('.');
        assert!(plain, "{}: {}", family.name, family.help);
        used.extend(family.labels);
    }
    let explained: BTreeSet<&str> = LABELS.iter().map(|label| label.name).collect();
    assert_eq!(used, explained);
}
