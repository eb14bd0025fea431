//! Shell: a request as the lane takes it: each text once, and what it is known by. Hashing four megabytes takes milliseconds, so
//! the asker does it, not the lane.
//!
//! Nothing here decides.

use std::collections::HashMap;
use std::sync::Arc;

use domain::{GenerationError, ModelName};

use super::desk::Text;
use super::shelf::Key;

/// Bytes that are hashed on the spot, in some tens of microseconds; more goes to a blocking thread.
const ON_THE_SPOT: usize = 32 * 1024;

/// The texts, each once.
///
/// # Errors
/// `Unavailable` if the runtime is ending.
pub(crate) async fn prepare(
    model: &ModelName,
    texts: Vec<String>,
) -> Result<Vec<Text>, GenerationError> {
    let bytes: usize = texts.iter().map(String::len).sum();
    if bytes <= ON_THE_SPOT {
        return Ok(once(model, texts));
    }
    let model = model.clone();
    let prepared = tokio::task::spawn_blocking(move || once(&model, texts)).await;
    prepared.map_err(|error| GenerationError::Unavailable {
        part: super::CHILD_ID.to_owned(),
        reason: error.to_string(),
    })
}

fn once(model: &ModelName, texts: Vec<String>) -> Vec<Text> {
    let mut at: HashMap<Key, usize> = HashMap::new();
    let mut once: Vec<Text> = Vec::new();
    for (place, text) in texts.into_iter().enumerate() {
        let key = Key::new(model, &text);
        let known = at.get(&key).and_then(|at| once.get_mut(*at));
        if let Some(known) = known {
            known.places.push(place);
            continue;
        }
        at.insert(key, once.len());
        once.push(Text {
            text: Arc::from(text),
            key,
            places: vec![place],
        });
    }
    once
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_text_that_comes_twice_is_made_once() {
        let long = "x".repeat(ON_THE_SPOT);
        for other in ["b", long.as_str()] {
            let texts = ["a", other, "a"].map(str::to_owned).to_vec();
            let once = prepare(&ModelName::new("m"), texts).await.unwrap();
            let places: Vec<_> = once.iter().map(|text| text.places.clone()).collect();
            assert_eq!(places, [vec![0, 2], vec![1]]);
        }
    }
}
