//! What was said, as much of it as goes into one frame: the newest, and where the older begins.
//!
//! Invariants: what is told has no gap; what is left out is older than all that is told, and can be asked for; one frame is
//! never more than a client may have waiting for it.

use room::{Entry, Speaker};

use crate::outbox;
use crate::wire::room::RoomMessage;

/// The most bytes of messages in one frame: some screens of a chat.
const PAGE: usize = 64 << 10;
/// Fewer would be less than a screen.
const LEAST: usize = 16 << 10;

/// A part of a conversation that is asked for: the newest of what has a number between these two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Only messages behind this number; 0 for all.
    pub after: u64,
    /// Only messages before this number; `None` for all.
    pub before: Option<u64>,
    /// About how many bytes are of use: more is cut.
    pub bytes: usize,
}

/// What was said and is written down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// The newest of the part, oldest first.
    pub entries: Vec<Entry>,
    /// All behind this number are among them; `after` as it was asked, if nothing was left out.
    pub after: u64,
    /// The highest number there is in the conversation, though it may not be one to be shown. Less than what was asked for:
    /// whoever asks knows another conversation.
    pub last: u64,
}

impl Said {
    /// Nothing is known to be behind this number.
    pub fn nothing(after: u64) -> Self {
        Self {
            entries: Vec::new(),
            after,
            last: after,
        }
    }
}

/// How much goes into one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Budget {
    /// Bytes of messages together.
    pub(crate) page: usize,
    /// Bytes of a message that is alone.
    pub(crate) one: usize,
}

impl Budget {
    /// Of a client for whom so many bytes may wait, and who may come into so many conversations at once.
    pub(crate) fn of(waiting_bytes: usize, joined: usize) -> Self {
        let share = waiting_bytes / joined.saturating_mul(2).max(1);
        Self {
            page: share.clamp(LEAST, PAGE).min(waiting_bytes / 8),
            one: waiting_bytes / 4,
        }
    }

    /// The end of an answer under way, as much as fits: three quarters of what is left, so that messages fit beside it.
    pub(crate) fn spend_on<'a>(&mut self, text: &'a str) -> &'a str {
        let end = end(text, self.page - self.page / 4);
        self.page -= end.len();
        end
    }

    /// The newest that fit, and the number behind which all are there.
    pub(crate) fn cut(self, entries: &[Entry], after: u64) -> (Vec<RoomMessage>, u64) {
        let (mut taken, mut bytes, mut after) = (Vec::new(), 0, after);
        for entry in entries.iter().rev() {
            let told = self.told(entry);
            bytes += outbox::message(&told);
            if bytes > self.page && !taken.is_empty() {
                after = entry.number;
                break;
            }
            taken.push(told);
        }
        taken.reverse();
        (taken, after)
    }

    /// One that is too long even alone is told as text, and of that the beginning.
    fn told(self, entry: &Entry) -> RoomMessage {
        let html = entry.html.as_ref().map_or(0, |html| html.len());
        let whole = entry.text.len() + html <= self.one;
        let text = beginning(&entry.text, self.one);
        RoomMessage {
            number: entry.number,
            role: match entry.speaker {
                Speaker::Person => "user",
                Speaker::Agent => "assistant",
            }
            .to_owned(),
            user: entry.by.as_ref().map(ToString::to_string),
            cut: text.len() < entry.text.len(),
            text: text.to_owned(),
            html: entry
                .html
                .as_ref()
                .filter(|_| whole)
                .map(ToString::to_string),
            at_ms: u64::try_from(entry.at_ms).unwrap_or(0),
            turn: entry.turn.as_ref().map(ToString::to_string),
            nonce: entry.nonce.clone(),
        }
    }
}

/// As much of the end as fits, in whole characters.
fn end(text: &str, bytes: usize) -> &str {
    let from = text.ceil_char_boundary(text.len().saturating_sub(bytes));
    text.get(from..).unwrap_or_default()
}

/// As much of the front as fits, in whole characters.
pub(crate) fn beginning(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: u64, bytes: usize) -> Entry {
        Entry {
            number,
            speaker: Speaker::Agent,
            by: None,
            nonce: None,
            text: "é".repeat(bytes / 2).into(),
            html: Some("<p>x</p>".into()),
            at_ms: -1,
            turn: None,
        }
    }

    fn numbers(of: &[RoomMessage]) -> Vec<u64> {
        of.iter().map(|one| one.number).collect()
    }

    #[test]
    fn the_newest_that_fit_are_told_and_where_the_older_begin() {
        let budget = Budget::of(1 << 20, 4);
        assert_eq!((budget.page, budget.one), (PAGE, 1 << 18));
        let entries: Vec<Entry> = [3, 4, 7, 8].map(|number| entry(number, 30_000)).into();
        let (told, after) = budget.cut(&entries, 2);
        assert_eq!((numbers(&told), after), (vec![7, 8], 4));
        let (told, after) = budget.cut(&entries[2..], 2);
        assert_eq!((numbers(&told), after), (vec![7, 8], 2));
        assert_eq!(budget.cut(&[], 2), (Vec::new(), 2));
        assert_eq!((told[0].role.as_str(), told[0].at_ms), ("assistant", 0));
    }

    #[test]
    fn one_that_is_larger_than_all_comes_alone_and_one_larger_than_may_be_is_cut() {
        let budget = Budget::of(1 << 20, 4);
        let (told, after) = budget.cut(&[entry(1, 10), entry(2, 200_000), entry(3, 10)], 0);
        assert_eq!((numbers(&told), after), (vec![3], 2));
        let (told, after) = budget.cut(&[entry(1, 10), entry(2, 200_000)], 0);
        assert_eq!((numbers(&told), after, told[0].cut), (vec![2], 1, false));
        assert!(told[0].html.is_some());
        let (told, _) = budget.cut(&[entry(2, (1 << 18) + 2)], 0);
        assert!(told[0].cut && told[0].html.is_none());
        assert_eq!(told[0].text.len(), 1 << 18);
    }

    #[test]
    fn whoever_comes_into_all_conversations_at_once_is_not_too_slow_for_it() {
        for joined in [1, 4, 8, 16, 32] {
            let budget = Budget::of(1 << 20, joined);
            assert!(
                budget.page >= LEAST && budget.page * joined <= 1 << 19,
                "{joined}"
            );
        }
        assert_eq!(Budget::of(1000, 4).page, 125);
        assert_eq!(beginning("aé", 2), "a");
        assert_eq!(
            (end("éa", 2), end("éa", 3), end("éa", 9)),
            ("a", "éa", "éa")
        );
    }

    #[test]
    fn an_answer_under_way_and_the_messages_beside_it_are_one_frame_together() {
        let whole = Budget::of(1 << 20, 16);
        let long = "é".repeat(1 << 19);
        let entries: Vec<Entry> = (1..60).map(|number| entry(number, 1000)).collect();
        let mut rest = whole;
        let shown = rest.spend_on(&long).len();
        let (told, after) = rest.cut(&entries, 0);
        let said: usize = told.iter().map(outbox::message).sum();
        assert!(shown > whole.page / 2 && shown + said <= whole.page);
        assert!(told.len() > 2 && after == told[0].number - 1, "{after}");
        // A short one costs what it is.
        let mut rest = whole;
        assert_eq!(
            (rest.spend_on("so far"), rest.page),
            ("so far", whole.page - 6)
        );
    }
}
