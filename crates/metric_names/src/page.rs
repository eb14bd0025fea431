//! The page `docs/metrics.md`, made from the list: what is written there is what is counted.

use std::fmt::Write;

use crate::family::Family;
use crate::labels::LABELS;
use crate::list::TOPICS;

/// The front of the page, written by hand. Its links lead from where the page will lie.
const FRONT: &str = include_str!("page.md");

/// The whole page.
pub fn page() -> String {
    let mut text = FRONT
        .replace(
            "{dashboard}",
            "[`dashboard.json`](operating/dashboard.json)",
        )
        .replace("{alerts}", "[`alerts.yml`](operating/alerts.yml)");
    for topic in TOPICS {
        let _ = write!(
            text,
            "\n## {}\n\n| metric | kind | labels | what | shown once |\n|---|---|---|---|---|\n",
            topic.name
        );
        for family in topic.families {
            row(&mut text, family);
        }
    }
    text.push_str("\n## Labels\n\n| label | what | bounded by |\n|---|---|---|\n");
    for label in LABELS {
        let (name, what, bound) = (label.name, label.what, label.bound);
        let _ = writeln!(text, "| `{name}` | {what} | {bound} |");
    }
    text
}

fn row(text: &mut String, family: &Family) {
    let labels: Vec<String> = family
        .labels
        .iter()
        .map(|label| format!("`{label}`"))
        .collect();
    let _ = writeln!(
        text,
        "| `{}` | {} | {} | {} | {} |",
        family.name,
        family.kind.as_str(),
        labels.join(", "),
        family.help,
        family.once.unwrap_or_default(),
    );
}
