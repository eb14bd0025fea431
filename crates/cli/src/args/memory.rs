//! What `paraphym memory` takes: what agents remember is listed, looked for, added, forgotten.
#![allow(
    clippy::doc_markdown,
    reason = "these comments are shown as help, where backticks would be noise"
)]

use clap::{Args, Subcommand};

use super::count;

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
    /// Forget memories, or a document, for good
    Rm {
        /// Numbers from `paraphym memory list`
        #[arg(
            value_name = "NUMBER",
            required_unless_present_any = ["all", "document"],
            conflicts_with_all = ["all", "document"]
        )]
        ids: Vec<i64>,
        /// All that the agent remembers
        #[arg(long, conflicts_with = "document")]
        all: bool,
        /// The document of this path, from `paraphym memory documents`
        #[arg(long, value_name = "PATH")]
        document: Option<String>,
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
