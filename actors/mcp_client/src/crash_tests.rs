//! A crash of the actor itself, which only a message of the crate's own can bring about.

use kameo::message::{Context, Message};

use crate::ServerState;
use crate::actor::McpServer;

#[path = "../tests/common/mod.rs"]
pub(crate) mod common;

use common::server::{behind_shell, playing};
use common::{PATIENCE, Stage, calling, processes};
use tokio_util::sync::CancellationToken;

struct Crash;

impl Message<Crash> for McpServer {
    type Reply = ();

    async fn handle(&mut self, _: Crash, _: &mut Context<Self, ()>) {
        panic!("scripted crash of a server's actor");
    }
}

async fn crash(stage: &Stage) {
    let server = stage.servers.first().unwrap();
    assert!(server.ask(Crash, PATIENCE).await.is_err());
}

#[tokio::test]
async fn a_crash_of_the_actor_starts_the_server_again_and_leaves_nobody_of_before() {
    let stage = Stage::up(behind_shell("trap '' TERM; sleep 1000 & true", "stays")).await;
    let first = stage.status().pid.unwrap();
    assert_eq!(processes::of_group(first).len(), 2);
    crash(&stage).await;
    processes::gone(first).await;
    let is_back =
        |status: &crate::ServerStatus| status.starts == 2 && status.state == ServerState::Up;
    let second = stage.until(is_back).await.pid.unwrap();
    assert_ne!(first, second);
    stage.stop(&[first, second]).await;
}

#[tokio::test]
async fn a_call_that_a_crash_breaks_off_says_that_nobody_knows_whether_it_ran() {
    let stage = Stage::up(playing("does not answer calls")).await;
    let first = stage.status().pid.unwrap();
    let (toolbox, call) = (stage.toolbox(), calling("s__echo", "{}"));
    let never = CancellationToken::new();
    let (ended, ()) = tokio::join!(toolbox.call(&call, &never), async {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        crash(&stage).await;
    });
    let error = ended.unwrap_err();
    assert_eq!(error.kind(), "interrupted", "{error}");
    // The tools stay known while the server is started again.
    assert_eq!(stage.servers.status()[0].tools.len(), 3);
    let second = stage
        .until(|status| status.starts == 2 && status.pid.is_some())
        .await;
    processes::gone(first).await;
    stage.stop(&[first, second.pid.unwrap()]).await;
}
