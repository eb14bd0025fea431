//! Whether a request for the default model would be answered now, from what the host and other parts say. Asking changes
//! nothing: a probe is not activity. Nothing here waits.

use domain::ModelName;
use model_host::{HostStatus, ModelState, ModelStatus};
use serde::Serialize;

/// What `/readyz` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// `ready` or `unavailable`.
    pub status: &'static str,
    /// The model in question.
    pub model: String,
    /// How far it is.
    pub state: &'static str,
    /// Why it is not ready: everything that stands in the way, not only the first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<Reason>,
}

/// One thing that stands in the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// `server`, `store`, `model`, or a part as the tree calls it.
    pub part: &'static str,
    /// Why, and what to do.
    pub reason: String,
}

impl Readiness {
    /// Whether requests should be sent here.
    pub fn is_ready(&self) -> bool {
        self.reasons.is_empty()
    }

    /// Something else stands in the way, too.
    #[must_use]
    pub fn hindered(mut self, part: &'static str, reason: String) -> Self {
        self.status = "unavailable";
        self.reasons.push(Reason { part, reason });
        self
    }

    /// The host does not answer.
    pub fn unknown(model: &ModelName, reason: String) -> Self {
        Self::not(model, "unknown", reason)
    }

    /// From the host's status; `here` is whether there is a file to load it from, `max_models` how many the host has
    /// places for. A lane that was begun under another name of the same file is not recognised: the status has one name
    /// for each.
    pub fn of(model: &ModelName, status: &HostStatus, here: bool, max_models: usize) -> Self {
        let taken = status
            .models
            .iter()
            .filter(|lane| holds_place(lane))
            .count();
        // An idle one gives its place to one that is wanted.
        let mut lanes = status.models.iter();
        let one_is_idle = lanes.any(|lane| lane.idle_for.is_some() && !lane.pinned);
        let lane = status.models.iter().find(|lane| lane.name == *model);
        match lane.map(|lane| &lane.state) {
            Some(ModelState::Ready) => Self::ready(model, "loaded"),
            // A request waits for the load and is then answered.
            Some(ModelState::Loading { .. }) => Self::ready(model, "loading"),
            Some(ModelState::Unloaded) => Self::ready(model, "unloaded"),
            Some(state @ ModelState::LoadFailed { .. }) => {
                Self::not(model, "load_failed", state.refusing().unwrap_or_default())
            }
            Some(state @ ModelState::CircuitOpen { .. }) => {
                Self::not(model, "circuit_open", state.refusing().unwrap_or_default())
            }
            Some(ModelState::Stuck { elapsed }) => {
                let reason = format!(
                    "its engine has made no progress for {} s",
                    elapsed.as_secs()
                );
                Self::not(model, "stuck", reason)
            }
            Some(ModelState::BackingOff) => {
                let reason = "its engine crashed and is being started again; try again in a second";
                Self::not(model, "backing_off", reason.into())
            }
            Some(ModelState::Stopping) => {
                Self::not(model, "stopping", "it is being stopped".into())
            }
            None if here && (one_is_idle || taken < max_models.max(1)) => {
                Self::ready(model, "unloaded")
            }
            None if here => {
                let reason = format!(
                    "{taken} other models are in memory or loading and busy or pinned, and there is no place for another: \
                     unload or unpin one, or wait until one is idle"
                );
                Self::not(model, "no_place", reason)
            }
            None => {
                let reason = "it is not here: fetch it with `paraphym model pull`";
                Self::not(model, "missing", reason.into())
            }
        }
    }

    fn ready(model: &ModelName, state: &'static str) -> Self {
        Self {
            status: "ready",
            model: model.to_string(),
            state,
            reasons: Vec::new(),
        }
    }

    fn not(model: &ModelName, state: &'static str, reason: String) -> Self {
        Self {
            status: "unavailable",
            model: model.to_string(),
            state,
            reasons: vec![Reason {
                part: "model",
                reason,
            }],
        }
    }
}

/// Whether a lane keeps its place from another model: one that holds nothing and serves nobody gives way.
fn holds_place(lane: &ModelStatus) -> bool {
    let empty = matches!(
        lane.state,
        ModelState::Unloaded | ModelState::LoadFailed { .. } | ModelState::CircuitOpen { .. }
    );
    !empty || lane.active + lane.waiting > 0
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use domain::{Bytes, KeepAlive};
    use model_host::BreakerState;

    use super::*;

    fn host(state: ModelState) -> HostStatus {
        let lane = ModelStatus {
            name: ModelName::new("m"),
            card: None,
            state,
            weights_bytes: Bytes::ZERO,
            kv_leased: Bytes::ZERO,
            prefixes: 0,
            kv_kept: Bytes::ZERO,
            active: 0,
            waiting: 0,
            idle_for: None,
            keep_alive: KeepAlive::default(),
            pinned: false,
            expires_in: None,
            breaker: BreakerState::Closed,
            crashes: 0,
            totals: model_host::Totals::default(),
            requests: Vec::new(),
        };
        HostStatus { models: vec![lane] }
    }

    #[test]
    fn loaded_and_loadable_are_ready() {
        let failed = ModelState::LoadFailed {
            reason: "bad file".into(),
            retry_in: Duration::from_secs(3),
        };
        let open = ModelState::CircuitOpen {
            reason: "crashed".into(),
            retry_in: Duration::from_secs(3),
        };
        let stuck = ModelState::Stuck {
            elapsed: Duration::from_secs(31),
        };
        for (state, ready, word) in [
            (ModelState::Ready, true, "loaded"),
            (ModelState::Loading { fraction: 0.5 }, true, "loading"),
            (ModelState::Unloaded, true, "unloaded"),
            (failed, false, "load_failed"),
            (open, false, "circuit_open"),
            (stuck, false, "stuck"),
            (ModelState::BackingOff, false, "backing_off"),
            (ModelState::Stopping, false, "stopping"),
        ] {
            let readiness = Readiness::of(&ModelName::new("m"), &host(state), false, 1);
            assert_eq!((readiness.is_ready(), readiness.state), (ready, word));
        }
    }

    #[test]
    fn a_model_without_a_lane_is_ready_if_it_is_here() {
        let (model, nothing) = (ModelName::new("other"), HostStatus::default());
        assert_eq!(Readiness::of(&model, &nothing, false, 1).state, "missing");
        assert_eq!(
            Readiness::of(&model, &host(ModelState::Ready), false, 1).state,
            "missing"
        );
        let known = Readiness::of(&model, &nothing, true, 1);
        assert!(known.is_ready());
        assert_eq!(
            serde_json::to_string(&known).unwrap(),
            r#"{"status":"ready","model":"other","state":"unloaded"}"#
        );
    }

    #[test]
    fn everything_that_stands_in_the_way_is_told() {
        let (model, nothing) = (ModelName::new("m"), HostStatus::default());
        let well = || Readiness::of(&model, &nothing, true, 1);
        assert!(well().is_ready());
        let hindered = well().hindered("store", "it hangs".into());
        assert!(!hindered.is_ready());
        let missing = Readiness::of(&model, &nothing, false, 1);
        let both = missing.hindered("server", "it ends".into());
        assert_eq!(
            serde_json::to_value(&both).unwrap(),
            serde_json::json!({"status": "unavailable", "model": "m", "state": "missing", "reasons": [
                {"part": "model", "reason": "it is not here: fetch it with `paraphym model pull`"},
                {"part": "server", "reason": "it ends"},
            ]})
        );
    }

    #[test]
    fn an_idle_models_place_can_be_had_and_a_pinned_ones_cannot() {
        let mut status = host(ModelState::Ready);
        let other = ModelName::new("other");
        status.models[0].idle_for = Some(Duration::ZERO);
        assert!(Readiness::of(&other, &status, true, 1).is_ready());
        status.models[0].pinned = true;
        assert!(!Readiness::of(&other, &status, true, 1).is_ready());
    }

    #[test]
    fn a_model_without_a_lane_needs_a_place() {
        let failed = ModelState::LoadFailed {
            reason: "bad file".into(),
            retry_in: Duration::from_secs(3),
        };
        for (state, waiting, max_models, word) in [
            (ModelState::Ready, 0, 1, "no_place"),
            (ModelState::Ready, 0, 2, "unloaded"),
            (ModelState::Loading { fraction: 0.5 }, 0, 1, "no_place"),
            (ModelState::BackingOff, 0, 1, "no_place"),
            (ModelState::Unloaded, 1, 1, "no_place"),
            (ModelState::Unloaded, 0, 1, "unloaded"),
            (failed, 0, 1, "unloaded"),
        ] {
            let mut status = host(state.clone());
            status.models[0].waiting = waiting;
            let other = Readiness::of(&ModelName::new("other"), &status, true, max_models);
            assert_eq!(other.state, word, "{state:?}");
            assert_eq!(other.is_ready(), word == "unloaded", "{state:?}");
        }
    }
}
