//! The section `server`: who may ask over HTTP, under the names the gateway gives it.

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who may ask over HTTP.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, Validate, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Whether a token is needed: auto (the default: off loopback, and on it as soon as there is one), required, or off
    /// (on loopback only).
    #[garde(skip)]
    pub auth: Auth,
    /// Pages that may ask, as origins such as <https://app.example>, or * for any, which then needs a token. At most 64
    /// of 1 to 255 bytes; none by default.
    #[garde(length(max = 64), inner(length(min = 1, max = 255), custom(origin)))]
    #[schemars(extend("x-allowed" = "a list of at most 64 origins, such as https://app.example, or *"))]
    pub cors_origins: Vec<String>,
    /// Requests a minute of each token that was made without a limit of its own, and of all together who need none.
    /// 1 to 1 000 000; no limit by default.
    #[garde(range(min = 1, max = 1_000_000))]
    pub requests_per_minute: Option<u32>,
    /// Answers at once of the same. 1 to 1 000 000; no limit by default.
    #[garde(range(min = 1, max = 1_000_000))]
    pub concurrent: Option<u32>,
}

/// Whether a token is needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Auth {
    /// Off loopback, and on it as soon as there is one.
    #[default]
    Auto,
    /// Always.
    Required,
    /// Never.
    Off,
}

/// What a browser would send: a scheme and a host. The gateway looks closer, and knows whether `*` may be.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "garde passes references")]
fn origin(text: &str, (): &()) -> garde::Result {
    let host = text.split_once("://").map(|(_, host)| host);
    let good = |host: &str| !host.is_empty() && !host.contains(['/', '@', '?', '#', ' ']);
    if text == "*" || host.is_some_and(good) {
        return Ok(());
    }
    Err(garde::Error::new("that is no origin"))
}
