//! A model of meaning that needs no weights: a text's vector says how often each of its words occurs, so that texts with
//! words in common are near each other and others are not.
//!
//! It obeys the faults of the same [`Control`] as the engine does, and its batches count as steps.

use std::ops::ControlFlow;
use std::sync::Arc;

use domain::Bytes;
use engine::{Embedded, Embedder, EmbedderCard, LoadError, LoadedEmbedder, ModelSource, StepError};

use super::{Control, ScriptedLoader};

/// Numbers in a scripted vector. Two words meet in the same one now and then; a test of ranking should not mind.
pub const DIMENSIONS: u32 = 64;

pub(super) fn card() -> EmbedderCard {
    EmbedderCard {
        name: "scripted-embedder".to_owned(),
        architecture: "script".to_owned(),
        dimensions: DIMENSIONS,
        max_tokens: 256,
        step_tokens: 1024,
        weights_bytes: Bytes::mib(1),
        work_bytes: Bytes::ZERO,
        load_bytes: Bytes::mib(1),
    }
}

pub(super) fn load(
    loader: &ScriptedLoader,
    source: &ModelSource,
    progress: &mut dyn FnMut(f32) -> ControlFlow<()>,
) -> Result<LoadedEmbedder, LoadError> {
    loader.read_tensors(source, progress)?;
    let control = loader.control();
    Ok(LoadedEmbedder {
        card: card(),
        embedder: Box::new(ScriptedEmbedder { control }),
    })
}

struct ScriptedEmbedder {
    control: Control,
}

impl Drop for ScriptedEmbedder {
    fn drop(&mut self) {
        self.control
            .count(|counts| counts.engines = counts.engines.saturating_sub(1));
    }
}

impl Embedder for ScriptedEmbedder {
    fn embed(&mut self, texts: &[Arc<str>]) -> Result<Vec<Embedded>, StepError> {
        self.control
            .count(|counts| counts.embedded += texts.len() as u64);
        self.control.begin_step(|_| false)?;
        Ok(texts.iter().map(|text| embed(text)).collect())
    }
}

fn embed(text: &str) -> Embedded {
    let mut vector = vec![0.0_f32; DIMENSIONS as usize];
    let mut words = 0;
    for word in text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
    {
        words += 1;
        // FNV-1a, so that the place is the same in every build.
        let hash = word
            .to_lowercase()
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |sum: u64, byte| {
                (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
        let place = (hash >> 32) % u64::from(DIMENSIONS);
        if let Some(number) = vector.get_mut(place as usize) {
            *number += 1.0;
        }
    }
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    match vector.first_mut() {
        // No words at all: a direction of its own all the same.
        Some(first) if length == 0.0 => *first = 1.0,
        _ => vector.iter_mut().for_each(|x| *x /= length),
    }
    Embedded {
        vector: vector.into(),
        tokens: words + 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_in_common_bring_texts_near() {
        let cosine = |a: &str, b: &str| -> f32 {
            let (a, b) = (embed(a).vector, embed(b).vector);
            a.iter().zip(b.iter()).map(|(x, y)| x * y).sum()
        };
        assert!((cosine("The cat", "the CAT!") - 1.0).abs() < 1e-6);
        let near = cosine("the cat sleeps", "a cat sleeps");
        assert!(near > cosine("the cat sleeps", "taxes are due"));
        assert!((cosine("", "...") - 1.0).abs() < 1e-6);
        assert_eq!(embed("one two").tokens, 4);
    }
}
