//! From a prompt to tokens that fit the model's window, by an explicit policy.
//!
//! Called on the blocking pool: template and tokenizer compute. What is encoded for one attempt is known to the next.
//! Nothing here waits.

use domain::{ContextPolicy, FieldError, GenerationError, Message, Prompt, Role, Tools};
use engine::{Pieces, TextCodec, TextError, TokenId};

/// When messages are left out, this share of the window is kept free for the answer, or `max_tokens` if that is less:
/// a prompt that fills the window to the last token could only be answered with one.
const ANSWER_SHARE: u32 = 4;

/// The prompt as tokens: at least one, fewer than `context_tokens`.
///
/// # Errors
/// `Invalid` if the template or tokenizer refuses it or it is empty; `ContextOverflow` if it does not fit, for
/// `ContextPolicy::DropOldest` even with all that may go left out.
pub(crate) fn fit(
    (prompt, tools): (&Prompt, &Tools),
    policy: ContextPolicy,
    max_tokens: u32,
    context_tokens: u32,
    (text, known): (&dyn TextCodec, &mut dyn Pieces),
) -> Result<Vec<TokenId>, GenerationError> {
    let mut chat = |messages: &[Message]| {
        text.encode_chat_with(messages, tools, known)
            .map_err(|e| refused("messages", &e))
    };
    let tokens = encode(prompt, text, &mut chat)?;
    let room = max_tokens.min(context_tokens / ANSWER_SHARE).max(1);
    let fits = |tokens: &[TokenId], room: u32| {
        u32::try_from(tokens.len()).is_ok_and(|n| n.saturating_add(room) <= context_tokens)
    };
    let tokens = match (prompt, policy) {
        (Prompt::Chat(messages), ContextPolicy::DropOldest) if !fits(&tokens, room) => {
            shorten(messages, chat, |tokens| fits(tokens, room))?
        }
        _ => tokens,
    };
    if tokens.is_empty() {
        let error = FieldError::new("prompt", "nothing", "at least one character");
        return Err(GenerationError::Invalid(error));
    }
    let room = match policy {
        ContextPolicy::RefuseWithoutRoom => room,
        ContextPolicy::Refuse | ContextPolicy::DropOldest => 1,
    };
    if !fits(&tokens, room) {
        return Err(GenerationError::ContextOverflow {
            prompt_tokens: u32::try_from(tokens.len()).unwrap_or(u32::MAX),
            context_tokens,
        });
    }
    Ok(tokens)
}

/// Leaves out as few of the oldest as make it fit, found by halving; all that may go if none does.
fn shorten(
    messages: &[Message],
    mut encode: impl FnMut(&[Message]) -> Result<Vec<TokenId>, GenerationError>,
    fits: impl Fn(&[TokenId]) -> bool,
) -> Result<Vec<TokenId>, GenerationError> {
    let choices = choices(messages);
    let (mut low, mut high) = (0, choices.len().saturating_sub(1));
    while low < high {
        let middle = low.midpoint(high);
        let dropped = choices.get(middle).copied().unwrap_or_default();
        if fits(&encode(&without(messages, dropped))?) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    let dropped = choices.get(low).copied().unwrap_or_default();
    encode(&without(messages, dropped))
}

/// How many of the oldest droppable messages may go, fewest first. What stays does not begin with an answer whose
/// question is gone: many templates refuse that.
fn choices(messages: &[Message]) -> Vec<usize> {
    let droppable = messages.len().saturating_sub(1);
    let roles: Vec<Role> = messages
        .iter()
        .take(droppable)
        .map(|m| m.role)
        .filter(|role| *role != Role::System)
        .collect();
    let begins_well = |dropped: usize| {
        let first = roles.get(dropped).copied();
        !matches!(first, Some(Role::Assistant | Role::Tool))
    };
    (1..=roles.len())
        .filter(|dropped| begins_well(*dropped))
        .collect()
}

/// The messages less the `dropped` oldest that are neither system messages nor the last.
fn without(messages: &[Message], dropped: usize) -> Vec<Message> {
    let last = messages.len().saturating_sub(1);
    let mut left = dropped;
    messages
        .iter()
        .enumerate()
        .filter(|(at, message)| {
            let goes = left > 0 && *at < last && message.role != Role::System;
            left -= usize::from(goes);
            !goes
        })
        .map(|(_, message)| message.clone())
        .collect()
}

fn encode(
    prompt: &Prompt,
    text: &dyn TextCodec,
    chat: impl FnOnce(&[Message]) -> Result<Vec<TokenId>, GenerationError>,
) -> Result<Vec<TokenId>, GenerationError> {
    match prompt {
        Prompt::Chat(messages) if messages.is_empty() => {
            let error = FieldError::new("messages", "[]", "at least one message");
            Err(GenerationError::Invalid(error))
        }
        Prompt::Chat(messages) => chat(messages),
        Prompt::Text(plain) => text.encode_text(plain).map_err(|e| refused("prompt", &e)),
    }
}

fn refused(field: &'static str, error: &TextError) -> GenerationError {
    let allowed = "text the model's own chat template and tokenizer accept";
    GenerationError::Invalid(FieldError::new(field, error, allowed))
}

#[cfg(test)]
mod tests {
    use domain::Constraint;
    use engine::{NoPieces, ToolSyntax};
    use proptest::prelude::*;
    use tokio::time::Instant;

    use super::*;
    use crate::tokenised::{PLAN, Sheet, Tokenised};

    /// Without tools.
    fn fit(
        prompt: &Prompt,
        policy: ContextPolicy,
        max_tokens: u32,
        context_tokens: u32,
        text: &dyn TextCodec,
    ) -> Result<Vec<TokenId>, GenerationError> {
        let asked = (prompt, &Tools::default());
        super::fit(
            asked,
            policy,
            max_tokens,
            context_tokens,
            (text, &mut NoPieces),
        )
    }

    /// One token per character; the template puts a letter for the role before each message. A message is a piece.
    struct Letters;

    impl TextCodec for Letters {
        fn encode_chat_with(
            &self,
            messages: &[Message],
            _: &Tools,
            known: &mut dyn Pieces,
        ) -> Result<Vec<TokenId>, TextError> {
            let first = messages.iter().find(|m| m.role != Role::System);
            if first.is_some_and(|m| m.role == Role::Assistant) {
                return Err(TextError::Template("begins with an answer".to_owned()));
            }
            let mut tokens = Vec::new();
            for message in messages {
                let text = [&message.role.as_str()[..1], message.content.as_str()].concat();
                if !known.look(&text, &mut tokens) {
                    let made = self.encode_text(&text)?;
                    known.keep(&text, &made);
                    tokens.extend(made);
                }
            }
            Ok(tokens)
        }

        fn encode_text(&self, text: &str) -> Result<Vec<TokenId>, TextError> {
            Ok(text.chars().map(u32::from).collect())
        }

        fn bytes_of(&self, _: TokenId) -> &[u8] {
            &[]
        }

        fn ends_turn(&self, _: TokenId) -> bool {
            false
        }

        fn tool_syntax(&self) -> ToolSyntax {
            ToolSyntax::Tagged
        }

        fn check(&self, _: &Constraint) -> Result<(), TextError> {
            Ok(())
        }
    }

    fn chat() -> Prompt {
        Prompt::Chat(vec![
            Message::system("S"),
            Message::user("aaaa"),
            Message::assistant("bbbb"),
            Message::user("cccc"),
            Message::assistant("dddd"),
            Message::user("eeee"),
        ])
    }

    fn text_of(result: Result<Vec<TokenId>, GenerationError>) -> Result<String, GenerationError> {
        result.map(|tokens| tokens.into_iter().filter_map(char::from_u32).collect())
    }

    #[test]
    fn the_oldest_go_until_it_fits() {
        let whole = "sSuaaaabbbbbuccccaddddueeee".replace("bbbbb", "abbbb");
        for (context, max_tokens, expected) in [
            (100, 10, Ok(whole.as_str())),
            (28, 1, Ok(whole.as_str())),
            // A quarter of the window is kept for the answer, so the first pair goes.
            (28, 10, Ok("sSuccccaddddueeee")),
            (20, 2, Ok("sSuccccaddddueeee")),
            (17, 2, Ok("sSueeee")),
            (8, 1, Ok("sSueeee")),
            (7, 1, Err(7)),
        ] {
            let fitted = fit(
                &chat(),
                ContextPolicy::DropOldest,
                max_tokens,
                context,
                &Letters,
            );
            let expected = expected.map(str::to_owned).map_err(|prompt_tokens| {
                GenerationError::ContextOverflow {
                    prompt_tokens,
                    context_tokens: context,
                }
            });
            assert_eq!(
                text_of(fitted),
                expected,
                "window {context}, answer {max_tokens}"
            );
        }
    }

    #[test]
    fn refusing_names_both_lengths() {
        let fitted = fit(&chat(), ContextPolicy::Refuse, 1, 27, &Letters);
        assert_eq!(
            fitted,
            Err(GenerationError::ContextOverflow {
                prompt_tokens: 27,
                context_tokens: 27
            })
        );
        assert!(fit(&chat(), ContextPolicy::Refuse, 99, 28, &Letters).is_ok());
    }

    #[test]
    fn without_room_for_an_answer_it_may_be_refused_too() {
        let wanted = |max_tokens, context| {
            let policy = ContextPolicy::RefuseWithoutRoom;
            fit(&chat(), policy, max_tokens, context, &Letters).is_ok()
        };
        // 27 tokens, and a quarter of the window for the answer unless it wants less.
        for (max_tokens, context, fits) in [
            (99, 28, false),
            (1, 28, true),
            (99, 35, true),
            (99, 34, false),
        ] {
            assert_eq!(
                wanted(max_tokens, context),
                fits,
                "{max_tokens} of {context}"
            );
        }
    }

    #[test]
    fn nothing_is_not_a_prompt() {
        for prompt in [Prompt::Text(String::new()), Prompt::Chat(Vec::new())] {
            let fitted = fit(&prompt, ContextPolicy::Refuse, 1, 27, &Letters);
            assert!(
                matches!(fitted, Err(GenerationError::Invalid(_))),
                "{fitted:?}"
            );
        }
    }

    #[test]
    fn a_template_that_refuses_is_the_askers_to_mend() {
        let prompt = Prompt::Chat(vec![Message::assistant("x")]);
        let error = fit(&prompt, ContextPolicy::Refuse, 1, 27, &Letters).unwrap_err();
        assert!(
            error.to_string().contains("begins with an answer"),
            "{error}"
        );
    }

    #[test]
    fn text_has_no_messages_to_leave_out() {
        let prompt = Prompt::Text("abcdef".to_owned());
        let fitted = fit(&prompt, ContextPolicy::DropOldest, 1, 6, &Letters);
        assert!(matches!(
            fitted,
            Err(GenerationError::ContextOverflow { .. })
        ));
    }

    proptest! {
        /// What is known changes nothing that is seen: neither what fits nor how it is refused.
        #[test]
        fn it_is_the_same_whatever_is_known(
            chat in prop::collection::vec((0..4, "[ab]{0,6}"), 0..16),
            policy in prop::sample::select(vec![
                ContextPolicy::Refuse, ContextPolicy::RefuseWithoutRoom, ContextPolicy::DropOldest,
            ]),
            max_tokens in 0..20u32,
            windows in prop::collection::vec(1..120u32, 1..4),
        ) {
            let message = |(role, text): (i32, String)| match role {
                0 => Message::system(text),
                1 | 2 => Message::user(text),
                _ => Message::assistant(text),
            };
            let prompt = Prompt::Chat(chat.into_iter().map(message).collect());
            let mut sheet = Sheet::new(Tokenised::new(PLAN, None), Instant::now());
            for window in windows {
                let plain = fit(&prompt, policy, max_tokens, window, &Letters);
                let asked = (&prompt, &Tools::default());
                let text: (&dyn TextCodec, &mut dyn Pieces) = (&Letters, &mut sheet);
                let known = super::fit(asked, policy, max_tokens, window, text);
                prop_assert_eq!(known, plain);
            }
            let mut made: Vec<_> = sheet.finish().made.into_iter().map(|made| made.key).collect();
            let all = made.len();
            made.sort_unstable();
            made.dedup();
            prop_assert_eq!(made.len(), all, "nothing is encoded twice");
        }
    }
}
