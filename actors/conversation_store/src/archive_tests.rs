//! Files that are refused, and that they are left as they were, byte for byte; files that are taken.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use domain::{ConversationId, Message, RequestId};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::archive::Archive;
use crate::config::StoreConfig;
use crate::error::StoreError;
use crate::messages::{
    BeginTurn, EndTurn, OpenTurns, ReadHistory, ReadTurn, ReplaceHistory, ResumeTurn, TurnState,
};
use crate::proving::{NOW, ask};
use crate::schema::NEWEST;

struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("paraphym.db")
    }

    fn open(&self) -> Result<Archive, StoreError> {
        Archive::open(&StoreConfig::at(self.file()), NOW)
    }

    /// A file of ours with some pages in it, closed.
    fn filled() -> Self {
        let place = Self::new();
        let archive = place.open().unwrap();
        for turn in 0..40 {
            let text = format!("{turn} ").repeat(700);
            let wish = ReplaceHistory {
                conversation: ConversationId::new(turn.to_string()),
                messages: vec![Message::user(text)],
                now_ms: NOW,
            };
            ask(&archive, wish).unwrap();
        }
        drop(archive);
        place
    }

    /// All that the folder holds: not the index of the log, which is memory that processes share, nor an empty log.
    fn bytes(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths
            .filter(|path| !path.to_string_lossy().ends_with("-shm"))
            .map(|path| (path.clone(), fs::read(&path).unwrap()))
            .filter(|(path, bytes)| !(path.to_string_lossy().ends_with("-wal") && bytes.is_empty()))
            .collect()
    }

    /// It is refused, twice, for the same reason, and not a byte is another.
    fn refused(&self) -> StoreError {
        let before = self.bytes();
        let error = self.open().err().expect("it was opened");
        assert!(self.bytes() == before, "{error}");
        assert_eq!(self.open().err().as_ref(), Some(&error));
        assert!(self.bytes() == before, "{error}");
        error
    }
}

/// Begins with the bytes of a file of ours, and damages them.
fn damaged(how: impl Fn(&mut Vec<u8>)) -> StoreError {
    let place = Place::filled();
    let mut bytes = fs::read(place.file()).unwrap();
    assert!(bytes.len() > 30 * 4096);
    how(&mut bytes);
    fs::write(place.file(), bytes).unwrap();
    place.refused()
}

#[test]
fn a_damaged_file_is_refused_with_what_to_do_and_left_as_it_was() {
    let truncate = |keep: usize| damaged(move |bytes| bytes.truncate(keep));
    let overwrite =
        |from: usize, many: usize| damaged(move |bytes| bytes[from..][..many].fill(0xA5));
    for (what, error) in [
        ("cut within the header", truncate(50)),
        ("cut behind the header", truncate(100)),
        ("cut to a page", truncate(4096)),
        ("cut to a half", truncate(60_000)),
        ("its header is overwritten", overwrite(0, 100)),
        ("its first byte is overwritten", overwrite(0, 1)),
        ("its first page is overwritten", overwrite(100, 3996)),
        (
            "a page in the middle is overwritten",
            overwrite(15 * 4096, 4096),
        ),
        ("a page's head is overwritten", overwrite(15 * 4096, 16)),
    ] {
        let StoreError::Damaged { .. } = &error else {
            panic!("{what}: {error}");
        };
        let text = error.to_string();
        assert!(
            text.contains("paraphym.db") && text.contains("move it aside"),
            "{text}"
        );
    }
}

#[test]
fn what_is_no_database_is_refused() {
    for bytes in [&b"hello"[..], b"{\"conversations\": []}", &[0; 8192]] {
        let place = Place::new();
        fs::write(place.file(), bytes).unwrap();
        assert!(matches!(place.refused(), StoreError::Damaged { .. }));
    }
    let place = Place::new();
    fs::create_dir(place.file()).unwrap();
    assert!(place.open().is_err());
}

#[test]
fn a_log_without_its_file_is_not_thrown_away() {
    for empty in [true, false] {
        let place = Place::filled();
        let archive = place.open().unwrap();
        let wish = ReplaceHistory {
            conversation: ConversationId::new("a"),
            messages: vec![Message::user("only in the log")],
            now_ms: NOW,
        };
        ask(&archive, wish).unwrap();
        let log = place.folder.path().join("paraphym.db-wal");
        let written = fs::read(&log).unwrap();
        drop(archive);
        fs::write(&log, written).unwrap();
        if empty {
            fs::write(place.file(), b"").unwrap();
        } else {
            fs::remove_file(place.file()).unwrap();
        }
        assert!(matches!(place.refused(), StoreError::Damaged { .. }));
    }
}

/// A file that is refused may have a log that nobody has put back yet: neither is touched.
#[test]
fn a_newer_file_is_refused_and_left_as_it_was_with_its_log() {
    let newer = NEWEST + 1;
    for leave_log in [false, true] {
        let place = Place::filled();
        let at = Connection::open(place.file()).unwrap();
        at.set_db_config(
            rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE,
            leave_log,
        )
        .unwrap();
        at.execute_batch("CREATE TABLE from_the_future (a)")
            .unwrap();
        at.pragma_update(None, "user_version", newer).unwrap();
        drop(at);
        assert_eq!(place.bytes().len(), 1 + usize::from(leave_log));
        let error = place.refused();
        let expected = StoreError::Newer {
            path: place.file(),
            found: newer,
            known: NEWEST,
        };
        assert_eq!(error, expected);
        assert!(error.to_string().contains("upgrade"), "{error}");
    }
}

#[test]
fn a_file_of_another_application_is_refused() {
    for (version, mark) in [(0, 0), (NEWEST, 0), (1, 0x1234), (0, 0x1234)] {
        let place = Place::new();
        let at = Connection::open(place.file()).unwrap();
        at.execute_batch("CREATE TABLE theirs (a); INSERT INTO theirs VALUES (1);")
            .unwrap();
        at.pragma_update(None, "user_version", version).unwrap();
        at.pragma_update(None, "application_id", mark).unwrap();
        drop(at);
        let error = place.refused();
        assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
    }
}

#[test]
fn a_file_that_is_there_and_empty_is_begun() {
    let place = Place::new();
    fs::write(place.file(), b"").unwrap();
    let archive = place.open().unwrap();
    assert_eq!(archive.path(), place.file());
    // Begun and not finished: the form of the file is set in one step.
    let place = Place::new();
    let at = Connection::open(place.file()).unwrap();
    at.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))
        .unwrap();
    drop(at);
    assert!(place.open().is_ok());
}

#[cfg(unix)]
#[test]
fn the_file_is_for_its_user_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a/b/paraphym.db");
    let archive = Archive::open(&StoreConfig::at(&file), NOW).unwrap();
    let wish = ReplaceHistory {
        conversation: ConversationId::new("a"),
        messages: vec![Message::user("mine")],
        now_ms: NOW,
    };
    ask(&archive, wish).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let log = folder.path().join("a/b/paraphym.db-wal");
    assert_eq!((mode(&file), mode(&log)), (0o600, 0o600));
    assert_eq!(mode(file.parent().unwrap()), 0o700);
}

/// Two that open one file are both served; this is how the CLI reads what a server writes.
#[test]
fn two_openings_see_what_the_other_wrote() {
    let place = Place::new();
    let (one, other) = (place.open().unwrap(), place.open().unwrap());
    for number in 1..=3_u64 {
        for (who, archive) in [("one", &one), ("other", &other)] {
            let turn = RequestId::new(format!("{who} {number}"));
            let conversation = ConversationId::new("a");
            let (user, now_ms) = (Message::user("?"), NOW);
            let begin = BeginTurn {
                conversation,
                turn: turn.clone(),
                user,
                now_ms,
            };
            ask(archive, begin).unwrap();
            let end = EndTurn {
                turn,
                state: TurnState::Done,
                messages: vec![Message::user(who)],
                now_ms,
            };
            ask(archive, end).unwrap();
        }
    }
    let wish = ReadHistory {
        conversation: ConversationId::new("a"),
        last: 100,
    };
    let (read, same) = (ask(&one, wish.clone()).unwrap(), ask(&other, wish).unwrap());
    assert_eq!((read.len(), &read), (6, &same));
}

/// Turns of an opening that has ended are interrupted; those of one that lives are not, and are no one else's.
#[test]
fn turns_of_another_opening_are_left_alone_until_it_ends() {
    let place = Place::new();
    let one = place.open().unwrap();
    let turn = RequestId::new("t");
    let begin = BeginTurn {
        conversation: ConversationId::new("a"),
        turn: turn.clone(),
        user: Message::user("?"),
        now_ms: NOW,
    };
    ask(&one, begin.clone()).unwrap();
    let other = place.open().unwrap();
    let state = || ask(&other, ReadTurn { turn: turn.clone() }).unwrap().state;
    assert_eq!(state(), TurnState::Running);
    let resume = ResumeTurn {
        turn: turn.clone(),
        now_ms: NOW,
    };
    let elsewhere = Err(StoreError::TurnElsewhere(turn.clone()));
    assert_eq!(ask(&other, resume.clone()), elsewhere);
    assert_eq!(
        ask(&other, begin),
        Err(StoreError::TurnExists(turn.clone()))
    );
    drop(one);
    assert_eq!(state(), TurnState::Interrupted);
    assert_eq!(ask(&other, resume).unwrap().state, TurnState::Running);
    assert_eq!(state(), TurnState::Running);
}

/// The process number is in use, by a process that started at another time.
#[test]
fn a_turn_of_a_dead_process_is_interrupted_when_the_file_is_opened() {
    let place = Place::new();
    let archive = place.open().unwrap();
    for turn in ["dead", "done"] {
        let begin = BeginTurn {
            conversation: ConversationId::new("a"),
            turn: RequestId::new(turn),
            user: Message::user("?"),
            now_ms: NOW,
        };
        ask(&archive, begin).unwrap();
    }
    let end = EndTurn {
        turn: RequestId::new("done"),
        state: TurnState::Done,
        messages: Vec::new(),
        now_ms: NOW,
    };
    ask(&archive, end).unwrap();
    let owner = format!("{} 1 another-boot 00", std::process::id());
    archive
        .connection
        .execute(
            "UPDATE turns SET owner = ?1 WHERE state = 'running'",
            [owner],
        )
        .unwrap();
    let later = Archive::open(&StoreConfig::at(place.file()), NOW + 5).unwrap();
    let wish = OpenTurns {
        conversation: ConversationId::new("a"),
    };
    let open = ask(&later, wish).unwrap();
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].turn, RequestId::new("dead"));
    assert_eq!(open[0].state, TurnState::Interrupted);
    assert_eq!(open[0].ended_ms, Some(NOW + 5));
}
