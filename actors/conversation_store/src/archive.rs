//! The open file: who may open it, what is refused, and what its failures mean.
//!
//! Invariant: a file that is refused has not been changed by a byte, and neither has its write-ahead log. Works on the
//! disk: call it on a blocking thread.

use std::cell::Cell;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::config::{Place, StoreConfig};
use crate::control_log::{Holding, holding};
use crate::error::StoreError;
use crate::hold::Hold;
use crate::process::Process;
use crate::schema::{self, APPLICATION, NEWEST};
use crate::turn_log;
use crate::vector_functions;

/// Pages of the file that are kept in memory, in KiB: as many as are looked at, so most hosts keep few.
const CACHE_KIB: i64 = 24 << 10;

/// How long a writer waits for another process's transaction: one takes milliseconds, an import seconds.
const PATIENCE: Duration = Duration::from_secs(5);
/// Statements kept ready: more than this crate has.
const STATEMENTS: usize = 128;

/// The open file. It is moved to where the disk may work, and never shared.
pub struct Archive {
    pub(crate) connection: Connection,
    path: PathBuf,
    /// Whose turns are begun here.
    owner: String,
    /// The control log may hold something else than when it was looked at last.
    log_changed: Cell<bool>,
    /// Let go after the file is closed.
    _hold: Option<Hold>,
}

/// Why a request could not be carried out.
#[derive(Debug)]
pub enum Failure {
    /// It may not be. The file is well.
    Refused(StoreError),
    /// The file, or the disk, is not well.
    Sql(rusqlite::Error),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

impl From<domain::FieldError> for Failure {
    fn from(error: domain::FieldError) -> Self {
        Self::Refused(error.into())
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl Archive {
    /// Opens the file, or makes it, with its folder, for this user alone. Turns that dead processes left running are
    /// `interrupted` from then on. `now_ms` is the wall clock, in milliseconds since 1970-01-01 UTC.
    ///
    /// # Errors
    /// `Taken`, `Foreign`, `Newer`, `Damaged`, `ReadOnly`, `Full`, `Locked`, `Disk`; a file that was there is then as it was.
    pub fn open(config: &StoreConfig, now_ms: i64) -> Result<Self, StoreError> {
        let path = config.shown();
        let mut hold = None;
        let connection = match &config.place {
            Place::Memory => Connection::open_in_memory(),
            Place::File(file) => {
                make(file).map_err(|error| not_made(file, &error))?;
                hold = config.alone.then(|| Hold::of(file)).transpose()?;
                let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                Connection::open_with_flags(file, flags)
            }
        };
        let sql = |error| explained(&path, &error);
        let mut connection = connection.map_err(sql)?;
        accept(&connection, &path)?;
        vector_functions::add_to(&connection).map_err(sql)?;
        prepare(&mut connection).map_err(sql)?;
        let opening: String = connection
            .query_row("SELECT hex(randomblob(8))", [], |row| row.get(0))
            .map_err(sql)?;
        turn_log::interrupt_dead(&mut connection, now_ms, Process::is_alive).map_err(sql)?;
        Ok(Self {
            connection,
            path,
            owner: Process::this().owner(&opening),
            log_changed: Cell::new(true),
            _hold: hold,
        })
    }

    /// Where it lies, for people.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Who its turns belong to.
    pub(crate) fn owner(&self) -> &str {
        &self.owner
    }

    /// Something was put into the control log, or dropped from it.
    pub(crate) fn touch_log(&self) {
        self.log_changed.set(true);
    }

    /// What the control log holds, if that may have changed since this was asked last.
    pub(crate) fn changed_log(&self) -> Option<Holding> {
        let changed = self.log_changed.take();
        changed.then(|| holding(&self.connection).ok()).flatten()
    }

    /// What a failure of SQLite's means to the asker.
    pub(crate) fn explain(&self, failure: Failure) -> StoreError {
        match failure {
            Failure::Refused(error) => error,
            Failure::Sql(error) => explained(&self.path, &error),
        }
    }
}

/// Turns that nobody works on any more, because all who could have ended with the tree, are left interrupted.
impl Drop for Archive {
    fn drop(&mut self) {
        if let Err(error) = turn_log::leave(&mut self.connection, &self.owner) {
            // The next process that opens the file finds them, for this one will be dead.
            tracing::debug!(%error, "turns were left running");
        }
    }
}

/// Makes an empty file where there is none; SQLite gives its log the same rights.
fn make(file: &Path) -> io::Result<()> {
    if let Some(folder) = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        let mut maker = fs::DirBuilder::new();
        maker.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut maker, 0o700);
        maker.create(folder)?;
    }
    let log_waits = wal(file).metadata().is_ok_and(|log| log.len() > 0);
    match file.metadata() {
        // SQLite throws the log of a file without content away, whatever it holds.
        Ok(found) if found.len() == 0 && log_waits => Err(lost("empty")),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound && log_waits => Err(lost("missing")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut options = OpenOptions::new();
            options.write(true).create_new(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            match options.open(file) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
                _ => Ok(()),
            }
        }
        Err(error) => Err(error),
    }
}

fn wal(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

fn lost(how: &str) -> io::Error {
    let text = format!("it is {how}, and its -wal file is not");
    io::Error::new(io::ErrorKind::InvalidData, text)
}

pub(crate) fn not_made(file: &Path, error: &io::Error) -> StoreError {
    let (path, reason) = (file.to_owned(), error.to_string());
    match error.kind() {
        io::ErrorKind::InvalidData => StoreError::Damaged { path, reason },
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            StoreError::ReadOnly { path, reason }
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full { path },
        _ => StoreError::Disk { path, reason },
    }
}

/// Looks, and changes nothing: not even by being closed.
fn accept(at: &Connection, path: &Path) -> Result<(), StoreError> {
    let sql = |error| explained(path, &error);
    at.busy_timeout(PATIENCE).map_err(sql)?;
    at.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .map_err(sql)?;
    let one = |question: &str| at.query_row(question, [], |row| row.get::<_, i64>(0));
    let version = schema::version(at).map_err(sql)?;
    let mark = one("PRAGMA application_id").map_err(sql)?;
    let things = one("SELECT count(*) FROM sqlite_schema").map_err(sql)?;
    let is_new = (version, mark, things) == (0, 0, 0);
    if !is_new && mark != APPLICATION {
        return Err(StoreError::Foreign {
            path: path.to_owned(),
            reason: format!("a SQLite file of another application, marked {mark:#x}"),
        });
    }
    if version > NEWEST {
        return Err(StoreError::Newer {
            path: path.to_owned(),
            found: version,
            known: NEWEST,
        });
    }
    let found: String = at
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(sql)?;
    if found != "ok" || version < 0 || (!is_new && version == 0) {
        return Err(StoreError::Damaged {
            path: path.to_owned(),
            reason: found,
        });
    }
    at.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)
        .map_err(sql)?;
    Ok(())
}

/// What is committed is on the disk: `synchronous = FULL` flushes the log at every commit.
fn prepare(at: &mut Connection) -> rusqlite::Result<()> {
    // In memory there is no log, and the answer says so.
    at.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    at.pragma_update(None, "synchronous", "FULL")?;
    at.pragma_update(None, "foreign_keys", true)?;
    // What is removed is overwritten, not only forgotten.
    at.pragma_update(None, "secure_delete", true)?;
    // Sorting a large answer leaves no conversation in a temporary file.
    at.pragma_update(None, "temp_store", "MEMORY")?;
    // A recall looks at every vector in scope: ten thousand are 16 MiB, and read anew each time where they do not fit.
    at.pragma_update(None, "cache_size", -CACHE_KIB)?;
    at.set_prepared_statement_cache_capacity(STATEMENTS);
    schema::migrate(at)
}

fn explained(path: &Path, error: &rusqlite::Error) -> StoreError {
    let path = path.to_owned();
    let reason = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            StoreError::Damaged { path, reason }
        }
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            StoreError::ReadOnly { path, reason }
        }
        Some(ErrorCode::DiskFull) => StoreError::Full { path },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Locked { path },
        Some(ErrorCode::CannotOpen | ErrorCode::SystemIoFailure | ErrorCode::OutOfMemory) => {
            StoreError::Disk { path, reason }
        }
        _ => StoreError::Fault {
            what: path.display().to_string(),
            reason,
        },
    }
}
