//! How a host that serves ends: what is told of each phase, and what is listed when an answer does not finish in time.

use std::sync::Arc;
use std::time::Duration;

use domain::Bytes;
use paraphym_candle::control::protocol::ending::Phase;
use paraphym_candle::{ModelName, Paraphym};
use testkit::scripted::{Answer, ScriptedLoader};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn an_answer_that_does_not_finish_in_time_is_listed_by_its_request() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tiny.gguf");
    std::fs::write(&file, b"GGUF").unwrap();
    let loader = ScriptedLoader::new(Answer::Counting);
    let control = loader.control();
    let host = Paraphym::builder()
        .models_dir(dir.path())
        .model(ModelName::new(file.to_str().unwrap()))
        .memory_limit(Bytes::mib(64))
        .loader(Arc::new(loader))
        .serve("127.0.0.1:0".parse().unwrap())
        .start()
        .await
        .unwrap();
    let gate = control.gate_step(3);
    let mut client = TcpStream::connect(host.address().await.unwrap())
        .await
        .unwrap();
    let body =
        r#"{"messages":[{"role":"user","content":"hello"}],"stream":true,"max_tokens":2000}"#;
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx-request-id: mine\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    client.write_all(request.as_bytes()).await.unwrap();
    control.wait_until(|c| c.steps == 3).await;
    let mut ending = host.ending();
    let watch = async {
        let mut phases = Vec::new();
        while ending.changed().await.is_ok() {
            let now = ending.borrow_and_update().clone().unwrap();
            if now.phase == Phase::Actors {
                // The step that is computed can go on now: its answer has been ended already.
                drop(gate);
                phases.push(now);
                return phases;
            }
            phases.push(now);
        }
        phases
    };
    let (report, phases) = tokio::join!(host.shutdown_within(Duration::from_secs(2)), watch);
    let what: Vec<&str> = report.abandoned.iter().map(|one| &*one.what).collect();
    assert_eq!(what, ["POST /v1/chat/completions mine"], "{report:?}");
    assert!(report.killed.is_empty(), "{report:?}");
    assert!(phases.iter().is_sorted_by_key(|ending| ending.phase));
    let answers = phases.iter().find(|ending| ending.phase == Phase::Answers);
    assert_eq!(
        answers.unwrap().under_way,
        ["POST /v1/chat/completions mine"]
    );
    let actors = phases.last().unwrap();
    assert_eq!(
        actors.abandoned,
        ["root/gateway: POST /v1/chat/completions mine"]
    );
    assert!(actors.under_way.contains(&"root/model_host".to_owned()));
    let last = host.ending().borrow().clone().unwrap();
    assert_eq!((last.phase, last.under_way.len()), (Phase::Runtime, 0));
    let mut said = String::new();
    client.read_to_string(&mut said).await.unwrap();
    assert!(said.contains("error") && !said.contains("[DONE]"), "{said}");
}
