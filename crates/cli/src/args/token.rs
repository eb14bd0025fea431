//! What `paraphym token` takes: tokens of those who may ask over HTTP are made, listed, revoked.
#![allow(
    clippy::doc_markdown,
    reason = "these comments are shown as help, where backticks would be noise"
)]

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub(crate) struct Tokens {
    #[command(subcommand)]
    pub(crate) action: TokenAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenAction {
    /// Make a token and show it, once: only its hash is kept
    New {
        /// What to call it, of letters, digits, - and _
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// At most so many requests a minute [default: server.requests_per_minute]
        #[arg(long, value_name = "N")]
        rpm: Option<u32>,
        /// At most so many answers at once [default: server.concurrent]
        #[arg(long, value_name = "N")]
        concurrent: Option<u32>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// List tokens, the oldest first; none is shown itself
    #[command(visible_alias = "ls")]
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Take a token back; a running server knows within a second
    #[command(visible_alias = "rm")]
    Revoke {
        /// Its name or its id
        #[arg(value_name = "NAME|ID")]
        which: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}
