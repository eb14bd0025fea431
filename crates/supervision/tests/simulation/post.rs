//! Senders: each sends one letter after the other and writes down what became of it.

use std::time::Duration;

use supervision::{AskError, Handle, TellError};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::ledger::{Book, Fate, LetterId, PlaceId};
use crate::ms;
use crate::player::{Act, Letter, Player};

/// How a letter is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Tell,
    Ask(Duration),
}

/// One letter to be sent.
pub struct Errand {
    pub place: PlaceId,
    pub handle: Handle<Player>,
    pub act: Act,
    pub how: How,
}

pub async fn sender(name: usize, book: Book, mut errands: mpsc::Receiver<Errand>) {
    while let Some(errand) = errands.recv().await {
        match errand.how {
            How::Tell => tell(name, &book, errand).await,
            How::Ask(deadline) => ask(name, &book, errand, deadline).await,
        }
    }
}

async fn tell(name: usize, book: &Book, errand: Errand) {
    let id = book.lock().post(errand.place, name, false);
    let told = errand
        .handle
        .tell(Letter {
            id,
            act: errand.act,
        })
        .await;
    settle(book, id, told);
}

fn settle(book: &Book, id: LetterId, told: Result<(), TellError<Letter>>) {
    let fate = match told {
        Ok(()) => Fate::Taken,
        Err(error) => {
            let back = error.into_message().id;
            if back != id {
                book.lock()
                    .fault(format!("letter {} came back for {}", back.0, id.0));
            }
            Fate::Returned
        }
    };
    book.lock().fate(id, fate);
}

/// A letter that does not wait for room. The sender of those is everyone's: `name` is the story's own.
pub fn try_tell(name: usize, book: &Book, errand: &Errand) {
    let id = book.lock().post(errand.place, name, false);
    let told = errand.handle.try_tell(Letter {
        id,
        act: errand.act,
    });
    settle(book, id, told);
}

async fn ask(name: usize, book: &Book, errand: Errand, deadline: Duration) {
    let id = book.lock().post(errand.place, name, true);
    let begun = Instant::now();
    let answer = errand
        .handle
        .ask(
            Letter {
                id,
                act: errand.act,
            },
            deadline,
        )
        .await;
    let took = begun.elapsed();
    let mut book = book.lock();
    if took > deadline + ms(1) {
        book.fault(format!(
            "letter {} was answered after {took:?}, not {deadline:?}",
            id.0
        ));
    }
    let fate = match answer {
        Ok(echo) => {
            if echo != id.0 {
                book.fault(format!("letter {} got the answer of {echo}", id.0));
            }
            Fate::Answered
        }
        Err(AskError::Crashed { .. }) => Fate::Crashed,
        Err(AskError::Down { .. }) => Fate::Returned,
        Err(AskError::Timeout { .. }) => {
            if took < deadline {
                book.fault(format!("letter {} timed out after {took:?}", id.0));
            }
            Fate::Late
        }
        Err(AskError::Handler(_)) => {
            book.fault(format!("letter {} got an error nobody wrote", id.0));
            Fate::Crashed
        }
    };
    book.fate(id, fate);
}
