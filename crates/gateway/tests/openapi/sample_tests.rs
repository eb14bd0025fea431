//! The generator on a small document, judged by types that know it by heart.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use super::document::Document;
use super::instances::{Instances, Wish};
use super::requests::Requests;
use crate::support::chance::Chance;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Thing {
    name: String,
    size: i64,
    share: Option<f64>,
    colour: Option<Colour>,
    shape: Shape,
    parts: Option<Vec<Thing>>,
    #[allow(dead_code, reason = "that it can be read is what is asked")]
    tags: Option<BTreeMap<String, bool>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Colour {
    Red,
    Green,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
enum Shape {
    Round {
        radius: f64,
    },
    #[allow(dead_code, reason = "that it can be read is what is asked")]
    Square {
        note: Option<String>,
    },
}

impl Thing {
    fn is_valid(&self) -> bool {
        let radius = match self.shape {
            Shape::Round { radius } => (0.5..=2.0).contains(&radius),
            Shape::Square { .. } => true,
        };
        let parts = self.parts.as_ref();
        radius
            && (2..=5).contains(&self.name.chars().count())
            && (-3..=12).contains(&self.size)
            && self.share.is_none_or(|share| share > 0.0 && share < 1.0)
            && parts.is_none_or(|parts| {
                (1..=2).contains(&parts.len()) && parts.iter().all(Self::is_valid)
            })
    }
}

fn sample() -> Document {
    Document::new(serde_json::from_str(include_str!("sample.json")).unwrap())
}

fn made(wish: Wish, seed: u64) -> Vec<Value> {
    let document = sample();
    let schema = serde_json::json!({"$ref": "#/components/schemas/Thing"});
    let instances = Instances::new(&document, &["known"]);
    let mut chance = Chance(seed);
    (0..2000)
        .map(|_| instances.make(&schema, wish, &mut chance))
        .collect()
}

fn is_valid(value: &Value) -> bool {
    Thing::deserialize(value).is_ok_and(|thing| thing.is_valid())
}

#[test]
fn what_is_to_be_valid_is_and_every_choice_is_made() {
    let made = made(Wish::Valid, 1);
    for value in &made {
        assert!(is_valid(value), "{value}");
    }
    let mut met = BTreeSet::new();
    for value in &made {
        let thing = Thing::deserialize(value).unwrap();
        met.insert(match thing.shape {
            Shape::Round { .. } => "round",
            Shape::Square { .. } => "square",
        });
        met.extend(thing.colour.map(|colour| match colour {
            Colour::Red => "red",
            Colour::Green => "green",
        }));
        met.extend((thing.size == -3).then_some("least"));
        met.extend((thing.size == 12).then_some("most"));
        met.extend((thing.name == "known").then_some("known"));
        met.extend(thing.parts.is_some().then_some("parts"));
        met.extend(value.get("share").and_then(Value::as_null).map(|()| "null"));
    }
    assert_eq!(met.len(), 9, "{met:?}");
}

#[test]
fn what_is_to_be_wrong_mostly_is_in_one_place_or_many() {
    let wrong = |wish| {
        made(wish, 2)
            .iter()
            .filter(|value| !is_valid(value))
            .count()
    };
    let (almost, wild) = (wrong(Wish::Almost), wrong(Wish::Wild));
    assert!((1400..2000).contains(&almost), "{almost}");
    assert!((1800..=2000).contains(&wild), "{wild}");
}

#[test]
fn a_seed_tells_one_story() {
    assert_eq!(made(Wish::Wild, 3), made(Wish::Wild, 3));
    assert_ne!(made(Wish::Wild, 3), made(Wish::Wild, 4));
}

#[test]
fn requests_fill_in_what_the_document_asks_for() {
    let document = sample();
    let requests = Requests::new(&document, &[], 5);
    let operations: Vec<String> = requests
        .operations()
        .iter()
        .map(|one| format!("{} {}", one.method, one.path))
        .collect();
    assert_eq!(operations, ["GET /things/{id}", "PUT /things/{id}"]);
    let mut asked = BTreeSet::new();
    for made in requests.take(400) {
        let raw = String::from_utf8_lossy(&made.raw).into_owned();
        let (head, body) = raw.split_once("\r\n\r\n").unwrap();
        let path = head.split(' ').nth(1).unwrap();
        assert!(
            path.starts_with("/things/") && !path.contains('{'),
            "{head}"
        );
        asked.insert((made.operation, path.contains("?deep=")));
        if made.operation == 1 && made.wish == Wish::Valid {
            assert!(is_valid(&serde_json::from_str(body).unwrap()), "{raw}");
        }
    }
    assert_eq!(asked.len(), 3, "{asked:?}");
}
