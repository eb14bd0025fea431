//! A change of settings that is only tried out is refused exactly where the change itself would be, and changes nothing.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

use crate::support;

use paraphym_control::protocol::act::{Acted, Change, ConfigSet};
use paraphym_control::protocol::look::ConfigGet;
use paraphym_control::protocol::rpc::RpcError;
use paraphym_control::{Client, ClientError, Code};
use support::{FOR_EVER, Scene, ask};

fn set(changes: &[(&str, &str)], expected: Option<u64>, dry_run: bool) -> ConfigSet {
    let change = |(key, value): &(&str, &str)| Change {
        key: (*key).to_owned(),
        value: (*value).to_owned(),
    };
    ConfigSet {
        changes: changes.iter().map(change).collect(),
        expected,
        dry_run,
    }
}

async fn answer(client: &mut Client, wish: &ConfigSet) -> Result<Acted, RpcError> {
    match client.ask(wish, FOR_EVER).await {
        Ok(acted) => Ok(acted),
        Err(ClientError::Refused(refused)) => Err(refused),
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn what_is_tried_out_is_refused_as_it_would_be_and_changes_nothing() {
    let scene = Scene::start().await;
    let client = &mut scene.client().await;
    let all = ConfigGet { key: None };
    for (changes, expected, code) in [
        (&[("model.temperature", "9")][..], None, Some(Code::Params)),
        (&[("model.temperature", "hot")], None, Some(Code::Params)),
        (&[("model.temprature", "1")], None, Some(Code::NotFound)),
        (&[("model", "1")], None, Some(Code::Params)),
        (&[], None, Some(Code::Params)),
        // One that is wrong keeps the others from holding.
        (
            &[("model.top_k", "9"), ("ui.font_px", "0")],
            None,
            Some(Code::Params),
        ),
        // It holds only together with another.
        (
            &[("tools.mcp.x.args", "[\"-v\"]")],
            None,
            Some(Code::Params),
        ),
        (&[("model.top_k", "9")], Some(7), Some(Code::Refused)),
        (&[("model.temperature", "0.7")], Some(1), None),
        (&[("model.temperature", "0.7")], None, None),
        (&[("model.top_k", "9"), ("chat.idle", "15m")], None, None),
        (&[("agents.coder.system", "You write Rust.")], Some(3), None),
        (&[("agents.coder.system", "")], None, None),
    ] {
        let before = ask(client, &all).await;
        let tried = answer(client, &set(changes, expected, true)).await;
        assert_eq!(ask(client, &all).await, before, "{changes:?}");
        let done = answer(client, &set(changes, expected, false)).await;
        match (tried, done, code) {
            (Err(tried), Err(done), Some(code)) => {
                assert_eq!(tried, done);
                assert_eq!(done.kind(), Some(code), "{done}");
                assert_eq!(ask(client, &all).await, before);
            }
            (Ok(tried), Ok(done), None) => {
                assert!(!tried.done && done.done);
                let would = tried.what.replace("would set ", "");
                assert_eq!(would.replace("would hold", "holds"), done.what);
            }
            other => panic!("{changes:?}: {other:?}"),
        }
    }
    let tried = set(&[("model.temperature", "0.2")], None, true);
    let tried = answer(client, &tried).await.unwrap().what;
    assert!(
        tried.starts_with("would set model.temperature: 0.7 -> 0.2 (with the next"),
        "{tried}"
    );
    assert!(tried.ends_with("; revision 6 would hold"), "{tried}");
    scene.end().await;
}
