-- Conversations, their messages, the tools they call, the turns that made them, and acts of control.
-- Times are milliseconds since 1970-01-01 UTC.

CREATE TABLE conversations (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    -- The highest number that was given to a message; none is given twice.
    last_number INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX conversations_by_update ON conversations (updated_ms DESC, id DESC);

CREATE TABLE messages (
    id INTEGER PRIMARY KEY,
    conversation INTEGER NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('system', 'user', 'assistant', 'tool')),
    content TEXT NOT NULL,
    answers TEXT,
    -- The request's name, kept as text: a message outlives its turn's record.
    turn TEXT,
    said_ms INTEGER NOT NULL,
    UNIQUE (conversation, number)
) STRICT;

CREATE TABLE tool_calls (
    message INTEGER NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
    place INTEGER NOT NULL,
    call TEXT NOT NULL,
    name TEXT NOT NULL,
    arguments TEXT NOT NULL,
    PRIMARY KEY (message, place)
) STRICT, WITHOUT ROWID;

-- The words of the messages; the text itself lies in `messages` alone.
CREATE VIRTUAL TABLE message_words USING fts5 (
    content,
    content = 'messages',
    content_rowid = 'id',
    tokenize = 'unicode61 remove_diacritics 2'
);
-- A removed word leaves nothing behind.
INSERT INTO message_words (message_words, rank) VALUES ('secure-delete', 1);

CREATE TRIGGER messages_added AFTER INSERT ON messages BEGIN
    INSERT INTO message_words (rowid, content) VALUES (new.id, new.content);
END;
CREATE TRIGGER messages_removed AFTER DELETE ON messages BEGIN
    INSERT INTO message_words (message_words, rowid, content) VALUES ('delete', old.id, old.content);
END;
CREATE TRIGGER messages_changed AFTER UPDATE OF content ON messages BEGIN
    INSERT INTO message_words (message_words, rowid, content) VALUES ('delete', old.id, old.content);
    INSERT INTO message_words (rowid, content) VALUES (new.id, new.content);
END;

CREATE TABLE turns (
    id INTEGER PRIMARY KEY,
    request TEXT NOT NULL UNIQUE,
    conversation INTEGER NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    state TEXT NOT NULL CHECK (state IN ('running', 'done', 'failed', 'cancelled', 'interrupted')),
    -- Who works on it, while it runs: a process and one opening of this file by it.
    owner TEXT,
    begun_ms INTEGER NOT NULL,
    ended_ms INTEGER,
    -- The user's message, as JSON.
    user TEXT NOT NULL,
    -- Where its messages were put when it ended.
    first_number INTEGER,
    appended INTEGER,
    CHECK ((state = 'running') = (owner IS NOT NULL))
) STRICT;

CREATE INDEX turns_of ON turns (conversation);
CREATE INDEX turns_running ON turns (owner) WHERE state = 'running';

CREATE TABLE steps (
    turn INTEGER NOT NULL REFERENCES turns (id) ON DELETE CASCADE,
    place INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('model_called', 'tool_started', 'tool_ended', 'approved')),
    -- Which of its kind: a number or a call's name.
    which TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    -- The step, as JSON.
    body TEXT NOT NULL,
    PRIMARY KEY (turn, place),
    UNIQUE (turn, kind, which)
) STRICT, WITHOUT ROWID;

CREATE TABLE control_log (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;

CREATE INDEX control_log_by_time ON control_log (at_ms);
