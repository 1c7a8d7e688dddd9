-- Who has taken an open incident upon them, and why. Void once it got worse.
CREATE TABLE acknowledgements (
    incident INTEGER PRIMARY KEY REFERENCES incidents (id) ON DELETE CASCADE,
    actor    TEXT NOT NULL,
    reason   TEXT NOT NULL,
    at       REAL NOT NULL,
    void_at  REAL,
    void_why TEXT NOT NULL DEFAULT ''
) STRICT;

-- How often people were reminded of an incident, and whether it was escalated. `since`: from when it is counted.
CREATE TABLE pagings (
    incident     INTEGER PRIMARY KEY REFERENCES incidents (id) ON DELETE CASCADE,
    since        REAL NOT NULL,
    reminders    INTEGER NOT NULL DEFAULT 0,
    reminded_at  REAL,
    escalated_at REAL
) STRICT;

-- The thread in which an incident's timeline is written.
CREATE TABLE threads (
    incident INTEGER PRIMARY KEY REFERENCES incidents (id) ON DELETE CASCADE,
    thread   INTEGER NOT NULL
) STRICT;

-- When it was last tried whether the ops channel can be written to, and when that last went well.
CREATE TABLE proofs (
    channel   INTEGER PRIMARY KEY,
    tried_at  REAL NOT NULL,
    proven_at REAL,
    failure   TEXT NOT NULL DEFAULT '',
    probe     INTEGER
) STRICT;

-- Channels that could not be written to, from then on; `told` once it was said elsewhere.
CREATE TABLE closures (
    channel INTEGER PRIMARY KEY,
    since   REAL NOT NULL,
    told    INTEGER NOT NULL DEFAULT 0
) STRICT;

-- The digest that tells this notice with others, instead of a message of its own.
ALTER TABLE notices ADD COLUMN digest INTEGER;
CREATE INDEX notices_by_digest ON notices (digest) WHERE digest IS NOT NULL;
