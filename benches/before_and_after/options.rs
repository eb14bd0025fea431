//! The command line: how much, and for whose eyes.

use std::path::PathBuf;

use clap::Parser;

const EXAMPLES: &str = "\
Examples, behind `cargo bench -p paraphym_benches --bench before_and_after -- `:
  everything, three minutes:  (nothing)
  a look while working:       --quick
  the pictures of the docs:   --plots=docs/img
  for a program:              --json > figures.json";

/// Nine threads as they were, and the tree that stands in their place, on the same work.
#[derive(Clone, Debug, Parser)]
#[command(name = "before_and_after", after_help = EXAMPLES)]
pub(crate) struct Options {
    /// Less of everything, half a minute. Says where to look, decides nothing.
    #[arg(long)]
    pub(crate) quick: bool,
    /// One JSON value instead of the table.
    #[arg(long)]
    pub(crate) json: bool,
    /// Draws what was measured into this folder, as SVG.
    #[arg(long, value_name = "DIR")]
    pub(crate) plots: Option<PathBuf>,
    /// Cargo says so to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    /// The name of the sizes.
    pub(crate) fn sizes(&self) -> &'static str {
        if self.quick { "quick" } else { "full" }
    }
}
