-- The board: the one message in a channel that shows how things stand. A row of another channel than the configured one
-- is a board that is still to be taken away.

-- tried_at: when it was first tried to be posted; without a message it is in doubt whether it was. shown: what it shows,
-- as a digest. changed_at: when that last changed, which it says. edited_at: when it was last posted or edited.
CREATE TABLE boards (
    channel    INTEGER PRIMARY KEY,
    tried_at   REAL NOT NULL,
    message    INTEGER,
    pinned     INTEGER NOT NULL DEFAULT 0,
    shown      TEXT NOT NULL DEFAULT '',
    changed_at REAL NOT NULL,
    edited_at  REAL NOT NULL
) STRICT;
