//! The command line: which measures run, how much of each, and for whose eyes.

use clap::Parser;

use crate::alone;
use crate::measures::Measure;
use crate::sizes::Sizes;

const EXAMPLES: &str = "\
Examples, behind `cargo bench -p paraphym_benches --bench supervision -- `:
  everything, a few minutes:  (nothing)
  a look while working:       --quick ask tell
  for a program:              --json > figures.json";

/// Supervision, measured in one run against raw tokio, kameo, kameo's own supervision, actix and ractor.
#[derive(Clone, Debug, Parser)]
#[command(name = "supervision", after_help = EXAMPLES)]
pub(crate) struct Options {
    /// What to measure; everything if absent.
    pub(crate) measures: Vec<Measure>,
    /// A tenth of the counts and fewer alternations. Says where to look, decides nothing.
    #[arg(long)]
    pub(crate) quick: bool,
    /// One JSON value instead of tables.
    #[arg(long)]
    pub(crate) json: bool,
    /// One run of one lane, for the process that started this one.
    #[arg(long = alone::FLAG, hide = true)]
    pub(crate) alone: Option<String>,
    /// Cargo says so to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    pub(crate) fn sizes(&self) -> Sizes {
        if self.quick {
            Sizes::QUICK
        } else {
            Sizes::FULL
        }
    }

    pub(crate) fn chosen(&self) -> Vec<Measure> {
        let asked = |measure: &Measure| self.measures.is_empty() || self.measures.contains(measure);
        Measure::ALL.into_iter().filter(asked).collect()
    }
}
