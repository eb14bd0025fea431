//! Who may ask, as it is told at the start, and whether it may be so at all. Nothing here waits.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::http::Uri;
use bearer::Grants;
use tokio::sync::watch;

use crate::config::GatewayError;

/// Who may ask, and how much each.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Whether a token is needed.
    pub auth: Auth,
    /// The tokens that are valid.
    pub tokens: Tokens,
    /// Pages that may ask, as their origins (`https://app.example`); `*` is any page, which then needs a token. None.
    pub cors_origins: Vec<String>,
    /// Requests a minute of each token that says nothing itself, and of all together who need none. No limit.
    pub requests_per_minute: Option<u32>,
    /// The same for answers at once. No limit.
    pub concurrent: Option<u32>,
}

/// Whether a token is needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Auth {
    /// Off loopback, and on it as soon as there was one: to revoke the last does not open the door.
    #[default]
    Auto,
    /// Always.
    Required,
    /// Never. On loopback only.
    Off,
}

/// The tokens that are valid at this moment: they are looked at with every request.
#[derive(Clone)]
pub struct Tokens(watch::Receiver<Arc<Grants>>);

impl Tokens {
    /// Those of this moment.
    pub fn now(&self) -> Arc<Grants> {
        Arc::clone(&self.0.borrow())
    }

    /// Until there are others than this hold has heard of; for ever, if there never will be.
    pub(crate) async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl From<watch::Receiver<Arc<Grants>>> for Tokens {
    fn from(known: watch::Receiver<Arc<Grants>>) -> Self {
        Self(known)
    }
}

impl From<Grants> for Tokens {
    /// These, for good.
    fn from(grants: Grants) -> Self {
        Self(watch::channel(Arc::new(grants)).1)
    }
}

impl Default for Tokens {
    /// Nobody has one.
    fn default() -> Self {
        Grants::default().into()
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({})", self.now().len())
    }
}

impl Access {
    /// Whether a token is needed, whoever has one.
    pub(crate) fn always_needs_token(&self, bind: SocketAddr) -> bool {
        self.auth == Auth::Required || !is_loopback(bind)
    }

    /// Whether this may be served there.
    pub(crate) fn check(&self, bind: SocketAddr) -> Result<(), GatewayError> {
        if self.auth == Auth::Off && !is_loopback(bind) {
            return Err(GatewayError::OpenToAll { bind });
        }
        let needs_token = self.always_needs_token(bind);
        if needs_token && self.tokens.now().is_empty() {
            return Err(GatewayError::NoToken { bind });
        }
        let bad = |origin: &&String| match origin.as_str() {
            "*" => !needs_token,
            origin => !is_origin(origin),
        };
        let Some(origin) = self.cors_origins.iter().find(bad) else {
            return Ok(());
        };
        let origin = origin.clone();
        Err(GatewayError::Origin { origin })
    }
}

pub(crate) fn is_loopback(bind: SocketAddr) -> bool {
    bind.ip().to_canonical().is_loopback()
}

/// As a browser writes one: a scheme, a host, and a port if it is not the usual one.
fn is_origin(text: &str) -> bool {
    let uri: Option<Uri> = text.parse().ok();
    let plain = |uri: Uri| {
        let parts = (uri.scheme_str(), uri.authority());
        let (Some(scheme), Some(authority)) = parts else {
            return false;
        };
        let usual_port = (scheme == "https" && authority.as_str().ends_with(":443"))
            || (scheme == "http" && authority.as_str().ends_with(":80"));
        let as_browsers_do = !usual_port && *text == text.to_ascii_lowercase();
        text == format!("{scheme}://{authority}") && as_browsers_do && !text.contains(['@', '*'])
    };
    uri.is_some_and(plain)
}

#[cfg(test)]
mod tests {
    use bearer::{Secret, Terms};

    use super::*;

    fn one() -> Tokens {
        let mut grants = Grants::default();
        let made = grants.add(&Secret::of([1; 32]), None, Terms::default(), 0);
        made.unwrap();
        grants.into()
    }

    #[test]
    fn off_loopback_and_where_it_is_said_somebody_must_have_a_token() {
        for (bind, auth, none, some) in [
            ("127.0.0.1:0", Auth::Auto, true, true),
            ("127.9.9.9:80", Auth::Off, true, true),
            ("[::1]:0", Auth::Required, false, true),
            ("[::ffff:127.0.0.1]:0", Auth::Auto, true, true),
            ("0.0.0.0:0", Auth::Auto, false, true),
            ("0.0.0.0:0", Auth::Off, false, false),
            ("[::]:0", Auth::Required, false, true),
            ("192.168.1.2:80", Auth::Auto, false, true),
            ("[::ffff:10.0.0.1]:0", Auth::Off, false, false),
        ] {
            let bind: SocketAddr = bind.parse().unwrap();
            for (tokens, served) in [(Tokens::default(), none), (one(), some)] {
                let access = Access {
                    auth,
                    tokens,
                    ..Access::default()
                };
                let checked = access.check(bind);
                assert_eq!(checked.is_ok(), served, "{bind} {auth:?}");
                if let Err(refused) = checked {
                    assert!(refused.to_string().contains(&bind.to_string()), "{refused}");
                }
            }
        }
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        let access = Access::default();
        let text = access.check("0.0.0.0:8080".parse().unwrap()).unwrap_err();
        assert!(text.to_string().contains("paraphym token new"), "{text}");
    }

    #[test]
    fn origins_are_written_as_browsers_write_them_and_any_needs_a_token() {
        for (origin, auth, good) in [
            ("https://app.example", Auth::Auto, true),
            ("http://localhost:3000", Auth::Auto, true),
            ("http://[::1]:3000", Auth::Auto, true),
            ("chrome-extension://abcdef", Auth::Auto, true),
            ("https://app.example/", Auth::Auto, false),
            ("https://app.example/x", Auth::Auto, false),
            ("https://me@app.example", Auth::Auto, false),
            ("app.example", Auth::Auto, false),
            ("null", Auth::Auto, false),
            ("", Auth::Auto, false),
            ("https://*.example", Auth::Auto, false),
            ("https://App.example", Auth::Auto, false),
            ("https://app.example:443", Auth::Auto, false),
            ("https://app.example:80", Auth::Auto, true),
            ("http://app.example:80", Auth::Auto, false),
            ("*", Auth::Auto, false),
            ("*", Auth::Off, false),
            ("*", Auth::Required, true),
        ] {
            let access = Access {
                auth,
                tokens: one(),
                cors_origins: vec![origin.to_owned()],
                ..Access::default()
            };
            let checked = access.check("127.0.0.1:0".parse().unwrap());
            assert_eq!(checked.is_ok(), good, "{origin}");
        }
    }
}
