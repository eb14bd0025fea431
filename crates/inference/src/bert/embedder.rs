//! Batches of texts through the model: in groups, so that memory is bounded; pooled, and made of length 1.
//!
//! Nothing here decides how large a batch may be; what a group may work in is bounded here, whatever the batch.

use std::sync::Arc;

use engine::{Embedded, Embedder, StepError};

use super::config::BertConfig;
use super::model::Model;
use super::tokens::TextTokens;

/// Tokens in one pass through the layers. Matrices of this many rows use a core fully; more would only take more memory.
const GROUP_TOKENS: usize = 512;

/// The model and its tokenizer.
pub(super) struct BertEmbedder {
    model: Model,
    tokens: TextTokens,
    dimensions: usize,
    vocabulary: u32,
}

impl BertEmbedder {
    pub(super) fn new(model: Model, tokens: TextTokens, config: &BertConfig) -> Self {
        Self {
            model,
            tokens,
            dimensions: config.dimensions as usize,
            vocabulary: u32::try_from(config.sizes.vocab_size).unwrap_or(u32::MAX),
        }
    }

    /// What the largest group works in: the scores of all heads for one text (as made, and twice in softmax), the states
    /// of the wide layer as often, and those of the narrow ones.
    pub(super) fn bytes_at_work(config: &BertConfig) -> u64 {
        let sizes = &config.sizes;
        let longest = config.max_tokens as usize;
        let tokens = GROUP_TOKENS.max(longest);
        let scores = longest
            .saturating_mul(longest)
            .saturating_mul(sizes.num_attention_heads)
            .saturating_mul(3);
        let wide = tokens
            .saturating_mul(sizes.intermediate_size)
            .saturating_mul(3);
        let narrow = tokens.saturating_mul(sizes.hidden_size).saturating_mul(10);
        let numbers = scores.saturating_add(wide).saturating_add(narrow);
        numbers.saturating_mul(size_of::<f32>()) as u64
    }

    fn tokens(&self, text: &str) -> Result<Vec<u32>, StepError> {
        let tokens = self.tokens.of(text)?;
        match tokens.iter().find(|token| **token >= self.vocabulary) {
            None => Ok(tokens),
            Some(token) => Err(StepError::UnknownToken {
                token: *token,
                vocabulary: self.vocabulary,
            }),
        }
    }

    /// The vectors of one group.
    fn pass(&self, group: &[Vec<u32>]) -> candle_core::Result<Vec<Embedded>> {
        let texts: Vec<&[u32]> = group.iter().map(Vec::as_slice).collect();
        let states = self.model.forward(&texts)?;
        let mut rest = states.chunks(self.dimensions);
        let pooled = texts.iter().map(|text| Embedded {
            vector: mean_direction(rest.by_ref().take(text.len()), self.dimensions).into(),
            tokens: u32::try_from(text.len()).unwrap_or(u32::MAX),
        });
        Ok(pooled.collect())
    }
}

impl Embedder for BertEmbedder {
    fn embed(&mut self, texts: &[Arc<str>]) -> Result<Vec<Embedded>, StepError> {
        let rows = texts.iter().map(|text| self.tokens(text));
        let rows: Vec<Vec<u32>> = rows.collect::<Result<_, _>>()?;
        let mut all = Vec::with_capacity(rows.len());
        let mut rest = rows.as_slice();
        while !rest.is_empty() {
            let (group, others) = rest.split_at(group(rest));
            let vectors = self.pass(group);
            all.extend(vectors.map_err(|error| StepError::Compute(error.to_string()))?);
            rest = others;
        }
        Ok(all)
    }
}

/// How many of these texts go together; at least one.
fn group(rows: &[Vec<u32>]) -> usize {
    let mut tokens = 0;
    let fits = |row: &&Vec<u32>| {
        tokens += row.len();
        tokens <= GROUP_TOKENS
    };
    rows.iter().take_while(fits).count().max(1)
}

/// The mean of the states, made of length 1.
fn mean_direction<'a>(states: impl Iterator<Item = &'a [f32]>, dimensions: usize) -> Vec<f32> {
    let mut sum = vec![0.0_f32; dimensions];
    for state in states {
        sum.iter_mut().zip(state).for_each(|(sum, x)| *sum += x);
    }
    // The number of states cancels out. 1e-12 as in torch's normalize: no division by zero.
    let length = sum.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-12);
    for x in &mut sum {
        *x /= length;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_bounded_and_never_empty() {
        for (lengths, together) in [
            (vec![256, 256, 256], 2),
            (vec![600, 1], 1),
            (vec![8; 100], 64),
            (vec![500, 13], 1),
            (vec![500, 12], 2),
        ] {
            let rows: Vec<Vec<u32>> = lengths.iter().map(|length| vec![1; *length]).collect();
            assert_eq!(group(&rows), together, "{lengths:?}");
        }
    }

    #[test]
    fn the_mean_has_length_one() {
        let mean = mean_direction([&[3.0_f32, 0.0][..], &[0.0, 3.0]].into_iter(), 2);
        let half = 0.5_f32.sqrt();
        assert!(
            mean.iter().all(|part| (part - half).abs() < 1e-6),
            "{mean:?}"
        );
        assert_eq!(
            mean_direction([&[0.0_f32, 0.0][..]].into_iter(), 2),
            [0.0, 0.0]
        );
    }
}
