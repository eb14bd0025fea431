//! The engine for devices, where it is not held to the suite: it computes what the first one computes, and its loader says of a
//! file what the first one says.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::float_cmp,
    reason = "tests may fail loudly"
)]

use std::ops::ControlFlow;

use domain::{Bytes, Sampling};
use engine::{Device, LoadError, ModelLoader, SequenceId};
use paraphym_inference::fixture::{Field, TinyModel};
use paraphym_inference::format::Format;
use paraphym_inference::{DeviceLoader, GgufLoader};

use crate::support::subject::{Subject, Tested};
use crate::support::{OnDisk, all_models, input, on_disk, plan, some_tokens};

fn logits(engine: &mut dyn Tested) -> Vec<f32> {
    let wide = plan(512, 0, Sampling::greedy());
    engine.open(SequenceId(1), wide).unwrap();
    let front = [input(1, &some_tokens(70, 4), false)];
    engine.logits(&front).unwrap();
    let last = engine.logits(&[input(1, &[9], true)]).unwrap();
    last.into_iter().next().flatten().unwrap()
}

/// With 32 bit weights only the order of additions differs; with fewer, both round activations, each in its own way.
#[test]
fn both_engines_compute_the_same() {
    let scaled = [
        ("rope.dimension_count", Field::Number(8)),
        ("rope.freq_base", Field::Float(5000.0)),
        ("rope.scaling.type", Field::Text("linear".to_owned())),
        ("rope.scaling.factor", Field::Float(2.0)),
    ];
    let turned = |prefix: &str, model: TinyModel| {
        let fields = scaled.clone().into_iter();
        fields.fold(model, |model, (name, value)| {
            model.field(&format!("{prefix}.{name}"), value)
        })
    };
    let mut models: Vec<_> = all_models().into();
    models.push(("llama, turned in part", turned("llama", TinyModel::llama())));
    models.push(("qwen3, turned in part", turned("qwen3", TinyModel::qwen3())));
    models.push(("of pieces", TinyModel::llama().sentencepiece()));
    let pairs = [
        (Subject::Floats, Subject::TensorsOfFloats, 1e-3),
        (Subject::Packed, Subject::Tensors, 0.03),
    ];
    for (name, model) in models {
        for (first, second, margin) in pairs {
            let (_, mut ours, _) = first.load(&model);
            let (_, mut theirs, _) = second.load(&model);
            let (ours, theirs) = (logits(&mut *ours), logits(&mut *theirs));
            let largest = ours.iter().fold(0.0f32, |most, x| most.max(x.abs()));
            let off = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs());
            let worst = off.fold(0.0, f32::max);
            assert!(largest > 1.0, "{name}: {largest} would prove nothing");
            assert!(
                worst < margin * largest,
                "{name} {second:?}: off by {worst} of {largest}"
            );
        }
    }
}

#[test]
fn every_format_is_computed_as_the_first_engine_computes_it() {
    for format in [Format::F32, Format::F16, Format::Q8_0, Format::Q4_1] {
        let model = TinyModel::qwen2().seed(4).weights(format);
        let (_, mut ours, _) = Subject::Packed.load(&model);
        let (_, mut theirs, _) = Subject::Tensors.load(&model);
        let (ours, theirs) = (logits(&mut *ours), logits(&mut *theirs));
        let largest = ours.iter().fold(0.0f32, |most, x| most.max(x.abs()));
        let off = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs());
        let worst = off.fold(0.0, f32::max);
        assert!(
            worst < 0.03 * largest,
            "{format}: off by {worst} of {largest}"
        );
    }
}

#[test]
fn a_load_says_how_far_it_is_and_can_be_cancelled() {
    let OnDisk { source, folder } = on_disk(&TinyModel::qwen3());
    let device = DeviceLoader::new(Device::Cpu).unwrap();
    let mut shares = Vec::new();
    let loaded = device.load(&source, &mut |share| {
        shares.push(share);
        ControlFlow::Continue(())
    });
    assert_eq!(loaded.unwrap().card, device.inspect(&source).unwrap());
    assert!(shares.len() > 20, "one for each tensor: {shares:?}");
    assert!(
        shares.is_sorted() && shares.last() == Some(&1.0),
        "{shares:?}"
    );
    for after in [1, 5] {
        let mut left = after;
        let cancelled = device.load(&source, &mut |_| {
            left -= 1;
            if left > 0 {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        assert_eq!(cancelled.err(), Some(LoadError::Cancelled));
    }
    drop(folder);
}

/// Of the weights it promises their length in the file; the embedding counts once more where it is the output as well.
#[test]
fn the_card_is_that_of_the_first_but_for_memory() {
    for (name, model) in all_models() {
        let disk = on_disk(&model);
        let first = GgufLoader::new().inspect(&disk.source).unwrap();
        let second = DeviceLoader::new(Device::Cpu).unwrap();
        let second = second.inspect(&disk.source).unwrap();
        assert_eq!(
            (second.device, second.device_bytes),
            (Device::Cpu, Bytes(0))
        );
        assert!(second.load_bytes >= second.resident_bytes(), "{name}");
        assert!(second.weights_bytes > Bytes(50_000), "{name}");
        let told = engine::ModelCard {
            weights_bytes: first.weights_bytes,
            work_bytes: first.work_bytes,
            load_bytes: first.load_bytes,
            ..second
        };
        assert_eq!(told, first, "{name}");
    }
}

#[test]
fn what_is_wrong_with_a_file_is_said_by_both_in_the_same_words() {
    let wrong = [
        TinyModel::llama().field("general.architecture", Field::Text("mamba".to_owned())),
        TinyModel::llama().without("blk.1.ffn_up.weight"),
        TinyModel::llama().field("llama.attention.head_count", Field::Number(0)),
        TinyModel::qwen3().field("qwen3.expert_count", Field::Number(4)),
    ];
    for model in wrong {
        let disk = on_disk(&model);
        let loaders: [&dyn ModelLoader; 2] =
            [&GgufLoader::new(), &DeviceLoader::new(Device::Cpu).unwrap()];
        let said = loaders.map(|loader| {
            let loaded = loader.load(&disk.source, &mut |_| ControlFlow::Continue(()));
            loaded.err().unwrap().to_string()
        });
        assert_eq!(said[0], said[1]);
    }
}
