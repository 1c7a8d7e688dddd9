-- Figures over time: what a service or the host used. Raw for a day, then one for each ten minutes, for two weeks.

-- `keep`: which of ten minutes' samples stands for all of them: 'min' (of memory: what a garbage collector leaves) or 'avg'.
CREATE TABLE series (
    id      INTEGER PRIMARY KEY,
    subject TEXT NOT NULL,
    figure  TEXT NOT NULL,
    keep    TEXT NOT NULL DEFAULT 'avg',
    UNIQUE (subject, figure)
) STRICT;

-- Whole seconds and whole units, in the table's own tree: some 16 bytes a sample.
CREATE TABLE samples (
    series INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    value  INTEGER NOT NULL,
    PRIMARY KEY (series, at)
) STRICT, WITHOUT ROWID;

-- When each service's present run was first seen: its memory is judged from there.
-- The key comes first: where another column stands between, SQLite 3.40 takes a sound table WITHOUT ROWID for damaged
-- (PRAGMA quick_check: "NULL value in runs.run").
CREATE TABLE runs (
    subject TEXT NOT NULL,
    since   REAL NOT NULL,
    run     TEXT NOT NULL,
    PRIMARY KEY (subject, since)
) STRICT, WITHOUT ROWID;

-- Leaks that were told: once a run.
CREATE TABLE leaks (
    subject TEXT PRIMARY KEY,
    run     TEXT NOT NULL,
    told_at REAL NOT NULL
) STRICT, WITHOUT ROWID;
