//! The one way in: whoever is let in is known by their token where one is needed, and by where they come from where none
//! is; and nobody asks more than they may.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bearer::{Grant, Grants};
use tokio::time::Instant;

use crate::config::GatewayConfig;
use crate::error::ApiError;
use crate::guard::access::{Access, Auth};
use crate::guard::allowance::{Allowance, Allowances};
use crate::guard::lasting::lasting;
use crate::guard::origin;
use crate::guard::tokens::bearer_of;
use crate::guard::underway::Owner;
use crate::http::{Refused, Shared};

/// The path that anyone may ask: it says nothing but that we live.
const OPEN: &str = "/healthz";

/// Who may come in, for one life of the listener.
pub(crate) struct Door {
    access: Access,
    bind: SocketAddr,
    allowances: Allowances,
    /// Whether there was a token in this life.
    begun: AtomicBool,
}

/// Somebody who was let in.
struct Guest {
    /// Nobody in particular, where no token is needed.
    owner: Option<Owner>,
    allowance: Option<Arc<Allowance>>,
}

impl Door {
    pub(crate) fn new(config: &GatewayConfig, now: Instant) -> Self {
        Self {
            access: config.access.clone(),
            bind: config.bind,
            allowances: Allowances::new(&config.access, now),
            begun: AtomicBool::new(false),
        }
    }

    fn let_in(&self, uri: &Uri, headers: &HeaderMap, now: Instant) -> Result<Guest, ApiError> {
        if uri.path() == OPEN {
            return Ok(Guest {
                owner: None,
                allowance: None,
            });
        }
        let grants = self.access.tokens.now();
        let grant = self.known(uri, headers, &grants)?;
        // Only what can compute has its limit.
        let limited = uri.path().starts_with("/v1/");
        let allowance = limited.then(|| self.allowances.of(grant, &grants, now));
        Ok(Guest {
            owner: grant.map(|grant| Owner(Arc::clone(&grant.id))),
            allowance: allowance.flatten(),
        })
    }

    /// Whose token came with it; nobody's, where none is needed.
    fn known<'a>(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        grants: &'a Grants,
    ) -> Result<Option<&'a Arc<Grant>>, ApiError> {
        if self.needs_token(grants) {
            let grant = bearer_of(headers, grants);
            // A page that let its own name lead here has no token: no name need be looked at.
            return grant.map(Some).ok_or_else(ApiError::unauthorized);
        }
        origin::admit(uri, headers, &self.access.cors_origins)?;
        Ok(None)
    }

    fn needs_token(&self, grants: &Grants) -> bool {
        if grants.is_begun() {
            self.begun.store(true, Ordering::Relaxed);
        }
        // To revoke the last one, or to lose the file, must not open the door.
        let begun = self.begun.load(Ordering::Relaxed);
        self.access.always_needs_token(self.bind) || (self.access.auth == Auth::Auto && begun)
    }
}

/// Lets in, counts, and says how the count stands.
pub(crate) async fn admitted(
    State(shared): State<Arc<Shared>>,
    mut request: Request,
    next: Next,
) -> Result<Response, Refused> {
    let (uri, headers) = (request.uri(), request.headers());
    let Guest { owner, allowance } = shared.door.let_in(uri, headers, Instant::now())?;
    let computes = computes(request.method(), uri);
    if let Some(owner) = owner {
        request.extensions_mut().insert(owner);
    }
    let Some(allowance) = allowance else {
        return Ok(next.run(request).await);
    };
    let place = if computes {
        allowance.begin(Instant::now())
    } else {
        Ok(None)
    };
    let mut response = match place {
        Ok(Some(place)) => lasting(next.run(request).await, place),
        Ok(None) => next.run(request).await,
        Err(refused) => Refused(refused).into_response(),
    };
    allowance.write(response.headers_mut(), Instant::now());
    Ok(response)
}

/// Whether it counts: who is at the limit may still look around, and cancel.
fn computes(method: &Method, uri: &Uri) -> bool {
    method == Method::POST && !uri.path().ends_with("/cancel")
}
