//! From a path to a model that can speak: the crate's front door.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use domain::Bytes;
use engine::helpers::{Alone, Helpers};
use engine::{
    Device, EmbedderCard, LoadError, LoadedEmbedder, LoadedModel, ModelCard, ModelLoader,
    ModelSource,
};

use crate::bert;
use crate::blueprint::Blueprint;
use crate::codec::Codec;
use crate::cpu::{Kind, Precision, kind};
use crate::decoder::Decoder;
use crate::file::GgufFile;
use crate::kv::{KvCache, PAGE_TOKENS};
use crate::model::Model;
use crate::packed_copy::PackedCopies;
use crate::vocabulary::Vocabulary;
use crate::weights::{Manner, most_while_copying};

/// Loads GGUF files, and embedding models of BERT's kind. Keeps no state.
#[derive(Clone, Debug)]
pub struct GgufLoader {
    kernels: Kernels,
    precision: Precision,
    helpers: Arc<dyn Helpers>,
    copies: Option<PackedCopies>,
}

impl Default for GgufLoader {
    fn default() -> Self {
        Self::new()
    }
}

/// What multiplies the weights.
#[derive(Clone, Copy, Debug, Default)]
enum Kernels {
    /// Ours, as the processor has them or the environment says.
    #[default]
    Chosen,
    /// Ours, of this kind.
    Of(Kind),
    /// candle's, on weights as they lie in the file.
    Candle,
}

impl GgufLoader {
    /// A loader whose models compute with the fastest kernels of this processor, or those [`kind::VARIABLE`] names.
    pub fn new() -> Self {
        Self::of(Kernels::Chosen)
    }

    fn of(kernels: Kernels) -> Self {
        Self {
            kernels,
            precision: Precision::default(),
            helpers: Arc::new(Alone),
            copies: None,
        }
    }

    /// The same loader, but with activations kept so.
    #[must_use]
    pub fn with_precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// The same loader, but these may help it to load, and its models with each step.
    #[must_use]
    pub fn with_helpers(mut self, helpers: Arc<dyn Helpers>) -> Self {
        self.helpers = helpers;
        self
    }

    /// The same loader, but what it packs is kept on disk, so that it is loaded two or three times as quickly the next time. On
    /// Linux, where the file system holds files on large pages; elsewhere nothing is kept.
    #[must_use]
    pub fn with_copies(mut self, copies: PackedCopies) -> Self {
        self.copies = Some(copies);
        self
    }

    /// A loader whose models compute with kernels of this kind; plain ones where this processor does not have them.
    pub fn with_kind(kind: Kind) -> Self {
        Self::of(Kernels::Of(kind))
    }

    /// A loader whose models leave the weights as they lie in the file and multiply them with candle's block kernels: what
    /// ours are measured against. Its card tells the memory of packed weights all the same.
    pub fn unpacked() -> Self {
        Self::of(Kernels::Candle)
    }

    fn kind(&self, path: &Path) -> Result<Option<Kind>, LoadError> {
        let chosen = match self.kernels {
            Kernels::Candle => return Ok(None),
            Kernels::Of(kind) => return Ok(Some(kind)),
            Kernels::Chosen => Kind::of_environment(),
        };
        chosen.map(Some).map_err(|error| LoadError::Unsupported {
            path: path.to_owned(),
            what: format!("{}={}", kind::VARIABLE, error.value),
            reason: error.to_string(),
        })
    }

    fn card(&self, file: &GgufFile, blueprint: &Blueprint) -> Result<ModelCard, LoadError> {
        let threads = self.helpers.threads();
        let weights = Model::bytes_needed(blueprint, file)?;
        let text = Codec::bytes_needed(file)?;
        // Candle's kernels take nothing packed; which of ours are chosen does not matter here.
        let kind = match self.kernels {
            Kernels::Candle => None,
            Kernels::Of(kind) => Some(kind),
            Kernels::Chosen => Some(Kind::best()),
        };
        let ways = Model::ways(blueprint, file, kind)?;
        let members = if ways.in_file { 1 } else { threads };
        let at_work = Decoder::bytes_at_work(blueprint, self.precision, members, ways);
        let copied = self.copies.as_ref().map_or(0, |copies| {
            let copying = copies.are_of(weights) && kind.is_some();
            if copying {
                most_while_copying(threads).min(weights)
            } else {
                0
            }
        });
        let loading = Model::bytes_while_loading(blueprint, file, threads)?.saturating_add(copied);
        let needs = Needs {
            weights,
            work: text.saturating_add(at_work),
            loading: loading.saturating_add(text),
        };
        card(file, blueprint, needs)
    }

    /// As [`ModelLoader::load`], with the parts under their own types.
    ///
    /// # Errors
    /// As [`ModelLoader::load`].
    pub fn load_parts(
        &self,
        source: &ModelSource,
        progress: &mut dyn FnMut(f32) -> ControlFlow<()>,
    ) -> Result<(ModelCard, Decoder, Codec), LoadError> {
        let kind = self.kind(&source.path)?;
        let helpers = Arc::clone(&self.helpers);
        let manner = Manner {
            kind,
            copies: self.copies.as_ref(),
            helpers: &*helpers,
        };
        let (file, vocabulary, blueprint) = read_header(source)?;
        let card = self.card(&file, &blueprint)?;
        let file = Arc::new(file);
        let manner = (manner, self.precision);
        let (model, codec) = Model::load(blueprint, vocabulary, &file, manner, progress)?;
        let decoder = Decoder::with_helpers(model, helpers).with_grammars(codec.grammars());
        Ok((card, decoder, codec))
    }
}

impl ModelLoader for GgufLoader {
    fn inspect(&self, source: &ModelSource) -> Result<ModelCard, LoadError> {
        let (file, _, blueprint) = read_header(source)?;
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
            text: Arc::new(codec),
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

/// What is known of a model before any of its weights is read.
pub(crate) fn read_header(
    source: &ModelSource,
) -> Result<(GgufFile, Vocabulary, Blueprint), LoadError> {
    let file = GgufFile::open(&source.path)?;
    let vocabulary = Vocabulary::read(&file)?;
    Codec::check(&file, &vocabulary)?;
    let blueprint = Blueprint::read(&file, vocabulary.len())?;
    Ok((file, vocabulary, blueprint))
}

/// Memory that a model takes, in bytes.
#[derive(Clone, Copy)]
pub(crate) struct Needs {
    /// Its weights, once loaded.
    pub(crate) weights: u64,
    /// All else, once loaded.
    pub(crate) work: u64,
    /// All, while it is loaded.
    pub(crate) loading: u64,
}

/// The card of a model on the processor that has such needs.
pub(crate) fn card(
    file: &GgufFile,
    blueprint: &Blueprint,
    needs: Needs,
) -> Result<ModelCard, LoadError> {
    let name = match file.optional_text("general.name")? {
        Some(name) if !name.trim().is_empty() => name.to_owned(),
        _ => file
            .path()
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned())
            .unwrap_or_default(),
    };
    let mut by_format: BTreeMap<String, u64> = BTreeMap::new();
    let mut parameters = 0u64;
    for (_, tensor) in file.tensors() {
        parameters = parameters.saturating_add(tensor.elements);
        let count = by_format.entry(tensor.format.to_string()).or_default();
        *count = count.saturating_add(tensor.elements);
    }
    let quantisation = by_format
        .into_iter()
        .max_by_key(|(_, elements)| *elements)
        .map(|(format, _)| format)
        .unwrap_or_default();
    let Needs {
        weights,
        work,
        loading,
    } = needs;
    Ok(ModelCard {
        name,
        architecture: blueprint.architecture.name().to_owned(),
        parameters,
        quantisation,
        context_tokens: blueprint.context,
        vocabulary: blueprint.vocabulary as u32,
        weights_bytes: Bytes(weights),
        work_bytes: Bytes(work),
        load_bytes: Bytes(loading.max(weights.saturating_add(work))),
        kv_bytes_per_token: Bytes(KvCache::bytes_per_token(blueprint)),
        kv_page_tokens: PAGE_TOKENS as u32,
        device: Device::Cpu,
        device_bytes: Bytes::ZERO,
    })
}
