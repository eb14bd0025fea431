//! Turns and their steps: what a worker that crashed needs to go on, and what a dead process left.
//!
//! Invariants: a log is only added to; a request that is repeated as it was changes nothing; a turn is ended once, and in
//! the transaction that adds its messages; a turn runs for one owner.

use domain::{ConversationId, Message, RequestId};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::archive::{Archive, Failure};
use crate::conversations::{self, New, counted};
use crate::error::StoreError;
use crate::limits;
use crate::messages::{
    Appended, BeginTurn, EndTurn, OPEN_TURNS, OpenTurns, ReadTurn, RecordStep, ResumeTurn, Step,
    StepRecord, TurnRecord, TurnState,
};
use crate::newest::asker;
use crate::wire;
use crate::work::Work;

/// Marks running turns of owners that are not alive. Writes only if there are any.
pub(crate) fn interrupt_dead(
    at: &mut Connection,
    now_ms: i64,
    is_alive: impl Fn(&str) -> bool,
) -> rusqlite::Result<()> {
    let owners: Vec<String> = {
        let mut statement =
            at.prepare("SELECT DISTINCT owner FROM turns WHERE state = 'running'")?;
        let owners = statement.query_map([], |row| row.get(0))?;
        owners.collect::<rusqlite::Result<_>>()?
    };
    for owner in owners.iter().filter(|owner| !is_alive(owner)) {
        let turns = interrupt(at, owner, Some(now_ms))?;
        tracing::info!(
            turns,
            owner,
            "turns of a process that ended were interrupted"
        );
    }
    Ok(())
}

/// Marks what this owner leaves running. Their end is when the last step was recorded: nobody works on them since.
pub(crate) fn leave(at: &mut Connection, owner: &str) -> rusqlite::Result<()> {
    let any: Option<i64> = at
        .query_row(
            "SELECT 1 FROM turns WHERE state = 'running' AND owner = ?1 LIMIT 1",
            [owner],
            |row| row.get(0),
        )
        .optional()?;
    if any.is_some() {
        interrupt(at, owner, None)?;
    }
    Ok(())
}

fn interrupt(at: &Connection, owner: &str, now_ms: Option<i64>) -> rusqlite::Result<usize> {
    at.execute(
        "UPDATE turns SET state = 'interrupted', owner = NULL, ended_ms = coalesce(
             ?2, (SELECT max(at_ms) FROM steps WHERE turn = turns.id), begun_ms)
         WHERE state = 'running' AND owner = ?1",
        params![owner, now_ms],
    )
}

/// A turn's row.
struct Turn {
    row: i64,
    conversation: i64,
    state: TurnState,
    owner: Option<String>,
    user: String,
    appended: Option<Appended>,
}

fn state_in(word: &str) -> TurnState {
    let all = [
        TurnState::Running,
        TurnState::Done,
        TurnState::Failed,
        TurnState::Cancelled,
    ];
    // The file holds these words and `interrupted`, and no others.
    let found = all.into_iter().find(|state| state.as_str() == word);
    found.unwrap_or(TurnState::Interrupted)
}

fn find(at: &Connection, turn: &RequestId) -> rusqlite::Result<Option<Turn>> {
    let one = |row: &Row<'_>| {
        let state: String = row.get("state")?;
        let first: Option<i64> = row.get("first_number")?;
        let count: Option<i64> = row.get("appended")?;
        Ok(Turn {
            row: row.get("id")?,
            conversation: row.get("conversation")?,
            state: state_in(&state),
            owner: row.get("owner")?,
            user: row.get("user")?,
            appended: first.zip(count).map(|(first, count)| Appended {
                first: counted(first),
                count: usize::try_from(count).unwrap_or_default(),
            }),
        })
    };
    at.prepare_cached(
        "SELECT id, conversation, state, owner, user, first_number, appended FROM turns
         WHERE request = ?1",
    )?
    .query_row([turn.as_str()], one)
    .optional()
}

fn found(at: &Connection, turn: &RequestId) -> Result<Turn, Failure> {
    find(at, turn)?.ok_or_else(|| StoreError::NoTurn(turn.clone()).into())
}

/// A turn that runs here.
fn running(archive: &Archive, turn: &RequestId) -> Result<Turn, Failure> {
    let found = found(&archive.connection, turn)?;
    let state = found.state;
    if state != TurnState::Running {
        let turn = turn.clone();
        return Err(StoreError::TurnNotRunning { turn, state }.into());
    }
    if found.owner.as_deref() != Some(archive.owner()) {
        return Err(StoreError::TurnElsewhere(turn.clone()).into());
    }
    Ok(found)
}

impl Work for BeginTurn {
    type Answer = ();
    const WRITES: bool = true;

    fn check(&self) -> Result<(), StoreError> {
        limits::conversation(&self.conversation)?;
        limits::turn(&self.turn)?;
        Ok(limits::message(&self.user)?)
    }

    fn bytes(&self) -> usize {
        limits::weight(&self.user)
    }

    fn carry_out(&self, archive: &Archive) -> Result<(), Failure> {
        let at = &archive.connection;
        let conversation = conversations::find_or_make(at, &self.conversation, self.now_ms)?;
        let user = wire::message_out(&self.user).map_err(rusqlite::Error::from)?;
        if let Some(known) = find(at, &self.turn)? {
            let same = known.conversation == conversation && known.user == user;
            let ours = known.owner.as_deref() == Some(archive.owner());
            let exists = || StoreError::TurnExists(self.turn.clone()).into();
            return (same && ours).then_some(()).ok_or_else(exists);
        }
        at.prepare_cached(
            "INSERT INTO turns (request, conversation, state, owner, begun_ms, user)
             VALUES (?1, ?2, 'running', ?3, ?4, ?5)",
        )?
        .execute(params![
            self.turn.as_str(),
            conversation,
            archive.owner(),
            self.now_ms,
            user
        ])?;
        Ok(())
    }
}

impl Work for RecordStep {
    type Answer = ();
    const WRITES: bool = true;

    fn check(&self) -> Result<(), StoreError> {
        limits::turn(&self.turn)?;
        match &self.step {
            StepRecord::ModelCalled {
                text, tool_calls, ..
            } => limits::message(&Message::calling(text.as_str(), tool_calls.clone()))?,
            StepRecord::ToolEnded {
                call_id,
                outcome_json,
            } => {
                limits::name("call_id", call_id.as_str())?;
                limits::message(&Message::assistant(outcome_json.as_str()))?;
            }
            StepRecord::ToolStarted { call_id, .. } | StepRecord::Approved { call_id, .. } => {
                limits::name("call_id", call_id.as_str())?;
            }
            StepRecord::Steered { text, .. } => limits::message(&Message::user(text.as_str()))?,
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        match &self.step {
            StepRecord::ModelCalled { text, .. } | StepRecord::Steered { text, .. } => text.len(),
            StepRecord::ToolEnded { outcome_json, .. } => outcome_json.len(),
            StepRecord::ToolStarted { .. } | StepRecord::Approved { .. } => 0,
        }
    }

    fn carry_out(&self, archive: &Archive) -> Result<(), Failure> {
        let at = &archive.connection;
        let turn = running(archive, &self.turn)?;
        let (kind, which, body) = wire::step_out(&self.step).map_err(rusqlite::Error::from)?;
        let has = |kind: &str| {
            at.prepare_cached(
                "SELECT body FROM steps WHERE turn = ?1 AND kind = ?2 AND which = ?3",
            )?
            .query_row(params![turn.row, kind, which], |row| {
                row.get::<_, String>(0)
            })
            .optional()
        };
        if let Some(known) = has(kind)? {
            let step = format!("{kind} {which}");
            let turn = self.turn.clone();
            let exists = || StoreError::StepExists { turn, step }.into();
            return (known == body).then_some(()).ok_or_else(exists);
        }
        if kind == "tool_ended" && has("tool_started")?.is_none() {
            let (turn, call) = (self.turn.clone(), which);
            return Err(StoreError::ToolNotStarted { turn, call }.into());
        }
        at.prepare_cached(
            "INSERT INTO steps (turn, place, kind, which, at_ms, body)
             SELECT ?1, 1 + coalesce(max(place), 0), ?2, ?3, ?4, ?5 FROM steps WHERE turn = ?1",
        )?
        .execute(params![turn.row, kind, which, self.now_ms, body])?;
        Ok(())
    }
}

impl Work for EndTurn {
    type Answer = Appended;
    const WRITES: bool = true;

    fn check(&self) -> Result<(), StoreError> {
        limits::turn(&self.turn)?;
        if self.state == TurnState::Running {
            let allowed = "done, failed, cancelled or interrupted";
            return Err(domain::FieldError::new("state", "running", allowed).into());
        }
        Ok(limits::messages(self.messages.iter())?)
    }

    fn bytes(&self) -> usize {
        limits::weight_of(&self.messages)
    }

    fn carry_out(&self, archive: &Archive) -> Result<Appended, Failure> {
        let at = &archive.connection;
        let known = found(at, &self.turn)?;
        if let (true, Some(done)) = (known.state == self.state, known.appended)
            && done.count == self.messages.len()
        {
            return Ok(done);
        }
        let turn = running(archive, &self.turn)?;
        let new = self.messages.iter().map(|message| New {
            message,
            turn: Some(&self.turn),
            said_ms: self.now_ms,
        });
        let done = conversations::append(at, turn.conversation, new, self.now_ms)?;
        at.prepare_cached(
            "UPDATE turns SET state = ?2, owner = NULL, ended_ms = ?3, first_number = ?4, appended = ?5
             WHERE id = ?1",
        )?
        .execute(params![
            turn.row,
            self.state.as_str(),
            self.now_ms,
            conversations::numbered(done.first),
            conversations::at_most(done.count)
        ])?;
        Ok(done)
    }
}

impl Work for ResumeTurn {
    type Answer = TurnRecord;
    const WRITES: bool = true;

    fn check(&self) -> Result<(), StoreError> {
        Ok(limits::turn(&self.turn)?)
    }

    fn carry_out(&self, archive: &Archive) -> Result<TurnRecord, Failure> {
        let at = &archive.connection;
        let turn = found(at, &self.turn)?;
        match turn.state {
            TurnState::Interrupted => {
                at.prepare_cached(
                    "UPDATE turns SET state = 'running', owner = ?2, ended_ms = NULL,
                     first_number = NULL, appended = NULL WHERE id = ?1",
                )?
                .execute(params![turn.row, archive.owner()])?;
            }
            _ => {
                running(archive, &self.turn)?;
            }
        }
        Ok(record(at, turn.row)?)
    }
}

impl Work for ReadTurn {
    type Answer = TurnRecord;
    const WRITES: bool = false;

    fn check(&self) -> Result<(), StoreError> {
        Ok(limits::turn(&self.turn)?)
    }

    fn carry_out(&self, archive: &Archive) -> Result<TurnRecord, Failure> {
        let at = &archive.connection;
        let turn = found(at, &self.turn)?;
        Ok(record(at, turn.row)?)
    }
}

impl Work for OpenTurns {
    type Answer = Vec<TurnRecord>;
    const WRITES: bool = false;

    fn check(&self) -> Result<(), StoreError> {
        Ok(limits::conversation(&self.conversation)?)
    }

    fn carry_out(&self, archive: &Archive) -> Result<Vec<TurnRecord>, Failure> {
        let at = &archive.connection;
        let Some(conversation) = conversations::find(at, &self.conversation)? else {
            return Ok(Vec::new());
        };
        let mut statement = at.prepare_cached(
            "SELECT id FROM turns WHERE conversation = ?1 AND state IN ('running', 'interrupted')
             ORDER BY begun_ms, id LIMIT ?2",
        )?;
        let given = params![conversation, conversations::at_most(OPEN_TURNS)];
        let rows: rusqlite::Result<Vec<i64>> =
            statement.query_map(given, |row| row.get(0))?.collect();
        let records: rusqlite::Result<_> = rows?.into_iter().map(|row| record(at, row)).collect();
        Ok(records?)
    }
}

fn record(at: &Connection, turn: i64) -> rusqlite::Result<TurnRecord> {
    let steps = steps(at, turn)?;
    at.prepare_cached(
        "SELECT t.request, c.name, t.user, t.state, t.begun_ms, t.ended_ms, t.asker AS asker, t.nonce AS nonce
         FROM turns t JOIN conversations c ON c.id = t.conversation WHERE t.id = ?1",
    )?
    .query_row([turn], |row| {
        let (request, name): (String, String) = (row.get(0)?, row.get(1)?);
        let (user, state): (String, String) = (row.get(2)?, row.get(3)?);
        Ok(TurnRecord {
            turn: RequestId::new(request),
            conversation: ConversationId::new(name),
            user: wire::message_in(&user)?,
            asker: asker(row)?,
            state: state_in(&state),
            begun_ms: row.get(4)?,
            ended_ms: row.get(5)?,
            steps,
        })
    })
}

fn steps(at: &Connection, turn: i64) -> rusqlite::Result<Vec<Step>> {
    let mut statement =
        at.prepare_cached("SELECT at_ms, body FROM steps WHERE turn = ?1 ORDER BY place")?;
    let one = |row: &Row<'_>| {
        let body: String = row.get(1)?;
        Ok(Step {
            at_ms: row.get(0)?,
            record: wire::step_in(&body)?,
        })
    };
    statement.query_map([turn], one)?.collect()
}
