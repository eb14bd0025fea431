//! Tokens from the command line. A server that runs hears of changes from the kernel; nothing here speaks with one.
//!
//! Invariant: a token is written to standard output when it was made, and nowhere else.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bearer::{Grant, GrantError, Grants, Secret, Terms, TokenError, TokenFile};
use serde_json::{Value, json};

use crate::args::TokenAction;
use crate::failure::Failure;
use crate::history::export::moment;
use crate::out::note;
use crate::render::{self, table};
use crate::stage::Stage;

/// How often a file that another process writes is tried again, and how long each time.
const TRIES: u32 = 40;
const PAUSE: Duration = Duration::from_millis(50);

/// Where tokens are kept.
pub(crate) fn place() -> Result<TokenFile, TokenError> {
    TokenFile::in_data_folder(|name| std::env::var_os(name))
}

/// Does one of the actions. With `--json` the last line of a failure is its event, as of every command.
pub(crate) async fn run(stage: &mut Stage, action: &TokenAction) -> Result<(), Failure> {
    let result = carry_out(stage, action).await;
    let (TokenAction::New { json, .. }
    | TokenAction::List { json }
    | TokenAction::Revoke { json, .. }) = action;
    if let (Err(failure), true) = (&result, *json) {
        stage.out.json(&render::failed(failure)).await?;
    }
    result
}

async fn carry_out(stage: &mut Stage, action: &TokenAction) -> Result<(), Failure> {
    let file = place()?;
    match action {
        TokenAction::New {
            name,
            rpm,
            concurrent,
            json,
        } => {
            let terms = Terms {
                requests_per_minute: *rpm,
                concurrent: *concurrent,
            };
            made(stage, file, name.clone(), terms, *json).await
        }
        TokenAction::List { json } => {
            let grants = worked(move || file.read()).await?;
            list(stage, &grants, *json).await
        }
        TokenAction::Revoke { which, json } => {
            let which = which.clone();
            let revoked = patiently(move || file.revoke(&which)).await?;
            note(&format!("revoked: {}", called(&revoked)));
            if *json {
                stage.out.json(&grant_json(&revoked)).await?;
            }
            Ok(())
        }
    }
}

async fn made(
    stage: &mut Stage,
    file: TokenFile,
    name: Option<String>,
    terms: Terms,
    as_json: bool,
) -> Result<(), Failure> {
    let secret = Secret::fresh().map_err(|error| Failure::failed(error, ""))?;
    let secret = Arc::new(secret);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let made_s = now.map_or(0, |since| since.as_secs());
    let kept = Arc::clone(&secret);
    let grant = patiently(move || file.add(&kept, name.clone(), terms, made_s)).await?;
    if as_json {
        let mut shown = grant_json(&grant);
        if let Some(fields) = shown.as_object_mut() {
            fields.insert("token".to_owned(), secret.reveal().into());
        }
        return stage.out.json(&shown).await;
    }
    stage.out.text(&format!("{}\n", secret.reveal())).await?;
    note(&format!(
        "made: {}; it is shown this once: keep it where only its user can read it",
        called(&grant)
    ));
    Ok(())
}

async fn list(stage: &mut Stage, grants: &Grants, as_json: bool) -> Result<(), Failure> {
    if as_json {
        let all: Vec<Value> = grants.iter().map(grant_json).collect();
        return stage.out.json(&json!({ "tokens": all })).await;
    }
    if grants.is_empty() {
        note("there are no tokens; `paraphym token new` makes one");
        return Ok(());
    }
    let limit = |limit: Option<u32>| limit.map_or_else(|| "-".to_owned(), |n| n.to_string());
    let head = ["ID", "NAME", "MADE", "RPM", "AT ONCE"].map(str::to_owned);
    let rows = grants.iter().map(|grant| {
        vec![
            grant.id.to_string(),
            grant.name.clone().unwrap_or_else(|| "-".to_owned()),
            moment(i64::try_from(grant.made_s.saturating_mul(1000)).unwrap_or(i64::MAX)),
            limit(grant.terms.requests_per_minute),
            limit(grant.terms.concurrent),
        ]
    });
    let rows: Vec<Vec<String>> = std::iter::once(head.to_vec()).chain(rows).collect();
    stage.out.text(&table(&rows)).await
}

/// As people know it.
fn called(grant: &Grant) -> String {
    match &grant.name {
        Some(name) => format!("{name} ({})", grant.id),
        None => grant.id.to_string(),
    }
}

fn grant_json(grant: &Grant) -> Value {
    json!({
        "id": &*grant.id,
        "name": grant.name,
        "made_s": grant.made_s,
        "requests_per_minute": grant.terms.requests_per_minute,
        "concurrent": grant.terms.concurrent,
    })
}

/// Does it on the blocking pool; again, for up to two seconds, while another process writes.
async fn patiently<T: Send + 'static>(
    work: impl Fn() -> Result<T, TokenError> + Clone + Send + 'static,
) -> Result<T, Failure> {
    let mut tries = 0;
    loop {
        tries += 1;
        match worked(work.clone()).await {
            Err(TokenError::Locked { .. }) if tries < TRIES => tokio::time::sleep(PAUSE).await,
            other => return Ok(other?),
        }
    }
}

async fn worked<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, TokenError> + Send + 'static,
) -> Result<T, TokenError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| {
        Err(TokenError::Disk {
            path: bearer::FILE.to_owned(),
            verb: "read",
            reason: error.to_string(),
        })
    })
}

impl From<TokenError> for Failure {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Grant(GrantError::NoSuch { .. } | GrantError::TooMany) => {
                Self::failed(error, "")
            }
            TokenError::Grant(_) => Self::usage(error, "--help tells what each option takes"),
            error => Self::failed(error, ""),
        }
    }
}
