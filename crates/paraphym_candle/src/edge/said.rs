//! What was said, for those who come into a conversation and for those who are in it: read from where it is at rest, with
//! the agent's Markdown made into safe HTML.
//!
//! Invariants: whoever waits here waits until a deadline; a store that is full, slow or gone is an error in words; a tool's
//! words are nobody's; a long text is made into HTML where it keeps nobody.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use connection::wire::room::ConversationLine;
use connection::{History, Part};
use conversation_store::messages::{
    Asker, Attributed, ListConversations, NameAsker, Newest, OpenTurns, Overview, PAGE_BYTES,
    ReadNewest, TurnState,
};
use conversation_store::{ConversationStore, StoreError, client};
use domain::{ConversationId, RequestId, Role};
use futures_util::future::BoxFuture;
use room::record::{AskedTurn, LeftTurn};
use room::{Entry, Kept, Record, Speaker};
use supervision::Handle;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::rendered::Rendered;

/// How long anybody waits for the store: a person looks at an empty page meanwhile.
const READING: Duration = Duration::from_secs(10);
/// Conversations in a list: more than anybody looks through.
const LISTED: usize = 200;
/// Messages in one page: more than go into a frame, for most are short.
const MESSAGES: usize = 500;
/// Messages that are looked at together for those of a turn: most have two.
const OF_TURN: usize = 64;
/// Bytes of text of those.
const OF_TURN_BYTES: usize = 1 << 20;
/// So often, before a turn counts as one of which nothing was written down: others have ended since.
const LOOKS: usize = 4;
/// Text that is made into HTML at once, in bytes: a millisecond, about.
const SHORT: usize = 8 << 10;
/// A longer one is shown as the text it is, in bytes: more than a model says at once.
const MARKDOWN: usize = 256 << 10;
/// Bytes of what was made into HTML lately, Markdown and HTML together.
const RENDERED: usize = 8 << 20;

/// What was said, of all conversations of a store. Cloning gives another handle to the same; make one per tree.
#[derive(Clone)]
pub struct Said(Arc<Shared>);

struct Shared {
    store: Handle<ConversationStore>,
    rendered: Rendered,
    /// How often somebody has asked for the list.
    asked: AtomicU64,
    list: Mutex<List>,
}

/// The list as it was last read, for everybody who had asked by then: many watch, and all of them wake at once.
struct List {
    answers: u64,
    lines: Result<Vec<ConversationLine>, String>,
}

impl Said {
    /// What is at rest there.
    pub fn new(store: Handle<ConversationStore>) -> Self {
        Self(Arc::new(Shared {
            store,
            rendered: Rendered::new(RENDERED),
            asked: AtomicU64::new(0),
            list: Mutex::new(List {
                answers: 0,
                lines: Ok(Vec::new()),
            }),
        }))
    }

    async fn page(self, of: ConversationId, part: Part) -> Result<connection::Said, String> {
        let wish = ReadNewest {
            conversation: of,
            after: part.after,
            before: part.before,
            limit: MESSAGES,
            bytes: part.bytes.clamp(1, PAGE_BYTES),
        };
        let Newest {
            messages,
            more,
            last,
        } = self.newest(wish).await?;
        let number = |one: &Attributed| one.stored.number;
        let first = messages.first().map(number).filter(|_| more);
        Ok(connection::Said {
            after: first.map_or(part.after, |first| first.saturating_sub(1)),
            last,
            entries: self.entries(messages).await,
        })
    }

    async fn newest(&self, wish: ReadNewest) -> Result<Newest, String> {
        let asked = client::ask(&self.0.store, wish).await;
        asked.map_err(|error| words(&error))
    }

    async fn list(self) -> Result<Vec<ConversationLine>, String> {
        let shared = &*self.0;
        let mine = shared.asked.fetch_add(1, Ordering::Relaxed) + 1;
        let mut list = shared.list.lock().await;
        if list.answers < mine {
            // Whoever asks from here on hears the next one: something may change behind this one.
            let answers = shared.asked.load(Ordering::Relaxed);
            let wish = ListConversations {
                limit: LISTED,
                before: None,
            };
            let read = client::ask(&shared.store, wish).await;
            let read = read.map_err(|error| words(&error));
            let lines = read.map(|list| list.conversations.into_iter().map(line).collect());
            *list = List { answers, lines };
        }
        list.lines.clone()
    }

    async fn name(self, asked: AskedTurn) -> Result<(), String> {
        let AskedTurn {
            turn, by, nonce, ..
        } = asked;
        let name = NameAsker {
            turn,
            asker: Asker { user: by, nonce },
        };
        let named = client::ask(&self.0.store, name).await;
        named.map(drop).map_err(|error| words(&error))
    }

    async fn turn(self, conversation: ConversationId, turn: RequestId) -> Result<Kept, String> {
        let (messages, before) = self.of_turn(conversation, &turn).await?;
        Ok(Kept {
            before,
            last: messages.last().map_or(0, |one| one.stored.number),
            entries: self.entries(messages).await,
        })
    }

    /// What a dead process left, if it is the last thing that was said.
    async fn left(self, conversation: ConversationId) -> Result<Option<LeftTurn>, String> {
        let wish = OpenTurns {
            conversation: conversation.clone(),
        };
        let open = client::ask(&self.0.store, wish).await;
        let open = open.map_err(|error| words(&error))?;
        let Some(left) = open
            .first()
            .filter(|turn| turn.state == TurnState::Interrupted)
        else {
            return Ok(None);
        };
        let wish = ReadNewest {
            conversation,
            after: 0,
            before: None,
            limit: 1,
            bytes: 1,
        };
        let last = self.newest(wish).await?;
        let last = last.messages.last();
        let since = last.is_some_and(|one| one.stored.said_ms > left.begun_ms);
        let Some(asker) = left.asker.as_ref().filter(|_| !since && open.len() == 1) else {
            return Ok(None);
        };
        Ok(Some(LeftTurn {
            turn: left.turn.clone(),
            by: asker.user.clone(),
            nonce: asker.nonce.clone(),
            text: left.user.content.clone(),
            at_ms: left.begun_ms,
        }))
    }

    /// The messages of a turn, oldest first, and the number of the one before them. They are among the newest: only what was
    /// said since stands behind them.
    async fn of_turn(
        &self,
        conversation: ConversationId,
        turn: &RequestId,
    ) -> Result<(Vec<Attributed>, u64), String> {
        let (mut found, mut before, mut looks) = (Vec::new(), None, 0);
        loop {
            let wish = ReadNewest {
                conversation: conversation.clone(),
                after: 0,
                before,
                limit: OF_TURN,
                bytes: OF_TURN_BYTES,
            };
            let Newest { messages, more, .. } = self.newest(wish).await?;
            before = messages.first().map(|one| one.stored.number);
            looks += 1;
            for one in messages.into_iter().rev() {
                if one.stored.turn.as_ref() == Some(turn) {
                    found.push(one);
                } else if !found.is_empty() {
                    found.reverse();
                    return Ok((found, one.stored.number));
                }
            }
            if !more || (found.is_empty() && looks >= LOOKS) {
                found.reverse();
                return Ok((found, 0));
            }
        }
    }

    /// What is to be shown.
    async fn entries(&self, messages: Vec<Attributed>) -> Vec<Entry> {
        let mut entries: Vec<Entry> = messages.into_iter().filter_map(entry).collect();
        let mut missing = Vec::new();
        for (at, entry) in entries.iter_mut().enumerate() {
            if entry.speaker == Speaker::Agent && entry.text.len() <= MARKDOWN {
                entry.html = self.0.rendered.get(&entry.text);
                if entry.html.is_none() {
                    missing.push((at, Arc::clone(&entry.text)));
                }
            }
        }
        for (at, text, html) in rendered(missing).await {
            self.0.rendered.put(text, Arc::clone(&html));
            if let Some(entry) = entries.get_mut(at) {
                entry.html = Some(html);
            }
        }
        entries
    }
}

impl History for Said {
    fn messages(
        &self,
        conversation: ConversationId,
        part: Part,
    ) -> BoxFuture<'static, Result<connection::Said, String>> {
        Box::pin(within(self.clone().page(conversation, part)))
    }

    fn conversations(&self) -> BoxFuture<'static, Result<Vec<ConversationLine>, String>> {
        Box::pin(within(self.clone().list()))
    }
}

impl Record for Said {
    fn begun(&self, asked: AskedTurn) -> BoxFuture<'static, Result<(), String>> {
        Box::pin(within(self.clone().name(asked)))
    }

    fn ended(
        &self,
        conversation: ConversationId,
        turn: RequestId,
    ) -> BoxFuture<'static, Result<Kept, String>> {
        Box::pin(within(self.clone().turn(conversation, turn)))
    }

    fn left(
        &self,
        conversation: ConversationId,
    ) -> BoxFuture<'static, Result<Option<LeftTurn>, String>> {
        Box::pin(within(self.clone().left(conversation)))
    }
}

/// The HTML of each, where it was made.
async fn rendered(texts: Vec<(usize, Arc<str>)>) -> Vec<(usize, Arc<str>, Arc<str>)> {
    let render = |texts: Vec<(usize, Arc<str>)>| {
        let one = |(at, text): (usize, Arc<str>)| {
            let html = markup::safe_html(&text).into();
            (at, text, html)
        };
        texts.into_iter().map(one).collect()
    };
    let bytes: usize = texts.iter().map(|(_, text)| text.len()).sum();
    if bytes <= SHORT {
        return render(texts);
    }
    let made = tokio::task::spawn_blocking(move || render(texts)).await;
    made.unwrap_or_else(|error| {
        tracing::error!(%error, "Markdown is shown as the text it is");
        Vec::new()
    })
}

/// Nobody said what is empty, nor what a tool answered.
fn entry(one: Attributed) -> Option<Entry> {
    let Attributed { stored, asker } = one;
    let speaker = match stored.message.role {
        Role::User => Speaker::Person,
        Role::Assistant => Speaker::Agent,
        _ => return None,
    };
    if stored.message.content.trim().is_empty() {
        return None;
    }
    let (by, nonce) = asker.map(|asker| (asker.user, asker.nonce)).unzip();
    Some(Entry {
        number: stored.number,
        speaker,
        by,
        nonce,
        text: stored.message.content.into(),
        html: None,
        at_ms: stored.said_ms,
        turn: stored.turn,
    })
}

fn line(of: Overview) -> ConversationLine {
    ConversationLine {
        conversation: of.conversation.to_string(),
        title: of.title,
        messages: of.messages,
        changed_ms: u64::try_from(of.updated_ms).unwrap_or(0),
    }
}

fn words(error: &StoreError) -> String {
    error.to_string()
}

async fn within<T>(reading: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let late = || {
        Err(format!(
            "the conversation store did not answer within {READING:?}"
        ))
    };
    timeout(READING, reading).await.unwrap_or_else(|_| late())
}
