//! The words of the command line, and nothing of what they do.
#![allow(
    clippy::doc_markdown,
    reason = "these comments are shown as help, where backticks would be noise"
)]

mod config;
mod ctl;
mod history;
mod memory;
mod model;
mod talk;
mod token;
mod top;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use domain::{Bytes, ModelName};

use crate::size::parse_size;
pub(crate) use config::{ConfigAction, Configs};
pub(crate) use ctl::{Ctl, CtlConfig, CtlConnections, Fault, Limited, Verb, loudness};
pub(crate) use history::{Export, Histories, HistoryAction};
pub(crate) use memory::{Memories, MemoryAction, Whose};
pub(crate) use model::{ModelAction, Models};
pub(crate) use talk::{Ask, Chat, Choices, Documents, Thread};
pub(crate) use token::{TokenAction, Tokens};
pub(crate) use top::Top;

/// A local AI chat: models answer on this machine, and nothing leaves it.
#[derive(Debug, Parser)]
#[command(
    name = "paraphym",
    version,
    about,
    long_about = None,
    arg_required_else_help = true,
    propagate_version = true,
    after_help = EXAMPLES
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) machine: Machine,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  paraphym ask \"Give me three tips for staying healthy.\"
  git log -1 | paraphym ask \"What does this change?\"
  paraphym chat --system \"You answer in one sentence.\"
  paraphym serve --bind 127.0.0.1:7007

Exit status: 0 answered, 1 failed, 2 bad usage, 3 no server to control, 4 ended with
something unfinished, 129 hung up, 130 interrupted, 143 terminated.";

/// What holds for every command. What can be set for good is only a flag here: variables are read with the settings.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Machine {
    /// Where models lie [default: $XDG_DATA_HOME/paraphym/models] [env: PARAPHYM_MODELS_DIR]
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) models_dir: Option<PathBuf>,
    /// The most memory models may take, for example 2GiB [default: what the machine has] [env: PARAPHYM_MEMORY_LIMIT]
    #[arg(
        long,
        value_name = "SIZE",
        value_parser = parse_size,
        global = true
    )]
    pub(crate) memory_limit: Option<Bytes>,
    /// What is logged on standard error, for example info or supervision=debug,warn [env: PARAPHYM_LOG]
    #[arg(long, value_name = "FILTER", global = true)]
    pub(crate) log: Option<String>,
    /// How a log line looks: text for people, or json, an object a line [default: text] [env: PARAPHYM_LOG_FORMAT]
    #[arg(long, value_name = "FORMAT", value_enum, global = true)]
    pub(crate) log_format: Option<Format>,
    /// The settings file [default: $XDG_CONFIG_HOME/paraphym/config.toml]
    #[arg(
        long,
        value_name = "FILE",
        env = "PARAPHYM_CONFIG",
        hide_env_values = true,
        global = true
    )]
    pub(crate) config: Option<PathBuf>,
    /// Sets one setting for this command alone, such as model.keep_alive=1h; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE", global = true)]
    pub(crate) settings: Vec<String>,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

impl Format {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Ask one question and get one answer
    #[command(after_help = "\
Examples:
  paraphym ask \"What is a monad?\"
  paraphym ask --max-tokens 100 --temperature 0.7 --seed 3 \"Tell me a story.\"
  paraphym ask \"Summarise this:\" < notes.txt
  paraphym ask --json \"Hello\" | jq -r 'select(.event == \"text\").text'
  paraphym ask --document 'docs/**/*.md' \"How is it installed?\"
  paraphym ask --conversation trip \"We leave on Friday.\"
  paraphym ask --continue \"When do we leave?\"

No conversation is kept, unless it has a name. A question that broke off goes on with
`paraphym ask --continue` without a text.")]
    Ask(Ask),
    /// Talk with the model, with history; /help tells the commands
    #[command(after_help = "\
Examples:
  paraphym chat
  paraphym chat --model ./qwen2.5-0.5b-instruct-q4_k_m.gguf --temperature 0.7
  paraphym chat --continue
  paraphym chat --agent coder --document 'src/**/*.rs'

What is said is kept: `paraphym history list` shows it, --continue goes on with it.

Ctrl-C stops the answer, a second one leaves, a third leaves at once. Ctrl-D leaves.")]
    Chat(Chat),
    /// Models on this machine: pull, list, show, remove
    #[command(arg_required_else_help = true)]
    Model(Models),
    /// Look at everything that is needed, and say what to do where something is missing
    Doctor(Doctor),
    /// Answer over HTTP until told to stop: OpenAI's chat completions, health and metrics
    #[command(after_help = "\
Examples:
  paraphym serve
  paraphym serve --bind 127.0.0.1:7008 --store ~/second.db
  curl -s localhost:7007/v1/chat/completions -H 'content-type: application/json' \\
    -d '{\"model\":\"smollm2-135m-instruct\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}'

Off loopback a token is needed: `paraphym token new` makes one.

Who changed what over the control socket is kept in a file that outlives the server: `paraphym ctl audit`
shows it. One server has it at a time; a second one names another with --store.

The settings file is read again when it changes, and on SIGHUP, which ends the server only if its terminal is gone.")]
    Serve(Serve),
    /// Tokens of those who may ask over HTTP: make, list, revoke
    #[command(
        arg_required_else_help = true,
        after_help = "\
Examples:
  paraphym token new --name laptop
  paraphym token new --name ci --rpm 60 --concurrent 2
  paraphym token list
  paraphym token revoke laptop

On loopback nobody needs one until one was made; off loopback everybody does. Clients send it as
`Authorization: Bearer sk-paraphym-...`, which is what OpenAI's clients do with their API key."
    )]
    Token(Tokens),
    /// Settings: show, change, undo, check
    #[command(
        arg_required_else_help = true,
        after_help = "\
Examples:
  paraphym config get model.temperature
  paraphym config set model.temperature=0.7 chat.idle=15m
  paraphym config set --expect 12 memory.limit=4GiB
  paraphym config set --dry-run chat.idle=15m
  paraphym config set agents.coder.system \"You write Rust.\"
  paraphym config edit
  paraphym config history
  paraphym config rollback 11

Flags win over variables (PARAPHYM_MODEL__TEMPERATURE=0.7), these over the file,
and the file over the defaults. A running server takes over what is changed."
    )]
    Config(Configs),
    /// Conversations: list, read, search, export, import, remove
    #[command(
        arg_required_else_help = true,
        after_help = "\
Examples:
  paraphym history list
  paraphym history show 20261123-091500-k3f
  paraphym history search \"blue whale\"
  paraphym history export --all --output conversations.json
  paraphym history import conversations.json
  paraphym history rm 20261123-091500-k3f"
    )]
    History(Histories),
    /// What agents remember: list, search, add, remove
    #[command(
        arg_required_else_help = true,
        after_help = "\
Examples:
  paraphym memory add \"The garage code is under the mat.\"
  paraphym memory list --agent coder
  paraphym memory search \"How do I get into the garage?\"
  paraphym memory rm 17
  paraphym memory documents

An agent remembers and recalls once it may: paraphym config set agents.default.memory=true"
    )]
    Memory(Memories),
    /// Look at a running server and steer it: tree, models, events, limits, settings, its end
    #[command(arg_required_else_help = true, after_help = ctl::EXAMPLES)]
    Ctl(Ctl),
    /// A running server as it moves: actors, models, requests, memory, events
    #[command(after_help = top::EXAMPLES)]
    Top(Top),
    /// Completions of the command line, for a shell
    #[command(after_help = "\
Examples:
  paraphym completions bash > ~/.local/share/bash-completion/completions/paraphym
  paraphym completions zsh > ~/.zfunc/_paraphym")]
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// The page for man
    #[command(after_help = "\
Examples:
  paraphym man | man -l -
  paraphym man ctl | man -l -")]
    Man {
        /// A command, such as ctl [default: the program]
        command: Vec<String>,
    },
}

/// A number of things, at least one.
fn count(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| *count >= 1);
    count.ok_or_else(|| "use a whole number from 1".to_owned())
}

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Which model to look for [env: PARAPHYM_MODEL]
    #[arg(short, long, value_name = "NAME|PATH", value_parser = model_name)]
    pub(crate) model: Option<ModelName>,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// The address to listen on [default: 127.0.0.1:7007] [env: PARAPHYM_BIND]
    #[arg(long, value_name = "ADDR")]
    pub(crate) bind: Option<SocketAddr>,
    /// The model that answers when a request names none [env: PARAPHYM_MODEL]
    #[arg(short, long, value_name = "NAME|PATH", value_parser = model_name)]
    pub(crate) model: Option<ModelName>,
    /// The socket that `paraphym ctl` speaks to, or off [default: $XDG_RUNTIME_DIR/paraphym/control.sock, or
    /// /tmp/paraphym-UID/control.sock; a second server goes without]
    #[arg(long, value_name = "PATH|off")]
    pub(crate) control: Option<PathBuf>,
    /// The file that keeps the audit log, or off: in memory, gone with the server
    /// [default: $XDG_DATA_HOME/paraphym/server.db]
    #[arg(long, value_name = "PATH|off")]
    pub(crate) store: Option<PathBuf>,
    /// Allow `paraphym ctl chaos`: faults on purpose, to see what the server makes of them
    #[arg(long)]
    pub(crate) allow_chaos: bool,
}

#[allow(clippy::unnecessary_wraps, reason = "clap wants a Result")]
fn model_name(text: &str) -> Result<ModelName, std::convert::Infallible> {
    Ok(ModelName::new(text))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_definitions_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_question_with_every_choice_is_read() {
        let cli = parse(
            "paraphym ask -m tiny -s short -t 0.5 --max-tokens 9 --seed 7 --top-k 3 --top-p 0.9 --min-p 0.1 \
             --repetition-penalty 1.2 --stop a --stop b --json --memory-limit 2GiB --models-dir /m how are you",
        )
        .unwrap();
        assert_eq!(cli.machine.memory_limit, Some(Bytes(2 << 30)));
        assert_eq!(cli.machine.models_dir, Some("/m".into()));
        let Command::Ask(ask) = cli.command else {
            panic!("not ask");
        };
        assert_eq!(ask.text, ["how", "are", "you"]);
        assert!(ask.json);
        let choices = ask.choices;
        assert_eq!(choices.model, Some(ModelName::new("tiny")));
        assert_eq!(choices.temperature, Some(0.5));
        assert_eq!((choices.max_tokens, choices.seed), (Some(9), Some(7)));
        assert_eq!(choices.stop, ["a", "b"]);
    }

    #[test]
    fn bad_usage_is_refused() {
        for (line, kind) in [
            (
                "paraphym",
                ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand,
            ),
            ("paraphym sing", ErrorKind::InvalidSubcommand),
            (
                "paraphym ask --temperature hot x",
                ErrorKind::ValueValidation,
            ),
            ("paraphym ask --max-tokens -1 x", ErrorKind::UnknownArgument),
            (
                "paraphym ask --greedy --temperature 1 x",
                ErrorKind::ArgumentConflict,
            ),
            (
                "paraphym ask --memory-limit much x",
                ErrorKind::ValueValidation,
            ),
            ("paraphym serve --bind here", ErrorKind::ValueValidation),
            (
                "paraphym model",
                ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand,
            ),
            ("paraphym model show", ErrorKind::MissingRequiredArgument),
            ("paraphym --help", ErrorKind::DisplayHelp),
            ("paraphym --version", ErrorKind::DisplayVersion),
        ] {
            assert_eq!(
                parse(line).map(|_| ()).map_err(|e| e.kind()),
                Err(kind),
                "{line}"
            );
        }
    }

    #[test]
    fn the_server_listens_where_the_settings_say_unless_told() {
        let Ok(Cli {
            command: Command::Serve(serve),
            ..
        }) = parse("paraphym serve")
        else {
            panic!("not serve");
        };
        assert_eq!(serve.bind, None);
    }
}
