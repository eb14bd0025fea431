//! The dashboard and the alert rules use metrics that there are, with labels that they have.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

use std::collections::BTreeSet;
use std::path::Path;

use paraphym_metric_names::{Family, Kind, family};
use serde_json::Value;

/// What Prometheus adds to each series, and a histogram to its buckets.
const GIVEN: [&str; 3] = ["instance", "job", "le"];
/// Words of the language that stand before a list of labels.
const LISTS: [&str; 4] = ["by", "without", "on", "ignoring"];

fn read(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operating");
    std::fs::read_to_string(folder.join(name)).unwrap()
}

/// What stands under this key, anywhere.
fn under<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get(key).and_then(Value::as_str));
            fields.values().for_each(|value| under(value, key, found));
        }
        Value::Array(values) => values.iter().for_each(|value| under(value, key, found)),
        _ => {}
    }
}

/// The family whose series is called so.
fn series(name: &str) -> Option<&'static Family> {
    let part = ["_bucket", "_sum", "_count"]
        .iter()
        .find_map(|end| family(name.strip_suffix(end)?))
        .filter(|family| family.kind == Kind::Histogram);
    part.or_else(|| family(name).filter(|family| family.kind != Kind::Histogram))
}

/// Words and single signs; what is quoted is left out.
fn tokens(expression: &str) -> Vec<&str> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let (mut tokens, mut rest) = (Vec::new(), expression);
    while let Some(first) = rest.chars().next() {
        let end = match first {
            '"' => rest.get(1..).unwrap().find('"').unwrap() + 2,
            c if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        let (token, behind) = rest.split_at(end);
        if first != '"' && !first.is_whitespace() {
            tokens.push(token);
        }
        rest = behind;
    }
    tokens
}

/// What is wrong with an expression, and the names it uses.
fn check(expression: &str) -> Result<BTreeSet<&str>, String> {
    let (mut used, mut labels) = (BTreeSet::new(), BTreeSet::from(GIVEN));
    let (mut of, mut listed): (Option<&Family>, Vec<&str>) = (None, Vec::new());
    let (mut inside, mut is_list) = (false, false);
    let tokens = tokens(expression);
    for (at, token) in tokens.iter().copied().enumerate() {
        let next = tokens.get(at + 1).copied().unwrap_or_default();
        match token {
            "{" => inside = true,
            "}" => (inside, of) = (false, None),
            ")" => is_list = false,
            word if LISTS.contains(&word) && next == "(" => is_list = true,
            label if inside && label != "!" && ["=", "!"].contains(&next) => {
                let known = of.is_some_and(|family| family.labels.contains(&label));
                if !known && !GIVEN.contains(&label) {
                    return Err(format!("{label} is no label of {of:?}"));
                }
            }
            label if is_list && label != "(" && label != "," => listed.push(label),
            name if name.starts_with("paraphym_") || name.starts_with("process_") => {
                let family = series(name).ok_or(format!("{name} is no series"))?;
                labels.extend(family.labels);
                used.insert(name);
                of = Some(family);
            }
            _ => {}
        }
    }
    match listed.iter().find(|label| !labels.contains(*label)) {
        Some(label) => Err(format!("nothing in {expression} has the label {label}")),
        None => Ok(used),
    }
}

#[test]
fn a_wrong_name_or_label_is_found() {
    for (expression, is_right) in [
        (
            "sum by (model) (rate(paraphym_tokens_generated_total{model=\"a\"}[5m]))",
            true,
        ),
        ("paraphym_tokens_generated", false),
        ("paraphym_step_seconds", false),
        ("rate(paraphym_step_seconds_bucket{le=\"1\"}[5m])", true),
        ("paraphym_memory_pressure_sum", false),
        ("paraphym_memory_pressure{model=\"a\"}", false),
        ("sum by (model) (paraphym_memory_pressure)", false),
        (
            "sum by (instance) (paraphym_memory_pressure{job!=\"b\"})",
            true,
        ),
    ] {
        let found = check(expression);
        assert_eq!(found.is_ok(), is_right, "{expression}: {found:?}");
    }
}

#[test]
fn the_dashboard_uses_what_there_is() {
    let dashboard = read("dashboard.json");
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let mut expressions = Vec::new();
    under(&dashboard, "expr", &mut expressions);
    under(&dashboard["templating"], "query", &mut expressions);
    let mut used = BTreeSet::new();
    for expression in expressions {
        used.extend(check(expression).unwrap_or_else(|wrong| panic!("{wrong}")));
    }
    assert!(used.len() > 30, "{used:?}");
}

#[test]
fn the_alert_rules_use_what_there_is() {
    let text = read("alerts.yml");
    let mut used = BTreeSet::new();
    // An expression is on its line, or on those below it that are further in, up to the next key.
    let rules = text.split("\n        expr: ").skip(1);
    for rule in rules {
        let end = ["\n        for:", "\n        labels:"];
        let end = end.iter().filter_map(|key| rule.find(key)).min().unwrap();
        let (expression, _) = rule.split_at(end);
        let names = check(expression).unwrap_or_else(|wrong| panic!("{wrong}"));
        assert!(
            !names.is_empty() || expression.starts_with("up{"),
            "{expression}"
        );
        used.extend(names);
    }
    assert_eq!(
        text.matches("- alert: ").count(),
        text.matches("\n        expr: ").count()
    );
    assert!(used.len() >= 14, "{used:?}");
}
