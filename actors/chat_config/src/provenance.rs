//! figment lays one layer upon the other and knows which of them a value came from. This is how layers go in, and how
//! values come out with their origins.
//!
//! A setting is whole: the topmost layer that names it decides all of it. figment goes into tables and replaces the rest,
//! so a key here is a whole path, and a value that is a table or a list stands in a list of one.

use figment::value::{Dict, Empty, Map, Value as Figured};
use figment::{Error, Figment, Metadata, Profile, Provider, Source};
use serde_json::Value;

use crate::check::Given;
use crate::refusal::Origin;

const DEFAULT: &str = "default";
const FILE: &str = "file";
const ENVIRONMENT: &str = "environment";
const FLAG: &str = "flag";
const CHANGE: &str = "change";

/// Values by path that came from one place.
pub(crate) struct Layer<'a> {
    origin: &'a Origin,
    values: Vec<(&'a str, &'a Value)>,
}

impl<'a> Layer<'a> {
    pub(crate) fn new(
        origin: &'a Origin,
        values: impl IntoIterator<Item = (&'a str, &'a Value)>,
    ) -> Self {
        let values = values.into_iter().collect();
        Self { origin, values }
    }
}

impl Provider for Layer<'_> {
    fn metadata(&self) -> Metadata {
        match self.origin {
            Origin::Default => Metadata::named(DEFAULT),
            Origin::File(path) => Metadata::from(FILE, path.as_path()),
            Origin::Environment(name) => Metadata::from(ENVIRONMENT, name.as_str()),
            Origin::Flag(key) => Metadata::from(FLAG, key.as_str()),
            Origin::Change(who) => Metadata::from(CHANGE, who.as_str()),
        }
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        let values = self.values.iter();
        let values = values.map(|(path, value)| ((*path).to_owned(), whole(value)));
        Ok(Profile::Default.collect(values.collect()))
    }
}

/// A table would be gone into otherwise; a list is wrapped as well, so that the two are told apart on the way back.
fn whole(value: &Value) -> Figured {
    // What figment could not hold would be null, which is refused of every setting.
    let held = Figured::serialize(value).unwrap_or_else(|_| Empty::Unit.into());
    match held {
        Figured::Dict(..) | Figured::Array(..) => vec![held].into(),
        plain => plain,
    }
}

/// The inverse of [`whole`].
fn plain(value: Figured) -> Value {
    let held = match value {
        Figured::Array(_, mut one) => one.pop(),
        plain => Some(plain),
    };
    let plain = held.and_then(|held| serde_json::to_value(held).ok());
    plain.unwrap_or_default()
}

/// The inverse of a layer's metadata.
fn origin(metadata: &Metadata) -> Origin {
    let custom = metadata.source.as_ref().and_then(Source::custom);
    let custom = custom.unwrap_or_default().to_owned();
    match metadata.name.as_ref() {
        FILE => {
            let path = metadata.source.as_ref().and_then(Source::file_path);
            Origin::File(path.map(ToOwned::to_owned).unwrap_or_default())
        }
        ENVIRONMENT => Origin::Environment(custom),
        FLAG => Origin::Flag(custom),
        CHANGE => Origin::Change(custom),
        // All other names are ours as well: nothing comes in but by a layer.
        _ => Origin::Default,
    }
}

/// All that the layers say, each value from the topmost that names it.
pub(crate) fn given(layers: &Figment) -> Given {
    let values = layers.data().unwrap_or_default().into_values().flatten();
    values
        .map(|(path, value)| {
            let metadata = layers.get_metadata(value.tag());
            let origin = metadata.map_or(Origin::Default, origin);
            (path, (plain(value), origin))
        })
        .collect()
}
