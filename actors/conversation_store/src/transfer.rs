//! Whole conversations on their way out and in.

use crate::archive::{Archive, Failure};
use crate::conversations::{self, New};
use crate::error::StoreError;
use crate::limits;
use crate::messages::{Appended, Export, Exported, Import, PAGE_BYTES};
use crate::work::Work;

impl Work for Export {
    type Answer = Exported;
    const WRITES: bool = false;

    fn check(&self) -> Result<(), StoreError> {
        Ok(limits::conversation(&self.conversation)?)
    }

    fn carry_out(&self, archive: &Archive) -> Result<Exported, Failure> {
        let at = &archive.connection;
        let overview = conversations::one(at, &self.conversation)?;
        let conversation = conversations::found(at, &self.conversation)?;
        let page = conversations::page(at, conversation, 0, usize::MAX)?;
        if page.more {
            return Err(StoreError::TooLarge {
                conversation: self.conversation.clone(),
                most: PAGE_BYTES,
            }
            .into());
        }
        Ok(Exported {
            overview,
            messages: page.messages,
        })
    }
}

impl Work for Import {
    type Answer = Appended;
    const WRITES: bool = true;

    fn check(&self) -> Result<(), StoreError> {
        limits::conversation(&self.conversation)?;
        let messages = self.messages.iter().map(|one| &one.message);
        Ok(limits::messages(messages)?)
    }

    fn bytes(&self) -> usize {
        let all = self.messages.iter();
        all.map(|one| limits::weight(&one.message)).sum()
    }

    fn carry_out(&self, archive: &Archive) -> Result<Appended, Failure> {
        let at = &archive.connection;
        if conversations::find(at, &self.conversation)?.is_some() {
            return Err(StoreError::ConversationExists(self.conversation.clone()).into());
        }
        let times = self.messages.iter().map(|one| one.said_ms);
        let first = times.clone().min().unwrap_or(self.now_ms);
        let last = times.max().unwrap_or(self.now_ms);
        let conversation = conversations::find_or_make(at, &self.conversation, first)?;
        let new = self.messages.iter().map(|one| New {
            message: &one.message,
            turn: None,
            said_ms: one.said_ms,
        });
        Ok(conversations::append(at, conversation, new, last)?)
    }
}
