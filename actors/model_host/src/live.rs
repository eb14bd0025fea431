//! One sequence that is being answered: what it was asked, what it has said, how much of both the present engine has
//! seen, and when it is over.
//!
//! It outlives the engine. After a crash the next engine is fed prompt and answer again from the front; the text that
//! was said is not said twice, because only a newly sampled token makes text. Nothing here waits or computes.

use domain::{FinishReason, Sampling, TokenLogprob, Usage};
use engine::{Piece, Said, SequencePlan, Speech, TokenId, ToolSpeech};

use crate::odds::Odds;

/// What a sampled token did.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Heard {
    /// This much became final; maybe nothing.
    Said(Spoken),
    /// The last of it, and the end.
    End {
        last: Spoken,
        reason: FinishReason,
        usage: Usage,
    },
}

/// What became final, and how likely its tokens were, if that was asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Spoken {
    pub(crate) odds: Vec<TokenLogprob>,
    pub(crate) pieces: Vec<Piece>,
}

/// One sequence.
#[derive(Debug)]
pub(crate) struct Sequence {
    prompt_tokens: usize,
    /// Prompt and answer; the last token of the answer may not have been fed yet.
    tokens: Vec<TokenId>,
    fed: usize,
    /// Tokens at the front that the present engine did not have to read.
    cached: usize,
    speech: Speech,
    odds: Odds,
    /// Finds the calls in what is said, if there may be any.
    calls: Option<ToolSpeech>,
    plan: SequencePlan,
    crashes: u32,
    in_step: bool,
    suspect: bool,
    /// The step that last read some of its prompt: whoever waited longest goes first.
    pub(crate) served: u64,
}

impl Sequence {
    /// A sequence that holds at most `context_tokens`; `prompt` is shorter than that and not empty.
    pub(crate) fn new(
        prompt: Vec<TokenId>,
        sampling: Sampling,
        context_tokens: u32,
        calls: Option<ToolSpeech>,
    ) -> Self {
        let prompt_tokens = u32::try_from(prompt.len()).unwrap_or(u32::MAX);
        Self {
            prompt_tokens: prompt.len(),
            tokens: prompt,
            fed: 0,
            cached: 0,
            speech: Speech::new(&sampling.stop),
            odds: Odds::default(),
            calls,
            plan: SequencePlan {
                capacity_tokens: capacity(prompt_tokens, sampling.max_tokens, context_tokens),
                sampling,
                prompt_tokens,
            },
            crashes: 0,
            in_step: false,
            suspect: false,
            served: 0,
        }
    }

    /// The present engine opens it with the first `tokens` tokens of its prompt; not all of them.
    pub(crate) fn begin_behind(&mut self, tokens: u32) {
        let most = self.prompt_tokens.saturating_sub(1);
        self.cached = most.min(tokens as usize);
        self.fed = self.cached;
    }

    /// The tokens the present engine has seen.
    pub(crate) fn fed(&self) -> &[TokenId] {
        self.tokens.get(..self.fed).unwrap_or(&self.tokens)
    }

    /// The most tokens it will hold.
    pub(crate) fn capacity(&self) -> u32 {
        self.plan.capacity_tokens
    }

    /// What the engine opens it with; the same in every engine's life.
    pub(crate) fn plan(&self) -> SequencePlan {
        self.plan.clone()
    }

    /// Tokens the present engine has not seen. One: the token sampled last. More: prompt, or a replay.
    pub(crate) fn unfed(&self) -> usize {
        self.tokens.len().saturating_sub(self.fed)
    }

    /// Whether it runs alone, because it was in a step that crashed and has said nothing since.
    pub(crate) fn is_suspect(&self) -> bool {
        self.suspect
    }

    /// The next `count` tokens, on their way into a step.
    pub(crate) fn depart(&mut self, count: usize) -> Vec<TokenId> {
        self.in_step = true;
        self.tokens
            .iter()
            .skip(self.fed)
            .take(count)
            .copied()
            .collect()
    }

    /// The engine has seen `count` tokens more. Prompt tokens among them, for the count of what was read.
    pub(crate) fn arrive(&mut self, count: usize) -> usize {
        self.in_step = false;
        let before = self.fed.min(self.prompt_tokens);
        self.fed = self.fed.saturating_add(count).min(self.tokens.len());
        self.fed.min(self.prompt_tokens) - before
    }

    /// Prompt tokens read by the present engine, and in all.
    pub(crate) fn prompt_read(&self) -> (u32, u32) {
        let total = self.plan.prompt_tokens;
        let done = u32::try_from(self.fed).unwrap_or(u32::MAX).min(total);
        (done, total)
    }

    /// Takes the token sampled behind everything it holds, and how likely it was.
    pub(crate) fn accept(
        &mut self,
        token: TokenId,
        bytes: &[u8],
        ends_turn: bool,
        odds: Option<TokenLogprob>,
    ) -> Heard {
        self.suspect = false;
        self.tokens.push(token);
        if ends_turn {
            let text = self.speech.finish();
            return self.end(&text, FinishReason::Stop);
        }
        self.odds.take(bytes, odds);
        // A token's life, stop 11: bytes become text that is final.
        match self.speech.push(bytes) {
            Said::Stopped(text) => self.end(&text, FinishReason::Stop),
            Said::Text(mut text) => {
                let usage = self.usage();
                let full = self.tokens.len() >= self.plan.capacity_tokens as usize;
                if !full && usage.completion_tokens < self.plan.sampling.max_tokens {
                    return Heard::Said(self.hear(&text));
                }
                text.push_str(&self.speech.finish());
                self.end(&text, FinishReason::Length)
            }
        }
    }

    /// What it cost so far.
    pub(crate) fn usage(&self) -> Usage {
        let said = self.tokens.len().saturating_sub(self.prompt_tokens);
        Usage {
            prompt_tokens: self.plan.prompt_tokens,
            cached_tokens: u32::try_from(self.cached).unwrap_or(u32::MAX),
            completion_tokens: u32::try_from(said).unwrap_or(u32::MAX),
        }
    }

    /// A new engine has seen nothing.
    pub(crate) fn replay(&mut self) {
        self.fed = 0;
        self.cached = 0;
        self.served = 0;
    }

    /// The engine died. If this sequence was in the step, it counts; returns how often, once that is above `budget`.
    pub(crate) fn crashed(&mut self, budget: u32) -> Option<u32> {
        if std::mem::take(&mut self.in_step) {
            self.crashes = self.crashes.saturating_add(1);
            self.suspect = true;
        }
        (self.crashes > budget).then_some(self.crashes)
    }

    /// Crashes it was part of.
    pub(crate) fn crashes(&self) -> u32 {
        self.crashes
    }

    /// Which field of its request holds it to a form.
    pub(crate) fn form_field(&self) -> &'static str {
        if self.calls.is_some() {
            "tools"
        } else {
            "response_format"
        }
    }

    /// What is sayable of the next text.
    fn hear(&mut self, text: &str) -> Spoken {
        let pieces = self.pieces(text);
        if pieces.is_empty() {
            return Spoken::default();
        }
        let odds = self.odds.of_the_first(self.speech.said_bytes());
        Spoken { odds, pieces }
    }

    fn pieces(&mut self, text: &str) -> Vec<Piece> {
        match &mut self.calls {
            Some(calls) => calls.push(text),
            None if text.is_empty() => Vec::new(),
            None => vec![Piece::Text(text.to_owned())],
        }
    }

    fn end(&mut self, text: &str, reason: FinishReason) -> Heard {
        let mut pieces = self.pieces(text);
        pieces.extend(self.calls.iter_mut().flat_map(ToolSpeech::finish));
        let called = self.calls.as_ref().is_some_and(|calls| calls.calls() > 0);
        let reason = match reason {
            FinishReason::Stop if called => FinishReason::ToolCalls,
            reason => reason,
        };
        let usage = self.usage();
        let odds = self.odds.of_the_first(self.speech.said_bytes());
        Heard::End {
            last: Spoken { odds, pieces },
            reason,
            usage,
        }
    }
}

/// The most tokens a sequence will hold: all it may say, within the window.
pub(crate) fn capacity(prompt_tokens: u32, max_tokens: u32, context_tokens: u32) -> u32 {
    prompt_tokens.saturating_add(max_tokens).min(context_tokens)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const END: TokenId = 0;

    fn sequence(prompt: usize, max_tokens: u32, context: u32, stop: &[&str]) -> Sequence {
        let sampling = Sampling {
            max_tokens,
            stop: stop.iter().map(ToString::to_string).collect(),
            ..Sampling::greedy()
        };
        Sequence::new(vec![7; prompt], sampling, context, None)
    }

    fn text_of(pieces: Vec<Piece>) -> String {
        let text = |piece| match piece {
            Piece::Text(text) => text,
            Piece::Call(call) => format!("[{} {}]", call.id, call.name),
        };
        pieces.into_iter().map(text).collect()
    }

    /// Says single letters until it ends.
    fn say(sequence: &mut Sequence, letters: &str) -> (String, Option<FinishReason>) {
        let mut text = String::new();
        for letter in letters.chars() {
            let mut buffer = [0; 4];
            let bytes = letter.encode_utf8(&mut buffer).as_bytes();
            let token = if letter == '.' { END } else { 1 };
            match sequence.accept(token, bytes, token == END, None) {
                Heard::Said(more) => text.push_str(&text_of(more.pieces)),
                Heard::End {
                    last,
                    reason,
                    usage,
                } => {
                    assert_eq!(usage, sequence.usage());
                    assert_eq!(last.odds, []);
                    return (text + &text_of(last.pieces), Some(reason));
                }
            }
        }
        (text, None)
    }

    #[test]
    fn ends_for_the_right_reason() {
        use FinishReason::{Length, Stop};
        type Case = (
            usize,
            u32,
            u32,
            &'static [&'static str],
            &'static str,
            &'static str,
            Option<FinishReason>,
            u32,
        );
        let cases: [Case; 8] = [
            (3, 10, 100, &[], "abc.", "abc", Some(Stop), 4),
            (3, 3, 100, &[], "abcdef", "abc", Some(Length), 3),
            (3, 10, 6, &[], "abcdef", "abc", Some(Length), 3),
            (5, 10, 6, &[], "abcdef", "a", Some(Length), 1),
            (3, 10, 100, &["cd"], "abcdef", "ab", Some(Stop), 4),
            (3, 3, 100, &["cd"], "abcdef", "abc", Some(Length), 3),
            (3, 4, 100, &["cd"], "abcd", "ab", Some(Stop), 4),
            (3, 10, 100, &[], "ab", "ab", None, 2),
        ];
        for (prompt, max, context, stop, letters, text, reason, said) in cases {
            let mut sequence = sequence(prompt, max, context, stop);
            assert_eq!(
                say(&mut sequence, letters),
                (text.to_owned(), reason),
                "{letters} {max} {context}"
            );
            assert_eq!(sequence.usage().completion_tokens, said);
        }
    }

    #[test]
    fn a_replay_feeds_everything_again_and_says_nothing_twice() {
        let mut sequence = sequence(2, 10, 100, &[]);
        assert_eq!(sequence.depart(2), [7, 7]);
        assert_eq!(sequence.arrive(2), 2);
        assert_eq!(say(&mut sequence, "ab").0, "ab");
        sequence.arrive(1);
        assert_eq!(sequence.unfed(), 1);
        assert_eq!(sequence.depart(1), [1]);
        assert_eq!(sequence.crashed(2), None);
        assert!(sequence.is_suspect());
        sequence.replay();
        assert_eq!((sequence.unfed(), sequence.prompt_read()), (4, (0, 2)));
        assert_eq!(sequence.depart(4), [7, 7, 1, 1]);
        assert_eq!(sequence.arrive(4), 2);
        assert_eq!(say(&mut sequence, "c").0, "c");
        assert!(!sequence.is_suspect());
    }

    #[test]
    fn calls_end_it_for_their_own_reason() {
        use FinishReason::{Length, Stop, ToolCalls};
        let call = r#"<tool_call>{"name":"a"}</tool_call>"#;
        for (max, said, text, reason) in [
            (99, format!("so{call}!"), "so[call-r-0 a]", ToolCalls),
            (99, "so!".to_owned(), "so", Stop),
            (37, format!("so{call}!"), "so[call-r-0 a]", Length),
            (20, format!("so{call}!"), r#"so<tool_call>{"name""#, Length),
        ] {
            let sampling = Sampling {
                max_tokens: max,
                ..Sampling::greedy()
            };
            let calls = ToolSpeech::new(engine::ToolSyntax::Tagged, domain::RequestId::new("r"));
            let mut sequence = Sequence::new(vec![7], sampling, 100, Some(calls));
            let said = said.replace('!', ".");
            assert_eq!(
                say(&mut sequence, &said),
                (text.to_owned(), Some(reason)),
                "{max}"
            );
        }
    }

    #[test]
    fn only_crashes_it_was_part_of_count() {
        let mut sequence = sequence(2, 10, 100, &[]);
        assert_eq!(sequence.crashed(1), None);
        assert_eq!(sequence.crashes(), 0);
        sequence.depart(1);
        assert_eq!(sequence.crashed(1), None);
        assert_eq!(
            sequence.crashed(1),
            None,
            "the same crash is not counted twice"
        );
        sequence.depart(1);
        assert_eq!(sequence.crashed(1), Some(2));
    }

    proptest! {
        /// Whatever is sampled, it ends exactly at its limits and never holds more than its capacity.
        #[test]
        fn never_more_than_the_limits(prompt in 1usize..20, max in 1u32..30, room in 1u32..30) {
            let context = prompt as u32 + room;
            let mut sequence = sequence(prompt, max, context, &[]);
            let (text, reason) = say(&mut sequence, &"x".repeat(100));
            prop_assert_eq!(reason, Some(FinishReason::Length));
            prop_assert_eq!(text.len() as u32, max.min(room));
            prop_assert!(sequence.tokens.len() <= sequence.plan().capacity_tokens as usize);
        }
    }
}
