//! Values made from schemas: valid ones, ones that are wrong in one place, and ones that are wrong in many. Which, and how,
//! comes from a seed.

use serde_json::{Map, Value, json};

use super::document::Document;
use crate::support::chance::Chance;

/// Below this only what must be there is made, so that schemas that contain themselves end.
const DEEP: usize = 6;
/// Texts that have broken something somewhere.
const TEXTS: [&str; 10] = [
    "",
    "a",
    "Hi",
    "null",
    "\u{0}",
    "\u{2028}\n\n",
    "data: [DONE]\n\n",
    "☃\u{1F600}e\u{301}",
    "../../etc/passwd",
    "{\"a\":1}",
];

/// How wrong a value is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// As the schema says.
    Valid,
    /// Wrong in one place, perhaps: an end of a range missed by one, a field too many, a type of its own.
    Almost,
    /// Wrong in several.
    Wild,
}

/// Makes values.
pub struct Instances<'a> {
    document: &'a Document,
    /// Texts that mean something to the server, such as names of models.
    known: &'a [&'a str],
}

impl<'a> Instances<'a> {
    pub fn new(document: &'a Document, known: &'a [&'a str]) -> Self {
        Self { document, known }
    }

    /// A value of `schema`.
    pub fn make(&self, schema: &Value, wish: Wish, chance: &mut Chance) -> Value {
        let mut value = self.valid(schema, 0, chance);
        let wrongs = match wish {
            Wish::Valid => 0,
            Wish::Almost => 1,
            Wish::Wild => 2 + chance.below(4),
        };
        for _ in 0..wrongs {
            self.spoil(schema, &mut value, chance);
        }
        value
    }

    fn valid(&self, schema: &Value, depth: usize, chance: &mut Chance) -> Value {
        let schema = self.document.resolve(schema);
        if let Some(constant) = schema.get("const") {
            return constant.clone();
        }
        if let Some(allowed) = schema["enum"].as_array() {
            return chance.pick(allowed).clone();
        }
        for choice in ["oneOf", "anyOf"] {
            if let Some(branches) = schema[choice].as_array() {
                let branch = self.branch(branches, depth, chance);
                return merged(
                    self.valid(branch, depth + 1, chance),
                    self.own(schema, depth, chance),
                );
            }
        }
        if let Some(parts) = schema["allOf"].as_array() {
            let parts = parts.iter().map(|part| self.valid(part, depth + 1, chance));
            let all: Vec<Value> = parts.collect();
            return all
                .into_iter()
                .fold(self.own(schema, depth, chance), merged);
        }
        self.plain(schema, depth, chance)
    }

    /// Deep down the last branch, which by custom is the simplest: `null`, or a text.
    fn branch<'b>(&self, branches: &'b [Value], depth: usize, chance: &mut Chance) -> &'b Value {
        let is_null = |one: &&Value| self.document.resolve(one)["type"] == "null";
        let null = branches.iter().find(is_null).filter(|_| depth >= DEEP);
        null.unwrap_or_else(|| chance.pick(branches))
    }

    /// The fields that a schema has beside its branches.
    fn own(&self, schema: &Value, depth: usize, chance: &mut Chance) -> Value {
        if schema.get("properties").is_some() {
            return self.object(schema, depth, chance);
        }
        Value::Null
    }

    fn plain(&self, schema: &Value, depth: usize, chance: &mut Chance) -> Value {
        let kind = match &schema["type"] {
            Value::Array(kinds) => chance.pick(kinds).as_str().unwrap_or("null").to_owned(),
            Value::String(kind) => kind.clone(),
            _ if schema.get("properties").is_some() => "object".to_owned(),
            // Anything goes.
            _ => (*chance.pick(&["null", "boolean", "integer", "string"])).to_owned(),
        };
        match kind.as_str() {
            "object" => self.object(schema, depth, chance),
            "array" => self.array(schema, depth, chance),
            "string" => Value::from(self.text(schema, chance)),
            "integer" => Value::from(whole(schema, chance)),
            "number" => Value::from(number(schema, chance)),
            "boolean" => Value::from(chance.one_in(2)),
            _ => Value::Null,
        }
    }

    fn object(&self, schema: &Value, depth: usize, chance: &mut Chance) -> Value {
        let required: Vec<&str> = schema["required"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let mut object = Map::new();
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            if required.contains(&name.as_str()) || (depth < DEEP && chance.one_in(3)) {
                object.insert(name.clone(), self.valid(field, depth + 1, chance));
            }
        }
        let more = schema.get("additionalProperties");
        if let Some(field) = more.filter(|more| more.is_object() && depth < DEEP) {
            for n in 0..chance.below(3) {
                object.insert(format!("key{n}"), self.valid(field, depth + 1, chance));
            }
        }
        Value::Object(object)
    }

    fn array(&self, schema: &Value, depth: usize, chance: &mut Chance) -> Value {
        let least = size(schema, "minItems").unwrap_or(0);
        let most = size(schema, "maxItems").unwrap_or(least + 3).min(least + 3);
        let more = if depth < DEEP {
            chance.below(most - least + 1)
        } else {
            0
        };
        let any = json!({});
        let item = schema.get("items").unwrap_or(&any);
        (0..least + more)
            .map(|_| self.valid(item, depth + 1, chance))
            .collect()
    }

    fn text(&self, schema: &Value, chance: &mut Chance) -> String {
        let least = size(schema, "minLength").unwrap_or(0);
        let most = size(schema, "maxLength").unwrap_or(usize::MAX);
        let word = if chance.one_in(2) && !self.known.is_empty() {
            chance.pick(self.known)
        } else {
            chance.pick(&TEXTS)
        };
        let mut text: String = word.chars().take(most).collect();
        let short = least.saturating_sub(text.chars().count());
        text.extend(std::iter::repeat_n('x', short));
        text
    }

    /// Makes one place of `value` wrong. What is changed may happen to be as good as before.
    fn spoil(&self, schema: &Value, value: &mut Value, chance: &mut Chance) {
        let schema = self.document.resolve(schema);
        let into = !chance.one_in(4);
        match value {
            Value::Object(object) if into && !object.is_empty() => {
                let names: Vec<String> = object.keys().cloned().collect();
                let name = chance.pick(&names);
                let field = self.field(schema, name);
                match (chance.below(5), object.get_mut(name)) {
                    (0, _) => {
                        object.remove(name);
                    }
                    (1, _) => {
                        object.insert(format!("{name}_"), Value::from(1));
                    }
                    (_, Some(inner)) => self.spoil(&field, inner, chance),
                    (_, None) => {}
                }
            }
            Value::Array(list) if into && !list.is_empty() => {
                let item = schema.get("items").cloned().unwrap_or_default();
                let at = chance.below(list.len());
                self.spoil(&item, &mut list[at], chance);
            }
            value => *value = self.wrong(schema, value, chance),
        }
    }

    /// The schema of one field, also where it stands in a branch.
    fn field(&self, schema: &Value, name: &str) -> Value {
        let schema = self.document.resolve(schema);
        if let Some(field) = schema["properties"].get(name) {
            return field.clone();
        }
        let branches = ["oneOf", "anyOf", "allOf"].into_iter();
        let mut branches = branches
            .filter_map(|choice| schema[choice].as_array())
            .flatten();
        let found =
            branches.find_map(|branch| self.document.resolve(branch)["properties"].get(name));
        found.cloned().unwrap_or_default()
    }

    fn wrong(&self, schema: &Value, value: &Value, chance: &mut Chance) -> Value {
        let edges = edges(self.document.resolve(schema));
        if !edges.is_empty() && chance.one_in(2) {
            return chance.pick(&edges).clone();
        }
        match chance.below(15) {
            0 => Value::Null,
            1 => json!(true),
            2 => json!(0),
            3 => json!(-1),
            4 => json!(1.5),
            5 => json!(1e300),
            6 => json!(u64::MAX),
            7 => json!(i64::MIN),
            8 => json!("x".repeat(3000)),
            9 => json!(value.to_string()),
            10 => json!([]),
            11 => json!({}),
            12 => json!([value]),
            13 => json!({"a": value}),
            _ => deep(200),
        }
    }
}

/// Values a step beyond what a schema allows.
fn edges(schema: &Value) -> Vec<Value> {
    let mut edges = Vec::new();
    for (key, step) in [
        ("minimum", -1.0),
        ("maximum", 1.0),
        ("exclusiveMinimum", 0.0),
        ("exclusiveMaximum", 0.0),
    ] {
        if let Some(end) = schema[key].as_f64() {
            edges.push(json!(end + step));
            edges.push(json!(end + step / 1000.0));
            edges.push(json!((end + step) as i64));
        }
    }
    if let Some(most) = size(schema, "maxLength") {
        edges.push(json!("y".repeat(most + 1)));
    }
    if let Some(least) = size(schema, "minLength").filter(|least| *least > 0) {
        edges.push(json!("y".repeat(least - 1)));
    }
    if let Some(most) = size(schema, "maxItems") {
        edges.push(json!(vec!["z"; most + 1]));
    }
    if size(schema, "minItems").is_some_and(|least| least > 0) {
        edges.push(json!([]));
    }
    if let Some(allowed) = schema["enum"].as_array() {
        let texts = allowed.iter().filter_map(Value::as_str);
        edges.extend(texts.map(|text| json!(format!("{text} "))));
    }
    edges
}

fn deep(levels: usize) -> Value {
    (0..levels).fold(Value::Null, |inner, _| Value::Array(vec![inner]))
}

/// Objects are put together; of anything else the first that is there.
fn merged(one: Value, other: Value) -> Value {
    match (one, other) {
        (Value::Object(mut one), Value::Object(other)) => {
            one.extend(other);
            Value::Object(one)
        }
        (Value::Null, other) => other,
        (one, _) => one,
    }
}

fn size(schema: &Value, key: &str) -> Option<usize> {
    schema[key]
        .as_u64()
        .and_then(|size| usize::try_from(size).ok())
}

/// Between the ends of the range, and often on one of them.
fn whole(schema: &Value, chance: &mut Chance) -> i64 {
    let end = |key: &str| schema[key].as_f64().map(|end| end as i64);
    let least = end("minimum").or_else(|| end("exclusiveMinimum").map(|end| end + 1));
    let most = end("maximum").or_else(|| end("exclusiveMaximum").map(|end| end - 1));
    let least = least.unwrap_or_else(|| most.unwrap_or(10).min(0));
    let most = most.unwrap_or(least.saturating_add(1000));
    let inner = least.saturating_add((chance.share() * (most.saturating_sub(least)) as f64) as i64);
    *chance.pick(&[least, most, inner.min(most)])
}

fn number(schema: &Value, chance: &mut Chance) -> f64 {
    let end = |key: &str| schema[key].as_f64();
    let least = end("minimum")
        .or_else(|| end("exclusiveMinimum").map(|end| end + 1e-3))
        .unwrap_or(-1.0);
    let most = end("maximum")
        .or_else(|| end("exclusiveMaximum").map(|end| end - 1e-3))
        .unwrap_or(least + 2.0);
    let inner = least + chance.share() * (most - least);
    *chance.pick(&[least, most, inner])
}
