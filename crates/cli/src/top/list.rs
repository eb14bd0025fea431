//! What is listed, in which order, and which of it is chosen. Pure. What is chosen is known by its name, so that it stays
//! chosen wherever it moves to.

use std::cmp::Reverse;

use paraphym_candle::control::protocol::vitals::{ActorVitals, ModelVitals, RequestVitals};

use super::board::Board;

/// How actors are ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sort {
    /// As they hang in the tree.
    #[default]
    Tree,
    /// Those that are not well first.
    Health,
    /// The busiest first.
    Rate,
    /// The fullest mailbox first.
    Mailbox,
    /// The most restarts first.
    Restarts,
}

impl Sort {
    pub(crate) const fn next(self) -> Self {
        match self {
            Self::Tree => Self::Health,
            Self::Health => Self::Rate,
            Self::Rate => Self::Mailbox,
            Self::Mailbox => Self::Restarts,
            Self::Restarts => Self::Tree,
        }
    }

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Tree => "tree",
            Self::Health => "health",
            Self::Rate => "rate",
            Self::Mailbox => "mailbox",
            Self::Restarts => "restarts",
        }
    }
}

/// The actors whose path has `filter` in it, in order.
pub(crate) fn actors<'a>(board: &'a Board, sort: Sort, filter: &str) -> Vec<&'a ActorVitals> {
    let filter = filter.to_lowercase();
    let all = board.now.iter().flat_map(|answer| &answer.actors);
    let fits = |one: &&ActorVitals| one.actor.actor.to_lowercase().contains(&filter);
    let mut some: Vec<&ActorVitals> = all.filter(fits).collect();
    // A stable sort: among equals the tree's order holds.
    match sort {
        Sort::Tree => {}
        Sort::Health => some.sort_by_key(|one| (is_well(one), one.actor.handling.is_none())),
        Sort::Rate => some.sort_by(|a, b| rate(board, b).total_cmp(&rate(board, a))),
        Sort::Mailbox => some.sort_by_key(|one| Reverse(one.actor.queued)),
        Sort::Restarts => some.sort_by_key(|one| Reverse(one.actor.restarts)),
    }
    some
}

fn rate(board: &Board, one: &ActorVitals) -> f64 {
    board
        .pace(&one.actor.actor)
        .map_or(0.0, |pace| pace.messages)
}

/// Whether nobody needs to look: it is up and does what comes, or down because somebody wanted that.
pub(crate) fn is_well(one: &ActorVitals) -> bool {
    match one.actor.health.as_str() {
        "up" => !one.actor.paused && one.actor.children_unknown.is_none(),
        "down" => one.actor.last_error.is_none(),
        _ => false,
    }
}

/// The models, by name.
pub(crate) fn models(board: &Board) -> &[ModelVitals] {
    board.now.as_ref().map_or(&[], |answer| &answer.models)
}

/// The requests under way.
pub(crate) fn requests(board: &Board) -> &[RequestVitals] {
    board.now.as_ref().map_or(&[], |answer| &answer.requests)
}

/// What is chosen of a list.
#[derive(Clone, Debug, Default)]
pub(crate) struct Choice {
    name: Option<String>,
    at: usize,
}

impl Choice {
    /// Where it is; whatever took its place, if it is gone.
    pub(crate) fn index(&self, names: &[&str]) -> Option<usize> {
        let last = names.len().checked_sub(1)?;
        let found = names
            .iter()
            .position(|name| self.name.as_deref() == Some(name));
        Some(found.unwrap_or(self.at.min(last)))
    }

    /// What is chosen.
    pub(crate) fn of(&self, names: &[&str]) -> Option<String> {
        let at = self.index(names)?;
        names.get(at).map(|name| (*name).to_owned())
    }

    /// Goes so many further, and stops at the ends.
    pub(crate) fn go(&mut self, names: &[&str], by: isize) {
        let Some(at) = self.index(names) else {
            return;
        };
        self.at = at
            .saturating_add_signed(by)
            .min(names.len().saturating_sub(1));
        self.name = names.get(self.at).map(|name| (*name).to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_chosen_stays_chosen_and_what_is_gone_leaves_its_place() {
        let mut choice = Choice::default();
        assert_eq!(choice.index(&[]), None);
        choice.go(&[], 1);
        choice.go(&["a", "b", "c"], 1);
        assert_eq!(choice.of(&["a", "b", "c"]).as_deref(), Some("b"));
        assert_eq!(choice.index(&["x", "y", "a", "b"]), Some(3));
        assert_eq!(choice.of(&["a", "c"]).as_deref(), Some("c"));
        assert_eq!(choice.of(&["a"]).as_deref(), Some("a"));
        choice.go(&["a", "b", "c"], isize::MAX);
        assert_eq!(choice.of(&["a", "b", "c"]).as_deref(), Some("c"));
        choice.go(&["a", "b", "c"], isize::MIN);
        assert_eq!(choice.of(&["a", "b", "c"]).as_deref(), Some("a"));
    }
}
