-- Incidents of one root cause: what fails below it, what was folded into it, and what flaps.

-- The last results of a check as bits (opsbot.core.health), and the first failure among those that count.
ALTER TABLE health ADD COLUMN recent INTEGER NOT NULL DEFAULT 1;
ALTER TABLE health ADD COLUMN failing_since REAL;

-- The incident it was folded into.
ALTER TABLE incidents ADD COLUMN part_of INTEGER;
-- What is not well because of it: [[service, what was seen, failed at, well again at or null], ...].
ALTER TABLE incidents ADD COLUMN dependents TEXT NOT NULL DEFAULT '[]';
-- The first change since it flaps, how many there were, the latest. NULL where it does not flap.
ALTER TABLE incidents ADD COLUMN flaps_since REAL;
ALTER TABLE incidents ADD COLUMN flaps INTEGER NOT NULL DEFAULT 0;
ALTER TABLE incidents ADD COLUMN flapped_at REAL;

-- When opsbot last was alive, written once a minute: what changed after that, changed while it was away.
CREATE TABLE alive (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    at  REAL NOT NULL
) STRICT;
