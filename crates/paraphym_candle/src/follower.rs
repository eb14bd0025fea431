//! Who takes over settings in words of its own, when they change: parts that are not in every build.

use chat_config::settings::Settings;
use futures_util::future::BoxFuture;

/// A part that settings are told to while it runs. It keeps by itself what it was told last, so that nothing is told twice.
pub(crate) trait Follows: Send + Sync {
    /// Takes over what is new. Whether all was taken over, or never will be; else it is told again.
    fn follow<'a>(&'a self, settings: &'a Settings) -> BoxFuture<'a, bool>;
}
