//! Settings as a list of paths and values: what layers, changes and differences are made of.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Values by path, such as `limits.connections`. A path that is not here is not set.
pub type Flat = BTreeMap<String, Value>;

/// The settings of a whole tree of sections; null where none is set.
pub(crate) fn flatten_known(tree: &Value) -> Flat {
    let sections = tree.as_object().into_iter().flatten();
    sections
        .flat_map(|(section, fields)| {
            let fields = fields.as_object().into_iter().flatten();
            fields.map(move |(key, value)| (format!("{section}.{key}"), value.clone()))
        })
        .collect()
}

/// The tree again, without what is null.
pub(crate) fn nest(flat: &Flat) -> Value {
    let mut tree = Map::new();
    for (path, value) in flat.iter().filter(|(_, value)| !value.is_null()) {
        let (section, key) = path.split_once('.').unwrap_or((path, ""));
        let section = tree
            .entry(section)
            .or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(fields) = section {
            fields.insert(key.to_owned(), value.clone());
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
    fn a_tree_survives_being_flat() {
        let tree = serde_json::json!({"a": {"x": 1, "y": ["z"]}, "b": {"w": "v"}});
        assert_eq!(nest(&flatten_known(&tree)), tree);
        let mut flat = flatten_known(&tree);
        flat.insert("b.none".to_owned(), Value::Null);
        assert_eq!(nest(&flat), tree);
    }
}
