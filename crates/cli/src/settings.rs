//! The settings a command runs with: flags over variables over the file over the defaults, opened once before anything
//! runs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use chat_config::file::RealDisk;
use chat_config::{Author, Catalogue, Layers, Refusals, Store};
use domain::Bytes;

use crate::args::Machine;
use crate::failure::Failure;

const WAY_OUT: &str =
    "`paraphym config check` tells all that is wrong; `paraphym config edit` mends the file";

/// Opens the settings. A file that was named has to be there.
pub(crate) fn open(machine: &Machine) -> Result<Store, Failure> {
    let found = place(machine);
    if let (Some(named), true) = (&machine.config, found.is_some())
        && !named.exists()
    {
        return Err(Failure::failed(
            format_args!("the settings file {} is not here", named.display()),
            "check the path, or make it with `paraphym config set`",
        ));
    }
    match found {
        Some(file) => open_at(machine, file, "the start"),
        None => without_file(machine),
    }
}

/// Opens the settings of this file, under a name for what nobody wrote down.
pub(crate) fn open_at(machine: &Machine, file: PathBuf, who: &str) -> Result<Store, Failure> {
    let catalogue = Arc::new(Catalogue::new());
    let layers = Layers::new(&catalogue, file, environment(), &flags(machine))
        .map_err(|wrong| refused(&wrong))?;
    Store::open(catalogue, layers, Arc::new(RealDisk), author(who)).map_err(|wrong| refused(&wrong))
}

/// There is no home to look for a file in: variables and flags hold all the same.
fn without_file(machine: &Machine) -> Result<Store, Failure> {
    Store::without_file(environment(), &flags(machine), author("the start"))
        .map_err(|wrong| refused(&wrong))
}

/// Where the settings file is, or would be; none where there is no home and none was named.
pub(crate) fn place(machine: &Machine) -> Option<PathBuf> {
    let folder = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let config =
        || folder("XDG_CONFIG_HOME").or_else(|| folder("HOME").map(|home| home.join(".config")));
    let usual = || config().map(|config| config.join("paraphym").join("config.toml"));
    machine.config.clone().or_else(usual)
}

/// What was said on the command line, as settings.
fn flags(machine: &Machine) -> Vec<String> {
    let Machine {
        models_dir,
        memory_limit,
        log,
        log_format,
        settings,
        ..
    } = machine;
    let dir = models_dir
        .as_ref()
        .map(|dir| format!("model.models_dir={}", dir.display()));
    let limit = memory_limit.map(|Bytes(limit)| format!("memory.limit={limit}"));
    let log = log.as_ref().map(|log| format!("telemetry.log={log}"));
    let format = log_format.map(|format| format!("telemetry.log_format={}", format.as_str()));
    let named = [dir, limit, log, format].into_iter().flatten();
    named.chain(settings.iter().cloned()).collect()
}

/// The environment as text; what is no text is no setting of ours.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// Who changes something now.
pub(crate) fn author(who: &str) -> Author {
    Author {
        who: who.to_owned(),
        at: SystemTime::now(),
    }
}

/// All that is wrong, in one failure.
pub(crate) fn refused(refusals: &Refusals) -> Failure {
    let hint = match refusals.iter().count() {
        1 => WAY_OUT.to_owned(),
        n => format!("that is {n} settings; {WAY_OUT}"),
    };
    Failure::usage(refusals.to_string().replace('\n', "; "), hint)
}
