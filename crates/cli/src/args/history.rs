//! What `paraphym history` takes: conversations are listed, read, searched, brought elsewhere and back, removed.
#![allow(
    clippy::doc_markdown,
    reason = "these comments are shown as help, where backticks would be noise"
)]

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::count;
use crate::history::export::Format;

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
