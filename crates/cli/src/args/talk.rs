//! What `paraphym ask` and `paraphym chat` take: who answers, how, in which conversation, from which documents.
#![allow(
    clippy::doc_markdown,
    reason = "these comments are shown as help, where backticks would be noise"
)]

use clap::Args;
use domain::ModelName;

use super::model_name;

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
