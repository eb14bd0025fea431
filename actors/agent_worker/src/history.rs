//! What one conversation remembers. It never grows past its limit: the oldest exchange is forgotten first.
//!
//! Rule: a turn is remembered whole, from the person's text over the tools to the answer, and only if something was
//! answered. An answer cut short by a cancel or a failure is remembered as far as it was said; a turn that said nothing
//! leaves no trace, so that asking again is not asking twice.

use std::sync::Arc;

use domain::{FieldError, Message, Role};

/// What was said, oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    messages: Arc<Vec<Message>>,
    limit_chars: usize,
}

impl History {
    /// An empty history of at most `limit_chars` characters.
    pub fn new(limit_chars: usize) -> Self {
        Self {
            messages: Arc::default(),
            limit_chars,
        }
    }

    /// What is remembered, oldest first.
    pub fn messages(&self) -> &Arc<Vec<Message>> {
        &self.messages
    }

    /// Remembers one turn, in order. Of one that answered nothing there is nothing to remember.
    /// Returns how many of the oldest were forgotten for it.
    pub fn remember(&mut self, turn: Vec<Message>) -> usize {
        let all = self.messages.len() + turn.len();
        if !turn.is_empty() {
            Arc::make_mut(&mut self.messages).extend(turn);
            self.forget_oldest();
        }
        all - self.messages.len()
    }

    /// Forgets everything; how many messages that were.
    pub fn clear(&mut self) -> usize {
        std::mem::take(&mut self.messages).len()
    }

    /// Replaces what is remembered; how many messages are kept.
    ///
    /// # Errors
    /// `history` when a system message is among them.
    pub fn load(&mut self, messages: Vec<Message>) -> Result<usize, FieldError> {
        if let Some(at) = messages.iter().position(|m| m.role == Role::System) {
            return Err(FieldError::new(
                "history",
                format!("a system message at {at}"),
                "messages of users, assistants and tools; instructions belong to the turn's `system` setting",
            ));
        }
        self.messages = Arc::new(messages);
        self.forget_oldest();
        Ok(self.messages.len())
    }

    /// Goes on with what was remembered before.
    pub fn recall(&mut self, messages: &Arc<Vec<Message>>) {
        self.messages = Arc::clone(messages);
        self.forget_oldest();
    }

    /// Drops from the front, whole exchanges at a time (up to the next user message), until the rest fits.
    fn forget_oldest(&mut self) {
        let mut over = self.chars().saturating_sub(self.limit_chars);
        if over == 0 {
            return;
        }
        let mut drop = 0;
        for (at, message) in self.messages.iter().enumerate() {
            if over == 0 && message.role == Role::User {
                break;
            }
            over = over.saturating_sub(message.content.chars().count());
            drop = at + 1;
        }
        Arc::make_mut(&mut self.messages).drain(..drop);
    }

    fn chars(&self) -> usize {
        self.messages
            .iter()
            .map(|m| m.content.chars().count())
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn turn(text: &str, answer: &str) -> Vec<Message> {
        vec![Message::user(text), Message::assistant(answer)]
    }

    fn said(history: &History) -> Vec<&str> {
        history
            .messages()
            .iter()
            .map(|m| m.content.as_str())
            .collect()
    }

    #[test]
    fn a_turn_is_kept_only_if_something_was_answered() {
        let mut history = History::new(100);
        history.remember(Vec::new());
        assert_eq!(said(&history), Vec::<&str>::new());
        history.remember(turn("hello", "hi"));
        assert_eq!(said(&history), ["hello", "hi"]);
    }

    #[test]
    fn the_oldest_exchange_goes_first_and_whole() {
        let mut history = History::new(8);
        history.remember(turn("aa", "bb"));
        history.remember(turn("cc", "dd"));
        assert_eq!(said(&history), ["aa", "bb", "cc", "dd"]);
        history.remember(turn("e", "f"));
        assert_eq!(said(&history), ["cc", "dd", "e", "f"]);
        history.remember(turn("too long", "for it"));
        assert_eq!(said(&history), Vec::<&str>::new());
    }

    #[test]
    fn loading_refuses_instructions_and_keeps_what_was() {
        let mut history = History::new(100);
        history.remember(turn("q", "a"));
        let refused = history.load(vec![Message::user("x"), Message::system("be kind")]);
        assert_eq!(refused.map_err(|e| e.field), Err("history"));
        assert_eq!(said(&history), ["q", "a"]);
        assert_eq!(history.load(vec![Message::user("x")]), Ok(1));
        assert_eq!(history.clear(), 1);
        assert_eq!(said(&history), Vec::<&str>::new());
    }

    proptest! {
        /// Whatever is said, the limit holds, and what is left is the newest and starts with a user's message.
        #[test]
        fn never_past_the_limit(turns in prop::collection::vec(("[a☃]{0,9}", "[b☃]{0,9}"), 0..20), limit in 0usize..40) {
            let mut history = History::new(limit);
            let mut all = Vec::new();
            for (text, answer) in &turns {
                history.remember(turn(text, answer));
                all.extend(turn(text, answer));
            }
            prop_assert!(history.chars() <= limit);
            let kept = history.messages().as_slice();
            prop_assert!(all.ends_with(kept));
            prop_assert!(kept.first().is_none_or(|m| m.role == Role::User));
        }
    }
}
