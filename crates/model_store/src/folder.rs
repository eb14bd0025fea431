//! Where models lie, by the XDG base directory specification. A function of the environment, not a reader of it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// `$XDG_DATA_HOME/paraphym/models`, or `$HOME/.local/share/paraphym/models`.
///
/// A relative or empty `XDG_DATA_HOME` is ignored, as the specification asks.
pub(crate) fn models_folder(env: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let absolute = |name: &str| {
        env(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let data = absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local").join("share")))?;
    Some(data.join(Path::new("paraphym")).join("models"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_follows_the_specification() {
        for (xdg, home, expected) in [
            (Some("/d"), Some("/h"), Some("/d/paraphym/models")),
            (None, Some("/h"), Some("/h/.local/share/paraphym/models")),
            (
                Some(""),
                Some("/h"),
                Some("/h/.local/share/paraphym/models"),
            ),
            (
                Some("rel"),
                Some("/h"),
                Some("/h/.local/share/paraphym/models"),
            ),
            (None, None, None),
            (None, Some("rel"), None),
        ] {
            let env = |name: &str| match name {
                "XDG_DATA_HOME" => xdg.map(OsString::from),
                "HOME" => home.map(OsString::from),
                _ => None,
            };
            assert_eq!(models_folder(env), expected.map(PathBuf::from));
        }
    }
}
