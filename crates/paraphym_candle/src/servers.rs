//! MCP servers of the settings, in the words of their client; and how those that run follow a change.

use std::path::PathBuf;
use std::sync::Arc;

use chat_config::settings::{McpServer, Settings};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use mcp_client::{McpServers, ServerConfig, Transport};
use tokio::sync::Mutex;

use crate::follower::Follows;
use crate::start_error::StartError;
use crate::tools::Reached;

/// What the host holds of them.
pub(crate) use mcp_client::McpServers as Held;

/// What was chosen of them before the start.
#[derive(Default)]
pub(crate) struct Choice {
    /// The app's own.
    pub(crate) own: Vec<ServerConfig>,
    /// Those of the settings stay away.
    pub(crate) alone: bool,
}

impl Choice {
    /// Those of now as children of the tree, and as a source of tools.
    ///
    /// # Errors
    /// One of them is not accepted.
    pub(crate) fn reach(self, first: &Settings) -> Result<(Reached, Held), StartError> {
        let of_settings = Servers::new(self.own, !self.alone);
        let (child, servers) = mcp_client::children(of_settings.at_first(first))?;
        let follower = Follower {
            of_settings,
            running: servers.clone(),
            told: Mutex::default(),
        };
        let reached = Reached {
            children: vec![child],
            sources: vec![Arc::new(servers.clone())],
            follower: Some(Arc::new(follower)),
        };
        Ok((reached, servers))
    }
}

/// Starts and ends them as the settings change.
struct Follower {
    of_settings: Servers,
    running: McpServers,
    told: Mutex<Option<Vec<ServerConfig>>>,
}

impl Follows for Follower {
    fn follow<'a>(&'a self, settings: &'a Settings) -> BoxFuture<'a, bool> {
        async move {
            let wanted = self.of_settings.wanted(settings);
            let mut told = self.told.lock().await;
            if told.as_ref() == Some(&wanted) {
                return true;
            }
            let all = self.of_settings.follow(&wanted, &self.running).await;
            if all {
                *told = Some(wanted);
            }
            all
        }
        .boxed()
    }
}

/// The servers of the settings, beside those of the app's own.
#[derive(Clone, Debug)]
pub(crate) struct Servers {
    own: Vec<ServerConfig>,
    are_started: bool,
}

impl Servers {
    /// `are_started` says whether those of the settings are.
    pub(crate) const fn new(own: Vec<ServerConfig>, are_started: bool) -> Self {
        Self { own, are_started }
    }

    /// All there are at the start.
    pub(crate) fn at_first(&self, settings: &Settings) -> Vec<ServerConfig> {
        let mut all = self.own.clone();
        all.extend(self.wanted(settings));
        all
    }

    /// Those that the settings want.
    pub(crate) fn wanted(&self, settings: &Settings) -> Vec<ServerConfig> {
        if !self.are_started {
            return Vec::new();
        }
        let servers = settings.tools.mcp.iter();
        let used = servers.filter(|(_, server)| server.enabled);
        used.filter_map(|(name, server)| config(name, server))
            .collect()
    }

    /// Ends what is not wanted any more, and starts what is new or different. Whether that came about, or never will.
    pub(crate) async fn follow(&self, wanted: &[ServerConfig], running: &McpServers) -> bool {
        let is_own = |name: &str| self.own.iter().any(|own| own.name == name);
        let mut all = true;
        for config in running.configs() {
            if is_own(&config.name) || wanted.contains(&config) {
                continue;
            }
            if let Err(error) = running.remove(&config.name).await {
                tracing::warn!(server = config.name, %error, "an MCP server was not stopped yet");
                all = false;
            }
        }
        let there = running.configs();
        for config in wanted {
            if there.contains(config) {
                continue;
            }
            if let Err(error) = running.add(config.clone()).await {
                tracing::warn!(server = config.name, %error, "an MCP server was not added");
                // What is not accepted is not accepted later either.
                all &= matches!(error, mcp_client::ChangeError::Config(_));
            }
        }
        all
    }
}

/// `None` for one without a program and an address: the settings refuse it.
fn config(name: &str, server: &McpServer) -> Option<ServerConfig> {
    let transport = match (&server.command, &server.url) {
        (Some(command), _) => Transport::Stdio {
            command: command.clone(),
            args: server.args.clone(),
            env: server.env.clone(),
            cwd: server.cwd.as_ref().map(PathBuf::from),
        },
        (None, Some(url)) => Transport::Http {
            url: url.clone(),
            headers: server.headers.clone(),
        },
        (None, None) => return None,
    };
    let takes_all = server.tools.iter().any(|tool| tool == "*");
    Some(ServerConfig {
        allow: (!takes_all).then(|| server.tools.clone()),
        ..ServerConfig::new(name, transport)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn what_the_settings_say_is_what_a_server_is_set_up_with() {
        let program = McpServer {
            command: Some("git-mcp".to_owned()),
            args: vec!["--ro".to_owned()],
            env: BTreeMap::from([("TOKEN".to_owned(), "t".to_owned())]),
            cwd: Some("/srv".to_owned()),
            tools: vec!["log".to_owned(), "show*".to_owned()],
            ..McpServer::default()
        };
        let far = McpServer {
            url: Some("https://example.org/mcp".to_owned()),
            headers: BTreeMap::from([("A".to_owned(), "b".to_owned())]),
            ..McpServer::default()
        };
        let off = McpServer {
            enabled: false,
            ..program.clone()
        };
        let mut settings = Settings::default();
        for (name, server) in [("git", &program), ("far", &far), ("off", &off)] {
            settings.tools.mcp.insert(name.to_owned(), server.clone());
        }
        let own = ServerConfig::stdio("mine", "x", [""; 0]);
        let all = Servers::new(vec![own.clone()], true).at_first(&settings);
        let names: Vec<&str> = all.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["mine", "far", "git"]);
        assert!(all.iter().all(|one| one.check().is_ok()), "{all:?}");
        assert_eq!(all[1].allow, None);
        let headers = far.headers.clone();
        let url = "https://example.org/mcp".to_owned();
        assert_eq!(all[1].transport, Transport::Http { url, headers });
        let allowed = ["log", "show*"].map(str::to_owned).to_vec();
        assert_eq!(all[2].allow, Some(allowed));
        let expected = Transport::Stdio {
            command: "git-mcp".to_owned(),
            args: program.args.clone(),
            env: program.env.clone(),
            cwd: Some("/srv".into()),
        };
        assert_eq!(all[2].transport, expected);
        assert_eq!(
            Servers::new(vec![own.clone()], false).at_first(&settings),
            [own]
        );
    }
}
