-- Storms: many alarms told by one message. `storm`: the notice that tells this one. `withheld`: its own card, and all that
-- is said beside it, waits until the storm has passed.
ALTER TABLE notices ADD COLUMN storm INTEGER;
ALTER TABLE notices ADD COLUMN withheld INTEGER NOT NULL DEFAULT 0;
CREATE INDEX notices_by_storm ON notices (storm) WHERE storm IS NOT NULL;
