//! Which forms the file has had, oldest first: each is data, and its place in the table is its number.
//!
//! A form that was released is never edited; what changes is appended. Nothing here removes what an older form held.

use rusqlite::{Connection, TransactionBehavior};

/// How a file gets from one form to the next. Carried out whole, in one transaction, or not at all.
pub(crate) struct Migration {
    /// What it is about, for the log.
    pub(crate) name: &'static str,
    /// What it does.
    pub(crate) sql: &'static str,
}

/// All of them. A file's `user_version` says how many it has been through.
pub(crate) const MIGRATIONS: [Migration; 4] = [
    Migration {
        name: "conversations, turns and acts of control",
        sql: include_str!("schema/1_conversations.sql"),
    },
    Migration {
        name: "memories and documents",
        sql: include_str!("schema/2_memories.sql"),
    },
    Migration {
        name: "who asked a turn",
        sql: include_str!("schema/3_askers.sql"),
    },
    Migration {
        name: "what a turn is told while it runs",
        sql: include_str!("schema/4_steered.sql"),
    },
];

/// The newest form.
#[allow(clippy::cast_possible_wrap, reason = "a handful")]
pub(crate) const NEWEST: i64 = MIGRATIONS.len() as i64;

/// Our mark in a SQLite file: the bytes `Para`.
pub(crate) const APPLICATION: i64 = 0x5061_7261;

/// The file's form.
pub(crate) fn version(at: &Connection) -> rusqlite::Result<i64> {
    at.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Brings the file to the newest form. Two processes may do so at once: the second finds it done.
pub(crate) fn migrate(at: &mut Connection) -> rusqlite::Result<()> {
    migrate_to(at, &MIGRATIONS)
}

fn migrate_to(at: &mut Connection, migrations: &[Migration]) -> rusqlite::Result<()> {
    for (number, migration) in (1_i64..).zip(migrations) {
        if version(at)? >= number {
            continue;
        }
        let change = at.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Another may have been first.
        if version(&change)? >= number {
            continue;
        }
        change.execute_batch(migration.sql)?;
        change.pragma_update(None, "user_version", number)?;
        change.pragma_update(None, "application_id", APPLICATION)?;
        change.commit()?;
        tracing::debug!(
            number,
            migration.name,
            "the conversation file has a new form"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Migration = Migration {
        name: "a second form",
        sql: "CREATE TABLE more (a INTEGER) STRICT; INSERT INTO more SELECT id FROM conversations;",
    };
    const BROKEN: Migration = Migration {
        name: "a form that fails half way",
        sql: "CREATE TABLE half (a INTEGER) STRICT; INSERT INTO nowhere VALUES (1);",
    };

    fn first() -> Migration {
        let Migration { name, sql } = MIGRATIONS[0];
        Migration { name, sql }
    }

    fn tables(at: &Connection) -> i64 {
        at.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .unwrap()
    }

    #[test]
    fn a_file_goes_through_every_form_once_and_keeps_what_it_holds() {
        let mut at = Connection::open_in_memory().unwrap();
        migrate_to(&mut at, &[first()]).unwrap();
        at.execute(
            "INSERT INTO conversations (name, created_ms, updated_ms) VALUES ('a', 1, 1)",
            [],
        )
        .unwrap();
        for _ in 0..2 {
            migrate_to(&mut at, &[first(), SECOND]).unwrap();
            assert_eq!(version(&at).unwrap(), 2);
            let moved: i64 = at
                .query_row("SELECT count(*) FROM more", [], |row| row.get(0))
                .unwrap();
            assert_eq!(moved, 1);
        }
    }

    #[test]
    fn a_form_that_fails_half_way_leaves_the_one_before() {
        let mut at = Connection::open_in_memory().unwrap();
        migrate_to(&mut at, &[first()]).unwrap();
        let before = tables(&at);
        assert!(migrate_to(&mut at, &[first(), BROKEN]).is_err());
        assert_eq!((version(&at).unwrap(), tables(&at)), (1, before));
        assert!(at.is_autocommit());
        migrate_to(&mut at, &[first(), SECOND]).unwrap();
        assert_eq!(version(&at).unwrap(), 2);
    }

    /// What a turn did before the form with `steered` is still its log, and goes with its turn.
    #[test]
    fn steps_of_an_older_form_are_kept() {
        let mut at = Connection::open_in_memory().unwrap();
        at.pragma_update(None, "foreign_keys", true).unwrap();
        let older = MIGRATIONS.iter().take(3);
        let older: Vec<Migration> = older
            .map(|&Migration { name, sql }| Migration { name, sql })
            .collect();
        migrate_to(&mut at, &older).unwrap();
        at.execute_batch(
            "INSERT INTO conversations (id, name, created_ms, updated_ms) VALUES (1, 'a', 1, 1);
             INSERT INTO turns (id, request, conversation, state, begun_ms, user)
                 VALUES (1, 't', 1, 'interrupted', 1, '{}');
             INSERT INTO steps VALUES (1, 1, 'approved', 'c', 7, 'body');",
        )
        .unwrap();
        let steer = "INSERT INTO steps VALUES (1, 2, 'steered', '1', 8, 'more')";
        assert!(at.execute(steer, []).is_err());
        migrate(&mut at).unwrap();
        at.execute(steer, []).unwrap();
        let mut steps = at
            .prepare("SELECT place, kind, which, at_ms, body FROM steps ORDER BY place")
            .unwrap();
        let one = |row: &rusqlite::Row<'_>| {
            let words: (String, String, String) = (row.get(1)?, row.get(2)?, row.get(4)?);
            Ok((
                row.get::<_, i64>(0)?,
                words.0,
                words.1,
                row.get::<_, i64>(3)?,
                words.2,
            ))
        };
        let found: Vec<_> = steps
            .query_map([], one)
            .unwrap()
            .collect::<rusqlite::Result<_>>()
            .unwrap();
        let of = |place, kind: &str, which: &str, at, body: &str| {
            (
                place,
                kind.to_owned(),
                which.to_owned(),
                at,
                body.to_owned(),
            )
        };
        assert_eq!(
            found,
            [
                of(1, "approved", "c", 7, "body"),
                of(2, "steered", "1", 8, "more")
            ]
        );
        at.execute("DELETE FROM turns", []).unwrap();
        let left: i64 = at
            .query_row("SELECT count(*) FROM steps", [], |row| row.get(0))
            .unwrap();
        assert_eq!(left, 0);
    }

    #[test]
    fn the_newest_form_is_marked_as_ours() {
        let mut at = Connection::open_in_memory().unwrap();
        migrate(&mut at).unwrap();
        assert_eq!(version(&at).unwrap(), NEWEST);
        let mark: i64 = at
            .query_row("PRAGMA application_id", [], |row| row.get(0))
            .unwrap();
        assert_eq!(mark, APPLICATION);
    }
}
