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
use connection::Admitted;
use tokio::time::Instant;

use crate::config::GatewayConfig;
use crate::error::ApiError;
use crate::guard::access::{Access, Auth};
use crate::guard::allowance::{Allowance, Allowances};
use crate::guard::lasting::lasting;
use crate::guard::origin;
use crate::guard::ticket::Ticket;
use crate::guard::tokens::bearer_of;
use crate::guard::underway::Owner;
use crate::http::{Refused, Shared};
use crate::{page, ws};

/// The path that anyone may ask: it says nothing but that we live.
const OPEN: &str = "/healthz";

/// Who may come in, for one life of the listener.
pub(crate) struct Door {
    access: Access,
    bind: SocketAddr,
    allowances: Allowances,
    /// Whether there was a token in this life.
    begun: AtomicBool,
    /// Whether there are connections in real time, and a page.
    live: bool,
}

/// Somebody who was let in.
struct Guest {
    /// Nobody in particular, where no token is needed.
    owner: Option<Owner>,
    allowance: Option<Arc<Allowance>>,
}

impl Door {
    pub(crate) fn new(config: &GatewayConfig, live: bool, now: Instant) -> Self {
        Self {
            access: config.access.clone(),
            bind: config.bind,
            allowances: Allowances::new(&config.access, now),
            begun: AtomicBool::new(false),
            live,
        }
    }

    fn let_in(&self, uri: &Uri, headers: &HeaderMap, now: Instant) -> Result<Guest, ApiError> {
        let nobody = Guest {
            owner: None,
            allowance: None,
        };
        if uri.path() == OPEN {
            return Ok(nobody);
        }
        let grants = self.access.tokens.now();
        if self.live && (page::is_part(uri.path()) || uri.path() == ws::PATH) {
            self.let_in_unnamed(uri, headers, &grants)?;
            return Ok(nobody);
        }
        let grant = self.known(uri, headers, &grants)?;
        // Only what can compute has its limit.
        let limited = uri.path().starts_with("/v1/");
        let allowance = limited.then(|| self.allowances.of(grant, &grants, now));
        Ok(Guest {
            owner: grant.map(|grant| Owner(Arc::clone(&grant.id))),
            allowance: allowance.flatten(),
        })
    }

    /// A browser sends no token with a page, nor with an upgrade: the first frame brings it.
    fn let_in_unnamed(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        grants: &Grants,
    ) -> Result<(), ApiError> {
        let origins = &self.access.cors_origins;
        match (self.needs_token(grants), uri.path() == ws::PATH) {
            (false, _) => origin::admit(uri, headers, origins),
            (true, true) => origin::admit_upgrade(headers, origins),
            // The page itself says nothing.
            (true, false) => Ok(()),
        }
    }

    /// Who somebody is who is connected in real time, and what they may.
    ///
    /// # Errors
    /// A token is needed, and there is none that is valid.
    pub(crate) fn admission(
        self: &Arc<Self>,
        token: Option<&str>,
        user: Option<&str>,
        guest: impl FnOnce() -> String,
    ) -> Result<Admitted, connection::Refused> {
        let grants = self.access.tokens.now();
        let needs_token = self.needs_token(&grants);
        let (user, grant) = ws::admission::admit(&grants, needs_token, token, user, guest)?;
        Ok(Admitted {
            user,
            proven: grant.is_some(),
            pass: Arc::new(Ticket::new(Arc::clone(self), grant)),
        })
    }

    /// Whether whoever was let in with this token, or without one, would be let in now.
    pub(crate) fn would_let_in(&self, grant: Option<&Grant>) -> bool {
        let grants = self.access.tokens.now();
        match grant {
            Some(grant) => grants.holds(grant),
            None => !self.needs_token(&grants),
        }
    }

    /// How much they may ask; nothing, where there is no limit.
    pub(crate) fn allowance(
        &self,
        grant: Option<&Arc<Grant>>,
        now: Instant,
    ) -> Option<Arc<Allowance>> {
        self.allowances.of(grant, &self.access.tokens.now(), now)
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
