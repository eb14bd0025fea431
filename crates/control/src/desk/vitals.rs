//! Looking at what moves: three questions at once, so that the numbers of one answer are of about one moment.

use std::time::Duration;

use model_host::{HostStatus, ModelStatus};
use supervision::{ChildPath, Handling, TopologyNode, Vital, Vitals};

use super::Desk;
use super::present::Present;
use crate::convert;
use crate::protocol::vitals::{ActorVitals, LabelVitals, ModelVitals, RequestVitals, VitalsAnswer};

/// Requests that are listed: more than a person reads; a few hundred bytes each.
const REQUESTS: usize = 256;

impl Desk {
    pub(super) async fn vitals(&self) -> VitalsAnswer {
        let Present {
            topology,
            counted,
            memory,
            models,
            threads,
            silent,
        } = self.present().await;
        let models = models.unwrap_or_default();
        let leases = |name: &str| {
            let owner = format!("model_host: {name}");
            let all = memory.iter().flat_map(|status| &status.leases);
            all.filter(|lease| lease.owner == owner).count()
        };
        let (requests, unlisted) = requests(&models);
        VitalsAnswer {
            version: self.version.clone(),
            pid: std::process::id(),
            uptime_ms: convert::ms(self.began.elapsed()),
            actors: topology.nodes().map(|node| actor(node, &counted)).collect(),
            labels: labels(&counted),
            memory: memory.as_ref().map(convert::memory),
            models: models
                .models
                .iter()
                .map(|one| model(one, leases(one.name.as_str())))
                .collect(),
            requests,
            unlisted,
            threads,
            silent,
        }
    }
}

/// One actor. What the spec names is its own label, whose counters outlast it; what was started at run time shares one, and
/// is counted for itself.
fn actor(node: &TopologyNode, counted: &Vitals) -> ActorVitals {
    let info = &node.info;
    let (messages, handling) = match counted.by_label.get(&info.child) {
        Some(vital) => (vital.handled, Some(&vital.handling)),
        None => (info.handled, info.handling.as_ref()),
    };
    ActorVitals {
        actor: convert::actor(node),
        messages,
        timed: handling.map_or(0, Handling::count),
        handling_us: handling.map_or(0, |seen| us(seen.total)),
    }
}

fn labels(counted: &Vitals) -> Vec<LabelVitals> {
    let one = |(label, vital): (&ChildPath, &Vital)| LabelVitals {
        label: label.to_string(),
        messages: vital.handled,
        timed: vital.handling.count(),
        handling_us: us(vital.handling.total),
    };
    counted.by_label.iter().map(one).collect()
}

fn model(status: &ModelStatus, leases: usize) -> ModelVitals {
    let totals = &status.totals;
    ModelVitals {
        model: convert::model(status, leases),
        prompt_tokens: totals.prompt_tokens,
        generated_tokens: totals.generated_tokens,
        first_tokens: totals.first_tokens,
        first_token_us: us(totals.first_token_after),
    }
}

/// As many as are listed, and how many are not.
fn requests(models: &HostStatus) -> (Vec<RequestVitals>, usize) {
    let all = models.models.iter().flat_map(|model| {
        model.requests.iter().map(|one| RequestVitals {
            id: one.id.to_string(),
            model: model.name.to_string(),
            answering: one.answering,
            for_ms: convert::ms(one.since),
            generated_tokens: u64::from(one.generated),
        })
    });
    let mut listed: Vec<RequestVitals> = all.collect();
    let unlisted = listed.len().saturating_sub(REQUESTS);
    listed.truncate(REQUESTS);
    (listed, unlisted)
}

/// Whole microseconds.
fn us(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
