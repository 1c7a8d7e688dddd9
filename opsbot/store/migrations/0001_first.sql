-- Times are seconds since the epoch (UTC), REAL. Lists and values nobody searches by are JSON.

CREATE TABLE deployments (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    service       TEXT NOT NULL,
    kind          TEXT NOT NULL,
    phase         TEXT NOT NULL,
    origin        TEXT NOT NULL,
    actor_id      TEXT NOT NULL,
    actor_name    TEXT NOT NULL,
    ref           TEXT,
    reason        TEXT NOT NULL DEFAULT '',
    commit_from   TEXT,
    commit_to     TEXT,
    release_from  TEXT,
    release_to    TEXT,
    commits       TEXT NOT NULL DEFAULT '[]',
    commits_total INTEGER NOT NULL DEFAULT 0,
    steps         TEXT NOT NULL DEFAULT '[]',
    failed_in     TEXT,
    note          TEXT NOT NULL DEFAULT '',
    created_at    REAL NOT NULL,
    updated_at    REAL NOT NULL,
    finished_at   REAL,
    live_at       REAL,
    revision      INTEGER NOT NULL DEFAULT 0
) STRICT;
-- The deploy lock, for every process: at most one unfinished deployment a service.
CREATE UNIQUE INDEX one_unfinished_deployment ON deployments (service) WHERE finished_at IS NULL;
CREATE INDEX deployments_by_service ON deployments (service, id DESC);

CREATE TABLE releases (
    service    TEXT NOT NULL,
    name       TEXT NOT NULL,
    commit_id  TEXT NOT NULL,
    title      TEXT NOT NULL DEFAULT '',
    at         REAL NOT NULL,
    good       INTEGER NOT NULL DEFAULT 0,
    abandoned  INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (service, name)
) STRICT;

-- The release each service is meant to run: verified live. The `current` link follows it, and is put right from it.
CREATE TABLE live (
    service    TEXT PRIMARY KEY,
    release    TEXT NOT NULL,
    since      REAL NOT NULL,
    deployment INTEGER REFERENCES deployments (id) ON DELETE SET NULL
) STRICT;

CREATE TABLE quarantine (
    service    TEXT NOT NULL,
    commit_id  TEXT NOT NULL,
    reason     TEXT NOT NULL,
    at         REAL NOT NULL,
    PRIMARY KEY (service, commit_id)
) STRICT;

CREATE TABLE holds (
    service TEXT PRIMARY KEY,
    actor   TEXT NOT NULL,
    reason  TEXT NOT NULL,
    at      REAL NOT NULL,
    waits   TEXT
) STRICT;

CREATE TABLE silences (
    service TEXT PRIMARY KEY,
    actor   TEXT NOT NULL,
    reason  TEXT NOT NULL,
    at      REAL NOT NULL,
    until   REAL NOT NULL
) STRICT;

-- What is known of each service's remote.
CREATE TABLE sources (
    service       TEXT PRIMARY KEY,
    head          TEXT,
    asked_at      REAL,
    answered_at   REAL,
    failing_since REAL,
    failure       TEXT NOT NULL DEFAULT '',
    told          INTEGER NOT NULL DEFAULT 0,
    noted         TEXT
) STRICT;

CREATE TABLE health (
    service TEXT NOT NULL,
    name    TEXT NOT NULL,
    verdict TEXT NOT NULL,
    since   REAL,
    seen    TEXT NOT NULL DEFAULT '',
    at      REAL,
    PRIMARY KEY (service, name)
) STRICT;

CREATE TABLE incidents (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    service    TEXT NOT NULL,
    cause      TEXT NOT NULL,
    opened_at  REAL NOT NULL,
    closed_at  REAL,
    evidence   TEXT NOT NULL DEFAULT '{}',
    actions    TEXT NOT NULL DEFAULT '[]',
    deployment INTEGER,
    called_at  REAL,
    ended_by   TEXT NOT NULL DEFAULT '',
    revision   INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX one_open_incident ON incidents (service) WHERE closed_at IS NULL;
CREATE INDEX incidents_by_service ON incidents (service, id DESC);

-- Every restart that recovery made: the budget is counted from here.
CREATE TABLE recoveries (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    service TEXT NOT NULL,
    at      REAL NOT NULL
) STRICT;
CREATE INDEX recoveries_by_service ON recoveries (service, at);

-- The outbox: what the channel is to be told, in order, each once. A row whose subject lives on (a deployment, an
-- incident) is a card: it is edited while its subject's revision is ahead of `shown`.
CREATE TABLE notices (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    key        TEXT NOT NULL UNIQUE,
    kind       TEXT NOT NULL,
    service    TEXT NOT NULL,
    subject    INTEGER,
    body       TEXT NOT NULL DEFAULT '{}',
    at         REAL NOT NULL,
    tried_at   REAL,
    tries      INTEGER NOT NULL DEFAULT 0,
    failure    TEXT NOT NULL DEFAULT '',
    told_at    REAL,
    dropped    TEXT,
    channel_id INTEGER,
    message_id INTEGER,
    shown      INTEGER NOT NULL DEFAULT -1,
    gone       INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX untold_notices ON notices (id) WHERE told_at IS NULL AND dropped IS NULL;
CREATE INDEX notices_by_subject ON notices (kind, subject);

CREATE TABLE audit (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    at         REAL NOT NULL,
    origin     TEXT NOT NULL,
    actor_id   TEXT NOT NULL,
    actor_name TEXT NOT NULL,
    action     TEXT NOT NULL,
    service    TEXT NOT NULL,
    detail     TEXT NOT NULL DEFAULT '',
    allowed    INTEGER NOT NULL,
    result     TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX audit_by_service ON audit (service, id DESC);
CREATE TRIGGER audit_is_never_rewritten BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
