//! The server for requests, as control operates it: joined here, because neither may name the other.

use control::edge::Called;
use gateway::{NamedAnswer, Serving};

/// Shown to control.
pub(crate) struct Operated(pub(crate) Serving);

impl control::edge::Edge for Operated {
    fn called(&self, name: &str) -> Vec<Called> {
        self.0.called(name).into_iter().map(called).collect()
    }

    fn cancel(&self, name: &str) -> Vec<Called> {
        self.0.cancel(name).into_iter().map(called).collect()
    }
}

fn called(one: NamedAnswer) -> Called {
    Called {
        answer: one.answer,
        request: one.request,
        owner: one.owner.map(|owner| owner.to_string()),
    }
}
