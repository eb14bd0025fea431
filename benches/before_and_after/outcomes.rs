//! What all processes said, by part and lane: the middle of the rounds, and ratios taken within a round.

use std::collections::BTreeMap;

use paraphym_benches::median;
use serde_json::{Map, Value, json};

use crate::lane::{Lane, Part};

/// What was said, in the order of the rounds.
#[derive(Debug, Default)]
pub(crate) struct Outcomes(BTreeMap<(Part, Lane), Vec<Value>>);

impl Outcomes {
    pub(crate) fn add(&mut self, part: Part, lane: Lane, said: Value) {
        self.0.entry((part, lane)).or_default().push(said);
    }

    fn each(&self, part: Part, lane: Lane) -> &[Value] {
        self.0.get(&(part, lane)).map_or(&[], Vec::as_slice)
    }

    /// What was said first.
    pub(crate) fn first(&self, part: Part, lane: Lane) -> Option<&Value> {
        self.each(part, lane).first()
    }

    /// One figure, as a JSON pointer; nothing where it never came about in some round.
    pub(crate) fn figure(&self, part: Part, lane: Lane, at: &str) -> Option<f64> {
        let each = self.each(part, lane).iter();
        let each = each.map(|said| said.pointer(at).and_then(Value::as_f64));
        median(&each.collect::<Option<Vec<f64>>>()?)
    }

    /// How many times ours the other one's is: the middle of the rounds. Nothing where either is nothing.
    pub(crate) fn ratio(&self, part: Part, lane: Lane, at: &str) -> Option<f64> {
        let rounds = self.each(part, lane).iter();
        let rounds = rounds.zip(self.each(part, Lane::Ours));
        let ratios = rounds.map(|(before, ours)| {
            let before = before.pointer(at)?.as_f64()?;
            let ours = ours.pointer(at)?.as_f64()?;
            (before != 0.0 && ours != 0.0).then_some(before / ours)
        });
        median(&ratios.collect::<Option<Vec<f64>>>()?)
    }

    /// All of it.
    pub(crate) fn json(&self) -> Value {
        let mut all = Map::new();
        for ((part, lane), said) in &self.0 {
            all.insert(format!("{}/{}", part.name(), lane.name()), json!(said));
        }
        Value::Object(all)
    }
}
