//! Requests that waited together go to the disk together: one transaction and one flush for all that write, each in a
//! savepoint of its own, so that one that fails takes nothing of its neighbours' with it.
//!
//! Invariant: whoever's answer is good after this has what it wrote on the disk.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rusqlite::{Connection, ErrorCode};
use tracing::Span;

use crate::archive::{Archive, Failure};
use crate::error::StoreError;

/// A request on its way, with its answer when it has one.
pub(crate) trait Errand: Send {
    /// What it is called in the log.
    fn name(&self) -> &'static str;
    /// Whether it changes the file.
    fn writes(&self) -> bool;
    /// The span of the turn that asks: what is logged of it is logged there.
    fn turn(&self) -> Span {
        Span::none()
    }
    /// Does it, and keeps the answer. It may be asked again.
    fn carry_out(&mut self, archive: &Archive) -> Result<(), Failure>;
    /// This is the answer, whatever it was before.
    fn refuse(&mut self, error: StoreError);
}

/// Why a transaction came to nothing.
enum Spoiled {
    /// By one of many: each may do better alone.
    ByOne(Failure),
    /// It could not even begin.
    AtOnce(Failure),
}

/// Carries all of them out: what writes first and together, then what reads, which sees what was written.
pub(crate) fn carry_out<E: Errand + ?Sized>(archive: &Archive, errands: &mut [Box<E>]) {
    let mut writing: Vec<&mut Box<E>> = errands.iter_mut().filter(|one| one.writes()).collect();
    let many = writing.len() > 1;
    match together(archive, "BEGIN IMMEDIATE", &mut writing) {
        Ok(()) => {}
        Err(Spoiled::ByOne(_)) if many => {
            for one in &mut writing {
                alone(archive, one);
            }
        }
        Err(Spoiled::ByOne(failure) | Spoiled::AtOnce(failure)) => {
            refuse(&mut writing, &archive.explain(failure));
        }
    }
    let mut reading: Vec<&mut Box<E>> = errands.iter_mut().filter(|one| !one.writes()).collect();
    let read = together(archive, "BEGIN", &mut reading);
    if let Err(Spoiled::ByOne(failure) | Spoiled::AtOnce(failure)) = read {
        refuse(&mut reading, &archive.explain(failure));
    }
}

fn refuse<E: Errand + ?Sized>(errands: &mut [&mut Box<E>], error: &StoreError) {
    for one in errands {
        one.refuse(error.clone());
    }
}

fn alone<E: Errand + ?Sized>(archive: &Archive, errand: &mut Box<E>) {
    let done = together(archive, "BEGIN IMMEDIATE", &mut [&mut *errand]);
    if let Err(Spoiled::ByOne(failure) | Spoiled::AtOnce(failure)) = done {
        errand.refuse(archive.explain(failure));
    }
}

fn together<E: Errand + ?Sized>(
    archive: &Archive,
    begin: &str,
    errands: &mut [&mut Box<E>],
) -> Result<(), Spoiled> {
    if errands.is_empty() {
        return Ok(());
    }
    let at = &archive.connection;
    say(at, begin).map_err(|error| Spoiled::AtOnce(error.into()))?;
    let done = errands
        .iter_mut()
        .try_for_each(|one| within_savepoint(archive, one))
        .and_then(|()| Ok(say(at, "COMMIT")?));
    done.map_err(|failure| {
        roll_back(at);
        Spoiled::ByOne(failure)
    })
}

/// Ends whatever transaction is left.
pub(crate) fn roll_back(at: &Connection) {
    if !at.is_autocommit()
        && let Err(error) = say(at, "ROLLBACK")
    {
        tracing::warn!(%error, "a transaction could not be rolled back");
    }
}

/// A refusal, or a fault of its own, is the errand's; a failure of the disk is everybody's.
fn within_savepoint<E: Errand + ?Sized>(
    archive: &Archive,
    errand: &mut Box<E>,
) -> Result<(), Failure> {
    let _turn = errand.turn().entered();
    let at = &archive.connection;
    say(at, "SAVEPOINT one")?;
    let done = catch_unwind(AssertUnwindSafe(|| errand.carry_out(archive)));
    let refused = match done {
        Ok(Ok(())) => return Ok(say(at, "RELEASE one")?),
        Ok(Err(Failure::Sql(error))) if spoils(&error) || at.is_autocommit() => {
            return Err(error.into());
        }
        Ok(Err(failure)) => archive.explain(failure),
        Err(panic) => {
            let (what, reason) = (errand.name().to_owned(), words(&*panic));
            tracing::error!(what, reason, "a request to the conversation store panicked");
            StoreError::Fault { what, reason }
        }
    };
    say(at, "ROLLBACK TO one")?;
    say(at, "RELEASE one")?;
    errand.refuse(refused);
    Ok(())
}

/// After these the transaction may be gone already.
///
/// Source: SQLite, "Response To Errors Within A Transaction" of `lang_transaction.html`.
fn spoils(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::OutOfMemory
                | ErrorCode::DatabaseBusy
                | ErrorCode::OperationInterrupted
                | ErrorCode::DatabaseCorrupt
        )
    )
}

fn say(at: &Connection, sql: &str) -> rusqlite::Result<()> {
    at.prepare_cached(sql)?.execute([]).map(|_| ())
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&'static str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without words")
        .to_owned()
}
