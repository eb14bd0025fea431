//! What `paraphym config` takes: settings are shown, changed, undone and checked.
#![allow(
    clippy::doc_markdown,
    reason = "these comments are shown as help, where backticks would be noise"
)]

use std::path::PathBuf;

use clap::{Args, Subcommand};

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

#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Expect {
    /// Refuse if another revision than this one holds: somebody else was faster
    #[arg(long, value_name = "REVISION")]
    pub(crate) expect: Option<u64>,
    /// Check everything, only say what would change, and when it would be felt
    #[arg(long)]
    pub(crate) dry_run: bool,
}
