//! A load by several threads: the same model, the same progress, the same errors as by one alone.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests may fail loudly"
)]

use crate::support;

use std::fs::OpenOptions;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::Arc;

use engine::{LoadError, ModelLoader};
use paraphym_inference::fixture::TinyModel;
use paraphym_inference::format::Format;
use paraphym_inference::{Codec, Decoder, GgufLoader};
use runtime::BlockingHelpers;
use support::{OnDisk, all_models, bits, float_models, input, on_disk, some_tokens};

fn helped(threads: usize) -> GgufLoader {
    let threads = NonZeroUsize::new(threads).unwrap();
    let handle = tokio::runtime::Handle::current();
    GgufLoader::new().with_helpers(Arc::new(BlockingHelpers::new(handle, threads)))
}

fn load(loader: &GgufLoader, file: &OnDisk) -> (Decoder, Codec) {
    let parts = loader.load_parts(&file.source, &mut |_| ControlFlow::Continue(()));
    let (_, decoder, codec) = parts.unwrap();
    (decoder, codec)
}

/// What a model says to some tokens: every weight has a part in it.
fn said(loader: &GgufLoader, file: &OnDisk) -> (Vec<u32>, Vec<u32>) {
    let (mut decoder, codec) = load(loader, file);
    support::open(&mut decoder, 1);
    let batch = [input(1, &some_tokens(9, 3), true)];
    let logits = decoder.step_logits(&batch).unwrap();
    let tokens = engine::TextCodec::encode_text(&codec, "hello there").unwrap();
    (bits(logits[0].as_ref().unwrap()), tokens)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_number_of_threads_load_the_same_model() {
    let more = [
        TinyModel::llama().weights(Format::F16),
        TinyModel::qwen2().weights(Format::F32).sentencepiece(),
    ];
    let named = all_models().into_iter().chain(float_models());
    for model in named.map(|(_, model)| model).chain(more) {
        let file = on_disk(&model);
        let alone = said(&GgufLoader::new(), &file);
        assert!(!alone.1.is_empty());
        for threads in [2, 3, 8] {
            for _ in 0..3 {
                assert!(said(&helped(threads), &file) == alone, "{threads} threads");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_is_told_and_heard_whoever_reads() {
    let file = on_disk(&TinyModel::llama());
    for threads in [1, 2, 5] {
        let loader = helped(threads);
        let mut told = Vec::new();
        let model = loader.load(&file.source, &mut |share| {
            told.push(share);
            ControlFlow::Continue(())
        });
        assert!(model.is_ok());
        assert!(told.is_sorted() && told.len() >= 20, "{told:?}");
        assert!((told[told.len() - 1] - 1.0).abs() < 1e-6, "{told:?}");
        for stop_at in [1, 5, told.len()] {
            let mut calls = 0;
            let stopped = loader.load(&file.source, &mut |_| {
                calls += 1;
                if calls == stop_at {
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            });
            assert_eq!(stopped.map(|_| ()), Err(LoadError::Cancelled));
            assert_eq!(calls, stop_at);
        }
    }
}

/// What is wrong is told as it is, whoever found it: text and weights are read by different threads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_of_any_thread_comes_back() {
    for threads in [1, 2, 5] {
        let field = paraphym_inference::fixture::Field::Text("{% if %}".to_owned());
        let file = on_disk(&TinyModel::llama().field("tokenizer.chat_template", field));
        let failed = helped(threads).load(&file.source, &mut |_| ControlFlow::Continue(()));
        let error = failed.map(|_| ()).unwrap_err();
        assert!(matches!(error, LoadError::Unsupported { .. }), "{error}");

        // Cut short after its header was believed, while it is read.
        let file = on_disk(&TinyModel::llama());
        let failed = helped(threads).load(&file.source, &mut |_| {
            let opened = OpenOptions::new().write(true).open(&file.source.path);
            opened.unwrap().set_len(4096).unwrap();
            ControlFlow::Continue(())
        });
        match failed.map(|_| ()) {
            Err(LoadError::Io { .. }) => {}
            // Helpers may have read all of it before anything was told.
            Ok(()) if threads > 1 => {}
            other => panic!("{other:?}"),
        }
    }
}
