//! No engine is built in: whoever starts the tree brings one.

use std::path::PathBuf;
use std::sync::Arc;

use chat_config::settings::Settings;
use engine::ModelLoader;
use runtime::Runtime;

use crate::StartError;

/// Who is `chosen`.
///
/// # Errors
/// `NoLoader`: nobody is.
pub(crate) fn loader(
    (chosen, _): (Option<Arc<dyn ModelLoader>>, Option<PathBuf>),
    _: &Settings,
    _: &Runtime,
) -> Result<Arc<dyn ModelLoader>, StartError> {
    chosen.ok_or(StartError::NoLoader)
}
