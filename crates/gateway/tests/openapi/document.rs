//! An `OpenAPI` 3.1 document as what requests can be made of: its operations, and where its references lead.

use serde_json::Value;

/// The methods an operation may have, as the document names them.
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// A document that was read.
pub struct Document(Value);

/// One thing that can be asked for.
#[derive(Debug)]
pub struct Operation {
    /// Upper case.
    pub method: String,
    /// With `{names}` where parameters stand.
    pub path: String,
    /// `(name, place, whether it must be there, schema)` of each parameter; places are `path`, `query` and `header`.
    pub parameters: Vec<(String, String, bool, Value)>,
    /// The schema of its JSON body, if it has one.
    pub body: Option<Value>,
}

impl Document {
    /// # Panics
    /// If it is not version 3.1, which is what the generator understands.
    pub fn new(document: Value) -> Self {
        let version = document["openapi"].as_str().expect("it says its version");
        assert!(version.starts_with("3.1"), "{version}");
        Self(document)
    }

    /// What a schema, a parameter or a body is, behind all references.
    ///
    /// # Panics
    /// At one that leads nowhere, or round in circles.
    pub fn resolve<'a>(&'a self, mut value: &'a Value) -> &'a Value {
        for _ in 0..16 {
            let Some(reference) = value.get("$ref") else {
                return value;
            };
            let path = reference.as_str().and_then(|path| path.strip_prefix('#'));
            let path = path.unwrap_or_else(|| panic!("{reference} leads out of the document"));
            let target = self.0.pointer(path);
            value = target.unwrap_or_else(|| panic!("{reference} leads nowhere"));
        }
        panic!("{value} leads round in circles")
    }

    /// Every operation, in the document's order.
    pub fn operations(&self) -> Vec<Operation> {
        let paths = self.0["paths"].as_object().expect("it has paths");
        let mut all = Vec::new();
        for (path, item) in paths {
            for method in METHODS {
                if let Some(operation) = item.get(method) {
                    let common = [item, operation].into_iter();
                    let parameters = common
                        .filter_map(|of| of["parameters"].as_array())
                        .flatten();
                    all.push(Operation {
                        method: method.to_uppercase(),
                        path: path.clone(),
                        parameters: parameters.map(|one| self.parameter(one)).collect(),
                        body: self.body(operation),
                    });
                }
            }
        }
        all
    }

    fn parameter(&self, parameter: &Value) -> (String, String, bool, Value) {
        let parameter = self.resolve(parameter);
        let text = |key: &str| {
            parameter[key]
                .as_str()
                .expect("a name and a place")
                .to_owned()
        };
        let required = parameter["required"] == true;
        (
            text("name"),
            text("in"),
            required,
            parameter["schema"].clone(),
        )
    }

    fn body(&self, operation: &Value) -> Option<Value> {
        let body = self.resolve(operation.get("requestBody")?);
        body["content"]["application/json"].get("schema").cloned()
    }
}
