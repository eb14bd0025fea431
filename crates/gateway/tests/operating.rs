//! What operators do with the server while it runs, over real loopback sockets: no token of a client's is asked for.
#![allow(
    clippy::unwrap_used,
    reason = "a broken fixture should fail the test at once"
)]

mod support;

use std::sync::Arc;

use bearer::{Grants, Secret, Terms};
use paraphym_gateway::{Auth, Tokens};
use support::{Scene, ask, exchange, open, post, post_to, read_until};
use testkit::scripted::Answer;
use tokio::io::AsyncReadExt;

#[tokio::test]
async fn an_operator_ends_any_owners_answer_by_either_name() {
    let mut grants = Grants::default();
    let mut headers = Vec::new();
    for (n, name) in [(1, "ann"), (2, "bob")] {
        let secret = Secret::of([n; 32]);
        let name = Some(name.to_owned());
        grants.add(&secret, name, Terms::default(), 0).unwrap();
        headers.push(format!("authorization: Bearer {}\r\n", secret.reveal()));
    }
    let grants = Arc::new(grants);
    let scene = Scene::start(Answer::Counting, |config| {
        config.access.auth = Auth::Required;
        config.access.tokens = Tokens(Arc::new(move || Arc::clone(&grants)));
    })
    .await;
    let gate = scene.control.gate_step(5);
    let body = ask(r#","stream":true,"max_tokens":2000,"seed":0"#);
    let asked = post(&body, &format!("{}x-request-id: mine\r\n", headers[0]));
    let mut client = open(scene.address, &asked).await;
    let begun = read_until(&mut client, r#""content":"0 "#).await;
    scene.control.wait_until(|c| c.steps == 5).await;
    // Nobody else's token ends it, and to look does not either.
    let others = post_to("/v1/requests/mine/cancel", "", &headers[1]);
    assert_eq!(exchange(scene.address, &others).await.status, 404);
    let called = scene.serving.called("mine");
    assert_eq!((called.len(), called[0].owner.is_some()), (1, true));
    let own = called[0].answer.as_str();
    assert!(begun.contains(own), "{own} in {begun}");
    assert_eq!(scene.serving.called(own), called);
    assert_eq!(scene.serving.called("nobody"), []);
    assert_eq!(scene.serving.cancel(own), called);
    let mut rest = String::new();
    client.read_to_string(&mut rest).await.unwrap();
    assert!(rest.contains(r#""code":"cancelled""#), "{rest}");
    assert!(!rest.contains("[DONE]"), "{rest}");
    gate.release();
    scene.control.wait_until(|c| c.open_now() == 0).await;
    assert!(scene.control.counts().steps <= 6, "it is computed on");
    assert_eq!(scene.serving.cancel("mine"), [], "it has ended");
    scene.end().await;
}
