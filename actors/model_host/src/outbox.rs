//! What one reader has not taken yet, so that a slow reader costs memory bounded by its own answer and nothing is lost.
//!
//! Progress is news: only the latest is kept, and none once text was said. Text is merged, but not across a call, and so is
//! how likely its tokens were, which leaves before it. The end is kept until it is taken, and there is only one. Nothing
//! here sends or waits.

use std::collections::VecDeque;

use domain::{GenerationEvent, TokenLogprob, ToolCall};

/// The events of one stream that wait for room, in the order they must leave.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    progress: Option<GenerationEvent>,
    /// Text and calls in order; no two texts are neighbours.
    said: VecDeque<Waiting>,
    /// Of what is said next.
    odds: Vec<TokenLogprob>,
    end: Option<GenerationEvent>,
    spoke: bool,
    ended: bool,
}

/// A text or a call, and how likely those of its tokens were of which that was not taken yet.
#[derive(Debug)]
struct Waiting {
    odds: Vec<TokenLogprob>,
    said: GenerationEvent,
}

impl Outbox {
    /// `Queued`, `Loading` or `Prefill`; replaces what was not taken. Nothing once text was said or the end is known.
    pub(crate) fn progress(&mut self, event: GenerationEvent) {
        if !self.spoke && !self.ended {
            self.progress = Some(event);
        }
    }

    /// How likely the tokens were of what is said next.
    pub(crate) fn weigh(&mut self, mut odds: Vec<TokenLogprob>) {
        if !odds.is_empty() && !self.ended {
            self.speak();
            self.odds.append(&mut odds);
        }
    }

    /// The next text; empty text is nothing.
    pub(crate) fn say(&mut self, text: &str) {
        if text.is_empty() || self.ended {
            return;
        }
        self.speak();
        let mut odds = std::mem::take(&mut self.odds);
        if let Some(before) = self.said.back_mut()
            && let GenerationEvent::Text(waiting) = &mut before.said
        {
            waiting.push_str(text);
            before.odds.append(&mut odds);
        } else {
            let said = GenerationEvent::Text(text.to_owned());
            self.said.push_back(Waiting { odds, said });
        }
    }

    /// The next call.
    pub(crate) fn call(&mut self, call: ToolCall) {
        if !self.ended {
            self.speak();
            let odds = std::mem::take(&mut self.odds);
            let said = GenerationEvent::ToolCall(call);
            self.said.push_back(Waiting { odds, said });
        }
    }

    fn speak(&mut self) {
        self.progress = None;
        self.spoke = true;
    }

    /// The end. The first one counts.
    pub(crate) fn end(&mut self, event: GenerationEvent) {
        if !self.ended {
            self.ended = true;
            self.progress = None;
            self.end = Some(event);
        }
    }

    /// Takes the event that leaves next.
    pub(crate) fn take(&mut self) -> Option<GenerationEvent> {
        if let Some(event) = self.progress.take() {
            return Some(event);
        }
        let odds = match self.said.front_mut() {
            Some(first) => &mut first.odds,
            None => &mut self.odds,
        };
        if !odds.is_empty() {
            return Some(GenerationEvent::Logprobs(std::mem::take(odds)));
        }
        let said = self.said.pop_front().map(|first| first.said);
        said.or_else(|| self.end.take())
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        let nothing_said = self.said.is_empty() && self.odds.is_empty();
        self.progress.is_none() && nothing_said && self.end.is_none()
    }
}

#[cfg(test)]
mod tests {
    use domain::{FinishReason, GenerationError, ToolCallId, Usage};
    use proptest::prelude::*;

    use super::*;

    fn finished() -> GenerationEvent {
        GenerationEvent::Finished {
            reason: FinishReason::Stop,
            usage: Usage::default(),
        }
    }

    fn drain(outbox: &mut Outbox) -> Vec<GenerationEvent> {
        std::iter::from_fn(|| outbox.take()).collect()
    }

    #[test]
    fn the_latest_progress_the_merged_text_one_end() {
        let mut outbox = Outbox::default();
        outbox.progress(GenerationEvent::Queued { position: 2 });
        outbox.progress(GenerationEvent::Queued { position: 1 });
        assert_eq!(
            drain(&mut outbox),
            [GenerationEvent::Queued { position: 1 }]
        );
        outbox.progress(GenerationEvent::Prefill { done: 1, total: 2 });
        outbox.say("a");
        outbox.say("");
        outbox.say("b");
        outbox.progress(GenerationEvent::Loading { fraction: 0.5 });
        outbox.end(finished());
        outbox.end(GenerationEvent::Failed(GenerationError::Cancelled));
        outbox.say("c");
        assert_eq!(
            drain(&mut outbox),
            [GenerationEvent::Text("ab".to_owned()), finished()]
        );
        assert!(outbox.is_empty());
        outbox.end(finished());
        assert!(outbox.is_empty(), "the end leaves once");
    }

    #[test]
    fn calls_stay_where_they_are_between_texts() {
        let call = |name: &str| ToolCall {
            id: ToolCallId::new(name),
            name: name.to_owned(),
            arguments: "{}".to_owned(),
        };
        let mut outbox = Outbox::default();
        outbox.progress(GenerationEvent::Queued { position: 1 });
        outbox.say("a");
        outbox.call(call("one"));
        outbox.call(call("two"));
        outbox.say("b");
        outbox.say("c");
        outbox.end(finished());
        outbox.call(call("late"));
        assert_eq!(
            drain(&mut outbox),
            [
                GenerationEvent::Text("a".to_owned()),
                GenerationEvent::ToolCall(call("one")),
                GenerationEvent::ToolCall(call("two")),
                GenerationEvent::Text("bc".to_owned()),
                finished()
            ]
        );
    }

    fn odds(text: &str) -> Vec<TokenLogprob> {
        let odds = |byte: &u8| TokenLogprob {
            bytes: vec![*byte],
            logprob: -1.0,
            likeliest: Vec::new(),
        };
        text.as_bytes().iter().map(odds).collect()
    }

    #[test]
    fn how_likely_they_were_is_merged_as_their_text_is() {
        let call = ToolCall {
            id: ToolCallId::new("one"),
            name: "one".to_owned(),
            arguments: "{}".to_owned(),
        };
        let mut outbox = Outbox::default();
        for text in ["a", "b"] {
            outbox.weigh(odds(text));
            outbox.say(text);
        }
        assert_eq!(outbox.take(), Some(GenerationEvent::Logprobs(odds("ab"))));
        // The reader has room for one only, and the next text comes meanwhile.
        outbox.weigh(odds("c"));
        outbox.say("c");
        outbox.weigh(odds("d"));
        outbox.call(call.clone());
        outbox.weigh(Vec::new());
        outbox.say("e");
        outbox.weigh(odds("f"));
        outbox.end(finished());
        outbox.weigh(odds("g"));
        assert_eq!(
            drain(&mut outbox),
            [
                GenerationEvent::Logprobs(odds("c")),
                GenerationEvent::Text("abc".to_owned()),
                GenerationEvent::Logprobs(odds("d")),
                GenerationEvent::ToolCall(call),
                GenerationEvent::Text("e".to_owned()),
                GenerationEvent::Logprobs(odds("f")),
                finished()
            ]
        );
        assert!(outbox.is_empty());
    }

    proptest! {
        /// However reading and writing interleave: all text arrives in order, how likely its tokens were before it, the
        /// end is last and alone.
        #[test]
        fn nothing_is_lost(ops in prop::collection::vec((0u8..4, "[a-c]{0,2}"), 0..40)) {
            let (mut told, mut weighed) = (Vec::new(), Vec::new());
            let (mut outbox, mut said, mut heard, mut ends) = (Outbox::default(), String::new(), String::new(), 0);
            let mut ended = false;
            for (op, text) in ops {
                match op {
                    0 => outbox.progress(GenerationEvent::Queued { position: 1 }),
                    1 => {
                        if !ended { said.push_str(&text); weighed.extend(odds(&text)); }
                        outbox.weigh(odds(&text));
                        outbox.say(&text);
                    }
                    2 if text.is_empty() => { ended = true; outbox.end(finished()); }
                    _ => match outbox.take() {
                        Some(GenerationEvent::Text(text)) => {
                            prop_assert_eq!(ends, 0);
                            heard.push_str(&text);
                            prop_assert_eq!(&told, &odds(&heard), "they come before their text");
                        }
                        Some(GenerationEvent::Logprobs(odds)) => told.extend(odds),
                        Some(event) if event.is_terminal() => ends += 1,
                        Some(_) => prop_assert!(heard.is_empty(), "progress comes before text"),
                        None => {}
                    },
                }
            }
            for event in drain(&mut outbox) {
                match event {
                    GenerationEvent::Text(text) => heard.push_str(&text),
                    GenerationEvent::Logprobs(odds) => told.extend(odds),
                    event => ends += u32::from(event.is_terminal()),
                }
            }
            prop_assert_eq!(heard, said);
            prop_assert_eq!(told, weighed);
            prop_assert_eq!(ends, u32::from(ended));
        }
    }
}
