//! Which servers there are and how far each is trusted: what a person writes into the settings.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use domain::FieldError;
use toolbox::{PatternError, ToolFilter};

/// How many servers there may be: each is a process, and each tool of it is read by the model with every prompt.
pub const MAX_SERVERS: usize = 32;
/// How long a server's name may be: it stands before each of its tools' names, which have 64 characters together.
pub const MAX_SERVER_NAME: usize = 24;

/// Within every range there is: what stands for a time that is not set.
const USUAL: Duration = Duration::from_secs(30);

/// One server that speaks the Model Context Protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// What it is called here: 1 to 24 of lower-case letters, digits and `-`. Its tools are `name__tool`.
    pub name: String,
    /// How it is reached.
    pub transport: Transport,
    /// Which of its tools are offered, by the server's own names, with a `*` for any end; all if absent.
    pub allow: Option<Vec<String>>,
    /// Which of them are not.
    pub deny: Vec<String>,
    /// Whether its own word is taken for which tools change nothing, and which may be repeated. Only then can a tool of it
    /// go without approval for that reason.
    pub trusts_hints: bool,
    /// From its start to the list of its tools. 30 s: some are fetched before they run.
    pub start_timeout: Duration,
    /// How long one call may take, 0.1 s to 10 min; as long as the turn gives any tool if absent.
    pub call_timeout: Option<Duration>,
    /// How long it may take to end when asked, twice: once after its input was closed, once after a `SIGTERM`. 1 s: a stop
    /// of everything waits for it.
    pub stop_grace: Duration,
    /// How long one message of it may be. 4 MiB: a result with a picture; a model reads far less.
    pub max_message_bytes: usize,
    /// How many of its tools are taken. 64: half of what a model may be shown.
    pub max_tools: usize,
}

/// How a server is reached.
#[derive(Clone, PartialEq, Eq)]
pub enum Transport {
    /// A program that is started here and speaks over its standard input and output.
    Stdio {
        /// The program, by path or by name in `PATH`.
        command: String,
        /// Its arguments.
        args: Vec<String>,
        /// What its environment has beside `PATH`, `HOME`, `USER`, `LOGNAME`, `SHELL`, `LANG`, `TERM` and `TMPDIR`: nothing
        /// else of ours is handed on.
        env: BTreeMap<String, String>,
        /// Its working folder; ours if absent.
        cwd: Option<PathBuf>,
    },
    /// A server that is there already (streamable HTTP).
    Http {
        /// `http://` or `https://`, the whole address of its endpoint.
        url: String,
        /// Sent with every request, for example `Authorization`.
        headers: BTreeMap<String, String>,
    },
}

/// Secrets live in environments and headers: only their names are shown.
impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdio {
                command,
                args,
                env,
                cwd,
            } => f
                .debug_struct("Stdio")
                .field("command", command)
                .field("args", &args.len())
                .field("env", &env.keys().collect::<Vec<_>>())
                .field("cwd", cwd)
                .finish(),
            Self::Http { url, headers } => f
                .debug_struct("Http")
                .field("url", &without_secrets(url))
                .field("headers", &headers.keys().collect::<Vec<_>>())
                .finish(),
        }
    }
}

/// An address without what may be secret in it: user, password and query.
pub(crate) fn without_secrets(url: &str) -> String {
    let bare = url.split(['?', '#']).next().unwrap_or_default();
    match bare.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
            let host = host.rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}/{path}")
        }
        None => bare.to_owned(),
    }
}

/// Servers that are not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServersError {
    /// A value of one of them.
    #[error("MCP server {name:?}: {error}")]
    Field {
        /// Which server.
        name: String,
        /// What is wrong with it.
        error: FieldError,
    },
    /// A pattern of one of them.
    #[error("MCP server {name:?}: {error}")]
    Pattern {
        /// Which server.
        name: String,
        /// What is wrong with it.
        error: PatternError,
    },
    /// Two of one name.
    #[error("there are two MCP servers {name:?}: rename one")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// More than [`MAX_SERVERS`].
    #[error("{count} MCP servers are not accepted: use at most {MAX_SERVERS}")]
    TooMany {
        /// How many there would be.
        count: usize,
    },
}

impl ServerConfig {
    /// A program that is started here, with the usual limits.
    pub fn stdio(
        name: impl Into<String>,
        command: impl Into<String>,
        args: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self::new(
            name,
            Transport::Stdio {
                command: command.into(),
                args: args.into_iter().map(Into::into).collect(),
                env: BTreeMap::new(),
                cwd: None,
            },
        )
    }

    /// A server that is there already, with the usual limits.
    pub fn http(name: impl Into<String>, url: impl Into<String>) -> Self {
        let (url, headers) = (url.into(), BTreeMap::new());
        Self::new(name, Transport::Http { url, headers })
    }

    /// The usual limits.
    pub fn new(name: impl Into<String>, transport: Transport) -> Self {
        Self {
            name: name.into(),
            transport,
            allow: None,
            deny: Vec::new(),
            trusts_hints: false,
            start_timeout: Duration::from_secs(30),
            call_timeout: None,
            stop_grace: Duration::from_secs(1),
            max_message_bytes: 4 << 20,
            max_tools: 64,
        }
    }

    /// Whether it is accepted; nothing is started or reached.
    ///
    /// # Errors
    /// The first field that is not, with what would be.
    pub fn check(&self) -> Result<(), ServersError> {
        let fields = self.check_name().and_then(|()| self.check_limits());
        fields
            .and_then(|()| self.transport.check())
            .map_err(|error| ServersError::Field {
                name: self.name.chars().take(80).collect(),
                error,
            })?;
        self.filter().map(|_| ())
    }

    /// Which of its tools are offered, by the server's own names.
    pub(crate) fn filter(&self) -> Result<ToolFilter, ServersError> {
        ToolFilter::new(self.allow.as_deref(), &self.deny).map_err(|error| ServersError::Pattern {
            name: self.name.clone(),
            error,
        })
    }

    fn check_name(&self) -> Result<(), FieldError> {
        let is_good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let name = &self.name;
        if (1..=MAX_SERVER_NAME).contains(&name.len()) && name.bytes().all(is_good) {
            return Ok(());
        }
        let allowed = "1 to 24 of lower-case letters, digits and -";
        Err(FieldError::new("name", name, allowed))
    }

    fn check_limits(&self) -> Result<(), FieldError> {
        let seconds = |field, value: Duration, least, most, allowed| {
            let (least, most) = (Duration::from_millis(least), Duration::from_millis(most));
            if (least..=most).contains(&value) {
                Ok(())
            } else {
                Err(FieldError::new(field, format!("{value:?}"), allowed))
            }
        };
        seconds(
            "start_timeout",
            self.start_timeout,
            100,
            600_000,
            "0.1 s to 10 min",
        )?;
        seconds(
            "call_timeout",
            self.call_timeout.unwrap_or(USUAL),
            100,
            600_000,
            "0.1 s to 10 min",
        )?;
        seconds("stop_grace", self.stop_grace, 0, 10_000, "0 s to 10 s")?;
        let bytes = self.max_message_bytes;
        if !(1 << 10..=64 << 20).contains(&bytes) {
            return Err(FieldError::new(
                "max_message_bytes",
                bytes,
                "1024 to 67108864",
            ));
        }
        if !(1..=128).contains(&self.max_tools) {
            return Err(FieldError::new("max_tools", self.max_tools, "1 to 128"));
        }
        Ok(())
    }
}

impl Transport {
    fn check(&self) -> Result<(), FieldError> {
        match self {
            Self::Stdio {
                command, args, env, ..
            } => {
                if command.is_empty() || command.contains('\0') {
                    let allowed = "a program's path, or its name in PATH";
                    return Err(FieldError::new("command", command, allowed));
                }
                if args.iter().any(|argument| argument.contains('\0')) {
                    let allowed = "arguments without a zero byte";
                    return Err(FieldError::new("args", "a zero byte", allowed));
                }
                let is_bad = |name: &String| name.is_empty() || name.contains(['=', '\0']);
                if let Some(name) = env.keys().find(|name| is_bad(name)) {
                    return Err(FieldError::new(
                        "env",
                        name,
                        "names without = and zero bytes",
                    ));
                }
                if env.values().any(|value| value.contains('\0')) {
                    let allowed = "values without a zero byte";
                    return Err(FieldError::new("env", "a zero byte", allowed));
                }
                Ok(())
            }
            Self::Http { url, headers } => {
                let rest = url
                    .strip_prefix("http://")
                    .or_else(|| url.strip_prefix("https://"));
                let is_good = rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'));
                if !is_good || url.contains(char::is_whitespace) {
                    let allowed = "an address that starts with http:// or https://";
                    return Err(FieldError::new("url", without_secrets(url), allowed));
                }
                for (name, value) in headers {
                    let is_name = http::HeaderName::try_from(name).is_ok();
                    if !is_name || http::HeaderValue::try_from(value).is_err() {
                        let allowed = "names and values as HTTP has them";
                        return Err(FieldError::new("headers", name, allowed));
                    }
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Spoil = fn(&mut ServerConfig);

    #[test]
    fn what_is_refused_is_named_with_the_way_out() {
        let good = || ServerConfig::stdio("files", "server", ["--root", "/tmp"]);
        assert_eq!(good().check(), Ok(()));
        assert_eq!(
            ServerConfig::http("far", "https://example.org/mcp").check(),
            Ok(())
        );
        let cases: [(Spoil, &str); 10] = [
            (|c| c.name = String::new(), "name = "),
            (
                |c| c.name = "Files".into(),
                "name = Files is not accepted: use 1 to 24",
            ),
            (|c| c.name = "a__b".into(), "name = a__b"),
            (|c| c.name = "x".repeat(25), "name = xxx"),
            (|c| c.start_timeout = Duration::ZERO, "start_timeout = 0ns"),
            (
                |c| c.call_timeout = Some(Duration::from_hours(1)),
                "call_timeout = 3600s",
            ),
            (
                |c| c.stop_grace = Duration::from_secs(11),
                "stop_grace = 11s",
            ),
            (|c| c.max_message_bytes = 10, "max_message_bytes = 10"),
            (|c| c.max_tools = 129, "max_tools = 129"),
            (|c| c.deny = vec!["a*b".into()], "tool pattern \"a*b\""),
        ];
        for (spoil, expected) in cases {
            let mut config = good();
            spoil(&mut config);
            let refused = config.check().unwrap_err().to_string();
            assert!(refused.contains(expected), "{refused}");
        }
        for (command, env) in [("", "A"), ("x\0", "A"), ("x", "A=B"), ("x", "")] {
            let mut config = ServerConfig::stdio("s", command, ["a"]);
            if let Transport::Stdio { env: own, .. } = &mut config.transport {
                own.insert(env.into(), "1".into());
            }
            assert!(config.check().is_err(), "{command:?} {env:?}");
        }
        for url in ["", "ftp://x", "http://", "http:///x", "https://a b"] {
            assert!(ServerConfig::http("s", url).check().is_err(), "{url:?}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let mut config = ServerConfig::stdio("s", "server", ["--token=hush"]);
        if let Transport::Stdio { env, .. } = &mut config.transport {
            env.insert("TOKEN".into(), "hush".into());
        }
        let mut far = ServerConfig::http("s", "https://me:hush@host/mcp?key=hush");
        if let Transport::Http { headers, .. } = &mut far.transport {
            headers.insert("Authorization".into(), "hush".into());
        }
        let shown = format!("{config:?} {far:?}");
        assert!(!shown.contains("hush"), "{shown}");
        assert!(
            shown.contains("TOKEN") && shown.contains("https://host/mcp"),
            "{shown}"
        );
    }
}
