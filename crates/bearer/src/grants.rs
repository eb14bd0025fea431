//! All tokens that are valid, as their file says it. Nothing here waits or touches a disk.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::hex;
use crate::secret::{PREFIX, Secret, hash};

/// Tokens at once: far more than one machine's users have, so that a file stays small.
pub const MOST: usize = 1000;
/// The form of the file that this program writes, and the only one it reads.
const VERSION: u32 = 1;
/// Digits of an id.
const ID: usize = 12;
/// What a limit may be.
const RANGE: std::ops::RangeInclusive<u32> = 1..=1_000_000;

/// One token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The first 12 digits of its hash.
    pub id: Arc<str>,
    /// What its owner calls it.
    pub name: Option<String>,
    /// When it was made, in seconds since 1970.
    pub made_s: u64,
    /// What it may.
    pub terms: Terms,
    hash: [u8; 32],
}

/// Limits of one token; what is not said is as the settings have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Requests a minute. 1 to 1 000 000.
    pub requests_per_minute: Option<u32>,
    /// Answers at once. 1 to 1 000 000.
    pub concurrent: Option<u32>,
}

/// The tokens that are valid, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// Whether there ever was one, as far as is known: it was read from a list, or one was added.
    begun: bool,
    all: Vec<Arc<Grant>>,
    by_hash: HashMap<[u8; 32], Arc<Grant>>,
}

/// Why a token is not made or revoked, or a text is no list of tokens.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// Another one is called so.
    #[error(
        "name = {name} is not accepted: another token has it; choose another, or revoke that one first"
    )]
    NameTaken {
        /// The name.
        name: String,
    },
    /// That is no name.
    #[error(
        "name = {name} is not accepted: use 1 to 64 letters, digits, - and _, and not 12 hexadecimal digits, which an id is"
    )]
    BadName {
        /// What was given.
        name: String,
    },
    /// That is no limit.
    #[error("{field} = {value} is not accepted: use a whole number from 1 to 1000000")]
    BadLimit {
        /// Which.
        field: &'static str,
        /// What was given.
        value: u32,
    },
    /// Nobody is called so.
    #[error("there is no token {which}: `paraphym token list` shows names and ids")]
    NoSuch {
        /// What was given.
        which: String,
    },
    /// There are as many as there may be.
    #[error("there are {MOST} tokens, which is the limit: revoke one first")]
    TooMany,
    /// The text is not what this program writes.
    #[error("{0}")]
    Damaged(String),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: u32,
    tokens: Vec<Line>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    sha256: String,
    made_s: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    requests_per_minute: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    concurrent: Option<u32>,
}

impl Grants {
    /// Reads what [`Grants::print`] wrote.
    ///
    /// # Errors
    /// `Damaged`, with what is wrong.
    pub fn parse(text: &str) -> Result<Self, GrantError> {
        let damaged = |why: String| GrantError::Damaged(why);
        let written: Written =
            serde_json::from_str(text).map_err(|error| damaged(error.to_string()))?;
        if written.version != VERSION {
            let why = format!(
                "version = {} is not known: only {VERSION} is",
                written.version
            );
            return Err(damaged(why));
        }
        let mut names = HashSet::new();
        let mut grants = Self {
            begun: true,
            ..Self::default()
        };
        for line in written.tokens {
            let grant = grant(&line).map_err(damaged)?;
            let fresh = grant.name.iter().all(|name| names.insert(name.clone()));
            if !fresh || grants.with_id(&grant.id).is_some() {
                return Err(damaged(format!("two tokens are called {}", line.id)));
            }
            if grants.all.len() >= MOST {
                return Err(damaged(format!("there are more than {MOST} tokens")));
            }
            grants.push(grant);
        }
        Ok(grants)
    }

    /// As the file has it.
    pub fn print(&self) -> String {
        let line = |grant: &Arc<Grant>| Line {
            id: grant.id.to_string(),
            name: grant.name.clone(),
            sha256: hex::print(&grant.hash),
            made_s: grant.made_s,
            requests_per_minute: grant.terms.requests_per_minute,
            concurrent: grant.terms.concurrent,
        };
        let written = Written {
            version: VERSION,
            tokens: self.all.iter().map(line).collect(),
        };
        // Texts and numbers only: writing them as JSON cannot fail.
        let mut text = serde_json::to_string_pretty(&written).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Whether somebody wanted tokens to be asked for: there is a list, and be it that the last one was revoked.
    pub fn is_begun(&self) -> bool {
        self.begun
    }

    /// The one whose secret this is.
    pub fn find(&self, secret: &str) -> Option<&Arc<Grant>> {
        self.by_hash.get(&hash(secret))
    }

    /// All of them, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Grant> {
        self.all.iter().map(AsRef::as_ref)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether nobody has one.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The one with this id.
    pub fn with_id(&self, id: &str) -> Option<&Grant> {
        self.iter().find(|grant| *grant.id == *id)
    }

    /// Whether that one is still among them.
    pub fn holds(&self, grant: &Grant) -> bool {
        self.by_hash.contains_key(&grant.hash)
    }

    /// One more, made at `made_s` (seconds since 1970).
    ///
    /// # Errors
    /// `BadName`, `NameTaken`, `BadLimit`, `TooMany`.
    pub fn add(
        &mut self,
        secret: &Secret,
        name: Option<String>,
        terms: Terms,
        made_s: u64,
    ) -> Result<Arc<Grant>, GrantError> {
        if let Some(name) = name.as_ref() {
            if !is_name(name) {
                let name = shown(name);
                return Err(GrantError::BadName { name });
            }
            if self.iter().any(|grant| grant.name.as_ref() == Some(name)) {
                let name = name.clone();
                return Err(GrantError::NameTaken { name });
            }
        }
        check(terms)?;
        if self.all.len() >= MOST {
            return Err(GrantError::TooMany);
        }
        let hash = secret.hash();
        self.begun = true;
        Ok(self.push(Grant {
            id: id(&hash),
            name,
            made_s,
            terms,
            hash,
        }))
    }

    /// One less, by its name or its id.
    ///
    /// # Errors
    /// `NoSuch`.
    pub fn revoke(&mut self, which: &str) -> Result<Arc<Grant>, GrantError> {
        let meant =
            |grant: &Arc<Grant>| *grant.id == *which || grant.name.as_deref() == Some(which);
        let Some(at) = self.all.iter().position(meant) else {
            let whole = is_name(which) || is_id(which);
            let which = if whole {
                which.to_owned()
            } else {
                shown(which)
            };
            return Err(GrantError::NoSuch { which });
        };
        let grant = self.all.remove(at);
        self.by_hash.remove(&grant.hash);
        Ok(grant)
    }

    fn push(&mut self, grant: Grant) -> Arc<Grant> {
        let grant = Arc::new(grant);
        self.all.push(Arc::clone(&grant));
        self.by_hash.insert(grant.hash, Arc::clone(&grant));
        grant
    }
}

/// What was typed where a name should be may be the secret itself: no error repeats it.
fn shown(typed: &str) -> String {
    typed.chars().take(PREFIX.len()).collect()
}

fn grant(line: &Line) -> Result<Grant, String> {
    let Line { id: own, name, .. } = line;
    let hash = hex::parse(&line.sha256)
        .ok_or_else(|| format!("sha256 of {own} is not 64 hexadecimal digits"))?;
    let id = id(&hash);
    if *id != **own {
        return Err(format!("id = {own} does not belong to its sha256"));
    }
    if let Some(name) = name.as_ref().filter(|name| !is_name(name)) {
        return Err(format!("name = {name} is no name"));
    }
    let terms = Terms {
        requests_per_minute: line.requests_per_minute,
        concurrent: line.concurrent,
    };
    check(terms).map_err(|error| error.to_string())?;
    Ok(Grant {
        id,
        name: name.clone(),
        made_s: line.made_s,
        terms,
        hash,
    })
}

fn check(terms: Terms) -> Result<(), GrantError> {
    let fields = [
        ("requests_per_minute", terms.requests_per_minute),
        ("concurrent", terms.concurrent),
    ];
    for (field, value) in fields {
        if let Some(value) = value.filter(|value| !RANGE.contains(value)) {
            return Err(GrantError::BadLimit { field, value });
        }
    }
    Ok(())
}

fn id(hash: &[u8; 32]) -> Arc<str> {
    hex::print(hash).chars().take(ID).collect::<String>().into()
}

fn is_name(name: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    (1..=64).contains(&name.len()) && name.chars().all(good) && !is_id(name)
}

fn is_id(text: &str) -> bool {
    text.len() == ID && text.bytes().all(|c| c.is_ascii_hexdigit())
}

#[cfg(test)]
#[path = "grants_tests.rs"]
mod tests;
