//! Batches of texts through the model: grouped by length, so that little is padding; pooled, and made of length 1.
//!
//! Nothing here decides how large a batch may be; what a group may work in is bounded here, whatever the batch.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use candle_transformers::models::bert::BertModel;
use engine::{Embedded, Embedder, StepError};

use super::config::BertConfig;
use super::tokens::TextTokens;

/// Padded tokens in one pass through the layers. Matrices of this many rows use a core fully; more would only take more
/// memory.
const GROUP_TOKENS: usize = 512;
/// A group's shortest text has at least this share of the longest's tokens, in percent: beyond it, padding costs more than
/// another pass.
const ALIKE: usize = 75;

/// The model and its tokenizer.
pub(super) struct BertEmbedder {
    model: BertModel,
    tokens: TextTokens,
    dimensions: usize,
    vocabulary: u32,
}

/// A text of the batch as tokens.
struct Row {
    place: usize,
    tokens: Vec<u32>,
}

impl BertEmbedder {
    pub(super) fn new(model: BertModel, tokens: TextTokens, config: &BertConfig) -> Self {
        Self {
            model,
            tokens,
            dimensions: config.dimensions as usize,
            vocabulary: u32::try_from(config.bert.vocab_size).unwrap_or(u32::MAX),
        }
    }

    /// What the largest group works in: the scores of all heads four times over (scaled, masked, softmax, and while each is
    /// made), the states of the wide layer three times, those of the narrow ones eight times.
    pub(super) fn bytes_at_work(config: &BertConfig) -> u64 {
        let bert = &config.bert;
        let longest = config.max_tokens as usize;
        let tokens = GROUP_TOKENS.max(longest);
        let scores = tokens
            .saturating_mul(longest)
            .saturating_mul(bert.num_attention_heads)
            .saturating_mul(4);
        let wide = tokens
            .saturating_mul(bert.intermediate_size)
            .saturating_mul(3);
        let narrow = tokens.saturating_mul(bert.hidden_size).saturating_mul(8);
        let numbers = scores.saturating_add(wide).saturating_add(narrow);
        numbers.saturating_mul(size_of::<f32>()) as u64
    }

    fn rows(&self, texts: &[Arc<str>]) -> Result<Vec<Row>, StepError> {
        let mut rows = Vec::with_capacity(texts.len());
        for (place, text) in texts.iter().enumerate() {
            let tokens = self.tokens.of(text)?;
            if let Some(token) = tokens.iter().find(|token| **token >= self.vocabulary) {
                return Err(StepError::UnknownToken {
                    token: *token,
                    vocabulary: self.vocabulary,
                });
            }
            rows.push(Row { place, tokens });
        }
        rows.sort_by_key(|row| row.tokens.len());
        Ok(rows)
    }

    /// The vectors of one group.
    fn pass(&self, group: &[Row]) -> candle_core::Result<Vec<Vec<f32>>> {
        let longest = longest(group);
        let mut ids = Vec::with_capacity(group.len() * longest);
        let mut mask = Vec::with_capacity(group.len() * longest);
        for row in group {
            let padding = longest - row.tokens.len();
            ids.extend(
                row.tokens
                    .iter()
                    .copied()
                    .chain(std::iter::repeat_n(0, padding)),
            );
            let read = std::iter::repeat_n(1.0_f32, row.tokens.len());
            mask.extend(read.chain(std::iter::repeat_n(0.0, padding)));
        }
        let shape = (group.len(), longest);
        let ids = Tensor::from_vec(ids, shape, &Device::Cpu)?;
        let mask = Tensor::from_vec(mask, shape, &Device::Cpu)?;
        // Without padding there is nothing to hide.
        let hidden = group.iter().any(|row| row.tokens.len() < longest);
        let states = self
            .model
            .forward(&ids, &ids.zeros_like()?, hidden.then_some(&mask))?;
        let states: Vec<f32> = states.flatten_all()?.to_vec1()?;
        let rows = states.chunks(longest * self.dimensions);
        let pooled = rows.zip(group).map(|(states, row)| {
            let read = states.chunks(self.dimensions).take(row.tokens.len());
            mean_direction(read, self.dimensions)
        });
        Ok(pooled.collect())
    }
}

impl Embedder for BertEmbedder {
    fn embed(&mut self, texts: &[Arc<str>]) -> Result<Vec<Embedded>, StepError> {
        let rows = self.rows(texts)?;
        let mut all: Vec<(usize, Embedded)> = Vec::with_capacity(rows.len());
        let mut rest = rows.as_slice();
        while !rest.is_empty() {
            let (group, others) = rest.split_at(group(rest));
            let vectors = self.pass(group);
            let vectors = vectors.map_err(|error| StepError::Compute(error.to_string()))?;
            for (row, vector) in group.iter().zip(vectors) {
                let tokens = u32::try_from(row.tokens.len()).unwrap_or(u32::MAX);
                let vector = vector.into();
                all.push((row.place, Embedded { vector, tokens }));
            }
            rest = others;
        }
        all.sort_by_key(|(place, _)| *place);
        Ok(all.into_iter().map(|(_, embedded)| embedded).collect())
    }
}

/// How many of these rows, shortest first, go together; at least one.
fn group(rows: &[Row]) -> usize {
    let shortest = rows.first().map_or(0, |row| row.tokens.len());
    let fits = |(at, row): &(usize, &Row)| {
        let longest = row.tokens.len();
        (at + 1) * longest <= GROUP_TOKENS && longest * ALIKE <= shortest * 100
    };
    rows.iter().enumerate().take_while(fits).count().max(1)
}

fn longest(rows: &[Row]) -> usize {
    rows.iter().map(|row| row.tokens.len()).max().unwrap_or(0)
}

/// The mean of the states, made of length 1.
fn mean_direction<'a>(states: impl Iterator<Item = &'a [f32]>, dimensions: usize) -> Vec<f32> {
    let mut sum = vec![0.0_f32; dimensions];
    for state in states {
        sum.iter_mut().zip(state).for_each(|(sum, x)| *sum += x);
    }
    // The number of states cancels out. 1e-12 as in torch's normalize: no division by zero.
    let length = sum.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-12);
    sum.iter_mut().for_each(|x| *x /= length);
    sum
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows(lengths: &[usize]) -> Vec<Row> {
        let row = |(place, length): (usize, &usize)| Row {
            place,
            tokens: vec![1; *length],
        };
        lengths.iter().enumerate().map(row).collect()
    }

    #[test]
    fn texts_of_like_length_go_together() {
        for (lengths, together) in [
            (vec![10, 10, 12, 13, 14], 4),
            (vec![2, 200], 1),
            (vec![256, 256, 256], 2),
            (vec![600], 1),
            (vec![8; 100], 64),
        ] {
            assert_eq!(group(&rows(&lengths)), together, "{lengths:?}");
        }
    }

    #[test]
    fn the_mean_has_length_one() {
        let mean = mean_direction([&[3.0_f32, 0.0][..], &[0.0, 3.0]].into_iter(), 2);
        assert!((mean[0] - 0.5_f32.sqrt()).abs() < 1e-6 && mean[0] == mean[1]);
        assert_eq!(
            mean_direction([&[0.0_f32, 0.0][..]].into_iter(), 2),
            [0.0, 0.0]
        );
    }

    proptest! {
        #[test]
        fn groups_are_bounded_and_use_everyone(mut lengths in proptest::collection::vec(1usize..257, 1..40)) {
            lengths.sort_unstable();
            let rows = rows(&lengths);
            let mut rest = rows.as_slice();
            while !rest.is_empty() {
                let (now, others) = rest.split_at(group(rest));
                prop_assert!(now.len() * longest(now) <= GROUP_TOKENS || now.len() == 1);
                rest = others;
            }
        }
    }
}
