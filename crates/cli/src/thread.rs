//! Which conversation is talked in: a named one, the last one, a new one; and what of it broke off.

use domain::ConversationId;
use paraphym_candle::conversation_store::client::ask;
use paraphym_candle::conversation_store::messages::{
    ListConversations, OpenTurns, ReadHistory, TurnState,
};
use paraphym_candle::{Paraphym, history_now};

use crate::args::Thread;
use crate::failure::Failure;
use crate::history::export::moment;

impl Thread {
    /// Whether a conversation was asked for.
    pub(crate) const fn is_said(&self) -> bool {
        self.conversation.is_some() || self.go_on
    }

    /// Its name; `usual` where none was asked for. One that cannot be a name is refused here.
    pub(crate) async fn find(
        &self,
        host: &Paraphym,
        usual: impl FnOnce() -> ConversationId,
    ) -> Result<ConversationId, Failure> {
        match &self.conversation {
            Some(name) => {
                let named = ConversationId::new(name);
                host.agents().conversation(&named).await?;
                Ok(named)
            }
            None if self.go_on => last(host).await,
            None => Ok(usual()),
        }
    }
}

async fn last(host: &Paraphym) -> Result<ConversationId, Failure> {
    let wish = ListConversations {
        limit: 1,
        before: None,
    };
    let latest = ask(host.conversations(), wish).await?;
    let found = latest.conversations.into_iter().next();
    let found = found.map(|one| one.conversation);
    found.ok_or_else(|| {
        Failure::usage(
            "there is no conversation to go on with",
            "begin one with `paraphym chat`",
        )
    })
}

/// What of a conversation broke off because its process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BrokenOff {
    /// Nothing.
    None,
    /// The last thing that was said in it.
    Last,
    /// Something before: since then more was said.
    Earlier,
}

/// What of it broke off.
pub(crate) async fn broken_off(
    host: &Paraphym,
    conversation: &ConversationId,
) -> Result<BrokenOff, Failure> {
    let store = host.conversations();
    let open = OpenTurns {
        conversation: conversation.clone(),
    };
    let open = ask(store, open).await?;
    // The oldest is the one that is gone on with.
    let left = open
        .iter()
        .find(|turn| turn.state == TurnState::Interrupted);
    let Some(left) = left else {
        return Ok(BrokenOff::None);
    };
    let last = ReadHistory {
        conversation: conversation.clone(),
        last: 1,
    };
    let last = ask(store, last).await?;
    let since = last.iter().any(|said| said.said_ms > left.begun_ms);
    Ok(if since || open.len() > 1 {
        BrokenOff::Earlier
    } else {
        BrokenOff::Last
    })
}

/// A name that nobody has: when it began, and something of this process, such as `20261123-091500-1x7c`.
pub(crate) fn new_name() -> ConversationId {
    let now = history_now();
    let digits: String = moment(now).chars().filter(char::is_ascii_digit).collect();
    let (day, time) = digits.split_at_checked(8).unwrap_or((&digits, ""));
    let millis = now.rem_euclid(1000).unsigned_abs();
    let mark = base36(u64::from(std::process::id()) * 1000 + millis);
    ConversationId::new(format!("{day}-{time}-{mark}"))
}

fn base36(mut number: u64) -> String {
    let mut digits = Vec::new();
    while number > 0 || digits.is_empty() {
        let digit = u32::try_from(number % 36).unwrap_or_default();
        digits.extend(char::from_digit(digit, 36));
        number /= 36;
    }
    digits.into_iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_when_it_was_made_and_is_a_name() {
        for (number, expected) in [(0, "0"), (35, "z"), (36, "10"), (u64::MAX, "3w5e11264sgsf")] {
            assert_eq!(base36(number), expected);
        }
        let name = new_name();
        let parts: Vec<&str> = name.as_str().split('-').collect();
        assert_eq!((parts[0].len(), parts[1].len()), (8, 6), "{name}");
        assert!(parts[0].starts_with("20"), "{name}");
    }
}
