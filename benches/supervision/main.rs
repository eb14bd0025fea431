//! What supervision costs: tell, ask, spawn, bytes, restart, crashes and stop, in one run against raw tokio, kameo, kameo's
//! own supervision, actix and ractor. `benches/README.md` says what each figure means.
//!
//! ```sh
//! cargo bench --package paraphym_benches --bench supervision -- --help
//! ```

mod actix_peer;
mod alone;
mod ask;
mod bare_kameo;
mod bounds;
mod crashes;
mod crowd;
mod kameo_counter;
mod kameo_supervise;
mod lane;
mod measures;
mod memory;
mod options;
mod ours;
mod passing;
mod peer;
mod percentile;
mod ractor_peer;
mod raw_tokio;
mod restart;
mod rounds;
mod sizes;
mod table;
mod tell;

use std::error::Error;
use std::io::Write;

use clap::Parser;

use crate::options::Options;
use crate::peer::Failure;

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    peer::hush();
    let outcome = runtime::run(&runtime::RuntimeOptions::default(), |runtime| {
        on_one_thread(whole(options, runtime.workers()))
    })?;
    outcome.map_err(|failure| -> Box<dyn Error> { failure })
}

/// actix's actors are bound to a thread: this one.
#[allow(
    clippy::disallowed_types,
    reason = "actix runs nowhere else; nothing of ours is in it"
)]
async fn on_one_thread<F: Future>(whole: F) -> F::Output {
    tokio::task::LocalSet::new().run_until(whole).await
}

async fn whole(options: Options, workers: usize) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    let chosen = options.chosen();
    let mut groups = Vec::new();
    for measure in chosen {
        groups.extend(measure.groups(options.sizes()));
    }
    if let Some(which) = &options.alone {
        writeln!(out, "{}", alone::answer(&groups, which).await?)?;
        return Ok(());
    }
    if !options.json {
        writeln!(out, "{workers} workers")?;
    }
    let mut reports = Vec::new();
    for group in groups {
        let report = rounds::run(group, options.quick).await?;
        if !options.json {
            write!(out, "{}", table::group(&report))?;
            out.flush()?;
        }
        reports.push(report);
    }
    let verdicts = bounds::verdicts(&reports);
    if options.json {
        writeln!(out, "{:#}", table::json(&reports, &verdicts, workers))?;
    } else {
        write!(out, "{}", table::must_hold(&verdicts))?;
    }
    Ok(())
}
