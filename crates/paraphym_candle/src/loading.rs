//! Who loads models: our kernels on the threads of this runtime, or candle on the device of the settings.

use std::sync::Arc;

use chat_config::settings::{self, Settings};
use engine::{Device, ModelLoader};
use inference::{DeviceLoader, GgufLoader};
use runtime::{BlockingHelpers, Runtime};

use crate::StartError;
use crate::settings::count;

/// Who loads models: who is `chosen`; or our kernels, helped by threads of this runtime; or candle on the device of the
/// settings.
///
/// # Errors
/// `Device`: this build has none such.
pub(crate) fn loader(
    chosen: Option<Arc<dyn ModelLoader>>,
    settings: &Settings,
    runtime: &Runtime,
) -> Result<Arc<dyn ModelLoader>, StartError> {
    if let Some(chosen) = chosen {
        return Ok(chosen);
    }
    let (device, threads, precision) = computing(settings);
    if device != Device::Cpu {
        let loader = DeviceLoader::new(device).map_err(StartError::Device)?;
        return Ok(Arc::new(loader));
    }
    let loader = GgufLoader::new()
        .with_precision(precision)
        .with_helpers(Arc::new(BlockingHelpers::of(runtime, threads)));
    Ok(Arc::new(loader))
}

/// Where, with how many threads, and how faithfully.
pub(crate) fn computing(settings: &Settings) -> (Device, Option<usize>, inference::Precision) {
    let model = &settings.model;
    let device = match model.device {
        settings::Device::Cpu => Device::Cpu,
        settings::Device::Cuda => Device::Cuda,
        settings::Device::Metal => Device::Metal,
    };
    let precision = match model.precision {
        settings::Precision::Fast => inference::Precision::Fast,
        settings::Precision::Exact => inference::Precision::Exact,
    };
    (device, model.compute_threads.map(count), precision)
}
