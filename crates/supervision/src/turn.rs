//! Whose turn a message belongs to, for the log: what a handler logs is inside the span its sender was in.
//!
//! kameo only links its span of a handler with the sender's, so nobody who reads a line would find the way back. Here the
//! sender's span is the parent. Who tells something outside of any span has its message handled outside of any, too, and
//! that costs a comparison; so does everything where nobody listens. An alarm is an actor's own and belongs to nobody's turn.

use std::future::Future;

use tracing::{Instrument, Span};

use crate::cell::short_name;
use crate::names::ChildPath;

/// The target of all spans of turns. They are errors by their level, so that whatever is logged bears them; a filter that
/// leaves out this target leaves out the spans.
pub const TURN: &str = "turn";

/// The turn of the message in hand.
pub(crate) struct Turn {
    caller: Span,
    /// Taken when the handler begins.
    handling: Span,
}

impl Turn {
    /// Nothing where the sender was in no span.
    pub(crate) fn of(caller: Span, child: &ChildPath, message: &str) -> Option<Box<Self>> {
        if !belongs(&caller) {
            return None;
        }
        let message = short_name(message);
        let handling =
            tracing::error_span!(target: TURN, parent: &caller, "handle", actor = %child, message);
        Some(Box::new(Self { caller, handling }))
    }

    pub(crate) fn caller(&self) -> Span {
        self.caller.clone()
    }

    pub(crate) fn begin(&mut self) -> Span {
        std::mem::replace(&mut self.handling, Span::none())
    }
}

/// The spans in which kameo itself runs an actor, and tokio a task (told to tokio-console), are nobody's turn.
fn belongs(span: &Span) -> bool {
    let is_plumbing = |target: &str| target.starts_with("kameo") || target.starts_with("tokio");
    !span.is_disabled()
        && span
            .metadata()
            .is_none_or(|metadata| !is_plumbing(metadata.target()))
}

/// Called by `receive_from!`.
#[doc(hidden)]
pub async fn within<F: Future>(handling: Option<Span>, handler: F) -> F::Output {
    match handling {
        Some(span) => handler.instrument(span).await,
        None => handler.await,
    }
}
