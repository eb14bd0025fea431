//! What an answer that is generated begins with: the defaults its request is read with, and the heading that every piece of
//! it bears.

use std::time::UNIX_EPOCH;

use domain::{ModelName, RequestId};

use crate::answer::whole::Heading;
use crate::http::Shared;
use crate::request::Defaults;

pub(crate) fn defaults(shared: &Shared, number: u64) -> Defaults {
    let mut sampling = (shared.deps.sampling)();
    sampling.seed = shared.ids.seed(number);
    Defaults {
        model: shared.config.default_model.clone(),
        sampling,
    }
}

pub(crate) fn heading(shared: &Shared, id: &RequestId, model: &ModelName) -> Heading {
    let now = (shared.deps.clock)().duration_since(UNIX_EPOCH);
    Heading {
        id: id.to_string(),
        created: now.map_or(0, |since| since.as_secs()),
        model: model.clone(),
    }
}
