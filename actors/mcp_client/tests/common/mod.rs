//! A server that behaves as it is told, the tree it stands in, and a look at what is left of it.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "several test files share this, and a failed expectation fails its test"
)]

pub mod processes;
pub mod server;

use std::time::Duration;

use domain::{ToolCall, ToolCallId};
use paraphym_mcp_client::{McpServers, ServerConfig, ServerState, ServerStatus, children};
use supervision::SupervisorSpec;
use testkit::scene::Scene;
use tokio_util::sync::CancellationToken;
use toolbox::{Limits, ToolError, ToolOutput, ToolSource, Toolbox};

/// Longer than anything here takes on a busy machine; a test that is right never waits for it.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A tree with these servers.
pub struct Stage {
    pub scene: Scene,
    pub servers: McpServers,
}

impl Stage {
    pub async fn start(configs: Vec<ServerConfig>) -> Self {
        let (spec, servers) = children(configs).unwrap();
        let scene = Scene::start(SupervisorSpec::new("root").child(spec))
            .await
            .unwrap();
        Self { scene, servers }
    }

    /// The same, and the first server is up.
    pub async fn up(config: ServerConfig) -> Self {
        let stage = Self::start(vec![config]).await;
        stage.until(|status| status.state == ServerState::Up).await;
        stage
    }

    pub fn status(&self) -> ServerStatus {
        self.servers.status().into_iter().next().unwrap()
    }

    /// Waits until the first server is as wanted.
    pub async fn until(&self, wanted: impl Fn(&ServerStatus) -> bool) -> ServerStatus {
        let found = async {
            loop {
                let status = self.status();
                if wanted(&status) {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let found = tokio::time::timeout(PATIENCE, found).await;
        found.unwrap_or_else(|_| panic!("it never came about: {:?}", self.status()))
    }

    pub fn toolbox(&self) -> Toolbox {
        Toolbox::new(self.servers.tools()).unwrap()
    }

    /// Calls through the toolbox, as an agent does.
    pub async fn call(&self, tool: &str, arguments: &str) -> Result<ToolOutput, ToolError> {
        let call = calling(tool, arguments);
        self.toolbox().call(&call, &CancellationToken::new()).await
    }

    /// Stops the tree; afterwards no process of these groups may be left.
    pub async fn stop(self, groups: &[u32]) {
        self.scene.stop().await;
        for &group in groups {
            assert_eq!(processes::of_group(group), [], "group {group} is not gone");
        }
    }
}

pub fn calling(tool: &str, arguments: &str) -> ToolCall {
    ToolCall {
        id: ToolCallId::new("call-1"),
        name: tool.to_owned(),
        arguments: arguments.to_owned(),
    }
}

/// With limits that let a long result through.
pub fn wide(toolbox: &Toolbox) -> Toolbox {
    toolbox.clone().with_limits(Limits {
        max_output_bytes: 1 << 20,
        ..Limits::default()
    })
}
