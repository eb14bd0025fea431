//! The answer of `/v1/embeddings`. Nothing here waits.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model_host::Embeddings;
use serde::Serialize;

use crate::request::embedding::Encoding;

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<One<'a>>,
    model: &'a str,
    usage: Cost,
}

#[derive(Serialize)]
struct One<'a> {
    object: &'static str,
    index: usize,
    embedding: Vector<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Vector<'a> {
    Float(&'a [f32]),
    Base64(String),
}

#[derive(Serialize)]
#[allow(clippy::struct_field_names, reason = "the API's own names")]
struct Cost {
    prompt_tokens: u64,
    total_tokens: u64,
}

/// The vectors of a request's texts, in their order.
///
/// # Errors
/// None in practice: every field can be written as JSON.
pub fn vectors(embeddings: &Embeddings, encoding: Encoding) -> serde_json::Result<String> {
    let all = embeddings.vectors.iter().enumerate();
    let data = all
        .map(|(index, vector)| One {
            object: "embedding",
            index,
            embedding: written(vector, encoding),
        })
        .collect();
    serde_json::to_string(&List {
        object: "list",
        data,
        model: embeddings.model.as_str(),
        usage: Cost {
            prompt_tokens: embeddings.tokens,
            total_tokens: embeddings.tokens,
        },
    })
}

fn written(vector: &[f32], encoding: Encoding) -> Vector<'_> {
    match encoding {
        Encoding::Float => Vector::Float(vector),
        Encoding::Base64 => {
            let bytes: Vec<u8> = vector.iter().flat_map(|n| n.to_le_bytes()).collect();
            Vector::Base64(STANDARD.encode(bytes))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use domain::ModelName;

    use super::*;

    #[test]
    fn vectors_are_exact() {
        let embeddings = Embeddings {
            model: ModelName::new("e"),
            dimensions: 2,
            vectors: vec![Arc::from([0.6, -0.8]), Arc::from([1.0, 1e-9])],
            tokens: 7,
        };
        let with = |first: &str, second: &str| {
            format!(
                r#"{{"object":"list","data":[{{"object":"embedding","index":0,"embedding":{first}}},{{"object":"embedding","index":1,"embedding":{second}}}],"model":"e","usage":{{"prompt_tokens":7,"total_tokens":7}}}}"#
            )
        };
        assert_eq!(
            vectors(&embeddings, Encoding::Float).unwrap(),
            with("[0.6,-0.8]", "[1.0,1e-9]")
        );
        // 0.6 is 9a 99 19 3f, -0.8 is cd cc 4c bf; 1 is 00 00 80 3f, 1e-9 is 5f 70 89 30.
        assert_eq!(
            vectors(&embeddings, Encoding::Base64).unwrap(),
            with(r#""mpkZP83MTL8=""#, r#""AACAP19wiTA=""#)
        );
    }
}
