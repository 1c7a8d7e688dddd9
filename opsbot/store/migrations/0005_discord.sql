-- Services that are Discord bots (discord_bot = true): their starts, each held to be one login, and Discord's outages.

-- starts: how many until that time (systemd may have made several between two looks). by_manager: of these, those that
-- the manager made by itself. at: when the last of them was made, or was seen where that is not known.
CREATE TABLE discord_starts (
    service    TEXT NOT NULL,
    at         REAL NOT NULL,
    starts     INTEGER NOT NULL,
    by_manager INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX discord_starts_by_service ON discord_starts (service, at);

-- The run that was seen last, of the service or of each of its units (part), and the manager's count of restarts then:
-- so that starts made while opsbot was away are counted, and none twice.
CREATE TABLE discord_runs (
    service  TEXT NOT NULL,
    part     TEXT NOT NULL,
    run      TEXT NOT NULL,
    restarts INTEGER NOT NULL,
    PRIMARY KEY (service, part)
) STRICT;

-- When opsbot saw Discord away, by its own connection. At most one has no end.
CREATE TABLE discord_outages (
    began REAL PRIMARY KEY,
    ended REAL
) STRICT;
