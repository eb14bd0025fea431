//! Conversations of this build remember nothing beyond what was said in them.

use chat_config::settings::Settings;
use root::Tree;

/// Nothing is held of what is not there.
pub(crate) struct Held;

/// There is nothing to remember by.
pub(crate) fn add_to(_: &mut Tree, _: &Settings) -> Held {
    Held
}
