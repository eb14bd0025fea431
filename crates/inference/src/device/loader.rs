//! From a path to a model on a device: the second front door. What of a file may be believed is the first one's to say.

use std::ops::ControlFlow;

use domain::{Bytes, FieldError};
use engine::{
    Device, EmbedderCard, LoadError, LoadedEmbedder, LoadedModel, ModelCard, ModelLoader,
    ModelSource,
};

use super::decoder::DeviceDecoder;
use super::model::Model;
use super::{forward, in_short, place, weights};
use crate::bert;
use crate::blueprint::Blueprint;
use crate::codec::Codec;
use crate::file::GgufFile;
use crate::loader::{self, Needs};

/// Loads GGUF files to a device; embedding models, which are small, stay on the processor. Keeps no state.
#[derive(Clone, Copy, Debug)]
pub struct DeviceLoader {
    device: Device,
}

impl DeviceLoader {
    /// Models are computed there. On the processor, too, they are computed by candle: that is for tests, and for nobody who
    /// minds other threads.
    ///
    /// # Errors
    /// This build has no such device; the text says which build has.
    pub fn new(device: Device) -> Result<Self, FieldError> {
        place::check(device)?;
        Ok(Self { device })
    }

    /// As [`ModelLoader::load`], with the parts under their own types.
    ///
    /// # Errors
    /// As [`ModelLoader::load`]; `Unsupported` where the machine has no such device, or that has too little memory.
    pub fn load_parts(
        &self,
        source: &ModelSource,
        progress: &mut dyn FnMut(f32) -> ControlFlow<()>,
    ) -> Result<(ModelCard, DeviceDecoder, Codec), LoadError> {
        let (file, vocabulary, blueprint) = loader::read_header(source)?;
        let card = self.card(&file, &blueprint)?;
        let device = self.open(&file)?;
        let codec = Codec::build(&file, vocabulary)?;
        let model = Model::load(blueprint, &file, &device, progress)?;
        let decoder = DeviceDecoder::new(model, codec.grammars());
        Ok((card, decoder, codec))
    }

    fn open(self, file: &GgufFile) -> Result<candle_core::Device, LoadError> {
        place::open(self.device).map_err(|error| {
            let (what, reason) = place::absent(self.device, &in_short(&error));
            file.unsupported(what, reason)
        })
    }

    fn card(self, file: &GgufFile, blueprint: &Blueprint) -> Result<ModelCard, LoadError> {
        let weights = weights::memory(blueprint, file)?;
        let (at_work, text) = (
            forward::bytes_at_work(blueprint),
            Codec::bytes_needed(file)?,
        );
        let all = weights.on_device.saturating_add(weights.beside);
        let loading = all.saturating_add(weights.reading).saturating_add(text);
        let on_device = weights.on_device.saturating_add(at_work);
        let needs = Needs {
            weights: all,
            work: text.saturating_add(at_work),
            loading,
        };
        let mut card = loader::card(file, blueprint, needs)?;
        card.device = self.device;
        if self.device != Device::Cpu {
            card.device_bytes = Bytes(on_device);
        }
        Ok(card)
    }
}

impl ModelLoader for DeviceLoader {
    fn inspect(&self, source: &ModelSource) -> Result<ModelCard, LoadError> {
        let (file, _, blueprint) = loader::read_header(source)?;
        // A card of what cannot be loaded here would be a promise.
        self.open(&file)?;
        self.card(&file, &blueprint)
    }

    fn load(
        &self,
        source: &ModelSource,
        progress: &mut dyn FnMut(f32) -> ControlFlow<()>,
    ) -> Result<LoadedModel, LoadError> {
        let (card, decoder, codec) = self.load_parts(source, progress)?;
        Ok(LoadedModel {
            card,
            engine: Box::new(decoder),
            text: std::sync::Arc::new(codec),
        })
    }

    fn inspect_embedder(&self, source: &ModelSource) -> Result<EmbedderCard, LoadError> {
        bert::inspect(source)
    }

    fn load_embedder(
        &self,
        source: &ModelSource,
        progress: &mut dyn FnMut(f32) -> ControlFlow<()>,
    ) -> Result<LoadedEmbedder, LoadError> {
        bert::load(source, progress)
    }
}
