//! When a change of a setting is felt: said here for each, so that no setting can be there for show.

use std::fmt;

/// When a new value is felt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// As soon as it holds.
    AtOnce,
    /// By the next turn of each conversation, and the next question.
    NextTurn,
    /// When the process is started next.
    NextStart,
    /// Not yet: nothing uses it. It is kept for what is to come.
    NotYet {
        /// What will use it.
        by: &'static str,
    },
}

impl Effect {
    /// As one word, for programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AtOnce => "at_once",
            Self::NextTurn => "next_turn",
            Self::NextStart => "next_start",
            Self::NotYet { .. } => "not_yet",
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtOnce => f.write_str("at once"),
            Self::NextTurn => f.write_str("with the next turn"),
            Self::NextStart => f.write_str("with the next start"),
            Self::NotYet { by } => write!(f, "not yet: {by} will use it"),
        }
    }
}

/// Nobody reads these yet.
const PAGE: Effect = Effect::NotYet { by: "the web page" };

/// Sections as a whole.
const SECTIONS: [(&str, Effect); 13] = [
    ("agents", Effect::NextTurn),
    ("behaviour", Effect::NextTurn),
    ("chat", Effect::NextStart),
    ("limits", Effect::NextStart),
    ("memory", Effect::AtOnce),
    ("model", Effect::NextStart),
    ("personality", Effect::NextTurn),
    ("realtime", Effect::NextStart),
    ("recall", Effect::NextTurn),
    ("server", Effect::NextStart),
    ("telemetry", Effect::AtOnce),
    ("tools", Effect::NextTurn),
    ("ui", PAGE),
];

/// Settings that differ from their section.
const SINGLE: [(&str, Effect); 31] = [
    ("agents.*.documents", Effect::NextStart),
    ("agents.*.model", Effect::NextStart),
    ("chat.context", Effect::NextTurn),
    ("chat.system", Effect::NextTurn),
    ("limits.connections", Effect::AtOnce),
    ("model.crash_budget", Effect::AtOnce),
    ("model.keep_alive", Effect::AtOnce),
    ("model.max_batch", Effect::AtOnce),
    ("model.max_tokens", Effect::NextTurn),
    ("model.min_p", Effect::NextTurn),
    ("model.prefill_chunk", Effect::AtOnce),
    ("model.queue", Effect::AtOnce),
    ("model.repetition_penalty", Effect::NextTurn),
    ("model.repetition_window", Effect::NextTurn),
    ("model.seed", Effect::NextTurn),
    ("model.stop", Effect::NextTurn),
    ("model.temperature", Effect::NextTurn),
    ("model.top_k", Effect::NextTurn),
    ("model.top_p", Effect::NextTurn),
    ("realtime.typing", Effect::AtOnce),
    ("recall.decay_per_day", Effect::NextStart),
    ("recall.model", Effect::NextStart),
    ("telemetry.log_format", Effect::NextStart),
    ("tools.mcp.*.args", Effect::AtOnce),
    ("tools.mcp.*.command", Effect::AtOnce),
    ("tools.mcp.*.cwd", Effect::AtOnce),
    ("tools.mcp.*.enabled", Effect::AtOnce),
    ("tools.mcp.*.env", Effect::AtOnce),
    ("tools.mcp.*.headers", Effect::AtOnce),
    ("tools.mcp.*.tools", Effect::AtOnce),
    ("tools.mcp.*.url", Effect::AtOnce),
];

/// When a change of this setting, or of those of this pattern, is felt; `None` if nobody has said it.
pub(crate) fn effect(path: &str) -> Option<Effect> {
    let (section, _) = path.split_once('.')?;
    let single = SINGLE.iter().find(|(name, _)| *name == path);
    let found = single.or_else(|| SECTIONS.iter().find(|(name, _)| *name == section));
    found.map(|(_, effect)| *effect)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Catalogue;

    #[test]
    fn every_setting_says_when_it_is_felt_and_nothing_else_does() {
        let catalogue = Catalogue::new();
        for (path, _) in catalogue.iter().chain(catalogue.patterns()) {
            assert!(effect(path).is_some(), "{path}");
        }
        let known: Vec<&str> = catalogue
            .iter()
            .chain(catalogue.patterns())
            .map(|(path, _)| path)
            .collect();
        for (path, _) in SINGLE {
            assert!(known.contains(&path), "{path}");
        }
        for (section, _) in SECTIONS {
            assert!(catalogue.is_section(section), "{section}");
        }
    }
}
