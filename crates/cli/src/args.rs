//! The words of the command line, and nothing of what they do.
#![allow(
    clippy::doc_markdown,
    reason = "these comments are shown as help, where backticks would be noise"
)]

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use domain::{Bytes, ModelName};

use crate::history::export::Format;
use crate::size::parse_size;

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

Exit status: 0 answered, 1 failed, 2 bad usage, 129 hung up, 130 interrupted,
143 terminated.";

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

Nothing of it is kept, unless the conversation has a name. A question that broke off goes on with
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
  curl -s localhost:7007/v1/chat/completions -H 'content-type: application/json' \\
    -d '{\"model\":\"smollm2-135m-instruct\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}'

The settings file is read again when it changes, and on SIGHUP, which ends the server only if its terminal is gone.")]
    Serve(Serve),
    /// Settings: show, change, undo, check
    #[command(
        arg_required_else_help = true,
        after_help = "\
Examples:
  paraphym config get model.temperature
  paraphym config set model.temperature=0.7 chat.idle=15m
  paraphym config set --expect 12 memory.limit=4GiB
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
}

/// Which model answers, and how.
#[derive(Clone, Debug, Default, PartialEq, Args)]
pub(crate) struct Choices {
    /// A name from `paraphym model list`, the path of a GGUF file, or hf:OWNER/REPO/FILE.gguf [env: PARAPHYM_MODEL]
    #[arg(short, long, value_name = "NAME|PATH", value_parser = model_name)]
    pub(crate) model: Option<ModelName>,
    /// Which agent of the settings answers: its instructions, model and sampling [default: default]
    #[arg(short, long, value_name = "NAME")]
    pub(crate) agent: Option<String>,
    /// Standing instructions [env: PARAPHYM_SYSTEM]
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) system: Option<String>,
    /// 0 always takes the likeliest word; 2 is wild [default: 0.2] [env: PARAPHYM_TEMPERATURE]
    #[arg(short, long, value_name = "0..2")]
    pub(crate) temperature: Option<f32>,
    /// At most this many tokens are answered [default: 512] [env: PARAPHYM_MAX_TOKENS]
    #[arg(long, value_name = "N")]
    pub(crate) max_tokens: Option<u32>,
    /// The same seed and question give the same answer [default: 0] [env: PARAPHYM_SEED]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Choose among the N likeliest tokens; 0 is all [env: PARAPHYM_TOP_K]
    #[arg(long, value_name = "N")]
    pub(crate) top_k: Option<u32>,
    /// Choose among the likeliest tokens that together have this probability [env: PARAPHYM_TOP_P]
    #[arg(long, value_name = "0..1")]
    pub(crate) top_p: Option<f32>,
    /// Leave out tokens less likely than this share of the likeliest [env: PARAPHYM_MIN_P]
    #[arg(long, value_name = "0..1")]
    pub(crate) min_p: Option<f32>,
    /// Above 1, words already said become less likely [default: 1.1] [env: PARAPHYM_REPETITION_PENALTY]
    #[arg(long, value_name = "0.5..2")]
    pub(crate) repetition_penalty: Option<f32>,
    /// Always the likeliest token, without any penalty: what a reference implementation would say
    #[arg(long, conflicts_with_all = ["temperature", "top_k", "top_p", "min_p", "repetition_penalty"])]
    pub(crate) greedy: bool,
    /// Stop before this text; may be given several times
    #[arg(long, value_name = "TEXT")]
    pub(crate) stop: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Ask {
    /// The question; what comes on standard input is added to it, or is it
    #[arg(value_name = "TEXT")]
    pub(crate) text: Vec<String>,
    #[command(flatten)]
    pub(crate) choices: Choices,
    #[command(flatten)]
    pub(crate) thread: Thread,
    #[command(flatten)]
    pub(crate) documents: Documents,
    /// One JSON object a line for every event, for programs
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Chat {
    #[command(flatten)]
    pub(crate) choices: Choices,
    #[command(flatten)]
    pub(crate) thread: Thread,
    #[command(flatten)]
    pub(crate) documents: Documents,
    /// Keep nothing: no history, and no memories are read or written
    #[arg(long, conflicts_with_all = ["conversation", "go_on"])]
    pub(crate) private: bool,
}

/// Which conversation it is.
#[derive(Clone, Debug, Default, PartialEq, Args)]
pub(crate) struct Thread {
    /// The conversation of this name; made, if there is none
    #[arg(long, value_name = "NAME", conflicts_with = "go_on")]
    pub(crate) conversation: Option<String>,
    /// The conversation that was talked in last; goes on with its answer, if that broke off
    #[arg(short = 'c', long = "continue")]
    pub(crate) go_on: bool,
}

/// What is looked up besides.
#[derive(Clone, Debug, Default, PartialEq, Args)]
pub(crate) struct Documents {
    /// A text file to answer from, or a pattern such as 'docs/**/*.md'; may be given several times
    #[arg(short, long = "document", value_name = "FILE|GLOB")]
    pub(crate) documents: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Configs {
    #[command(subcommand)]
    pub(crate) action: ConfigAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigAction {
    /// Show settings, and where each value comes from
    Get {
        /// A setting such as model.temperature, or a section such as model [default: all]
        key: Option<String>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Change settings, all of them or none
    Set {
        /// What to set, such as model.temperature=0.7; one setting may be written as KEY VALUE
        #[arg(value_name = "KEY=VALUE", required = true)]
        changes: Vec<String>,
        #[command(flatten)]
        expect: Expect,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Take settings, or whole sections, back to their defaults
    Reset {
        /// Settings or sections
        #[arg(value_name = "KEY", required = true)]
        keys: Vec<String>,
        #[command(flatten)]
        expect: Expect,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Edit the file with $VISUAL or $EDITOR; it is checked before it holds
    Edit,
    /// Show what is different between two revisions
    Diff {
        /// A revision [default: the one before the last]
        from: Option<u64>,
        /// Another [default: the one that holds]
        to: Option<u64>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show who changed what, and when
    History {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Go back to an earlier revision, by making a new one
    Rollback {
        /// A number from `paraphym config history`
        #[arg(value_name = "REVISION")]
        to: u64,
        #[command(flatten)]
        expect: Expect,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Check the settings, or a file that is none yet
    Check {
        /// A file to check instead
        file: Option<PathBuf>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// The JSON Schema of the file, for editors
    Schema,
    /// Where the file is
    Path {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Memories {
    #[command(subcommand)]
    pub(crate) action: MemoryAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum MemoryAction {
    /// List what an agent remembers, the latest first
    #[command(visible_alias = "ls")]
    List {
        #[command(flatten)]
        whose: Whose,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = count)]
        limit: usize,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Look for something as the agent would, by words and by meaning
    Search {
        /// What to look for
        #[arg(value_name = "TEXT", required = true)]
        text: Vec<String>,
        #[command(flatten)]
        whose: Whose,
        /// At most so many finds
        #[arg(long, value_name = "N", default_value_t = 5, value_parser = count)]
        limit: usize,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Remember something
    Add {
        /// One or two whole sentences
        #[arg(value_name = "TEXT", required = true)]
        text: Vec<String>,
        #[command(flatten)]
        whose: Whose,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Forget memories for good
    Rm {
        /// Numbers from `paraphym memory list`
        #[arg(
            value_name = "NUMBER",
            required_unless_present = "all",
            conflicts_with = "all"
        )]
        ids: Vec<i64>,
        /// All that the agent remembers
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        whose: Whose,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// List the documents that were made findable, the last used first
    Documents {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

/// Whose memories.
#[derive(Debug, Args)]
pub(crate) struct Whose {
    /// Which agent's
    #[arg(short, long, value_name = "NAME", default_value = "default")]
    pub(crate) agent: String,
}

#[derive(Debug, Args)]
pub(crate) struct Histories {
    #[command(subcommand)]
    pub(crate) action: HistoryAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum HistoryAction {
    /// List conversations, the latest first
    #[command(visible_alias = "ls")]
    List {
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = count)]
        limit: usize,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what was said in a conversation
    Show {
        /// A name from `paraphym history list`
        id: String,
        /// Only the last N messages
        #[arg(long, value_name = "N", value_parser = count)]
        last: Option<usize>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Search what was said; all words have to be in one message, and the last may be the beginning of one
    Search {
        /// The words
        #[arg(value_name = "TEXT", required = true)]
        text: Vec<String>,
        /// At most so many finds
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = count)]
        limit: usize,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Write conversations to standard output or a file
    #[command(after_help = "\
Examples:
  paraphym history export 20261123-091500-k3f > talk.md
  paraphym history export --all --output conversations.json
  paraphym history export --all --format csv --output conversations.csv

JSON can be imported again. In CSV, cells that begin as formulas do get an
apostrophe, so that no spreadsheet runs them.")]
    Export(Export),
    /// Store the conversations of a JSON file, all of them or none
    Import {
        /// What `paraphym history export --format json` wrote; - is standard input
        file: PathBuf,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove conversations for good; asks first
    #[command(visible_alias = "remove")]
    Rm {
        /// Names from `paraphym history list`
        #[arg(value_name = "ID", required = true)]
        ids: Vec<String>,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// Names from `paraphym history list`
    #[arg(
        value_name = "ID",
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    pub(crate) ids: Vec<String>,
    /// All conversations, the oldest first
    #[arg(long)]
    pub(crate) all: bool,
    /// How it is written [default: by the end of the file's name, else md]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<Format>,
    /// The file, which only you may read [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Write over the file if it is there
    #[arg(long, requires = "output")]
    pub(crate) force: bool,
    /// The same as --format json; with --output, what was written is told as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// A number of things, at least one.
fn count(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| *count >= 1);
    count.ok_or_else(|| "use a whole number from 1".to_owned())
}

#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Expect {
    /// Refuse if another revision than this one holds: somebody else was faster
    #[arg(long, value_name = "REVISION")]
    pub(crate) expect: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct Models {
    #[command(subcommand)]
    pub(crate) action: ModelAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelAction {
    /// Bring a model of the catalogue, or any file of Hugging Face
    #[command(after_help = "\
Examples:
  paraphym model pull
  paraphym model pull hf:Qwen/Qwen2.5-0.5B-Instruct-GGUF/qwen2.5-0.5b-instruct-q4_k_m.gguf")]
    Pull {
        /// A catalogue name or hf:OWNER/REPO/FILE.gguf [default: the default model]
        #[arg(value_parser = model_name)]
        name: Option<ModelName>,
        /// One JSON object a line for every event
        #[arg(long)]
        json: bool,
    },
    /// List the models that are here, and those that can be pulled by name
    #[command(visible_alias = "ls")]
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what a model is and where it came from, and compare its checksum
    Show {
        /// A name or path
        #[arg(value_parser = model_name)]
        name: ModelName,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove a model from this machine
    #[command(visible_alias = "remove")]
    Rm {
        /// A name from `paraphym model list`
        #[arg(value_parser = model_name)]
        name: ModelName,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
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
