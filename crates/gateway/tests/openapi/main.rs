//! Requests by the thousand, made from the description that the server gives of itself: valid, almost valid and wild. None
//! finds a failure of ours, each response has a name, and each refusal is the exact envelope.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::must_use_candidate,
    clippy::missing_panics_doc,
    clippy::missing_errors_doc,
    unreachable_pub,
    reason = "a test stops at the first surprise"
)]

mod document;
mod instances;
mod requests;
mod sample_tests;
#[path = "../support/mod.rs"]
mod support;
mod wire;

use std::collections::BTreeMap;

use document::Document;
use requests::{Made, Requests, check};
use support::{Scene, get, hello};
use wire::Wire;

const REQUESTS: usize = 10_000;
/// Connections that stay open, and are asked side by side.
const CONNECTIONS: usize = 4;
/// A failure prints its seed.
const SEED: u64 = 0x7061_7261;

/// How often each operation was asked, and with what outcome.
type Outcomes = BTreeMap<(usize, u16), usize>;

/// Asks `count` requests over one connection.
async fn ask(scene: &Scene, document: &Document, seed: u64, count: usize) -> Outcomes {
    let mut wire = Wire::new(scene.address);
    let mut outcomes = Outcomes::new();
    for made in Requests::new(document, &["tiny", "other", "gone", "user"], seed).take(count) {
        let Made {
            raw,
            operation,
            wish,
        } = made;
        let response = wire.ask(&raw).await;
        if let Err(what) = check(&response) {
            let raw = String::from_utf8_lossy(&raw).into_owned();
            panic!("seed {seed}, {wish:?}: {what}\n{raw}\n\n{response:?}");
        }
        *outcomes.entry((operation, response.status)).or_default() += 1;
    }
    outcomes
}

async fn ask_all(scene: &Scene, document: &Document) -> Outcomes {
    let asking =
        (0..CONNECTIONS).map(|n| ask(scene, document, SEED + n as u64, REQUESTS / CONNECTIONS));
    let mut all = Outcomes::new();
    for outcomes in futures_util::future::join_all(asking).await {
        for (key, times) in outcomes {
            *all.entry(key).or_default() += times;
        }
    }
    all
}

/// That something was tried: every operation often, with success and without.
fn was_worth_it(document: &Document, outcomes: &Outcomes) {
    let times = |wished: &dyn Fn(usize, u16) -> bool| -> usize {
        let fitting = outcomes
            .iter()
            .filter(|((at, status), _)| wished(*at, *status));
        fitting.map(|(_, times)| times).sum()
    };
    assert_eq!(times(&|_, _| true), REQUESTS);
    for (at, operation) in document.operations().iter().enumerate() {
        assert!(
            times(&|one, _| one == at) > 100,
            "{operation:?}: {outcomes:?}"
        );
        let computes = operation.body.is_some() && !operation.path.ends_with("/cancel");
        for status in [200, 400] {
            let often = times(&|one, answered| one == at && answered == status) > 20;
            assert!(
                often || !computes,
                "{status} of {operation:?}: {outcomes:?}"
            );
        }
    }
    assert!(
        times(&|_, status| status == 200) > REQUESTS / 10,
        "{outcomes:?}"
    );
    assert!(
        times(&|_, status| status == 400) > REQUESTS / 10,
        "{outcomes:?}"
    );
}

#[tokio::test]
async fn ten_thousand_requests_made_from_the_servers_own_description_find_no_failure() {
    let scene = Scene::start(hello(), |_| {}).await;
    let description = get(scene.address, "/openapi.json").await;
    assert_eq!(description.status, 200, "{description:?}");
    let document = Document::new(description.json());
    was_worth_it(&document, &ask_all(&scene, &document).await);
    scene.end().await;
}
