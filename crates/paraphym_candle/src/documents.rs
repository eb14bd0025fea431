//! Documents that turns answer from: files are made findable, and turns are told to look in them.

use std::path::PathBuf;

use agent_worker::settings::{MemorySettings, TurnSettings};
use retrieval::{Added, Progress, Retrieval, RetrievalError};

use crate::Paraphym;
use crate::agents::{self, NoAgent};
use crate::history::now_ms;

impl Paraphym {
    /// Memories and documents, for whoever adds, searches or forgets them by hand.
    pub fn retrieval(&self) -> &Retrieval {
        &self.parts().retrieval
    }

    /// The files that an agent of the settings answers from, as paths and patterns (`agents.NAME.documents`).
    ///
    /// # Errors
    /// No such agent; the names there are.
    pub fn agent_documents(&self, agent: &str) -> Result<Vec<String>, NoAgent> {
        agents::documents_of(&self.settings().settings, agent)
    }

    /// Makes files findable, each named or meant by a pattern such as `docs/**/*.md`; `~/` is the home folder. A file that
    /// is no text, too large or not there is refused by name, and the others are taken. An unchanged one costs little.
    ///
    /// Meanings are known only where the embedding model is on disk ([`Paraphym::ensure_embedding_model`]); without it
    /// [`Added::basis`] says that words alone are searched.
    ///
    /// # Errors
    /// A store that failed.
    pub async fn add_documents(
        &self,
        wanted: &[String],
        progress: impl Fn(Progress),
    ) -> Result<Added, RetrievalError> {
        let home = std::env::var_os("HOME").map(PathBuf::from);
        let wanted = wanted.iter().map(|one| at_home(one, home.as_ref()));
        let adding = self
            .retrieval()
            .add_documents(wanted.collect(), now_ms(), progress);
        adding.await
    }

    /// These settings for a turn that looks in these documents, too.
    pub fn with_documents(&self, turn: TurnSettings, added: &Added) -> TurnSettings {
        if added.documents.is_empty() {
            return turn;
        }
        let usual = || MemorySettings {
            space: None,
            remember: false,
            ..agents::looking(&self.settings().settings)
        };
        let mut memory = turn.memory.unwrap_or_else(usual);
        let more = added.documents.iter().map(|document| document.id);
        memory.documents.extend(more);
        TurnSettings {
            memory: Some(memory),
            ..turn
        }
    }
}

/// A path with the home folder in the place of its `~`.
fn at_home(path: &str, home: Option<&PathBuf>) -> String {
    match (path.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest).to_string_lossy().into_owned(),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tilde_is_the_home_folder_at_the_beginning_only() {
        let home = PathBuf::from("/home/me");
        for (given, expected) in [
            ("~/notes/*.md", "/home/me/notes/*.md"),
            ("a/~/b", "a/~/b"),
            ("~other/x", "~other/x"),
            ("/abs", "/abs"),
        ] {
            assert_eq!(at_home(given, Some(&home)), expected);
            assert_eq!(at_home(given, None), given);
        }
    }
}
