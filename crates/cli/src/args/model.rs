//! What `paraphym model` takes: models are brought, listed, shown, removed.
#![allow(
    clippy::doc_markdown,
    reason = "these comments are shown as help, where backticks would be noise"
)]

use clap::{Args, Subcommand};
use domain::ModelName;

use super::model_name;

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
