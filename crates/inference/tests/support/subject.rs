//! The engines that the conformance suite holds to the same contract, each behind the same few words.

use std::ops::ControlFlow;

use domain::Bytes;
use engine::{Device, Engine, ModelCard, StepError, StepInput};
use paraphym_inference::device::DeviceDecoder;
use paraphym_inference::fixture::TinyModel;
use paraphym_inference::format::Format;
use paraphym_inference::{Codec, Decoder, DeviceLoader, GgufLoader};

use super::on_disk;

/// An engine, and what its tests look at beside.
pub(crate) trait Tested: Engine {
    fn logits(&mut self, batch: &[StepInput]) -> Result<Vec<Option<Vec<f32>>>, StepError>;
    fn held(&self) -> Bytes;
}

impl Tested for Decoder {
    fn logits(&mut self, batch: &[StepInput]) -> Result<Vec<Option<Vec<f32>>>, StepError> {
        self.step_logits(batch)
    }

    fn held(&self) -> Bytes {
        self.kv_bytes()
    }
}

impl Tested for DeviceDecoder {
    fn logits(&mut self, batch: &[StepInput]) -> Result<Vec<Option<Vec<f32>>>, StepError> {
        self.step_logits(batch)
    }

    fn held(&self) -> Bytes {
        self.kv_bytes()
    }
}

pub(crate) type Loaded = (ModelCard, Box<dyn Tested>, Codec);

/// Which engine, with which weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// Our kernels on packed weights.
    Packed,
    /// Our engine on weights of 32 bits, which have no packed form.
    Floats,
    /// candle's tensors, on weights as they lie in the file.
    Tensors,
    /// candle's tensors, on weights of 32 bits.
    TensorsOfFloats,
}

impl Subject {
    /// The model with its weights.
    pub(crate) fn of(self, model: &TinyModel) -> TinyModel {
        match self {
            Self::Packed | Self::Tensors => model.clone(),
            Self::Floats | Self::TensorsOfFloats => model.clone().weights(Format::F32),
        }
    }

    /// Loads the model with this engine and its weights.
    pub(crate) fn load(self, model: &TinyModel) -> Loaded {
        let model = self.of(model);
        let disk = on_disk(&model);
        let mut progress = |_| ControlFlow::Continue(());
        match self {
            Self::Packed | Self::Floats => {
                let loaded = GgufLoader::new().load_parts(&disk.source, &mut progress);
                let (card, engine, codec) = loaded.unwrap();
                (card, Box::new(engine), codec)
            }
            Self::Tensors | Self::TensorsOfFloats => {
                let device = DeviceLoader::new(Device::Cpu).unwrap();
                let loaded = device.load_parts(&disk.source, &mut progress);
                let (card, engine, codec) = loaded.unwrap();
                (card, Box::new(engine), codec)
            }
        }
    }

    /// How far logits may be apart that were computed over other chunks, as a share of the largest: not at all on the
    /// processor. candle's products add in another order for one row than for many, which is some 1e-6; that can turn one of
    /// the 16 bits of a key or value, and, with weights of few bits, one of the 8 bits of an activation.
    pub(crate) const fn margin(self) -> f32 {
        match self {
            Self::Packed | Self::Floats => 0.0,
            Self::Tensors => 0.02,
            Self::TensorsOfFloats => 1e-3,
        }
    }

    /// Asserts that both are the same logits as far as this engine promises.
    pub(crate) fn assert_alike(self, ours: &[f32], expected: &[f32], what: &str) {
        let largest = expected.iter().fold(0.0f32, |most, x| most.max(x.abs()));
        assert!(
            largest > 1.0,
            "{self:?} {what}: {largest} would prove nothing"
        );
        assert_eq!(ours.len(), expected.len(), "{self:?} {what}");
        let pairs = ours.iter().zip(expected);
        let worst = pairs.fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
        let same = ours
            .iter()
            .zip(expected)
            .all(|(a, b)| a.to_bits() == b.to_bits());
        assert!(
            same || worst < self.margin() * largest,
            "{self:?} {what}: off by {worst} of {largest}"
        );
    }
}
