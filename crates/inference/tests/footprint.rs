//! What a model's card says of its memory is what the process really takes: while it loads, once loaded, at work.
//! Measured as anonymous memory, in a process of its own for each case: one that never wrote a model, and whose allocator
//! gives back what is freed, as `runtime::confine` tells it in the product.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test stops at the first surprise, and its figures are worth reading"
)]

use crate::support;

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use domain::{Bytes, Sampling};
use engine::helpers::{Helpers, Share};
use engine::{Engine, ModelCard, ModelLoader, ModelSource, SequenceId};
use paraphym_inference::fixture::{Field, Sizes, TinyModel};
use paraphym_inference::format::Format;
use paraphym_inference::{GgufLoader, PackedCopies, Precision};
use runtime::BlockingHelpers;
use support::{input, on_disk, plan};
use tokio::runtime::Handle;

fn anonymous() -> Bytes {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("RssAnon:"));
    let kib = line.unwrap().trim().strip_suffix(" kB").unwrap();
    Bytes(kib.parse::<u64>().unwrap() * 1024)
}

/// The model that this process is to measure. In the first process there is none: there it is written, and this test
/// begins again in a second one.
fn model_of(test: &str, model: &TinyModel) -> Option<ModelSource> {
    if let Some(path) = std::env::var_os("FOOTPRINT_OF") {
        return Some(ModelSource {
            path: PathBuf::from(path),
        });
    }
    let written = on_disk(model);
    let second = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("footprint::{test}")])
        .args(["--nocapture", "--test-threads=1"])
        .env("FOOTPRINT_OF", &written.source.path)
        .env("MALLOC_MMAP_THRESHOLD_", "131072")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&second.stdout);
    let wrong = String::from_utf8_lossy(&second.stderr);
    assert!(second.status.success(), "{said}{wrong}");
    assert!(said.contains("1 passed"), "{said}");
    println!("{said}");
    None
}

/// `real` is at most `said`, and not so much less that the card would be useless.
fn assert_known(what: &str, real: Bytes, said: Bytes) {
    println!("{what}: {real} are taken, {said} were known");
    assert!(real <= said, "{what}: {real} are taken, {said} were known");
    assert!(
        said.0 < real.0 / 5 * 6 + Bytes::mib(4).0,
        "{what}: {real} are taken, as much as {said} were asked for"
    );
}

/// What the card said, and what was taken.
struct Taken {
    card: ModelCard,
    loading: Bytes,
    idle: Bytes,
    at_work: Bytes,
}

/// In a process of its own; in the first there is nothing to tell.
fn taken(loader: &GgufLoader, test: &str, written: &TinyModel) -> Option<Taken> {
    let source = model_of(test, written)?;
    let card = loader.inspect(&source).unwrap();
    let before = anonymous();
    let since = || anonymous().saturating_sub(before);
    let mut loading = Bytes::ZERO;
    let mut model = loader
        .load(&source, &mut |_| {
            loading = loading.max(since());
            ControlFlow::Continue(())
        })
        .unwrap();
    let idle = since();
    let plan = plan(256, 250, Sampling::default());
    model.engine.open(SequenceId(1), plan).unwrap();
    model.engine.step(&[input(1, &[3; 250], true)]).unwrap();
    Some(Taken {
        card,
        loading,
        idle,
        at_work: since(),
    })
}

impl Taken {
    fn assert_known_at_work(&self) {
        let weights = self.card.weights_bytes;
        assert!(
            self.idle >= weights,
            "{} with {weights} of weights",
            self.idle
        );
        let at_work = self.card.resident_bytes();
        let known = at_work.saturating_add(self.card.kv_bytes(256));
        assert_known("at work", self.at_work, known);
    }
}

/// What the card says is taken, and hardly less.
fn while_it_loads_and_at_work(test: &str, written: &TinyModel) {
    if let Some(taken) = taken(&GgufLoader::new(), test, written) {
        assert_known("while it loads", taken.loading, taken.card.load_bytes);
        taken.assert_known_at_work();
    }
}

/// Sizes of a model whose packed weights are most of what it takes; its vocabulary ends within a tile.
const PACKED: Sizes = Sizes {
    width: 1024,
    heads: 16,
    kv_heads: 4,
    head_width: 64,
    layers: 2,
    feed_forward: 4128,
    more_tokens: 40_001,
};

/// As much for packed weights, of which there is no second copy; what a load takes at most is counted with what it takes at work,
/// which may be more.
fn packed_and_at_work(loader: &GgufLoader, test: &str, written: TinyModel) {
    let Some(taken) = taken(loader, test, &written.sized(PACKED)) else {
        return;
    };
    let Taken { card, loading, .. } = &taken;
    println!(
        "while it loads: {loading} are taken, {} were known",
        card.load_bytes
    );
    assert!(*loading <= card.load_bytes, "{loading} while it loads");
    let weights = card.weights_bytes;
    assert!(weights > Bytes::mib(50), "{weights}");
    taken.assert_known_at_work();
}

/// Sizes of a model that takes some tens of MB.
const SOME: Sizes = Sizes {
    width: 1024,
    heads: 8,
    kv_heads: 8,
    head_width: 64,
    layers: 3,
    feed_forward: 1024,
    more_tokens: 3800,
};

#[test]
fn a_model_takes_what_its_card_says_and_no_more_while_it_loads() {
    while_it_loads_and_at_work(
        "a_model_takes_what_its_card_says_and_no_more_while_it_loads",
        &TinyModel::qwen2().weights(Format::F32).sized(SOME),
    );
}

#[test]
fn floats_of_16_bits_take_what_the_card_says() {
    let sizes = Sizes {
        width: 1023,
        feed_forward: 2001,
        ..SOME
    };
    let model = TinyModel::qwen2()
        .weights(Format::F16)
        .embedding(Format::F16);
    while_it_loads_and_at_work(
        "floats_of_16_bits_take_what_the_card_says",
        &model.sized(sizes),
    );
}

#[test]
fn weights_without_a_packed_form_take_what_the_card_says_and_one_of_them_twice() {
    let test = "weights_without_a_packed_form_take_what_the_card_says_and_one_of_them_twice";
    let format = Format::from_code(15).unwrap();
    while_it_loads_and_at_work(test, &TinyModel::qwen2().weights(format).sized(SOME));
}

#[test]
fn packed_weights_take_what_the_card_says_and_no_second_copy() {
    let test = "packed_weights_take_what_the_card_says_and_no_second_copy";
    packed_and_at_work(&GgufLoader::new(), test, TinyModel::llama());
}

/// Then its weights are a file's, and what is had beside them while that is written fits what is asked for beside them.
#[test]
fn a_copy_that_is_made_takes_what_the_card_says() {
    let test = "a_copy_that_is_made_takes_what_the_card_says";
    let folder = tempfile::tempdir().unwrap();
    let copies = PackedCopies::in_folder(folder.path()).on_any_pages();
    let loader = GgufLoader::new().with_copies(copies);
    // A model that was written just now has no copy.
    if let Some(path) = std::env::var_os("FOOTPRINT_OF") {
        support::settle(std::path::Path::new(&path), folder.path());
    }
    let Some(taken) = taken(&loader, test, &TinyModel::llama().sized(PACKED)) else {
        return;
    };
    let copies = std::fs::read_dir(folder.path()).unwrap().flatten();
    let length = |entry: std::fs::DirEntry| entry.metadata().unwrap().len();
    let in_file = Bytes(copies.map(length).max().unwrap());
    let Taken { card, loading, .. } = taken;
    assert!(in_file > Bytes::mib(50), "{in_file} are in the file");
    println!("while it is made: {loading} are taken beside the copy's {in_file}");
    assert!(loading > Bytes::mib(2), "{loading}");
    let all = loading.saturating_add(card.weights_bytes);
    assert!(all <= card.load_bytes, "{all} while it is made");
    assert!(
        taken.at_work < card.resident_bytes(),
        "{} at work",
        taken.at_work
    );
}

#[test]
fn activations_that_are_kept_exactly_take_what_the_card_says() {
    let test = "activations_that_are_kept_exactly_take_what_the_card_says";
    let loader = GgufLoader::new().with_precision(Precision::Exact);
    packed_and_at_work(&loader, test, TinyModel::llama());
}

#[test]
fn a_family_with_much_beside_takes_what_the_card_says() {
    let test = "a_family_with_much_beside_takes_what_the_card_says";
    packed_and_at_work(&GgufLoader::new(), test, TinyModel::gemma3());
}

#[test]
fn parts_of_one_tensor_take_what_the_card_says() {
    let test = "parts_of_one_tensor_take_what_the_card_says";
    packed_and_at_work(&GgufLoader::new(), test, TinyModel::phi3());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_threads_take_no_more_while_they_load() {
    let sizes = Sizes {
        width: 1024,
        heads: 16,
        kv_heads: 4,
        head_width: 64,
        layers: 3,
        feed_forward: 4128,
        more_tokens: 20_000,
    };
    let test = "several_threads_take_no_more_while_they_load";
    let Some(source) = model_of(test, &TinyModel::llama().sized(sizes)) else {
        return;
    };
    let threads = NonZeroUsize::new(4).unwrap();
    let helpers = BlockingHelpers::new(tokio::runtime::Handle::current(), threads);
    let loader = GgufLoader::new().with_helpers(Arc::new(helpers));
    let card = loader.inspect(&source).unwrap();
    let before = anonymous();
    let since = || anonymous().saturating_sub(before);
    let mut most = Bytes::ZERO;
    let model = loader.load(&source, &mut |_| {
        most = most.max(since());
        ControlFlow::Continue(())
    });
    let model = model.unwrap();
    println!("{most} are taken, {} were known", card.load_bytes);
    assert!(most <= card.load_bytes, "{most} while it loads");
    let idle = since();
    assert!(
        idle >= card.weights_bytes && idle <= card.resident_bytes(),
        "{idle}"
    );
    drop(model);
}

/// Helpers of which as many come as they are told, at once.
#[derive(Debug)]
struct Told {
    handle: Handle,
    come: AtomicUsize,
}

impl Helpers for Told {
    fn threads(&self) -> usize {
        4
    }

    fn call(&self, share: Share) {
        let come = self.come.load(Ordering::SeqCst);
        let begun = Arc::new(AtomicUsize::new(0));
        for _ in 0..come {
            let (share, begun) = (Share::clone(&share), Arc::clone(&begun));
            drop(self.handle.spawn_blocking(move || {
                begun.fetch_add(1, Ordering::SeqCst);
                share();
            }));
        }
        while begun.load(Ordering::SeqCst) < come {
            std::thread::yield_now();
        }
    }
}

/// A buffer keeps its largest size, and a share is the larger the fewer come: each number of members in turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_comes_no_more_is_taken_than_was_known() {
    let sizes = Sizes {
        width: 1024,
        heads: 16,
        kv_heads: 4,
        head_width: 64,
        layers: 2,
        feed_forward: 4128,
        more_tokens: 20_000,
    };
    let test = "whoever_comes_no_more_is_taken_than_was_known";
    let Some(source) = model_of(test, &TinyModel::llama().sized(sizes)) else {
        return;
    };
    let helpers = Arc::new(Told {
        handle: Handle::current(),
        come: AtomicUsize::new(3),
    });
    // The threads are there before anything is measured.
    helpers.call(Arc::new(|| ()));
    let loader = GgufLoader::new().with_helpers(Arc::clone(&helpers) as Arc<dyn Helpers>);
    let card = loader.inspect(&source).unwrap();
    let before = anonymous();
    let since = || anonymous().saturating_sub(before);
    let (_, mut decoder, _) = loader
        .load_parts(&source, &mut |_| ControlFlow::Continue(()))
        .unwrap();
    println!("loaded: {} are taken", since());
    let (ids, turns) = (1..=16, 3);
    for id in ids.clone() {
        let plan = plan(256, 250, Sampling::default());
        decoder.open(SequenceId(id), plan).unwrap();
    }
    // 256 rows, of which 16 sample.
    let large: Vec<_> = ids.map(|id| input(id, &[3; 16], true)).collect();
    for come in 0..helpers.threads() {
        helpers.come.store(come, Ordering::SeqCst);
        for _ in 0..turns {
            decoder.step(&large).unwrap();
        }
    }
    // As many as share matrices.
    decoder.step(&[input(1, &[3; 63], true)]).unwrap();
    let at_work = card.kv_bytes(256).saturating_mul(16);
    let at_work = card.resident_bytes().saturating_add(at_work);
    assert_known("whoever came", since(), at_work);
}

#[test]
fn a_large_vocabulary_is_counted() {
    large_vocabulary("a_large_vocabulary_is_counted", TinyModel::llama());
}

#[test]
fn a_large_vocabulary_of_sentence_pieces_is_counted() {
    let test = "a_large_vocabulary_of_sentence_pieces_is_counted";
    large_vocabulary(test, TinyModel::llama().sentencepiece());
}

#[test]
fn many_special_tokens_are_counted() {
    // 271 tokens of the tokenizer; what follows is special. How much a list has in reserve is not known to the byte.
    let mut kinds = vec![1; 271];
    kinds.resize(271 + 150_000, 4);
    kinds[..3].fill(3);
    let field = ("tokenizer.ggml.token_type", Field::Ints(kinds));
    let model = TinyModel::llama().sized(LARGE).field(field.0, field.1);
    let loader = GgufLoader::new();
    let Some(source) = model_of("many_special_tokens_are_counted", &model) else {
        return;
    };
    let card = loader.inspect(&source).unwrap();
    let before = anonymous();
    let model = loader.load(&source, &mut |_| ControlFlow::Continue(()));
    let taken = anonymous().saturating_sub(before);
    println!("{taken} are taken, {} were known", card.resident_bytes());
    assert!(taken <= card.resident_bytes(), "{taken}");
    drop(model.unwrap());
}

/// Of a model that is hardly more than its vocabulary.
const LARGE: Sizes = Sizes {
    more_tokens: 150_000,
    ..Sizes::TINY
};

fn large_vocabulary(test: &str, model: TinyModel) {
    let Some(source) = model_of(test, &model.sized(LARGE)) else {
        return;
    };
    let loader = GgufLoader::new();
    let card = loader.inspect(&source).unwrap();
    let before = anonymous();
    let mut model = loader
        .load(&source, &mut |_| ControlFlow::Continue(()))
        .unwrap();
    let ids = 1..=16;
    for id in ids.clone() {
        let sampling = Sampling {
            logprobs: Some(20),
            ..Sampling::default()
        };
        let plan = plan(64, 1, sampling);
        model.engine.open(SequenceId(id), plan).unwrap();
    }
    let batch: Vec<_> = ids.map(|id| input(id, &[3], true)).collect();
    model.engine.step(&batch).unwrap();
    let taken = anonymous().saturating_sub(before);
    let known = card.resident_bytes();
    let known = known.saturating_add(card.kv_bytes(64).saturating_mul(16));
    assert_known("with 150 000 tokens", taken, known);
}
