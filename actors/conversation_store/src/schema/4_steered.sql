-- A turn is told more while it runs: a step of its own. SQLite changes no check in place.

CREATE TABLE steps_of_now (
    turn INTEGER NOT NULL REFERENCES turns (id) ON DELETE CASCADE,
    place INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('model_called', 'tool_started', 'tool_ended', 'approved', 'steered')),
    -- Which of its kind: a number or a call's name.
    which TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    -- The step, as JSON.
    body TEXT NOT NULL,
    PRIMARY KEY (turn, place),
    UNIQUE (turn, kind, which)
) STRICT, WITHOUT ROWID;

INSERT INTO steps_of_now (turn, place, kind, which, at_ms, body)
    SELECT turn, place, kind, which, at_ms, body FROM steps;
DROP TABLE steps;
ALTER TABLE steps_of_now RENAME TO steps;
