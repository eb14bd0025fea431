//! Nine threads that sleep and poll, against the tree of actors in their place: threads, wake-ups, the time to stop, memory and
//! reaction with many connections, how exactly silence is noticed, and what a panic leaves. Each world in a process of its own,
//! in alternation, on the same work. `docs/before_and_after.md` says what came of it.
//!
//! ```sh
//! cargo bench --package paraphym_benches --bench before_and_after -- --help
//! ```

mod alone;
mod broken;
mod client;
mod crowd;
mod idle;
mod lane;
mod new_world;
mod old_session;
mod old_state;
mod old_world;
mod options;
mod outcomes;
mod panics;
mod plan;
mod plots;
mod process;
mod rows;
mod silence;
mod sizes;
mod spread;
mod stop;
mod table;
mod world;

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Parser;

use crate::lane::Failure;
use crate::options::Options;
use crate::plan::Run;
use crate::sizes::Sizes;

fn main() -> Result<(), Box<dyn Error>> {
    let outcome = if let Ok(told) = std::env::var(alone::TOLD) {
        fresh(&told)
    } else {
        let options = Options::parse();
        runtime::run(&runtime::RuntimeOptions::default(), |runtime| {
            whole(options, runtime.workers())
        })?
    };
    outcome.map_err(|failure| -> Box<dyn Error> { failure })
}

/// In a fresh process: one line, for the one that started it.
fn fresh(told: &str) -> Result<(), Failure> {
    writeln!(std::io::stdout(), "{}", alone::answer(told)?)?;
    Ok(())
}

async fn whole(options: Options, workers: usize) -> Result<(), Failure> {
    let named = options.sizes();
    let sizes = Sizes::named(named).ok_or("no such sizes")?;
    let folder = options.plots.as_deref().map(from_the_tree);
    // Before minutes are spent: a folder that cannot be is said at once.
    if let Some(folder) = &folder {
        std::fs::create_dir_all(folder)
            .map_err(|error| format!("--plots={}: {error}; name a folder", folder.display()))?;
    }
    let run = Run {
        named,
        arguments: &[],
    };
    let outcomes = plan::run(&sizes, run, |done| {
        // How far it is, for whoever waits; it is no figure.
        let _ = writeln!(std::io::stderr(), "{done}");
    });
    let outcomes = outcomes.await?;
    let rows = rows::all(&outcomes, &sizes);
    let text = if options.json {
        format!("{:#}", table::json(&rows, &outcomes, workers))
    } else {
        format!("{workers} workers\n{}", table::lines(&rows))
    };
    writeln!(std::io::stdout(), "{text}")?;
    // Behind the figures, which are there whatever becomes of the pictures.
    folder.map_or(Ok(()), |folder| plots::draw(&folder, &outcomes, &sizes))
}

/// Cargo runs a bench in its package's folder; what is named on the command line is meant from the tree's.
fn from_the_tree(folder: &Path) -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).join(folder)
}
