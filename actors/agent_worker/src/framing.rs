//! What the model is shown of a conversation: instructions, findings, as much history as fits, and this turn.
//!
//! Policy: what does not fit goes oldest first and whole exchanges at a time, from one thing the person said up to the next,
//! so that a tool's result never loses its call. Instructions, findings and the turn itself always stay. How long a text is
//! in tokens is known to the model alone: it refuses with both lengths, and from those the share that has to go is taken.

use std::sync::Arc;

use domain::{Message, Role};

/// After leaving out, this share of the window is filled at most: the next few turns fit without leaving out again, so the
/// model's memory of the prompt's beginning stays good for them.
const FILLED: (u64, u64) = (5, 8);
/// How much of each left-out question the note keeps, in characters.
const QUESTION: usize = 120;
/// How long the note is at most, in characters.
const NOTE: usize = 1200;

/// The frame around one turn.
#[derive(Clone, Debug, PartialEq)]
pub struct Framing {
    system: Option<String>,
    findings: Option<String>,
    history: Arc<Vec<Message>>,
    /// How many of the oldest are not shown.
    left_out: usize,
    /// Whether a note stands in their place.
    noted: bool,
    user: Message,
}

impl Framing {
    /// All of it is shown, less the first `left_out` messages that did not fit before.
    pub fn new(
        system: Option<String>,
        history: Arc<Vec<Message>>,
        left_out: usize,
        noted: bool,
        user: Message,
    ) -> Self {
        let begins = |at: usize| history.get(at).is_none_or(|m| m.role == Role::User);
        let left_out = left_out.min(history.len());
        let left_out = if begins(left_out) { left_out } else { 0 };
        Self {
            system,
            findings: None,
            history,
            left_out,
            noted,
            user,
        }
    }

    /// What the person said.
    pub fn user(&self) -> &Message {
        &self.user
    }

    /// How many of the oldest messages are not shown.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// Shows what was found, too.
    pub fn find(&mut self, findings: String) {
        self.findings = Some(findings).filter(|text| !text.is_empty());
    }

    /// What the model is shown, with what happened in this turn behind. What a person said in a row is one message: many
    /// templates take no second.
    pub fn messages(&self, so_far: &[Message]) -> Vec<Message> {
        let shown = self.history.get(self.left_out..).unwrap_or_default();
        let mut messages = Vec::with_capacity(shown.len() + so_far.len() + 2);
        messages.extend(self.instructions().map(Message::system));
        let turn = std::iter::once(&self.user).chain(so_far);
        for message in shown.iter().chain(turn) {
            match messages.last_mut() {
                Some(last) if last.role == Role::User && message.role == Role::User => {
                    last.content.push_str("\n\n");
                    last.content.push_str(&message.content);
                }
                _ => messages.push(message.clone()),
            }
        }
        messages
    }

    /// Leaves out more of the oldest, at least one exchange, because a prompt of `prompt_tokens` did not fit a window of
    /// `context_tokens`; whether there was something left.
    pub fn shorten(&mut self, prompt_tokens: u32, context_tokens: u32, so_far: &[Message]) -> bool {
        let all = chars(&self.messages(so_far));
        let (filled, of) = FILLED;
        let room = u64::from(context_tokens) * filled / of;
        let kept = all.saturating_mul(room) / u64::from(prompt_tokens.max(1));
        let mut over = all.saturating_sub(kept);
        let mut end = self.left_out;
        for (at, message) in self.history.iter().enumerate().skip(self.left_out) {
            let whole = at > self.left_out && message.role == Role::User;
            if whole && over == 0 {
                break;
            }
            over = over.saturating_sub(chars(std::slice::from_ref(message)));
            end = at + 1;
        }
        let more = end > self.left_out;
        self.left_out = end;
        more
    }

    /// One system message: many templates take no second.
    fn instructions(&self) -> Option<String> {
        let note = (self.noted && self.left_out > 0).then(|| self.note());
        let parts = [self.system.clone(), self.findings.clone(), note];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join("\n\n"))
    }

    /// What was asked in the messages that are not shown, the latest of them first to be kept.
    fn note(&self) -> String {
        let gone = self.history.get(..self.left_out).unwrap_or_default();
        let mut lines = Vec::new();
        let mut room = NOTE;
        for message in gone.iter().rev().filter(|m| m.role == Role::User) {
            let words: Vec<&str> = message.content.split_whitespace().collect();
            let line: String = words.join(" ").chars().take(QUESTION).collect();
            let Some(rest) = room.checked_sub(line.chars().count()) else {
                break;
            };
            room = rest;
            lines.push(format!("- {line}"));
        }
        lines.reverse();
        format!(
            "The {} oldest messages of this conversation are not shown. In them the user said:\n{}",
            self.left_out,
            lines.join("\n")
        )
    }
}

fn chars(messages: &[Message]) -> u64 {
    let calls = |m: &Message| -> usize { m.tool_calls.iter().map(|c| c.arguments.len()).sum() };
    let one = |m: &Message| m.content.chars().count() + calls(m);
    messages.iter().map(one).sum::<usize>() as u64
}

#[cfg(test)]
mod tests {
    use domain::{ToolCall, ToolCallId};
    use proptest::prelude::*;

    use super::*;

    fn framing(history: Vec<Message>, noted: bool) -> Framing {
        let user = Message::user("now");
        Framing::new(Some("be kind".into()), Arc::new(history), 0, noted, user)
    }

    fn exchange(text: &str, with_tool: bool) -> Vec<Message> {
        let id = ToolCallId::new("c");
        let (name, arguments) = ("t".to_owned(), "{}".to_owned());
        let call = ToolCall {
            id: id.clone(),
            name,
            arguments,
        };
        let mut messages = vec![Message::user(text)];
        if with_tool {
            messages.push(Message::calling("", vec![call]));
            messages.push(Message::tool(id, "result"));
        }
        messages.push(Message::assistant("answer"));
        messages
    }

    #[test]
    fn instructions_findings_history_and_turn_in_this_order() {
        let mut framing = framing(exchange("hi", false), false);
        framing.find("[1] memory: tea".into());
        let so_far = [Message::assistant("so far")];
        let shown: Vec<String> = framing
            .messages(&so_far)
            .into_iter()
            .map(|m| m.content)
            .collect();
        assert_eq!(
            shown,
            [
                "be kind\n\n[1] memory: tea",
                "hi",
                "answer",
                "now",
                "so far"
            ]
        );
    }

    #[test]
    fn what_was_said_in_a_row_is_one_message() {
        let mut history = exchange("a", true);
        history.push(Message::user("b"));
        let framing = framing(history, false);
        let said = |text: &str| (Role::User, text.to_owned());
        let so_far = [
            Message::user("more"),
            Message::assistant("x"),
            Message::user("y"),
        ];
        let shown = framing.messages(&so_far).into_iter();
        let shown: Vec<(Role, String)> = shown.map(|m| (m.role, m.content)).skip(5).collect();
        let answer = (Role::Assistant, "x".to_owned());
        assert_eq!(shown, [said("b\n\nnow\n\nmore"), answer, said("y")]);
    }

    #[test]
    fn a_note_tells_what_was_asked_in_what_is_gone() {
        let mut history = exchange("what is  tea?", true);
        history.extend(exchange("and coffee?", false));
        let mut framing = framing(history, true);
        assert!(framing.shorten(100, 50, &[]));
        let note = &framing.messages(&[])[0].content;
        assert!(note.starts_with("be kind\n\nThe "), "{note}");
        assert!(note.contains("- what is tea?"), "{note}");
        while framing.shorten(100, 50, &[]) {}
        assert_eq!(framing.messages(&[]).len(), 2, "instructions and turn stay");
    }

    #[test]
    fn what_did_not_fit_before_stays_out_unless_the_history_has_changed() {
        let mut history = exchange("a", true);
        history.extend(exchange("b", false));
        let of = |left_out| {
            let history = Arc::new(history.clone());
            Framing::new(None, history, left_out, false, Message::user("now"))
                .messages(&[])
                .len()
        };
        assert_eq!((of(0), of(4), of(6)), (7, 3, 1));
        assert_eq!(
            (of(2), of(99)),
            (7, 1),
            "never in the middle of an exchange"
        );
    }

    proptest! {
        /// Whatever goes: the instructions and the turn stay, what is shown begins with what somebody said, no result is
        /// without its call, and there is an end.
        #[test]
        fn exchanges_go_whole_and_oldest_first(turns in prop::collection::vec((".{0,30}", any::<bool>()), 0..12),
                                               prompt in 1u32..10_000, context in 0u32..10_000) {
            let history: Vec<Message> = turns.iter().flat_map(|(text, tool)| exchange(text, *tool)).collect();
            let mut framing = framing(history.clone(), false);
            let mut steps = 0;
            loop {
                let shown = framing.messages(&[]);
                let middle = &shown[1..shown.len() - 1];
                prop_assert!(history.ends_with(middle));
                prop_assert!(middle.first().is_none_or(|m| m.role == Role::User));
                prop_assert_eq!(&shown[shown.len() - 1].content, "now");
                if !framing.shorten(prompt, context, &[]) {
                    break;
                }
                steps += 1;
            }
            prop_assert!(steps <= turns.len());
            prop_assert_eq!(framing.left_out(), history.len());
        }
    }
}
