//! Settings from the command line: shown, changed, undone, checked. Who changes them at the same time is told, and nothing
//! of theirs is lost.

mod edit;
mod show;

use std::path::{Path, PathBuf};

use chat_config::{Catalogue, Change, ConfigError, Layers, PlanError, Store, Wish, patience};
use serde_json::{Value, json};

use crate::args::ConfigAction;
use crate::failure::Failure;
use crate::out::note;
use crate::render;
use crate::settings::{author, open_at, place, refused};
use crate::stage::Stage;

/// Does one of the actions. With `--json` the last line of a failure is its event, as of every command.
pub(crate) async fn run(stage: &mut Stage, action: &ConfigAction) -> Result<(), Failure> {
    let result = done(stage, action).await;
    if let Err(failure) = &result
        && as_json(action)
    {
        stage.out.json(&render::failed(failure)).await?;
    }
    result
}

async fn done(stage: &mut Stage, action: &ConfigAction) -> Result<(), Failure> {
    match action {
        ConfigAction::Get { key, json } => {
            let text = show::settings(&existing(stage)?, key.as_deref(), *json)?;
            stage.out.text(&text).await
        }
        ConfigAction::Set {
            changes,
            expect,
            json,
        } => {
            let wish = Wish::Update {
                expected: expect.expect,
                changes: wished(changes)?,
            };
            make(stage, wish, expect.dry_run, *json).await
        }
        ConfigAction::Reset { keys, expect, json } => {
            let changes = keys.iter().map(|key| Change::Reset { key: key.clone() });
            let wish = Wish::Update {
                expected: expect.expect,
                changes: changes.collect(),
            };
            make(stage, wish, expect.dry_run, *json).await
        }
        ConfigAction::Rollback { to, expect, json } => {
            let wish = Wish::Rollback {
                expected: expect.expect,
                to: *to,
            };
            make(stage, wish, expect.dry_run, *json).await
        }
        ConfigAction::Edit => edit::edit(stage).await,
        ConfigAction::Diff { from, to, json } => {
            let text = show::diff(&existing(stage)?, *from, *to, *json)?;
            stage.out.text(&text).await
        }
        ConfigAction::History { json } => {
            let text = show::history(&existing(stage)?, *json);
            stage.out.text(&text).await
        }
        ConfigAction::Check { file, json } => {
            let text = check(stage, file.as_deref(), *json)?;
            stage.out.text(&text).await
        }
        ConfigAction::Schema => {
            let schema = Catalogue::new();
            stage.out.text(&format!("{:#}\n", schema.schema())).await
        }
        ConfigAction::Path { json: as_json } => {
            let path = file(stage)?;
            let text = if *as_json {
                format!("{}\n", json!({"file": path, "exists": path.exists()}))
            } else {
                format!("{}\n", path.display())
            };
            stage.out.text(&text).await
        }
    }
}

const fn as_json(action: &ConfigAction) -> bool {
    match action {
        ConfigAction::Get { json, .. }
        | ConfigAction::Set { json, .. }
        | ConfigAction::Reset { json, .. }
        | ConfigAction::Diff { json, .. }
        | ConfigAction::History { json }
        | ConfigAction::Rollback { json, .. }
        | ConfigAction::Check { json, .. }
        | ConfigAction::Path { json } => *json,
        // The schema is JSON in any case, and an edit is for people.
        ConfigAction::Edit | ConfigAction::Schema => false,
    }
}

/// Where the settings file is, or will be.
fn file(stage: &Stage) -> Result<PathBuf, Failure> {
    place(&stage.machine).ok_or_else(|| {
        Failure::failed(
            "there is no home folder to keep a settings file in",
            "name a file with --config FILE",
        )
    })
}

/// Settings to look at: without a file they are the defaults, but one that was named has to be there.
fn existing(stage: &Stage) -> Result<Store, Failure> {
    crate::settings::open(&stage.machine)
}

/// Who is at the keyboard.
fn who() -> String {
    let names = ["USER", "LOGNAME"]
        .iter()
        .filter_map(|name| std::env::var(name).ok());
    let mut names = names.filter(|name| !name.is_empty());
    names.next().unwrap_or_else(|| "paraphym config".to_owned())
}

/// `KEY=VALUE …`, or `KEY VALUE` where the value is long.
fn wished(words: &[String]) -> Result<Vec<Change>, Failure> {
    if let [key, text] = words
        && !key.contains('=')
    {
        let (key, text) = (key.trim().to_owned(), text.clone());
        return Ok(vec![Change::Text { key, text }]);
    }
    words.iter().map(|text| change(text)).collect()
}

/// `model.temperature=0.7`.
fn change(text: &str) -> Result<Change, Failure> {
    let (key, value) = text.split_once('=').ok_or_else(|| {
        Failure::usage(
            format_args!("{text} is not accepted: write it as KEY=VALUE"),
            format!(
                "paraphym config set {text}=VALUE; `paraphym config get {text}` shows what it is"
            ),
        )
    })?;
    Ok(Change::Text {
        key: key.trim().to_owned(),
        text: value.to_owned(),
    })
}

/// Makes a revision, and says what became of it; or only says what would.
async fn make(stage: &mut Stage, wish: Wish, dry_run: bool, as_json: bool) -> Result<(), Failure> {
    let store = open_at(&stage.machine, file(stage)?, &who())?;
    let author = author(&who());
    let text = if dry_run {
        let outlook = patience::rehearse(&store, author, wish).await;
        let outlook = outlook.map_err(failure)?;
        let holds = outlook.holds.number;
        let made = outlook.made.unwrap_or(outlook.holds);
        show::made(&store.catalogue(), holds, &made, true, as_json)
    } else {
        let before = store.current().number;
        // Once begun it is carried through: a signal in between ends the command when it is known what holds.
        let made = patience::perform(&store, author, wish).await;
        let made = made.map_err(failure)?;
        show::made(&store.catalogue(), before, &made, false, as_json)
    };
    stage.out.text(&text).await
}

/// A change that was not made, in two lines.
fn failure(error: ConfigError) -> Failure {
    match error {
        ConfigError::Plan(PlanError::Refused(refusals)) => Failure::usage(
            refusals.to_string().replace('\n', "; "),
            "`paraphym config get KEY` shows what a setting takes",
        ),
        ConfigError::Plan(PlanError::Conflict { expected, current }) => Failure::failed(
            format_args!(
                "the settings are at revision {current}, and this was meant for {expected}: somebody else was faster"
            ),
            format!(
                "see what they did with `paraphym config diff {expected}`, then try again with --expect {current}"
            ),
        ),
        ConfigError::Plan(error @ PlanError::NoRevision { .. }) => {
            Failure::usage(error, "`paraphym config history` lists those that are kept")
        }
        ConfigError::Plan(error @ PlanError::Held { .. }) => Failure::failed(
            error,
            "`paraphym config get` shows where each value comes from",
        ),
        error => Failure::failed(
            error,
            "`paraphym config check` looks at the file, `paraphym config edit` mends it",
        ),
    }
}

/// Whether a file would be accepted; without one, whether the settings are.
fn check(stage: &Stage, other: Option<&Path>, as_json: bool) -> Result<String, Failure> {
    let (path, set) = if let Some(path) = other {
        (path.to_owned(), set_by(path)?)
    } else {
        let store = existing(stage)?;
        let path = place(&stage.machine).unwrap_or_default();
        (path, store.current().own().len())
    };
    Ok(if as_json {
        let value: Value = json!({"ok": true, "file": path, "set": set});
        format!("{value}\n")
    } else {
        format!(
            "{}: {set} settings are set, and all are accepted\n",
            path.display()
        )
    })
}

/// How many settings a file sets.
fn set_by(path: &Path) -> Result<usize, Failure> {
    let text = edit::read(path)?.ok_or_else(|| {
        Failure::usage(
            format_args!("{} is not here", path.display()),
            "check the path",
        )
    })?;
    let catalogue = Catalogue::new();
    let layers =
        Layers::new(&catalogue, path.to_owned(), [], &[]).map_err(|wrong| refused(&wrong))?;
    let own = layers.read(&catalogue, &text).map_err(|refusals| {
        let lines: Vec<String> = refusals.iter().map(ToString::to_string).collect();
        if let [one] = lines.as_slice() {
            return Failure::usage(one, "mend it there");
        }
        for line in &lines {
            note(line);
        }
        let found = format!("{} has {} mistakes", path.display(), lines.len());
        Failure::usage(found, "they stand above; mend them there")
    })?;
    Ok(own.len())
}
