//! Steps that several threads compute together: the same bits as one thread gives, whatever is in the batch, however a prompt
//! was cut, and whether its beginning was kept; however many of the helpers really come.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may fail loudly"
)]

use crate::support;

use std::cell::RefCell;
use std::fmt;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use engine::helpers::{Helpers, Share};
use engine::{Beginning, Engine, PrefixId, SequenceId, TokenId};
use paraphym_inference::fixture::TinyModel;
use paraphym_inference::{Decoder, GgufLoader, Precision};
use proptest::prelude::*;
use runtime::BlockingHelpers;
use support::{all_models, bits, float_models, input, on_disk, open, plan, some_tokens};
use tokio::runtime::Handle;

fn decoder(model: &TinyModel, helpers: Arc<dyn Helpers>, precision: Precision) -> Decoder {
    let loader = GgufLoader::new()
        .with_helpers(helpers)
        .with_precision(precision);
    let file = on_disk(model);
    let parts = loader.load_parts(&file.source, &mut |_| ControlFlow::Continue(()));
    parts.unwrap().1
}

fn many(threads: usize) -> Arc<dyn Helpers> {
    let threads = NonZeroUsize::new(threads).unwrap();
    Arc::new(BlockingHelpers::new(Handle::current(), threads))
}

/// One of the helpers never comes, another comes when the next pass is called.
struct Unreliable {
    handle: Handle,
    late: Mutex<Option<Share>>,
}

impl fmt::Debug for Unreliable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unreliable")
    }
}

impl Helpers for Unreliable {
    fn threads(&self) -> usize {
        4
    }

    fn call(&self, share: Share) {
        let late = self.late.lock().unwrap().replace(Share::clone(&share));
        for share in late.into_iter().chain([share]) {
            drop(self.handle.spawn_blocking(move || share()));
        }
    }
}

/// What is asked of a decoder.
#[derive(Clone, Debug)]
struct Plot {
    /// Lengths of the prompts, and by how many tokens each is read a step.
    prompts: Vec<(u32, usize)>,
    /// Tokens of the first prompt that are kept and begun with again.
    kept: u32,
    /// Tokens that follow, of all sequences together.
    following: usize,
}

fn plots() -> impl Strategy<Value = Plot> {
    let prompts = prop::collection::vec((1u32..150, 1usize..90), 1..6);
    (prompts, 1u32..150, 1usize..4).prop_map(|(prompts, kept, following)| Plot {
        kept: kept.min(prompts[0].0),
        prompts,
        following,
    })
}

/// The logits of every step of the plot.
fn play(decoder: &mut Decoder, plot: &Plot) -> Vec<Vec<u32>> {
    let mut seen = Vec::new();
    let mut note = |logits: Vec<Option<Vec<f32>>>| {
        seen.extend(logits.into_iter().flatten().map(|logits| bits(&logits)));
    };
    let prompts: Vec<Vec<TokenId>> = (0..)
        .zip(&plot.prompts)
        .map(|(index, (length, _))| some_tokens(*length, index))
        .collect();
    for id in 0..prompts.len() {
        open(decoder, id as u64);
    }
    // Each reads its own piece while others read theirs, or decode already.
    let mut at = vec![0; prompts.len()];
    while at
        .iter()
        .zip(&prompts)
        .any(|(at, prompt)| *at < prompt.len())
    {
        let mut batch = Vec::new();
        for (id, prompt) in prompts.iter().enumerate() {
            let piece = plot.prompts[id].1.min(prompt.len() - at[id]);
            if piece > 0 {
                batch.push(input(id as u64, &prompt[at[id]..at[id] + piece], true));
                at[id] += piece;
            }
        }
        note(decoder.step_logits(&batch).unwrap());
    }
    decoder.keep(SequenceId(0), PrefixId(1), plot.kept);
    let from = Beginning {
        prefix: PrefixId(1),
        tokens: plot.kept,
    };
    let again = plan(512, 0, domain::Sampling::greedy());
    decoder.open_from(SequenceId(0), again, from).unwrap();
    for turn in 0..plot.following {
        let ids = 0..prompts.len() as u64;
        let batch: Vec<_> = ids
            .map(|id| input(id, &[30 + turn as u32 + id as u32], true))
            .collect();
        note(decoder.step_logits(&batch).unwrap());
    }
    for id in 0..prompts.len() {
        decoder.close(SequenceId(id as u64));
    }
    decoder.forget(PrefixId(1));
    seen
}

#[tokio::test]
async fn any_number_of_threads_gives_the_same_bits() {
    tokio::task::spawn_blocking(compare).await.unwrap();
}

fn compare() {
    for precision in [Precision::Fast, Precision::Exact] {
        // To floats precision does not matter.
        let floats = float_models()
            .into_iter()
            .filter(|_| precision == Precision::Fast);
        for (name, model) in all_models().into_iter().chain(floats) {
            let alone = decoder(&model, Arc::new(engine::helpers::Alone), precision);
            let alone = RefCell::new(alone);
            let unreliable = Arc::new(Unreliable {
                handle: Handle::current(),
                late: Mutex::default(),
            });
            let others = [many(2), many(3), many(5), unreliable]
                .map(|helpers| RefCell::new(decoder(&model, helpers, precision)));
            let config = ProptestConfig {
                failure_persistence: None,
                ..ProptestConfig::with_cases(6)
            };
            proptest!(config, |(plot in plots())| {
                let expected = play(&mut alone.borrow_mut(), &plot);
                prop_assert!(!expected.is_empty());
                for (which, decoder) in others.iter().enumerate() {
                    prop_assert!(play(&mut decoder.borrow_mut(), &plot) == expected, "{}, lane {}", name, which);
                }
            });
        }
    }
}
