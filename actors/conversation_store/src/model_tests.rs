//! The store against a list of messages: whatever is done to both, both tell the same.

use std::collections::BTreeMap;

use domain::{ConversationId, Message, RequestId, ToolCall, ToolCallId};
use proptest::prelude::*;

use crate::error::StoreError;
use crate::messages::{
    BeginTurn, EndTurn, Export, Import, Imported, ListConversations, ReadHistory, ReadMessages,
    RemoveConversation, ReplaceHistory, StoredMessage, TurnState,
};
use crate::proving::{NOW, ask, in_memory};

#[derive(Clone, Debug)]
enum Act {
    Turn(Vec<Message>),
    Replace(Vec<Message>),
    Remove,
    Import(Vec<Message>),
}

/// What a conversation holds, by numbers, and the number given last.
#[derive(Clone, Debug, Default)]
struct Known {
    messages: Vec<(u64, Message)>,
    last: u64,
}

impl Known {
    fn append(&mut self, messages: &[Message]) {
        for message in messages {
            self.last += 1;
            self.messages.push((self.last, message.clone()));
        }
    }
}

fn message() -> impl Strategy<Value = Message> {
    let call = ("[a-z]{1,8}", "[a-z]{1,8}", ".{0,20}").prop_map(|(id, name, arguments)| ToolCall {
        id: ToolCallId::new(id),
        name,
        arguments,
    });
    prop_oneof![
        ".{0,40}".prop_map(Message::user),
        ".{0,40}".prop_map(Message::assistant),
        ".{0,40}".prop_map(Message::system),
        (".{0,40}", prop::collection::vec(call, 1..3))
            .prop_map(|(text, calls)| Message::calling(text, calls)),
        ("[a-z]{1,8}", ".{0,40}").prop_map(|(id, text)| Message::tool(ToolCallId::new(id), text)),
    ]
}

fn act() -> impl Strategy<Value = (usize, Act)> {
    let some = || prop::collection::vec(message(), 0..4);
    let act = prop_oneof![
        4 => some().prop_map(Act::Turn),
        1 => some().prop_map(Act::Replace),
        1 => Just(Act::Remove),
        1 => some().prop_map(Act::Import),
    ];
    (0..3_usize, act)
}

fn plain(stored: Vec<StoredMessage>) -> Vec<(u64, Message)> {
    let all = stored.into_iter();
    all.map(|one| (one.number, one.message)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn it_tells_what_a_list_would(acts in prop::collection::vec(act(), 0..24)) {
        let archive = in_memory();
        let mut known: BTreeMap<String, Known> = BTreeMap::new();
        for (time, (which, act)) in (NOW..).zip(acts) {
            let name = format!("conversation {which}");
            let conversation = ConversationId::new(&name);
            let is_known = known.contains_key(&name);
            match act {
                Act::Turn(messages) => {
                    let turn = RequestId::new(format!("turn {time}"));
                    let user = Message::user("?");
                    ask(&archive, BeginTurn { conversation, turn: turn.clone(), user, now_ms: time }).unwrap();
                    let one = known.entry(name).or_default();
                    let first = one.last + 1;
                    one.append(&messages);
                    let end = EndTurn { turn, state: TurnState::Done, messages, now_ms: time };
                    let appended = ask(&archive, end.clone()).unwrap();
                    prop_assert_eq!(appended.first, first);
                    // Asked again as it was, it changes nothing.
                    prop_assert_eq!(ask(&archive, end).unwrap(), appended);
                }
                Act::Replace(messages) => {
                    let one = known.entry(name).or_default();
                    one.messages.clear();
                    one.append(&messages);
                    ask(&archive, ReplaceHistory { conversation, messages, now_ms: time }).unwrap();
                }
                Act::Remove => {
                    let removed = ask(&archive, RemoveConversation { conversation: conversation.clone() });
                    let expected = known.remove(&name).map(|one| one.messages.len() as u64);
                    let none = StoreError::NoConversation(conversation);
                    prop_assert_eq!(removed.map(|removed| removed.messages), expected.ok_or(none));
                }
                Act::Import(messages) => {
                    let imported = messages.iter().cloned().map(|message| Imported { message, said_ms: time });
                    let import = Import { conversation: conversation.clone(), messages: imported.collect(), now_ms: time };
                    let done = ask(&archive, import);
                    if is_known {
                        prop_assert_eq!(done.unwrap_err(), StoreError::ConversationExists(conversation));
                    } else {
                        done.unwrap();
                        known.entry(name).or_default().append(&messages);
                    }
                }
            }
        }
        for which in 0..3 {
            let name = format!("conversation {which}");
            let conversation = ConversationId::new(&name);
            let expected = known.get(&name).cloned().unwrap_or_default().messages;
            for last in [1, 2, 1000] {
                let read = ask(&archive, ReadHistory { conversation: conversation.clone(), last }).unwrap();
                let from = expected.len().saturating_sub(last);
                prop_assert_eq!(plain(read), &expected[from..]);
            }
            if !known.contains_key(&name) {
                continue;
            }
            // Page by page it is the same as all at once.
            let (mut paged, mut after) = (Vec::new(), 0);
            loop {
                let wish = ReadMessages { conversation: conversation.clone(), after, limit: 2 };
                let page = ask(&archive, wish).unwrap();
                prop_assert!(page.messages.len() <= 2);
                after = page.messages.last().map_or(after, |one| one.number);
                paged.extend(page.messages);
                if !page.more {
                    break;
                }
            }
            let exported = ask(&archive, Export { conversation }).unwrap();
            prop_assert_eq!(&paged, &exported.messages);
            prop_assert_eq!(exported.overview.messages, expected.len() as u64);
            prop_assert_eq!(plain(exported.messages), expected);
        }
        // The list, two at a time, has every conversation once.
        let (mut listed, mut before) = (Vec::new(), None);
        loop {
            let part = ask(&archive, ListConversations { limit: 2, before }).unwrap();
            listed.extend(part.conversations);
            before = part.next;
            if before.is_none() {
                break;
            }
        }
        prop_assert!(listed.is_sorted_by_key(|one| std::cmp::Reverse(one.updated_ms)));
        let mut names: Vec<String> = listed.iter().map(|one| one.conversation.to_string()).collect();
        names.sort();
        prop_assert_eq!(names, known.keys().cloned().collect::<Vec<_>>());
    }
}
