//! Settings as a list of paths and values: what layers, changes and differences are made of.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Values by path, such as `limits.connections`. A path that is not here is not set.
pub type Flat = BTreeMap<String, Value>;

/// The tree again, without what is null. Of two paths one of which lies under the other, only one is kept.
pub(crate) fn nest(flat: &Flat) -> Value {
    let mut tree = Map::new();
    for (path, value) in flat.iter().filter(|(_, value)| !value.is_null()) {
        let mut fields = &mut tree;
        let mut parts = path.split('.').peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                fields.insert(part.to_owned(), value.clone());
                break;
            }
            let inner = fields
                .entry(part)
                .or_insert_with(|| Value::Object(Map::new()));
            let Value::Object(inner) = inner else { break };
            fields = inner;
        }
    }
    Value::Object(tree)
}

/// Above a rewritten file, whose former comments are in the first backup.
const HEAD: &str = "# Paraphym's settings. Rewritten when a setting is changed by command; comments are not kept.\n";

/// The text of a settings file that sets `flat` and nothing else.
///
/// # Errors
/// A value that TOML cannot hold; validated settings have none.
pub fn to_toml(flat: &Flat) -> Result<String, toml::ser::Error> {
    let text = toml::to_string(&nest(flat))?;
    Ok(format!("{HEAD}{text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_a_tree() {
        let flat = Flat::from([
            ("a.x".to_owned(), 1.into()),
            ("a.none".to_owned(), Value::Null),
            ("b.y.z".to_owned(), serde_json::json!({"k.l": "v"})),
            ("b.y.w".to_owned(), serde_json::json!(["v"])),
        ]);
        let tree = serde_json::json!({"a": {"x": 1}, "b": {"y": {"z": {"k.l": "v"}, "w": ["v"]}}});
        assert_eq!(nest(&flat), tree);
        let text = to_toml(&flat).unwrap();
        let read: toml::Table = toml::from_str(&text).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), tree);
    }
}
