//! Who loads models: our kernels on the threads of this runtime, or candle on the device of the settings.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use chat_config::settings::{self, Settings};
use engine::{Device, ModelLoader};
use inference::{DeviceLoader, GgufLoader, PackedCopies};
use runtime::{BlockingHelpers, Runtime};

use crate::StartError;
use crate::settings::count;

/// Who loads models: who is `chosen`; or our kernels, helped by threads of this runtime, with packed copies in the folder that was
/// chosen; or candle on the device of the settings.
///
/// # Errors
/// `Device`: this build has none such.
pub(crate) fn loader(
    (chosen, copies_dir): (Option<Arc<dyn ModelLoader>>, Option<PathBuf>),
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
    Ok(match copies(copies_dir, settings) {
        Some(copies) => Arc::new(loader.with_copies(copies)),
        None => Arc::new(loader),
    })
}

/// The packed copies that settings ask for; `None` where they want none, or there is no folder for them.
pub fn packed_copies(settings: &Settings) -> Option<PackedCopies> {
    copies(None, settings)
}

/// The packed copies that there may be, wanted or not; `None` where there is no folder for them.
pub fn kept_copies(settings: &Settings) -> Option<PackedCopies> {
    kept(None, settings)
}

fn copies(chosen: Option<PathBuf>, settings: &Settings) -> Option<PackedCopies> {
    let model = &settings.model;
    let wanted = model.packed_copies && model.device == settings::Device::Cpu;
    let kept = kept(chosen, settings).filter(|_| wanted)?;
    Some(kept.heard_by(|why| {
        if why.is_usual() {
            tracing::debug!(%why, "there is no packed copy");
        } else {
            tracing::warn!(%why, "there is no packed copy: the model is packed anew this time");
        }
    }))
}

fn kept(chosen: Option<PathBuf>, settings: &Settings) -> Option<PackedCopies> {
    let set = || settings.model.copies_dir.as_ref().map(PathBuf::from);
    let usual = || usual_folder(|name| std::env::var_os(name));
    let folder = chosen.or_else(set).or_else(usual);
    folder.map(PackedCopies::in_folder)
}

/// `$XDG_CACHE_HOME/paraphym/packed`, or `$HOME/.cache/paraphym/packed`, by the XDG base directory specification, which ignores
/// a path that is relative.
fn usual_folder(env: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let absolute = |name: &str| {
        env(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let cache =
        absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    Some(cache?.join("paraphym").join("packed"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_folder_follows_the_specification() {
        for (cache, home, expected) in [
            (Some("/c"), Some("/h"), Some("/c/paraphym/packed")),
            (None, Some("/h"), Some("/h/.cache/paraphym/packed")),
            (Some("rel"), Some("/h"), Some("/h/.cache/paraphym/packed")),
            (Some(""), None, None),
            (None, None, None),
        ] {
            let env = |name: &str| match name {
                "XDG_CACHE_HOME" => cache.map(OsString::from),
                "HOME" => home.map(OsString::from),
                _ => None,
            };
            assert_eq!(usual_folder(env), expected.map(PathBuf::from));
        }
    }

    #[test]
    fn copies_lie_where_the_builder_says_else_the_settings_and_only_where_they_are_wanted() {
        let mut settings = Settings::default();
        settings.model.copies_dir = Some("/set".to_owned());
        let folder = |chosen: Option<&str>, settings: &Settings| {
            let copies = copies(chosen.map(PathBuf::from), settings)?;
            Some(copies.folder().to_owned())
        };
        assert_eq!(folder(Some("/chosen"), &settings), Some("/chosen".into()));
        assert_eq!(folder(None, &settings), Some("/set".into()));
        let unwanted = |change: fn(&mut settings::Model)| {
            let mut settings = settings.clone();
            change(&mut settings.model);
            folder(Some("/chosen"), &settings)
        };
        assert_eq!(unwanted(|model| model.packed_copies = false), None);
        assert_eq!(
            unwanted(|model| model.device = settings::Device::Cuda),
            None
        );
    }
}
