//! The settings file in an editor: on a copy, checked before it holds, and never over what somebody else wrote meanwhile.

use std::fs::OpenOptions;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;

use chat_config::file::{FileError, RealDisk, SettingsFile};
use chat_config::{Catalogue, Layers, Refusals};
use paraphym_candle::signals::Signal;
use tokio::io::AsyncReadExt;
use tokio::process::Command;

use super::{file, who};
use crate::failure::Failure;
use crate::out::note;
use crate::settings::{author, refused};
use crate::stage::{Stage, leave_now};

/// What a new file begins with: nothing that is set, and where to find what could be.
const EMPTY: &str = "\
# Paraphym's settings. `paraphym config get` lists all there are, with their defaults;
# `paraphym config schema` prints the JSON Schema. For example:
# [model]
# temperature = 0.5
";

/// Lets a person edit the file, as often as they like, until it is right or they give up.
pub(super) async fn edit(stage: &mut Stage) -> Result<(), Failure> {
    let path = file(stage)?;
    let editor = editor()?;
    let before = read(&path)?;
    let copy = Copy::make(&path, before.as_deref().unwrap_or(EMPTY))?;
    let text = loop {
        open(stage, &editor, copy.path()).await?;
        let text = read(copy.path())?.unwrap_or_default();
        if Some(text.as_str()) == before.as_deref() || (before.is_none() && text == EMPTY) {
            copy.remove();
            return stage.out.aside("nothing was changed").await;
        }
        let Err(refusals) = checked(&path, &text) else {
            break text;
        };
        for refusal in refusals.iter() {
            note(&refusal.to_string());
        }
        if !again(stage).await? {
            return Err(copy.kept("it is not accepted as it is"));
        }
    };
    replace(&path, before.as_deref(), &text, &copy)?;
    copy.remove();
    let said = recorded(path);
    stage.out.aside(&said?).await
}

/// A settings file's text; none if there is no file.
pub(super) fn read(path: &Path) -> Result<Option<String>, Failure> {
    let file = SettingsFile::new(path.to_owned(), Arc::new(RealDisk));
    file.read()
        .map_err(|error| Failure::failed(error, "check the path and who may read it"))
}

/// Whether the file would be accepted with this text. What variables and flags say is not asked: they are of this process.
fn checked(path: &Path, text: &str) -> Result<(), Refusals> {
    let catalogue = Catalogue::new();
    let layers = Layers::new(&catalogue, path.to_owned(), [], &[])?;
    layers.read(&catalogue, text).map(drop)
}

/// Puts the edited text in the file's place, comments and all.
fn replace(path: &Path, before: Option<&str>, text: &str, copy: &Copy) -> Result<(), Failure> {
    let file = SettingsFile::new(path.to_owned(), Arc::new(RealDisk));
    let replaced = file.lock().and_then(|_lock| file.replace(before, text));
    replaced.map_err(|error| match error {
        FileError::Edited { .. } => {
            copy.kept("somebody else changed the settings while you edited them")
        }
        error => copy.kept(&error.to_string()),
    })
}

/// Writes down whose work it was, and says which revision it is.
fn recorded(path: PathBuf) -> Result<String, Failure> {
    let catalogue = Arc::new(Catalogue::new());
    let layers = Layers::new(&catalogue, path, [], &[]).map_err(|wrong| refused(&wrong))?;
    let store = chat_config::Store::open(catalogue, layers, Arc::new(RealDisk), author(&who()));
    let revision = store.map_err(|wrong| refused(&wrong))?.current();
    Ok(format!("revision {}", revision.number))
}

/// `$VISUAL`, else `$EDITOR`, as git and others have it.
fn editor() -> Result<String, Failure> {
    let named = ["VISUAL", "EDITOR"]
        .iter()
        .filter_map(|name| std::env::var(name).ok());
    let mut named = named.filter(|editor| !editor.trim().is_empty());
    named.next().ok_or_else(|| {
        Failure::usage(
            "neither VISUAL nor EDITOR names an editor",
            "for example: EDITOR=nano paraphym config edit",
        )
    })
}

/// Runs the editor to its end. A shell reads its name, because it may have arguments of its own.
async fn open(stage: &mut Stage, editor: &str, path: &Path) -> Result<(), Failure> {
    let failed = |error: &io::Error| {
        let what = format!("the editor {editor:?} cannot be run: {error}");
        Failure::failed(what, "set EDITOR to one that is here")
    };
    let mut child = Command::new("/bin/sh")
        .arg("-c")
        .arg(format!("{editor} \"$@\""))
        .arg("paraphym-editor")
        .arg(path)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(&error))?;
    let status: ExitStatus = loop {
        tokio::select! {
            status = child.wait() => break status.map_err(|error| failed(&error))?,
            signal = stage.signals.next() => match signal {
                // The editor hears Ctrl-C as well, and knows what it means there.
                Signal::Interrupt { .. } => {}
                end => return Err(stage.meaning_of(end)),
            },
        }
    };
    if status.success() {
        return Ok(());
    }
    let what = format!("the editor {editor:?} ended with {status}");
    Err(Failure::failed(
        what,
        "nothing was changed; set EDITOR to one that is here",
    ))
}

/// Whether to go on editing; nobody to ask is a no.
async fn again(stage: &mut Stage) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Ok(false);
    }
    note("go on editing? [Y/n]");
    let answer = async {
        let mut input = tokio::io::stdin();
        let mut line = Vec::new();
        let mut byte = [0_u8];
        while line.len() < 16 && input.read(&mut byte).await? == 1 && byte != *b"\n" {
            line.extend(byte);
        }
        Ok::<_, io::Error>(line)
    };
    match stage.unless_signalled(answer).await {
        Ok(Ok(line)) => Ok(!line.trim_ascii().to_ascii_lowercase().starts_with(b"n")),
        Ok(Err(_)) => Ok(false),
        // The thread that reads cannot be told to stop.
        Err(signal) => leave_now(signal.code()),
    }
}

/// What is edited: beside the file, for its owner's eyes.
struct Copy(PathBuf);

impl Copy {
    fn make(file: &Path, text: &str) -> Result<Self, Failure> {
        let mut name = file.as_os_str().to_owned();
        // Ends as the file does, so that an editor knows what it is.
        name.push(format!(".edit-{}.toml", std::process::id()));
        let path = PathBuf::from(name);
        let written = path
            .parent()
            .map_or(Ok(()), std::fs::create_dir_all)
            .and_then(|()| {
                let mut options = OpenOptions::new();
                options.write(true).create_new(true);
                std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
                options.open(&path)?.write_all(text.as_bytes())
            });
        written.map(|()| Self(path.clone())).map_err(|error| {
            let what = format!("{} cannot be written: {error}", path.display());
            Failure::failed(
                what,
                "check who may write there, or name another file with --config",
            )
        })
    }

    fn path(&self) -> &Path {
        &self.0
    }

    fn remove(&self) {
        // What is left behind does no harm.
        let _ = std::fs::remove_file(&self.0);
    }

    /// Nothing was changed, and nothing is lost.
    fn kept(&self, why: &str) -> Failure {
        let what = format!("nothing was changed: {why}");
        let way_out = format!("your text is kept in {}", self.0.display());
        Failure::failed(what, way_out)
    }
}
