-- Occurrences of maintenance windows that mute: written ahead from the configuration, so that they begin and end on time.
-- `service` is a service's name, or `host:*` for all troubles of the host. A window that is summed up has been told of.
CREATE TABLE mutes (
    window  TEXT NOT NULL,
    service TEXT NOT NULL,
    at      REAL NOT NULL,
    until   REAL NOT NULL,
    summed  INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (window, at, service)
) STRICT;
CREATE INDEX mutes_by_service ON mutes (service, until);

-- When nobody is to be woken for a service: because somebody asked for it, or because of a window.
CREATE VIEW quiet AS
    SELECT service, at, until FROM silences UNION ALL SELECT service, at, until FROM mutes;

-- The notifiers beside Discord. Of what happened before `since` (a notice's id) they are told nothing.
CREATE TABLE notifiers (
    name          TEXT PRIMARY KEY,
    since         INTEGER NOT NULL,
    failing_since REAL,
    failure       TEXT NOT NULL DEFAULT '',
    reported      INTEGER NOT NULL DEFAULT 0
) STRICT;

-- What each of them is to be told, in order, each once. `why` is empty for what the configuration asks for, or says what
-- else brought it about. doubt: it may have arrived already, so it is marked when it is sent again.
CREATE TABLE deliveries (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    notice_id INTEGER NOT NULL,
    notifier  TEXT NOT NULL,
    why       TEXT NOT NULL DEFAULT '',
    at        REAL NOT NULL,
    tried_at  REAL,
    tries     INTEGER NOT NULL DEFAULT 0,
    doubt     INTEGER NOT NULL DEFAULT 0,
    failure   TEXT NOT NULL DEFAULT '',
    told_at   REAL,
    dropped   TEXT,
    UNIQUE (notice_id, notifier, why)
) STRICT;
CREATE INDEX due_deliveries ON deliveries (notifier, id) WHERE told_at IS NULL AND dropped IS NULL;
