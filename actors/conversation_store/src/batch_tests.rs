//! Requests that go together: one that fails takes nothing of its neighbours' with it, and nobody's answer is good that is
//! not in the file.

use std::cell::Cell;

use domain::{ConversationId, Message};
use proptest::prelude::*;
use rusqlite::Connection;

use crate::archive::{Archive, Failure};
use crate::batch;
use crate::config::StoreConfig;
use crate::error::StoreError;
use crate::messages::{ReadHistory, ReplaceHistory};
use crate::proving::{NOW, Once, ask, in_memory};
use crate::work::Work;

/// What an errand does after it has written its name.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    Ends,
    IsRefused,
    Panics,
    /// The whole transaction is gone, as SQLite may do when the disk is full.
    LosesAll,
}

struct Named {
    name: String,
    then: Then,
    times: Cell<u32>,
}

impl Work for Named {
    type Answer = u32;
    const WRITES: bool = true;

    fn carry_out(&self, archive: &Archive) -> Result<u32, Failure> {
        self.times.set(self.times.get() + 1);
        let conversation = ConversationId::new(&self.name);
        let messages = vec![Message::user(self.name.as_str())];
        let now_ms = NOW;
        ReplaceHistory {
            conversation,
            messages,
            now_ms,
        }
        .carry_out(archive)?;
        match self.then {
            Then::Ends => Ok(self.times.get()),
            Then::IsRefused => Err(StoreError::Busy { waiting: 7 }.into()),
            Then::Panics => panic!("an errand's own fault"),
            Then::LosesAll => {
                archive.connection.execute_batch("ROLLBACK")?;
                let full = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL);
                Err(rusqlite::Error::SqliteFailure(full, None).into())
            }
        }
    }
}

fn is_there(archive: &Archive, name: &str) -> bool {
    let wish = ReadHistory {
        conversation: ConversationId::new(name),
        last: 1,
    };
    !ask(archive, wish).unwrap().is_empty()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn an_answer_is_good_exactly_if_it_is_in_the_file(
        thens in prop::collection::vec(
            prop_oneof![4 => Just(Then::Ends), 1 => Just(Then::IsRefused), 1 => Just(Then::LosesAll)], 0..12)
    ) {
        let archive = in_memory();
        let named = |(number, then): (usize, &Then)| {
            let (name, then, times) = (number.to_string(), *then, Cell::new(0));
            Box::new(Once::new(Named { name, then, times }))
        };
        let mut errands: Vec<Box<Once<Named>>> = thens.iter().enumerate().map(named).collect();
        batch::carry_out(&archive, &mut errands);
        for (number, (then, errand)) in thens.iter().zip(&errands).enumerate() {
            let answer = errand.answer.as_ref().unwrap();
            let expected = match then {
                Then::Ends => None,
                Then::IsRefused => Some(StoreError::Busy { waiting: 7 }),
                Then::LosesAll => Some(StoreError::Full { path: "(memory)".into() }),
                Then::Panics => unreachable!(),
            };
            prop_assert_eq!(answer.as_ref().err(), expected.as_ref());
            prop_assert_eq!(is_there(&archive, &number.to_string()), expected.is_none());
        }
        prop_assert!(archive.connection.is_autocommit());
    }
}

#[test]
fn one_that_panics_is_a_fault_of_its_own() {
    let archive = in_memory();
    let thens = [Then::Ends, Then::Panics, Then::Ends];
    let mut errands = thens.map(|then| {
        let name = format!("{then:?}");
        Box::new(Once::new(Named {
            name,
            then,
            times: Cell::new(0),
        }))
    });
    batch::carry_out(&archive, &mut errands);
    let [first, panicked, last] = errands.map(|errand| errand.answer.unwrap());
    assert_eq!((first, last), (Ok(1), Ok(1)));
    let Err(StoreError::Fault { what, reason }) = panicked else {
        panic!("{panicked:?}");
    };
    assert!(what.contains("Named") && reason == "an errand's own fault");
    assert!(is_there(&archive, "Ends") && !is_there(&archive, "Panics"));
}

/// The file may not grow beyond some pages: what fits is stored, what does not is refused, and what is there stays.
#[test]
fn a_full_disk_is_told_to_those_it_has_no_room_for() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("paraphym.db");
    let archive = Archive::open(&StoreConfig::at(&file), NOW).unwrap();
    let pages: i64 = archive
        .connection
        .query_row("PRAGMA page_count", [], |row| row.get(0))
        .unwrap();
    archive
        .connection
        .pragma_update(None, "max_page_count", pages + 20)
        .unwrap();
    let wish = |name: &str, bytes: usize| {
        Box::new(Once::new(ReplaceHistory {
            conversation: ConversationId::new(name),
            messages: vec![Message::user("x".repeat(bytes))],
            now_ms: NOW,
        }))
    };
    let mut errands = [
        wish("small", 10),
        wish("large", 1 << 20),
        wish("also small", 10),
    ];
    batch::carry_out(&archive, &mut errands);
    let [small, large, other] = errands.map(|errand| errand.answer.unwrap());
    assert!(small.is_ok() && other.is_ok(), "{small:?} {other:?}");
    assert_eq!(large, Err(StoreError::Full { path: file.clone() }));
    drop(archive);
    let archive = Archive::open(&StoreConfig::at(&file), NOW).unwrap();
    for (name, expected) in [("small", true), ("large", false), ("also small", true)] {
        assert_eq!(is_there(&archive, name), expected, "{name}");
    }
}

/// Another writes, and does not end: who waited in vain is told so, and readers are served.
#[test]
fn a_file_that_another_writes_is_locked_for_writers_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("paraphym.db");
    let archive = Archive::open(&StoreConfig::at(&file), NOW).unwrap();
    archive
        .connection
        .busy_timeout(std::time::Duration::ZERO)
        .unwrap();
    let other = Connection::open(&file).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let wish = ReplaceHistory {
        conversation: ConversationId::new("a"),
        messages: vec![Message::user("x")],
        now_ms: NOW,
    };
    let locked = Err(StoreError::Locked { path: file });
    assert_eq!(ask(&archive, wish.clone()), locked);
    assert!(!is_there(&archive, "a"));
    other.execute_batch("ROLLBACK").unwrap();
    assert!(ask(&archive, wish).is_ok());
    assert!(is_there(&archive, "a"));
}
