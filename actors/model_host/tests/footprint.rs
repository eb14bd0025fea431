//! A load is covered by a lease for the most it takes, what stays by a smaller one, and a crash changes neither.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

use crate::common;

use common::{Setting, Stage, hear, request};
use domain::{Bytes, GenerationError};
use engine::ModelCard;
use testkit::scripted::Answer;

/// 1 MiB of weights, 2 MiB beside them, and 8 MiB for a moment.
fn costly(card: &mut ModelCard) {
    card.work_bytes = Bytes::mib(2);
    card.load_bytes = Bytes::mib(8);
}

async fn leased_at_tensor(stage: &Stage, tensor: u32) -> Bytes {
    let gate = stage.control.gate_load(tensor);
    let asked = stage.count(1, 3).await;
    while stage.control.counts().loads == 0 {
        tokio::task::yield_now().await;
    }
    let leased = stage.ledger().await.leased;
    gate.release();
    assert_eq!(hear(asked).await.text, Answer::counting(1, 3));
    leased
}

#[tokio::test(start_paused = true)]
async fn a_load_leases_the_most_it_takes_and_gives_back_what_does_not_stay() {
    let setting = Setting::new(Answer::Counting).card(costly);
    let stage = setting.memory(Bytes::mib(9)).start().await;
    assert_eq!(leased_at_tensor(&stage, 1).await, Bytes::mib(8));
    assert_eq!(stage.ledger().await.leased, Bytes::mib(3));
    assert_eq!(stage.models().await[0].weights_bytes, Bytes::mib(3));
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_model_that_fits_only_once_loaded_is_refused_before_it_is_read() {
    let setting = Setting::new(Answer::Counting).card(costly);
    let stage = setting.memory(Bytes::mib(7)).start().await;
    let heard = hear(stage.ask(request("a")).await.unwrap()).await;
    let GenerationError::MemoryExhausted { needed, .. } = heard.failed() else {
        panic!("{}", heard.failed());
    };
    assert_eq!(*needed, Bytes::mib(8));
    assert_eq!(stage.control.counts().loads, 0);
    stage.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_crashed_engine_is_loaded_anew_under_the_lease_it_had() {
    let setting = Setting::new(Answer::Counting).card(costly);
    let stage = setting.memory(Bytes::mib(9)).start().await;
    stage.control.panic_at(2);
    let heard = hear(stage.count(5, 12).await).await;
    assert_eq!(heard.text, Answer::counting(5, 12));
    assert_eq!(stage.control.counts().loads, 2);
    assert_eq!(stage.ledger().await.leased, Bytes::mib(3));
    stage.close().await;
}
