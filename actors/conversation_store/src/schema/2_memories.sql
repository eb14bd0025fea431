-- What is worth knowing beyond one conversation. A source is a space of memories, or a document whose pieces are memories of it.
-- AUTOINCREMENT, so that a vector that was computed for a memory never lands on another that took over its number.
CREATE TABLE sources (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    is_file  INTEGER NOT NULL CHECK (is_file IN (0, 1)),
    name     TEXT NOT NULL,
    digest   BLOB,
    made_ms  INTEGER NOT NULL,
    used_ms  INTEGER NOT NULL,
    -- How many memories it has: kept by the triggers below, so that none is counted when one comes.
    memories INTEGER NOT NULL DEFAULT 0,
    UNIQUE (is_file, name)
) STRICT;
CREATE TABLE memories (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    source      INTEGER NOT NULL REFERENCES sources (id) ON DELETE CASCADE,
    kind        TEXT NOT NULL,
    text        TEXT NOT NULL,
    hash        BLOB NOT NULL,
    importance  REAL NOT NULL,
    made_ms     INTEGER NOT NULL,
    used_ms     INTEGER NOT NULL,
    times       INTEGER NOT NULL DEFAULT 1,
    first_line  INTEGER,
    last_line   INTEGER,
    first_byte  INTEGER,
    end_byte    INTEGER,
    UNIQUE (source, hash)
) STRICT;
-- The memories of a source in the order they came, which is the order their vectors lie in the file.
CREATE INDEX memories_by_source ON memories (source);
CREATE TABLE vectors (
    memory      INTEGER PRIMARY KEY REFERENCES memories (id) ON DELETE CASCADE,
    model       TEXT NOT NULL,
    dimensions  INTEGER NOT NULL,
    embedding   BLOB NOT NULL
) STRICT;
CREATE VIRTUAL TABLE memories_fts USING fts5 (
    text, content = 'memories', content_rowid = 'id', tokenize = 'porter unicode61 remove_diacritics 2'
);
CREATE TRIGGER memories_come AFTER INSERT ON memories BEGIN
    INSERT INTO memories_fts (rowid, text) VALUES (new.id, new.text);
    UPDATE sources SET memories = memories + 1 WHERE id = new.source;
END;
CREATE TRIGGER memories_go AFTER DELETE ON memories BEGIN
    INSERT INTO memories_fts (memories_fts, rowid, text) VALUES ('delete', old.id, old.text);
    UPDATE sources SET memories = memories - 1 WHERE id = old.source;
END;
